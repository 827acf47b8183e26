"""``kvassay sessions``: the recorded agent sessions on this machine, read-only."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import click
from rich.cells import cell_len, set_cell_size

from kvassay.errors import UsageError
from kvassay.session.importers import IMPORTERS
from kvassay.session.listing import Overview, overviews
from kvassay.session.places import session_files, usual_places
from kvassay.session.redact import Redactor
from kvassay.types import JsonObject

_COLUMNS = 80
_HEADING = f"{'date':<10}  {'agent':<14}  {'tokens':>7}  {'calls':>5}  {'failed':>6}  {'odd':>4}  first words"


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH…]")
@click.option(
    "--agent",
    "agents",
    multiple=True,
    metavar="AGENT",
    type=click.Choice(list(IMPORTERS)),
    help=f"Only this agent's sessions: {', '.join(IMPORTERS)}.",
)
@click.option("--redact", is_flag=True, help="Mask secrets, home paths, user names and e-mail addresses.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def sessions(paths: Sequence[Path], agents: Sequence[str], *, redact: bool, as_json: bool) -> None:
    """List recorded agent sessions, newest first: those in the usual places, or those under PATH.

    Files are told by content and only read. Tokens are the longest prompt of a turn with its answer, as recorded;
    ≈ marks an estimate. Odd entries are damaged or of unknown kind: --json names them.
    """
    found = [seen for seen in overviews(_files(paths)) if not agents or seen.agent in agents]
    found.sort(key=lambda seen: seen.ended_s or 0, reverse=True)
    if redact:
        redactor = Redactor.of_this_machine()
        found = [_masked(seen, redactor) for seen in found]
    if as_json:
        click.echo(json.dumps([_as_json(seen) for seen in found], indent=2, ensure_ascii=False))
    elif found:
        click.echo("\n".join(chain([_HEADING], *map(_lines, found))))
    else:
        click.echo(_nothing(paths, agents))


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        try:
            path.stat()
        except FileNotFoundError as error:
            hint = "Give a session's file, or a folder of sessions."
            raise UsageError(f"{str(path)!r} does not exist.", hint=hint) from error
        except OSError as error:
            raise UsageError(f"{str(path)!r} can't be read: {error.strerror}.") from error
    return session_files(paths or chain.from_iterable(usual_places().values()))


def _nothing(paths: Sequence[Path], agents: Sequence[str]) -> str:
    whose = f" of {' or '.join(agents)}" if agents else ""
    where = " or ".join(repr(str(path)) for path in paths) or "the usual places of this machine"
    return f"No session{whose} was found in {where}."


def _masked(seen: Overview, redactor: Redactor) -> Overview:
    """The session with what it says masked, before anything is cut: half a key would not be known for one."""
    redactor = redactor.knowing((), places=filter(None, (str(seen.path), seen.cwd)))
    return replace(
        seen,
        path=Path(redactor.text(str(seen.path))),
        id=redactor.text(seen.id),
        title=redactor.text(seen.title),
        cwd=seen.cwd and redactor.text(seen.cwd),
        oddities=tuple(replace(odd, name=redactor.text(odd.name)) for odd in seen.oddities),
        fault=redactor.text(seen.fault),
    )


def _lines(seen: Overview) -> Iterator[str]:
    """The row, the file below it, and what went wrong."""
    date = datetime.fromtimestamp(seen.ended_s, UTC).date().isoformat() if seen.ended_s else "–"
    failed = "–" if seen.failed is None else str(seen.failed)
    row = f"{date:<10}  {seen.agent:<14}  {_tokens(seen):>7}  {seen.calls:>5}  {failed:>6}  {seen.damaged:>4}  "
    yield row + _cut(_printable(seen.title) or "–", _COLUMNS - cell_len(row))
    yield "  " + _printable(_escaped(str(seen.path)) + (f" #{seen.id}" if seen.in_store else ""))
    if seen.fault:
        yield from (f"  ! {_printable(line)}" for line in seen.fault.splitlines())


def _escaped(name: str) -> str:
    """A file's name as text: bytes of it that are no UTF-8 are escaped, for no output takes them."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _tokens(seen: Overview) -> str:
    n = seen.prompt_tokens
    return ("≈" if seen.estimated and n else "") + (f"{n / 1000:.0f}k" if n >= 10_000 else str(n))  # noqa: PLR2004


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _cut(text: str, cells: int) -> str:
    return text if cell_len(text) <= cells else f"{set_cell_size(text, cells - 1).rstrip()}…"


def _as_json(seen: Overview) -> JsonObject:
    return {
        "agent": seen.agent,
        "path": _escaped(str(seen.path)),
        "id": _escaped(seen.id),
        "title": seen.title,
        "cwd": seen.cwd,
        "model": seen.model,
        "started": _iso(seen.started_s),
        "ended": _iso(seen.ended_s),
        "turns": seen.turns,
        "calls": seen.calls,
        "failed_calls": seen.failed,
        "poisoned_calls": seen.poisoned,
        "tokens": seen.prompt_tokens,
        "tokens_estimated": seen.estimated,
        "compactions": seen.compactions,
        "odd_entries": seen.damaged,
        "oddities": [
            {"kind": odd.kind, "name": odd.name, "count": odd.count, "first": odd.first_place} for odd in seen.oddities
        ],
        "fault": seen.fault,
    }


def _iso(at_s: float | None) -> str | None:
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")
