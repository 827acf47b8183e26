"""`kvassay replay --list`: the turns of a session that can be asked again, so that one can be chosen."""

from __future__ import annotations

from collections.abc import Iterator

import click
from rich.cells import cell_len, set_cell_size

from kvassay.assay.recorded import recorded_of, turns_of
from kvassay.grade.names import file_path
from kvassay.probe.replay import outcomes_of
from kvassay.session.history import Moment
from kvassay.settings import ReplaySettings
from kvassay.types import ToolCall

_COLUMNS = 80
_HEADING = f"{'turn':>5}  {'≈ tokens':>8}  {'result':<6}  calls"


def print_turns(session: str, *, redact: bool) -> None:
    """Print a line for each turn that can be asked. Raises UsageError where the session can't be read, or has none."""
    found = recorded_of(ReplaySettings(session=session, redact=redact), None)
    click.echo("\n".join([_HEADING, *(_line(moment) for moment in turns_of(found))]))


def _line(moment: Moment) -> str:
    row = f"{moment.number:>5}  {moment.history_tokens:>8,}  {_result(moment):<6}  "
    calls = ", ".join(map(_call, moment.said.message.tool_calls))
    shown = "".join(char if char.isprintable() else " " for char in calls)
    room = _COLUMNS - cell_len(row)
    return row + (shown if cell_len(shown) <= room else f"{set_cell_size(shown, room - 1).rstrip()}…")


def _call(call: ToolCall) -> str:
    about = file_path(call.arguments) or next(_texts(call), "")
    return f"{call.name} {about}".strip()


def _texts(call: ToolCall) -> Iterator[str]:
    return (value for value in call.arguments.values() if isinstance(value, str))


def _result(moment: Moment) -> str:
    results = outcomes_of(moment)
    return "failed" if False in results else "–" if None in results else "ok"
