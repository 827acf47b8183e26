"""Edit: lines of a file read earlier must be quoted verbatim; the edit is applied to see what becomes of the file."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kvassay.grade.context import Context
from kvassay.grade.grounding import nearest_distance
from kvassay.probe.base import Family, call_probe, dice
from kvassay.session.acts import properties, slot_of, tool_for
from kvassay.session.scene import FileView, Scene
from kvassay.types import ExpectedCall, JsonObject, JsonValue, Outcome, OutcomeClass, Probe, Tool, Turn

_NAME = "edit"
_VERBS = ("check", "record", "reset", "flush", "notify", "refresh", "limit", "trace")
_NOUNS = ("state", "limits", "buffer", "usage", "owner", "result", "counter", "window")
_CHARS = {1: (16, 44), 2: (40, 70), 3: (16, 70)}  # of a line without its indentation
_LINES = {1: 1, 2: 1, 3: 2}
_PLAIN = re.compile(r"[^\"'\\]*")  # at level 1 nothing has to be escaped in JSON
_CUE = re.compile(r"\w+|[^\w\s]+")
_SHORTEST_CUE, _HIDDEN_CHARS = 5, 6


@dataclass(frozen=True, slots=True)
class _Spot:
    """Lines ``first`` to ``last`` (half-open, from 0) of a view; ``cue`` is how only the first of them starts."""

    first: int
    last: int
    cue: str


@dataclass(frozen=True, slots=True)
class _Task:
    """The lines of a file to be replaced, with which tool, and by what."""

    tool: Tool
    view: FileView
    spot: _Spot
    new: str


def _make(scene: Scene, seed: int, level: int) -> Probe | None:
    rng = dice(_NAME, seed)
    tool = tool_for("edit", scene.tools)
    for view in rng.sample(scene.files, len(scene.files)) if tool else ():
        spots = list(_spots(view.lines, level))
        if tool and spots:
            return _probe(seed, level, _Task(tool, view, rng.choice(spots), _new_line(rng, level)))
    return None


def _probe(seed: int, level: int, task: _Task) -> Probe:
    view, spot, path = task.view, task.spot, _path_parameter(task.tool)
    lines = list(view.lines)
    lines[spot.first : spot.last] = [_indent(lines[spot.first]) + task.new]
    which = "the whole line" if spot.last == spot.first + 1 else "the two whole lines from the one"
    request = f"Use {task.tool.name} on {view.path}: replace {which} that starts with `{spot.cue}` by `{task.new}`."
    texts = frozenset(properties(task.tool.parameters)) - {path}
    expected = ExpectedCall(task.tool.name, {path: (view.path,)}, optional=texts)
    key: JsonObject = {"path": view.path, "before": f"{view.text}\n", "after": "\n".join([*lines, ""])}
    return call_probe(_NAME, seed, level, request, expected, key=key)


def _new_line(rng: random.Random, level: int) -> str:
    return f"{rng.choice(_VERBS)}_{rng.choice(_NOUNS)} = {rng.randrange(2, 10**level)}"


def _spots(lines: Sequence[str], level: int) -> Iterator[_Spot]:
    """Stretches that can be named by their start alone: the line occurs once, and so does its cue."""
    said = [line.strip() for line in lines]
    for first in range(len(lines) - _LINES[level] + 1):
        quoted = said[first : first + _LINES[level]]
        cue = _cue(said, first)
        if cue and all(_usable(line, level) and said.count(line) == 1 for line in quoted):
            yield _Spot(first, first + _LINES[level], cue)


def _usable(line: str, level: int) -> bool:
    low, high = _CHARS[level]
    return low <= len(line) <= high and "`" not in line and (level > 1 or bool(_PLAIN.fullmatch(line)))


def _cue(said: Sequence[str], index: int) -> str | None:
    """The shortest start of a line that no other line has and that leaves enough to be recalled."""
    line = said[index]
    for token in _CUE.finditer(line):
        cue = line[: token.end()]
        if len(cue) > len(line) - _HIDDEN_CHARS:
            return None
        if len(cue) >= _SHORTEST_CUE and sum(other.startswith(cue) for other in said) == 1:
            return cue
    return None


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _path_parameter(tool: Tool) -> str:
    return next(name for name in properties(tool.parameters) if slot_of(name) == "path")


def _check(probe: Probe, turn: Turn, _context: Context) -> Outcome | None:
    """Apply the edit: the old text must stand exactly once in the file, and the new file must be the wanted one."""
    before, after, path = (probe.key[name] for name in ("before", "after", "path"))
    texts = dict(_texts(turn.calls[0].arguments)) if len(turn.calls) == 1 else {}
    old, new = texts.get("old"), texts.get("new")
    if not isinstance(before, str) or old is None or new is None or path not in turn.calls[0].arguments.values():
        return None
    found = before.count(old)
    if not found:
        distance = nearest_distance(old, before)
        detail = f"the old text is not in {path} as last seen: {distance} characters off at the nearest place"
        return Outcome(OutcomeClass.VERBATIM_MISS, detail, edit_distance=distance)
    if found > 1 or not old:
        return Outcome(OutcomeClass.WRONG_VALUE, f"the old text occurs {found} times in {path}")
    if before.replace(old, new) != after:
        return Outcome(OutcomeClass.WRONG_VALUE, f"the edit leaves {path} in another state than asked for")
    return None


def _texts(arguments: JsonObject) -> Iterator[tuple[str, str]]:
    """Old and new text, at the top level or in a list of one edit."""
    for name, value in arguments.items():
        slot = slot_of(name)
        if isinstance(value, str) and slot in ("old", "new"):
            yield slot, value
        elif isinstance(value, list) and len(value) == 1 and isinstance(item := _first(value), dict):
            yield from _texts(item)


def _first(values: list[JsonValue]) -> JsonValue:
    return values[0]


FAMILY = Family(_NAME, _make, _check)
