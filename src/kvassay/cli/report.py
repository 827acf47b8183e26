"""`kvassay report`: the reports of a stored run, recomputed from its trials."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from kvassay.assay.store import Store
from kvassay.cli import assay, loops
from kvassay.errors import ConfigError
from kvassay.report import write_file
from kvassay.report.picture import picture, require_arms


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
@click.option("--picture", "svg", type=click.Path(path_type=Path), metavar="FILE", help="Write the picture as SVG.")
@click.option("--arm", "arms", multiple=True, metavar="K/V", help="Arm to show in --picture. May be repeated. [all]")
def report(*, store_path: Path, number: int | None, out: Path | None, svg: Path | None, arms: tuple[str, ...]) -> None:
    """Print the verdict of a stored run and write its report: report.html and report.json, or loops.html and loops.json
    for closed loops.
    """
    if arms and not svg:
        raise ConfigError(f"--arm {arms[0]}: only with --picture, which shows these arms")
    with Store(store_path) as store:
        found = store.run(number)
        place = out or store_path.parent
        if found.record.manifest.design.in_loops:
            if svg:
                raise ConfigError("--picture shows answers against depth: closed loops have none")
            loops.report(found, place, Console())
            return
        require_arms([arm.label for arm in found.record.manifest.design.arms], arms)
        view = assay.report(found, place, Console())
    if svg:
        write_file(svg, [picture(view, arms)])
