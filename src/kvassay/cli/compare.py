"""`kvassay compare`: two stored runs side by side."""

from __future__ import annotations

from pathlib import Path

import click

from kvassay.assay.comparing import SUBJECTS
from kvassay.assay.comparing import compare as compare_runs
from kvassay.assay.store import Store
from kvassay.cli.assay import STORE_NAME
from kvassay.errors import ConfigError
from kvassay.report.comparison import comparison_json, comparison_lines


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--allow",
    "allowed",
    multiple=True,
    type=click.Choice(list(SUBJECTS)),
    help="Compare although this differs together with something else. May be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(*, first: str, second: str, allowed: tuple[str, ...], as_json: bool) -> None:
    """Compare two stored runs that asked the same: an old and a new build, rotation on and off, two weight quants.

    A and B are stores or output directories; FILE#N means run N in that store, otherwise its newest.
    """
    (one, one_run), (other, other_run) = _place(first), _place(second)
    with Store(one) as before, Store(other) as after:
        result = compare_runs(before.run(one_run), after.run(other_run), allowed=allowed)
    if as_json:
        click.echo(comparison_json(result))
    else:
        for line in comparison_lines(result):
            click.echo(line)


def _place(text: str) -> tuple[Path, int | None]:
    name, mark, number = text.rpartition("#") if not Path(text).exists() else (text, "", "")
    path = Path(name if mark else text)
    if mark and not number.isdecimal():
        raise ConfigError(f"{text!r}: {number!r} is not the number of a run", hint="Write STORE#2 for its second run.")
    return path / STORE_NAME if path.is_dir() else path, int(number) if mark else None
