"""`kvassay export`: a run's trials for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from kvassay.assay.export import to_jsonl, to_parquet
from kvassay.assay.store import Store
from kvassay.errors import ConfigError

WRITERS = {"jsonl": to_jsonl, "parquet": to_parquet}


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
@click.option("--format", "form", type=click.Choice(list(WRITERS)), default="jsonl", help="[jsonl]")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="[trials.jsonl or trials.parquet beside the store]"
)
def export(*, store_path: Path, number: int | None, form: str, out: Path | None) -> None:
    """Write a stored run's trials, one row each."""
    target = out or store_path.parent / f"trials.{form}"
    if target.exists() and store_path.exists() and target.samefile(store_path):
        raise ConfigError(f"--out {str(target)!r} is the store itself", hint="Name another file for the rows.")
    with Store(store_path) as store:
        count = WRITERS[form](store.run(number), target)
    click.echo(f"{count} trials written to {target}")
