"""`kvassay backends`: which engines can be measured, which are here, and what each one lets be seen."""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import PackageNotFoundError, version

import click
from rich import box
from rich.console import Console
from rich.table import Table

from kvassay.backend.catalog import CATALOG, Row
from kvassay.errors import ConfigError

_PROOF = {
    "real": "tested against the real engine",
    "recorded": "tested against answers recorded from the real engine",
    "source": "tested against answers written from its source; the real one never ran in our tests",
}
_HEADS = ("back end", "here", "raw", "log-probs", "K/V read", "memory", "reuse")


@click.command()
@click.argument("name", required=False)
def backends(name: str | None) -> None:
    """List the back ends and what can be measured through each; with NAME, how one is used.

    \b
    here       installed; attach: a server of yours is asked
    raw        what the model says, before the server parses it
    log-probs  answers can be compared token by token
    K/V read   where the cache types are read back (by you: as you state them)
    memory     bytes of K and V are read back (log: with --serve)
    reuse      how much of a prompt came from the cache is counted
    """  # noqa: D301  click's mark of a paragraph that is not to be wrapped
    out = Console(width=None if sys.stdout.isatty() else 80)
    if name is None:
        out.print(_table())
        click.echo("How one is used: kvassay backends NAME. Where each was tested: docs/engines.md.")
        return
    if name not in CATALOG:
        raise ConfigError(f"unknown back end {name!r}", hint=f"Known: {', '.join(CATALOG)}.")
    out.print(_described(CATALOG[name]), soft_wrap=True, markup=False, highlight=False)


def _table() -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in _HEADS:
        table.add_column(head, no_wrap=True)
    for row in CATALOG.values():
        table.add_row(row.name, _here(row), row.raw, row.logprobs, row.read_back, row.memory, row.reuse)
    return table


def _here(row: Row) -> str:
    if _found(row):
        return "yes"
    return "attach" if row.reach == "attached" else "no"


def _found(row: Row) -> str | None:
    """The version installed or the program's path; None where there is neither."""
    if row.package is None:
        return row.program and shutil.which(row.program)
    try:
        return f"{row.package} {version(row.package)}"
    except PackageNotFoundError:
        return None


def _described(row: Row) -> str:
    facts = {
        "what": row.what,
        "here": _found(row)
        or ("your server is attached to" if row.reach == "attached" else f"no {row.program or row.package}"),
        "raw text": row.raw if row.pen else f"{row.raw}; template and tokenizer from --tokenizer",
        "log-probs": row.logprobs,
        "K/V read": row.read_back,
        "memory": row.memory,
        "reuse": row.reuse,
        "proof": _PROOF[row.proof],
    }
    lines = [f"{key:<10} {value}" for key, value in facts.items()]
    return "\n".join([row.name, *lines, "", *(f"  {line}" for line in row.usage)])
