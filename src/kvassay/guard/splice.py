"""Small changes inside JSON text: every byte outside them stays as it was, key order, spaces and numbers included."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from kvassay.dialect.strict_json import skip_blank

Path: TypeAlias = Sequence[str | int]

_DECODER = json.JSONDecoder()


class Stretch(NamedTuple):
    """A value's place in the text, end excluded."""

    start: int
    end: int


class _Member(NamedTuple):
    key: str | int
    start: int
    end: int


def find(text: str, path: Path) -> Stretch | None:
    """Where the value at a path stands; None where there is none. Of a key that stands twice the last one counts, as
    for JSON readers. Raises ValueError where the text is not JSON.
    """
    start = skip_blank(text, 0)
    here = Stretch(start, _end(text, start))
    for step in path:
        members = [member for member in _members(text, here.start) if member.key == step]
        if not members:
            return None
        here = Stretch(members[-1].start, members[-1].end)
    return here


def replaced(text: str, values: Mapping[tuple[str | int, ...], str]) -> str:
    """The text with the values at these paths replaced by JSON texts; paths that lead nowhere change nothing."""
    found = [(stretch, value) for path, value in values.items() if (stretch := find(text, path))]
    for stretch, value in sorted(found, reverse=True):
        text = f"{text[: stretch.start]}{value}{text[stretch.end :]}"
    return text


def appended(text: str, path: Path, addition: str) -> str | None:
    """The text with something added to the end of the string at a path; None where no string stands there."""
    stretch = find(text, path)
    if stretch is None or text[stretch.start] != '"':
        return None
    return f"{text[: stretch.end - 1]}{json.dumps(addition)[1:-1]}{text[stretch.end - 1 :]}"


def with_field(text: str, key: str, value: str) -> str:
    """The text of an object with a field set to a JSON text: in its place, or else in front of the others."""
    if find(text, (key,)):
        return replaced(text, {(key,): value})
    opening = skip_blank(text, 0) + 1
    comma = "" if text.startswith("}", skip_blank(text, opening)) else ","
    return f"{text[:opening]}{json.dumps(key)}:{value}{comma}{text[opening:]}"


def _end(text: str, start: int) -> int:
    return _DECODER.raw_decode(text, start)[1]


def _members(text: str, start: int) -> Iterator[_Member]:
    """The members of the object or list that begins here; none for any other value."""
    opened = text[start : start + 1]
    position, index = skip_blank(text, start + 1), 0
    while opened in {"{", "["} and position < len(text) and text[position] not in "}]":
        key: str | int = index
        if opened == "{":
            key, position = _DECODER.raw_decode(text, position)
            position = skip_blank(text, skip_blank(text, position) + 1)
        end = _end(text, position)
        yield _Member(key, position, end)
        position, index = skip_blank(text, end), index + 1
        if text.startswith(",", position):
            position = skip_blank(text, position + 1)
