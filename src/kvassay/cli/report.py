"""`kvassay report`: the reports of a stored run, recomputed from its trials."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from kvassay.assay.store import Store
from kvassay.cli import assay, loops


@click.command()
@click.option(
    "--store",
    "store_path",
    type=click.Path(path_type=Path),
    default=Path("kvassay-out/kvassay.sqlite"),
    metavar="FILE",
    help="The store. [kvassay-out/kvassay.sqlite]",
)
@click.option("--run", "number", type=int, metavar="N", help="Which run. [the newest]")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where the reports go. [beside the store]")
def report(*, store_path: Path, number: int | None, out: Path | None) -> None:
    """Print the verdict of a stored run and write its report: report.html and report.json, or loops.html and loops.json
    for closed loops.
    """
    with Store(store_path) as store:
        found = store.run(number)
        kind = loops if found.record.manifest.design.in_loops else assay
        kind.report(found, out or store_path.parent, Console())
