"""Agents' JSON as it lies on disk: lenient about encoding, strict about what is an object."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from kvassay.types import JsonObject, JsonValue

MAX_LINE_BYTES = 1 << 27
_MAX_LEVELS = 200  # agents' records have some ten; readers that call themselves would fail at about a thousand
_NOT_JSON = "not JSON"
_DECODER = json.JSONDecoder()
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


class Line(NamedTuple):
    """One line of JSONL, its number counted from 1. ``value`` is None where it can't be read; ``fault`` says why."""

    number: int
    value: JsonObject | None
    fault: str = ""

    @property
    def place(self) -> str:
        return f"line {self.number}"


def read_lines(path: Path) -> Iterator[Line]:
    """Read JSONL line by line; blank lines are passed over. Records that stand on one line, because an agent was killed
    before it could end the first, are told one by one. Raises OSError.
    """
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            if line.strip():
                found = _line_at(file, number, line)
                yield from _apart(number, line) if found.fault == _NOT_JSON else [found]


class Start(NamedTuple):
    """Where a line begins: its number, counted from 1, and its first byte."""

    number: int
    byte: int


def line_starts(path: Path) -> Iterator[Start]:
    """The lines of JSONL that are not blank, unread. Raises OSError."""
    with path.open("rb") as file:
        number = byte = 0
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            if line.strip():
                yield Start(number, byte)
            if not line.endswith(b"\n"):
                _skip_line(file)
            byte = file.tell()


def read_line(path: Path, start: Start) -> Line:
    """One line, read from where it begins. Raises OSError."""
    with path.open("rb") as file:
        file.seek(start.byte)
        return _line_at(file, start.number, file.readline(MAX_LINE_BYTES))


def load(text: str | bytes) -> JsonValue:
    """Parse one JSON text as `settled` has it. Raises ValueError."""
    decoded = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    try:
        value = json.loads(decoded.removeprefix("\ufeff"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return settled(decoded, cast("JsonValue", value))


def settled(text: str, value: JsonValue) -> JsonValue:
    """A value as it was parsed from a text, fit to be handled: half a character (one escaped surrogate, left where an
    agent cut a string) becomes U+FFFD, for no encoding can hold it. Raises ValueError for deep nesting.
    """
    if text.count("[") + text.count("{") > _MAX_LEVELS and _levels(value) > _MAX_LEVELS:
        raise ValueError("nested too deeply")
    return mended(value) if "\\ud" in text or "\\uD" in text else value


def _levels(value: JsonValue) -> int:
    """How deep lists and objects are nested; counting ends where it is too deep."""
    inside, levels = [value], 0
    while inside and levels <= _MAX_LEVELS:
        held = [one for one in inside if isinstance(one, list | dict)]
        inside = [inner for one in held for inner in (one.values() if isinstance(one, dict) else one)]
        levels += bool(held)
    return levels


def mended(value: JsonValue) -> JsonValue:
    """Put U+FFFD for halves of characters, in names too."""
    match value:
        case str():
            return _HALF_CHARACTER.sub("\ufffd", value)
        case list():
            return [mended(item) for item in value]
        case dict():
            return {_HALF_CHARACTER.sub("\ufffd", key): mended(inner) for key, inner in value.items()}
        case _:
            return value


def line_of(number: int, line: str | bytes) -> Line:
    """One line's text, read."""
    try:
        value = load(line)
    except ValueError:
        return Line(number, None, _NOT_JSON)
    return Line(number, value) if isinstance(value, dict) else Line(number, None, "no JSON object")


def _apart(number: int, line: bytes) -> Iterator[Line]:
    """The records on a line that is not one; what can't be read ends it."""
    text = line.decode("utf-8", "replace").removeprefix("\ufeff").rstrip()
    at = 0
    while at < len(text):
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            value, end = None, len(text)
        yield line_of(number, text[at:end]) if isinstance(value, dict) else Line(number, None, _NOT_JSON)
        at = end if isinstance(value, dict) else len(text)


def _line_at(file: BinaryIO, number: int, line: bytes) -> Line:
    """The line that was just read, however much of it; the rest of one that is too long is passed over."""
    if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
        _skip_line(file)
        return Line(number, None, "line too long")
    return line_of(number, line)


def _skip_line(file: BinaryIO) -> None:
    while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
        pass
