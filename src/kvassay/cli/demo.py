"""`kvassay demo`: the whole assay on a small real model, nothing to prepare."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from kvassay.assay.store import Store
from kvassay.cli.assay import STORE_NAME, perform
from kvassay.settings import check

# Sized for twelve minutes on two slow cores: 18 easy probes an arm, which the small model can do at f16. So few pairs
# can show a break, and exclude a loss of 20 points, no less. Token-level evidence would take two minutes more.
DEMO = {
    "model": "qwen2.5-coder-0.5b",
    "pairs": ("q8_0/q8_0", "q4_0/f16", "f16/q4_0"),
    "depths": (2048,),
    "probes_per_family": 3,
    "levels": (1,),
    "parsed_share": 0.05,
    "max_tokens": 96,
    "margin": 0.2,
    "evidence_probes": 0,
}


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("kvassay-out/demo"),
    metavar="DIR",
    help="Reports, logs and store. [kvassay-out/demo]",
)
def demo(*, out: Path) -> None:
    """Measure Qwen2.5-Coder-0.5B: f16/f16 twice, q8_0/q8_0, K=q4_0 alone, V=q4_0 alone.

    Fetches the model (0.5 GB, once) and takes some ten minutes on two cores.
    A demo that was stopped goes on where it was.
    """
    console = Console()
    store_path = out / STORE_NAME
    perform(
        check(dict(DEMO)),
        store_path=store_path,
        out=out,
        resume=_unfinished(store_path),
        keep_going=False,
        console=console,
    )


def _unfinished(store_path: Path) -> bool:
    if not store_path.is_file():
        return False
    with Store(store_path) as store:
        return store.unfinished() is not None
