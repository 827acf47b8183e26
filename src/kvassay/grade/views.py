"""What has been seen of one file: stretches of lines, updated by reads and edits."""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

from kvassay.grade.names import joined
from kvassay.types import JsonObject, JsonValue


class Stretch(NamedTuple):
    """Consecutive lines of a file; ``start`` is the first line's number, counted from 1."""

    start: int
    text: str

    @property
    def end(self) -> int:
        """The number of the line after the last."""
        return self.start + self.text.count("\n") + 1


View: TypeAlias = tuple[Stretch, ...]  # in the file's order, never touching

_SEPARATORS = ("\t", "→", "| ", "|", ": ", ":")
_WRAPPER_LINES = 6  # tags, headers and notices that some tools put around the numbered lines
_STARTS = frozenset({"offset", "start", "startline", "linestart", "from", "fromline", "firstline"})
_ENDS = frozenset({"end", "endline", "lineend", "to", "toline", "lastline"})
_COUNTS = frozenset({"limit", "numlines", "maxlines", "linecount"})
_RANGES = frozenset({"viewrange", "range", "linerange", "lines"})


def text_of(view: View) -> str:
    """Put all that was seen together, in the file's order."""
    return "\n".join(stretch.text for stretch in view)


def read(view: View, arguments: JsonObject, result: str) -> View:
    """Add what a read returned: a whole file replaces the view, a part of it replaces those lines."""
    asked = _asked(arguments)
    numbered = _without_gutter(result)
    if numbered is None:
        lines = result.removesuffix("\n").split("\n")
        numbered = Stretch(asked.start, "\n".join(lines[: asked.lines]))  # what follows is a notice: "120 more lines"
        if not asked.part:
            return (Stretch(1, result),)
    whole = not asked.part and numbered.start == 1
    return (numbered,) if whole else _overlaid(view, numbered)


def edited(view: View, old: str, new: str, *, every: bool) -> View:
    """Replace ``old`` where it was seen (once, or every time); the lines below move."""
    if not old:
        return view
    out: list[Stretch] = []
    moved, left = 0, -1 if every else 1
    for stretch in view:
        found = stretch.text.count(old)
        text = stretch.text.replace(old, new, left) if left else stretch.text
        out.append(Stretch(stretch.start + moved, text))
        moved += text.count("\n") - stretch.text.count("\n")
        left = 0 if found and not every else left
    return tuple(out)


def _overlaid(view: View, fresh: Stretch) -> View:
    pieces = [fresh]
    for stretch in view:
        lines = stretch.text.split("\n")
        if stretch.start < fresh.start:
            pieces.append(Stretch(stretch.start, "\n".join(lines[: fresh.start - stretch.start])))
        if stretch.end > fresh.end:
            cut = max(fresh.end - stretch.start, 0)
            pieces.append(Stretch(stretch.start + cut, "\n".join(lines[cut:])))
    return _merged(sorted(pieces))


def _merged(pieces: list[Stretch]) -> View:
    out = pieces[:1]
    for piece in pieces[1:]:
        if piece.start <= out[-1].end:
            out[-1] = Stretch(out[-1].start, f"{out[-1].text}\n{piece.text}")
        else:
            out.append(piece)
    return tuple(out)


def _without_gutter(text: str) -> Stretch | None:
    lines = text.removesuffix("\n").split("\n")
    found = [numbered for separator in _SEPARATORS if (numbered := _numbered(lines, separator))]
    return max(found, key=lambda stretch: stretch.end - stretch.start, default=None)


def _numbered(lines: list[str], separator: str) -> Stretch | None:
    """The numbered lines without their numbers, where all lines (but a few around them) count up by one."""
    # An editor may have trimmed the separator's blank from empty lines.
    pattern = re.compile(rf" *(\d+)(?:{re.escape(separator)}(.*)|{re.escape(separator.rstrip())})", re.DOTALL)
    matches = [(index, match) for index, line in enumerate(lines) if (match := pattern.fullmatch(line))]
    if not matches:
        return None
    first, start = matches[0][0], int(matches[0][1][1])
    outside = len(lines) - len(matches)
    in_order = all(index - first == int(match[1]) - start == n for n, (index, match) in enumerate(matches))
    if not in_order or outside > (_WRAPPER_LINES if len(matches) > 1 else 0):
        return None
    return Stretch(start, "\n".join(match[2] or "" for _, match in matches))


class _Asked(NamedTuple):
    part: bool
    start: int = 1
    lines: int | None = None


def _asked(arguments: JsonObject) -> _Asked:
    """Which lines a read asked for; all of them where no argument says otherwise."""
    found = {joined(name): numbers for name, value in arguments.items() if (numbers := _numbers(value))}
    bounds = next((numbers for name, numbers in found.items() if name in _RANGES), [])
    first = next((numbers[0] for name, numbers in found.items() if name in _STARTS), bounds[0] if bounds else 1)
    last = next((numbers[0] for name, numbers in found.items() if name in _ENDS), bounds[1] if bounds[1:] else 0)
    count = next((numbers[0] for name, numbers in found.items() if name in _COUNTS), last - first + 1)
    part = any(name in _STARTS | _ENDS | _COUNTS | _RANGES for name in found)
    return _Asked(part, max(1, first), count if count > 0 else None)


def _numbers(value: JsonValue) -> list[int]:
    match value:
        case bool() | None:
            return []
        case int() | float():
            return [int(value)]
        case str():
            return [int(digits) for digits in re.findall(r"\d+", value)]
        case list():
            return [int(item) for item in value if isinstance(item, int | float)]
        case _:
            return []
