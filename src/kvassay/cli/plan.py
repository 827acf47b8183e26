"""`kvassay plan`: what fits, pair by pair; with --k and --v one pair to the byte."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from kvassay.backend.kv import LLAMA_TYPES, parse_pair
from kvassay.errors import ConfigError
from kvassay.model.shape import ModelShape
from kvassay.model.source import load_shape
from kvassay.plan import exllama
from kvassay.plan.capability import keeps_llamas_cache
from kvassay.plan.capability_file import engines
from kvassay.plan.exact import exact_pair
from kvassay.plan.memory import CacheSettings, FlashAttention, wanted_tokens
from kvassay.types import KVConfig
from kvassay.units import tokens

FILE = click.Path(path_type=Path)
DEVICES = ("cuda", "hip", "metal", "vulkan", "sycl", "cpu")


@click.command(no_args_is_help=True)
@click.argument("model")
@click.option("--context", metavar="N", help="Context in tokens, e.g. 40000 or 64k. [the model's own]")
@click.option("--vram", metavar="SIZE", help="Memory to plan for, e.g. 24GiB. [detected]")
@click.option("--reserve", metavar="SIZE", help="What stays free of it. [1GiB]")
@click.option("--kv", "pairs", multiple=True, metavar="K/V", help="Pair to plan. May be repeated. [eleven common ones]")
@click.option("--k", "k_type", metavar="TYPE", help="K cache type of one exact pair, with --v.")
@click.option("--v", "v_type", metavar="TYPE", help="V cache type of one exact pair, with --k.")
@click.option("--parallel", type=int, default=1, metavar="N", help="Slots (llama-server's -np). [1]")
@click.option("--unified", is_flag=True, help="One cache for all slots (-kvu).")
@click.option("--ubatch", type=int, default=512, metavar="N", help="Physical batch (-ub). [512]")
@click.option("--batch", type=int, default=2048, metavar="N", help="Logical batch (-b). [2048]")
@click.option("--swa-full", is_flag=True, help="Sliding windows at full context (--swa-full).")
@click.option(
    "--flash-attention",
    type=click.Choice([each.value for each in FlashAttention]),
    default="auto",
    help="llama-server's -fa. [auto]",
)
@click.option("--draft-max", type=int, default=0, metavar="N", help="Tokens an MTP draft may have. [0: no draft]")
@click.option("--gpu-layers", type=click.IntRange(0), metavar="N", help="Layers on the device (-ngl). [all]")
@click.option("--mmproj", type=FILE, metavar="FILE", help="A projector that is loaded beside the model.")
@click.option("--engine", default="llama-server", metavar="NAME", help="What runs the model. [llama-server]")
@click.option("--build", type=click.IntRange(1), metavar="N", help="llama.cpp's build number, e.g. 11434.")
@click.option("--device", type=click.Choice(DEVICES), help="[detected; with --vram alone: cuda]")
@click.option("--store", "store_path", type=FILE, metavar="FILE", help="Runs to take verdicts from. [kvassay-out's]")
@click.option("--html", "html_path", type=FILE, metavar="FILE", help="Write the picture here.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def plan(
    *,
    model: str,
    context: str | None,
    vram: str | None,
    reserve: str | None,
    pairs: Sequence[str],
    k_type: str | None,
    v_type: str | None,
    parallel: int,
    unified: bool,
    ubatch: int,
    batch: int,
    swa_full: bool,
    flash_attention: str,
    draft_max: int,
    gpu_layers: int | None,
    mmproj: Path | None,
    engine: str,
    build: int | None,
    device: str | None,
    store_path: Path | None,
    html_path: Path | None,
    as_json: bool,
) -> None:
    """Show which K/V pairs fit your memory: the greatest context of each, and what it costs.

    MODEL is a GGUF file (its header is enough), hf:owner/repo/file.gguf, a web address (only the header is read), a
    folder with config.json, or a name from 'kvassay models'.

    \b
    kvassay plan model.gguf --vram 24GiB --context 64k
    kvassay plan model.gguf --k q8_0 --v q4_0 --context 40000 --parallel 2 --json
    """  # noqa: D301  click's mark of a paragraph that is not to be wrapped
    settings = CacheSettings(
        context_tokens=context_tokens(context),
        parallel=parallel,
        unified=unified,
        batch=batch,
        ubatch=ubatch,
        swa_full=swa_full,
        flash_attention=FlashAttention(flash_attention),
        draft_tokens=draft_max,
    )
    if engine.lower() in exllama.ENGINES:
        _exllama(load_shape(model), k_type, v_type, settings.context_tokens)
        return
    if not keeps_llamas_cache(engine):
        raise ConfigError(
            f"The memory of {engine!r} is not planned: only llama.cpp's, of what is built on it, and ExLlamaV3's.",
            hint="Leave out --engine, or name one of: " + ", ".join(filter(keeps_llamas_cache, engines())) + ".",
        )
    exact = _exact(k_type, v_type, LLAMA_TYPES)
    if exact is not None and pairs:
        raise ConfigError("--k and --v name one pair, --kv others.", hint="Give either.")
    shape = load_shape(model)
    if exact is not None and as_json:
        click.echo(json.dumps(exact_pair(shape, exact, settings), indent=2))
        return
    wanted = [exact] if exact else [parse_pair(pair, LLAMA_TYPES) for pair in pairs]
    from kvassay.cli import planning  # noqa: PLC0415  an exact pair is asked by the hundred and needs none of it

    machine = planning.Machine(vram, reserve, device, gpu_layers, mmproj, engine, build)
    view = planning.view(model, shape, settings, machine, wanted, planning.verdicts(store_path, model))
    planning.show(view, html_path, as_json=as_json)


def _exllama(shape: ModelShape, k_type: str | None, v_type: str | None, context_tokens: int) -> None:
    """ExLlamaV3 is planned one pair at a time, always as JSON."""
    pair = _exact(k_type, v_type, exllama.BITS)
    if pair is None:
        raise ConfigError(
            "ExLlamaV3 is planned one pair at a time.", hint="Give bits with --k and --v, e.g. --k 8 --v 4."
        )
    answer = exllama.exllama_pair(shape, pair, wanted_tokens(shape, context_tokens))
    click.echo(json.dumps(answer, indent=2))


def _exact(k_type: str | None, v_type: str | None, types: Sequence[str]) -> KVConfig | None:
    """One pair from --k and --v; one of them alone stands for both."""
    if k_type is None and v_type is None:
        return None
    k, v = k_type or v_type, v_type or k_type
    return parse_pair(f"{k}/{v}", types)


def context_tokens(text: str | None) -> int:
    """A context as people write it; 0 is the model's own."""
    if text is None:
        return 0
    try:
        return tokens(text)
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is no context: {error}.", hint="Write tokens, for example 40000 or 64k."
        ) from error
