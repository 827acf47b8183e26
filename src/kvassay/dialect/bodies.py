"""JSON between tags: read the body of a call, see that it ends where it should, and say what is wrong if not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from kvassay.dialect.base import Outcome, Piece, piece
from kvassay.dialect.strict_json import Broken, Scanned, scan, skip_blank, tail_fault
from kvassay.types import Call, JsonValue, ParseFault

Make: TypeAlias = Callable[[JsonValue, str], tuple[Outcome, ...]]
"""From a body's value and the call's verbatim text."""


@dataclass(frozen=True, slots=True)
class Ends:
    """How a body may end.

    ``close`` closes it and ``tag`` is how that is written; where ``open_ended``, the end of the text may stand for it,
    as the format's reference parsers have it. ``follow`` is what may come instead of ``close``. ``boundary`` is where
    a broken body ends at the latest; its group ``close`` still belongs to the body.
    """

    close: re.Pattern[str]
    tag: str
    boundary: re.Pattern[str]
    open_ended: bool = True
    follow: re.Pattern[str] | None = None

    def behind(self, text: str, end: int) -> int | Broken:
        """Where the call ends whose JSON ends at ``end``."""
        tail = skip_blank(text, end)
        if closing := self.close.match(text, tail):
            return closing.end()
        if self.follow and self.follow.match(text, tail):
            return tail
        if len(text) - tail < len(self.tag) and self.tag.startswith(text[tail:]):
            return len(text) if self.open_ended else Broken("truncated", "the call is not closed", tail)
        if self.boundary.match(text, tail):
            return Broken("stray_tail", "the call is not closed before the next begins", tail)
        return tail_fault(text, tail)


def read_body(text: str, start: int, body: int, ends: Ends, make: Make) -> Piece:
    """The call that begins at ``start`` and whose JSON begins at ``body``."""
    outcome = scan(text, body)
    end = ends.behind(text, outcome.end) if isinstance(outcome, Scanned) else outcome
    if isinstance(outcome, Scanned) and isinstance(end, int):
        return piece(start, end, *make(outcome.value, text[start:end]))
    assert isinstance(end, Broken)  # noqa: S101 (for the type checker)
    return _broken(text, start, body, ends, end)


def _broken(text: str, start: int, body: int, ends: Ends, broken: Broken) -> Piece:
    """A fault up to the boundary. The text ended inside the call only if no boundary follows."""
    boundary = ends.boundary.search(text, broken.end)
    kind, end = broken.kind, len(text)
    if boundary is None:
        kind = "truncated" if kind == "empty" else kind
    else:
        end = max(boundary.start(), _closed(boundary))
        if not text[body : boundary.start()].strip():
            kind = "empty"
        elif kind == "truncated":
            kind = "json_invalid"
    fault = ParseFault(kind, broken.detail, text[start:end])
    return Piece(start, end, faults=(fault,), quoted=kind == "truncated" and broken.kind == kind)


def headless(text: str, opening: re.Match[str], ends: Ends) -> Piece:
    """The fault of a call that is begun and never gets to its arguments."""
    boundary = ends.boundary.search(text, opening.end())
    end = max(boundary.start(), _closed(boundary)) if boundary else len(text)
    kind = "json_invalid" if boundary else "truncated"
    source = text[opening.start() : end]
    return piece(opening.start(), end, ParseFault(kind, "the call has no arguments", source))


def arguments(name: str, value: JsonValue, text: str) -> Outcome:
    """A call from its name and the JSON value of its arguments."""
    if not name:
        return ParseFault("missing_name", "the call has no name", text)
    if not isinstance(value, dict):
        return ParseFault("not_an_object", f"the arguments are {word(value)}, not an object", text)
    return Call(name, value)


def call_object(value: JsonValue, text: str, keys: tuple[str, ...] = ("arguments",)) -> Outcome:
    """A call from the JSON object that states it: ``name`` and exactly one of ``keys``."""
    if not isinstance(value, dict):
        return ParseFault("not_an_object", f"the call is {word(value)}, not an object", text)
    name = value.get("name")
    if not isinstance(name, str) or not name:
        return ParseFault("missing_name", f"the call's name is {name!r}", text)
    given = [key for key in keys if key in value]
    if len(given) != 1:
        return ParseFault("missing_arguments", f"the call to {name!r} has {given or 'none'} of {keys}", text)
    return arguments(name, value[given[0]], text)


def word(value: JsonValue) -> str:
    """A value's JSON type in words."""
    words = {str: "a string", list: "a list", bool: "a boolean", dict: "an object", type(None): "null"}
    return words.get(type(value), "a number")


def _closed(boundary: re.Match[str]) -> int:
    return boundary.end("close") if "close" in boundary.re.groupindex else -1
