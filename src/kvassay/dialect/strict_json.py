"""Strict JSON: one value, no repair, and where reading ended or gave up."""

from __future__ import annotations

import json
import math
import re
import sys
from typing import NamedTuple

from kvassay.types import JsonValue

MAX_DEPTH = 200
"""Nesting beyond this is refused: later readers (schema checks, the store) recurse too."""

_MAX_DIGITS = 4300  # Python's own limit for reading an integer from text
_BLANK = re.compile(r"[ \t\r\n]*")  # what JSON calls white space
_WINDOW_CHARS = 4096  # read at first; the library's errors cost as much as the text before them is long
_CUT_LITERAL = re.compile(r"(?:-|t|tr|tru|f|fa|fal|fals|n|nu|nul|\.|[eE][+-]?)\Z")
_CUT_ESCAPE = re.compile(r"[^\"]{0,5}\Z")


class Scanned(NamedTuple):
    """A value that was read, and the position behind it."""

    value: JsonValue
    end: int


class Broken(NamedTuple):
    """Why no value could be read, and where reading gave up. ``kind`` is ``empty``, ``truncated`` (the text ended
    inside the value), ``json_invalid``, ``concatenated`` or ``stray_tail``.
    """

    kind: str
    detail: str
    end: int


def skip_blank(text: str, position: int) -> int:
    """The next position that holds no JSON white space."""
    match = _BLANK.match(text, position)
    return match.end() if match else position


def scan(text: str, start: int = 0) -> Scanned | Broken:
    """Read the one JSON value that begins at ``start``; what follows it is the caller's to judge.

    Beyond the standard library's reader it refuses duplicate keys, NaN and Infinity, numbers beyond a double's range,
    unpaired surrogates and more than MAX_DEPTH levels: none of them survives a round trip through JSON.
    """
    start = skip_blank(text, start)
    if start == len(text):
        return Broken("empty", "nothing stands where JSON should", start)
    window = _WINDOW_CHARS
    while _cut(outcome := _scan(text[start : start + window]), window) and start + window < len(text):
        window *= 8
    return outcome._replace(end=min(start + outcome.end, len(text)))


def read(text: str) -> Scanned | Broken:
    """Read a text that must be exactly one JSON value."""
    outcome = scan(text)
    if isinstance(outcome, Broken):
        return outcome
    tail = skip_blank(text, outcome.end)
    return outcome if tail == len(text) else tail_fault(text, tail)


def tail_fault(text: str, tail: int) -> Broken:
    """What it means that something stands behind a value: another object, or stray text."""
    if text[tail : tail + 80].lstrip(",; \t\r\n").startswith("{"):
        return Broken("concatenated", "another object follows the first", tail)
    return Broken("stray_tail", f"{text[tail : tail + 20]!r} follows the value", tail)


def _scan(text: str) -> Scanned | Broken:
    flaws: list[str] = []
    try:
        value, end = _decoder(flaws).raw_decode(text)
    except json.JSONDecodeError as error:
        return _broken(text, error)
    except RecursionError:
        return Broken("json_invalid", "nested too deeply to be read", sys.maxsize)
    flaws += _late_flaws(value, text[:end])
    return Broken("json_invalid", flaws[0], end) if flaws else Scanned(value, end)


def _cut(outcome: Scanned | Broken, window: int) -> bool:
    """Whether more text might change the outcome."""
    return outcome.kind == "truncated" if isinstance(outcome, Broken) else outcome.end == window


def _decoder(flaws: list[str]) -> json.JSONDecoder:
    """A reader that notes flaws and reads on, so that the value's end is known even so."""

    def pairs(items: list[tuple[str, JsonValue]]) -> JsonValue:
        result = dict(items)
        if len(result) < len(items):
            keys = [key for key, _ in items]
            twice = next(key for index, key in enumerate(keys) if key in keys[:index])
            flaws.append(f"the key {twice!r} stands twice")
        return result

    def constant(name: str) -> None:
        flaws.append(f"{name} is not JSON")

    def number(digits: str) -> float:
        value = float(digits)
        if math.isinf(value):
            flaws.append(f"the number {digits[:20]!r} is out of range")
        return value

    def integer(digits: str) -> int:
        if len(digits) <= _MAX_DIGITS:
            return int(digits)
        flaws.append(f"an integer of {len(digits)} digits")
        return 0

    return json.JSONDecoder(object_pairs_hook=pairs, parse_constant=constant, parse_float=number, parse_int=integer)


def _broken(text: str, error: json.JSONDecodeError) -> Broken:
    rest = text[error.pos : error.pos + 8]
    cut = (
        error.msg.startswith("Unterminated string")
        or skip_blank(text, error.pos) == len(text)
        or _CUT_LITERAL.match(rest)
        or ("escape" in error.msg and _CUT_ESCAPE.match(rest))
    )
    if cut:
        return Broken("truncated", f"the text ends inside the value ({error.msg})", error.pos)
    return Broken("json_invalid", f"{error.msg} at {rest[:1]!r}", error.pos)


def _late_flaws(value: JsonValue, source: str) -> list[str]:
    if source.count("{") + source.count("[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        return [f"nested more than {MAX_DEPTH} levels deep"]
    if "\\u" in source and not _encodable(value):
        return ["an unpaired surrogate"]
    return []


def _depth(value: JsonValue) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [inner for outer in level for inner in _children(outer)]
    return depth


def _children(value: JsonValue) -> list[JsonValue]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _encodable(value: JsonValue) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
