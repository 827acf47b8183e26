"""`kvassay recommend`: which K/V pair to run: what fits, proven on this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import copy
from pathlib import Path

import click
from rich.console import Console

from kvassay.cli import recommending
from kvassay.cli.assay import STORE_NAME
from kvassay.cli.plan import DEVICES, context_tokens
from kvassay.cli.planning import Machine
from kvassay.cli.run import run
from kvassay.plan.answer import to_json
from kvassay.plan.answer_text import print_answer

UNPROVEN = 1
"""The exit code where nothing is proven; 2 to 5 and 130 are as everywhere."""

_SHARED = (
    "depths", "probes_per_family", "levels", "families", "suite", "tools", "corpus", "channels", "parsed_share",
    "dialect", "seed", "max_tokens", "margin", "stopping", "evidence_probes", "repeat", "backend", "server_binary",
    "server_args", "threads", "gpu_layers", "flash_attention", "port", "config", "out", "store_path",
)  # fmt: skip
"""The options of `kvassay run` that say how a candidate is measured."""

_OTHERWISE = {
    "depths": "Context depths in tokens, e.g. 2k,8k,16k. [2k, 8k … and the deepest that f16 fits]",
    "repeat": "Boot the reference a second time (A/A). [off]",
}
"""Those whose default is another one here."""


@click.command(no_args_is_help=True)
@click.argument("model")
@click.option("--context", metavar="N", help="Context to run with, e.g. 40000 or 64k. [the model's own]")
@click.option("--vram", metavar="SIZE", help="Memory to plan for, e.g. 24GiB. [detected]")
@click.option("--reserve", metavar="SIZE", help="What stays free of it. [1GiB]")
@click.option(
    "--kv", "pairs", multiple=True, metavar="K/V", help="Pair to consider. May be repeated. [ten common ones]"
)
@click.option("--build", type=click.IntRange(1), metavar="N", help="llama.cpp's build number, e.g. 11434.")
@click.option("--device", type=click.Choice(DEVICES), help="[detected; with --vram alone: cuda]")
@click.option("--also", multiple=True, metavar="MODEL", help="Another weight quant of the model. May be repeated.")
@click.option("--max-depth", default="16k", metavar="N", help="Deepest session to measure at. [16k]")
@click.option("--dry-run", is_flag=True, help="Print the order; measure nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
@click.pass_context
def recommend(
    click_context: click.Context,
    /,
    *,
    model: str,
    context: str | None,
    vram: str | None,
    reserve: str | None,
    pairs: Sequence[str],
    build: int | None,
    device: str | None,
    also: Sequence[str],
    max_depth: str,
    dry_run: bool,
    as_json: bool,
    config: Path | None,
    out: Path,
    store_path: Path | None,
    gpu_layers: int | None,
    **flags: object,
) -> None:
    """Recommend a K/V pair for MODEL: one that fits, and is proven on this machine.

    The pairs that fit are measured one after the other, the most promising first, until one is
    proven within the margin. Type the command again to go on where it was stopped.

    \b
    kvassay recommend model.gguf --vram 24GiB --context 64k
    kvassay recommend model.gguf --context 64k --also smaller.gguf --dry-run

    Exit code: 0 a pair is proven, or f16 fits; 1 nothing is proven.
    """  # noqa: D301  click's mark of a paragraph that is not to be wrapped
    machine = Machine(vram, reserve, device, gpu_layers, None, "llama-server", build)
    given = {key: value for key, value in (flags | {"gpu_layers": gpu_layers}).items() if value not in (None, ())}
    asked = recommending.Asked(model, context_tokens(context), context_tokens(max_depth), pairs, also)
    place = recommending.Place(out, store_path or out / STORE_NAME)
    answer = recommending.recommend(asked, machine, recommending.base_settings(config, given), place, dry=dry_run)
    if as_json:
        click.echo(json.dumps(to_json(answer), indent=2))
    else:
        print_answer(answer, Console())
    click_context.exit(0 if dry_run or answer.chosen else UNPROVEN)


def _shared(option: click.Parameter) -> click.Parameter:
    if option.name not in _OTHERWISE:
        return option
    own = copy(option)
    assert isinstance(own, click.Option)  # noqa: S101  for mypy: an argument has no help
    own.help = _OTHERWISE[own.name or ""]
    return own


recommend.params += [_shared(option) for option in run.params if option.name in _SHARED]
