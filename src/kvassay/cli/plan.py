"""`kvassay plan`: what fits, pair by pair; with --k and --v one pair to the byte."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from kvassay.backend.kv import LLAMA_TYPES, parse_pair
from kvassay.cli.assay import STORE_NAME
from kvassay.errors import ConfigError, StoreError
from kvassay.model.gguf import read_header
from kvassay.model.shape import ModelShape
from kvassay.model.source import load_shape
from kvassay.plan import advice, hardware
from kvassay.plan.breakdown import GPU_DEVICES, OVERHEAD_BYTES, Place
from kvassay.plan.evidence import Evidence, evidence_for, measured
from kvassay.plan.exact import exact_pair
from kvassay.plan.memory import CacheSettings, FlashAttention
from kvassay.plan.picture import render
from kvassay.plan.planner import MARGIN_BYTES, PAIRS, Budget, Plan, make_plan
from kvassay.plan.sizes import size_bytes
from kvassay.plan.table import print_plan
from kvassay.plan.view import Entry, Launch, PlanView, to_json
from kvassay.settings import tokens
from kvassay.types import KVConfig

FILE = click.Path(path_type=Path)
DEVICES = (*GPU_DEVICES, "cpu")


@dataclass(frozen=True, slots=True)
class _Machine:
    """The flags about where the model runs."""

    vram: str | None
    reserve: str | None
    device: str | None
    gpu_layers: int | None
    mmproj: Path | None
    engine: str
    build: int | None


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
@click.option("--gpu-layers", type=int, metavar="N", help="Layers on the device (-ngl). [all]")
@click.option("--mmproj", type=FILE, metavar="FILE", help="A projector that is loaded beside the model.")
@click.option("--engine", default="llama-server", metavar="NAME", help="What runs the model. [llama-server]")
@click.option("--build", type=int, metavar="N", help="llama.cpp's build number, e.g. 11434.")
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
        context_tokens=_tokens(context),
        parallel=parallel,
        unified=unified,
        batch=batch,
        ubatch=ubatch,
        swa_full=swa_full,
        flash_attention=FlashAttention(flash_attention),
        draft_tokens=draft_max,
    )
    exact = _exact(k_type, v_type)
    shape = load_shape(model)
    if exact is not None and as_json:
        click.echo(json.dumps(exact_pair(shape, exact, settings), indent=2))
        return
    wanted = [exact] if exact else [parse_pair(pair, LLAMA_TYPES) for pair in pairs] or PAIRS
    machine = _Machine(vram, reserve, device, gpu_layers, mmproj, engine, build)
    view = _view(model, shape, settings, machine, wanted, _measured(store_path, model))
    if html_path is not None:
        _write(html_path, render(view))
    if as_json:
        click.echo(json.dumps(to_json(view), indent=2))
    else:
        print_plan(view, Console())


def _exact(k_type: str | None, v_type: str | None) -> KVConfig | None:
    """One pair from --k and --v; one of them alone stands for both."""
    if k_type is None and v_type is None:
        return None
    k, v = k_type or v_type, v_type or k_type
    return parse_pair(f"{k}/{v}", LLAMA_TYPES)


def _tokens(text: str | None) -> int:
    """A context as people write it; 0 is the model's own."""
    if text is None:
        return 0
    try:
        return tokens(text)
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is no context: {error}.", hint="Write tokens, for example 40000 or 64k."
        ) from error


def _memory(machine: _Machine) -> hardware.Memory:
    """The memory to plan for: as given, else as detected."""
    if machine.vram is not None:
        return hardware.Memory(machine.device or "cuda", "the given budget", size_bytes(machine.vram), "--vram")
    found = hardware.detect() if machine.device != "cpu" else hardware.main_memory()
    if machine.device not in (None, found.device):
        raise ConfigError(
            f"No {machine.device} device was found on this machine; {found.name} ({found.device}) was.",
            hint="Give its memory with --vram.",
        )
    return found


def _view(  # noqa: PLR0917  all that an answer is made of
    model: str,
    shape: ModelShape,
    settings: CacheSettings,
    machine: _Machine,
    pairs: Sequence[KVConfig],
    here: Mapping[str, Evidence],
) -> PlanView:
    memory = _memory(machine)
    place = Place(memory.device, machine.gpu_layers, True, _projector(machine.mmproj), OVERHEAD_BYTES)
    reserve = size_bytes(machine.reserve) if machine.reserve else MARGIN_BYTES
    planned = make_plan(shape, settings, place, Budget(memory.total_bytes, reserve), pairs)
    engine = advice.Engine(machine.engine, machine.build, memory.device)
    entries = tuple(
        Entry(row, advice.attention_of(engine, row.kv, shape), evidence_for(shape.name, row.kv, here))
        for row in planned.rows
    )
    view = PlanView(planned, memory, entries, ())
    return PlanView(planned, memory, entries, _launches(model, planned, view))


def _launches(model: str, planned: Plan, view: PlanView) -> tuple[Launch, ...]:
    chosen = view.chosen
    if chosen is None:
        return ()
    parallel = planned.settings.parallel
    return tuple(
        Launch(*line) for line in advice.launches(model, chosen.kv, context_tokens=planned.wanted, parallel=parallel)
    )


def _projector(path: Path | None) -> int:
    if path is None:
        return 0
    return sum(tensor.n_bytes or 0 for tensor in read_header(path).tensors)


def _measured(path: Path | None, model: str) -> Mapping[str, Evidence]:
    """Verdicts from the store that was named, or from the usual one where it is here."""
    if path is not None:
        if not path.is_file():
            raise StoreError(f"{str(path)!r} is no store.", hint="Name the kvassay.sqlite of a run.")
        return measured(path, model)
    usual = Path("kvassay-out") / STORE_NAME
    return measured(usual, model) if usual.is_file() else {}


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{str(path)!r} can't be written: {error.strerror or error}.") from error
