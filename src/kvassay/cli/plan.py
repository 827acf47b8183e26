"""`kvassay plan`: what fits, pair by pair; with --k and --v one pair to the byte."""

from __future__ import annotations

import json

import click

from kvassay.backend.kv import LLAMA_TYPES, parse_pair
from kvassay.errors import ConfigError
from kvassay.model.source import load_shape
from kvassay.plan.exact import exact_pair
from kvassay.plan.memory import CacheSettings, FlashAttention
from kvassay.settings import tokens


@click.command(no_args_is_help=True)
@click.argument("model")
@click.option("--k", "k_type", metavar="TYPE", help="K cache type of one exact pair, with --v.")
@click.option("--v", "v_type", metavar="TYPE", help="V cache type of one exact pair, with --k.")
@click.option("--context", metavar="N", help="Context in tokens, e.g. 40000 or 64k. [the model's own]")
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
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def plan(
    *,
    model: str,
    k_type: str | None,
    v_type: str | None,
    context: str | None,
    as_json: bool,
    parallel: int,
    unified: bool,
    ubatch: int,
    batch: int,
    swa_full: bool,
    flash_attention: str,
    draft_max: int,
) -> None:
    """What fits on your machine: for each K/V pair the greatest context, and what it costs.

    MODEL is a GGUF file (its header is enough), hf:owner/repo/file.gguf, a web address (only the header is read), a
    folder with config.json, or a name from 'kvassay models'.
    """
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
    shape = load_shape(model)
    if k_type is not None and v_type is not None:
        answer = exact_pair(shape, parse_pair(f"{k_type}/{v_type}", LLAMA_TYPES), settings)
        click.echo(json.dumps(answer, indent=2))


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
