"""Edit: lines of a file read earlier must be quoted verbatim; the edit is applied to see what becomes of the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kvassay.grade import names
from kvassay.grade.context import Context
from kvassay.grade.grounding import nearest_distance
from kvassay.probe.base import Family, call_probe, dice
from kvassay.session.acts import properties, slot_of, tool_for
from kvassay.session.excerpts import DEFINITION
from kvassay.session.scene import FileView, Scene
from kvassay.types import Call, ExpectedCall, JsonObject, JsonValue, Outcome, OutcomeClass, Probe, Tool, Turn

_NAME = "edit"
_NEW_WORDS = ("payload", "amount", "origin", "extent", "marker", "digest", "holder", "weight")
_CHARS = {1: (16, 60), 2: (12, 60), 3: (24, 90)}  # of a line without its indentation
_PLAIN = re.compile(r"[^\"'\\`]*")  # needs no escape in JSON
_QUOTED = re.compile(r"[^\"\\`]*")
_NAMED = {
    "assigns": re.compile(r"(?P<name>[A-Za-z_][\w.]*) = .+"),
    "calls": re.compile(r"(?P<name>[A-Za-z_][\w.]*)\(.+\);?"),
}
_VERBS = ("defines", *_NAMED)
_EASY_VERBS = tuple(_NAMED)  # of `def f(x):` a 1.5B model at f16 mostly quotes `f(x)`; other statements it quotes whole
_HIDDEN_CHARS = 4


@dataclass(frozen=True, slots=True)
class _Spot:
    """Line ``index`` of a view; it is the only one there that (``verb``) defines, assigns or calls ``name``."""

    index: int
    verb: str
    name: str


def _make(scene: Scene, seed: int, level: int) -> Probe | None:
    rng = dice(_NAME, seed)
    tool = tool_for("edit", scene.tools)
    for view in rng.sample(scene.files, len(scene.files)) if tool else ():
        spots = list(_spots(view.lines, level))
        if tool and spots:
            new = f"{rng.choice(_NEW_WORDS)} = {rng.randrange(2, 10**level)}"
            return _probe(seed, level, _Task(tool, view, rng.choice(spots), new))
    return None


@dataclass(frozen=True, slots=True)
class _Task:
    """The line to be quoted, where, and with which tool; ``new`` replaces it at level 1 and follows it above."""

    tool: Tool
    view: FileView
    spot: _Spot
    new: str


def _probe(seed: int, level: int, task: _Task) -> Probe:
    view, spot, path = task.view, task.spot, _path_parameter(task.tool)
    line = view.lines[spot.index]
    indent = line[: len(line) - len(line.lstrip())]
    kept = [] if level == 1 else [line]
    after = [*view.lines[: spot.index], *kept, indent + task.new, *view.lines[spot.index + 1 :], ""]
    key: JsonObject = {"path": view.path, "before": f"{view.text}\n", "after": "\n".join(after)}
    if kept:
        key["inserted"] = task.new
    texts = frozenset(properties(task.tool.parameters)) - {path}
    expected = ExpectedCall(task.tool.name, {path: (view.path,)}, optional=texts)
    return call_probe(_NAME, seed, level, _request(level, task, line.strip()), expected, key=key)


def _request(level: int, task: _Task, line: str) -> str:
    """Level 1 says the line. From level 2 on it must be recalled; level 3 takes longer ones, with quotes."""
    spot, use = task.spot, f"Use {task.tool.name} on the file {task.view.path}:"
    if level == 1:
        return f"{use} old string `{line}`, new string `{task.new}`."
    return f"{use} insert the line `{task.new}` directly after the line that {spot.verb} {spot.name}."


def _spots(lines: Sequence[str], level: int) -> Iterator[_Spot]:
    """Complete statements on one line whose start says all that is needed to find them."""
    low, high = _CHARS[level]
    allowed = _QUOTED if level == 3 else _PLAIN  # noqa: PLR2004
    verbs = _EASY_VERBS if level == 2 else _VERBS  # noqa: PLR2004
    said = [line.strip() for line in lines]
    defined = {match["name"] for match in map(DEFINITION.match, said) if match}
    for index, line in enumerate(said):
        named = _named(line)
        fits = low <= len(line) <= high and allowed.fullmatch(line) and line.count("(") == line.count(")")
        if fits and named and named[0] in verbs and _stands_once(line, said) and _once(named, said, defined):
            yield _Spot(index, *named)


def _named(line: str) -> tuple[str, str] | None:
    """What a line does, to what: ``("assigns", "self.size")``; None where its name leaves too little to be recalled."""
    defined = DEFINITION.match(line)
    found = [("defines", defined)] if defined else [(verb, how.fullmatch(line)) for verb, how in _NAMED.items()]
    matches = ((verb, match) for verb, match in found if match)
    return next(((verb, m["name"]) for verb, m in matches if len(line) - m.end("name") >= _HIDDEN_CHARS), None)


def _stands_once(line: str, said: Sequence[str]) -> bool:
    return sum(line in other for other in said) == 1


def _once(named: tuple[str, str], said: Sequence[str], defined: set[str]) -> bool:
    """Whether only one line could be meant: its name is defined, assigned and called with no other line in sight, and
    what is assigned is nowhere defined (of ``def f`` and ``f = wraps(f)`` a reader may take either).
    """
    verb, name = named
    if verb != "defines" and name in defined:
        return False
    pattern = re.escape(name) + {"defines": r"\b", "assigns": r"\s*(?::[^=]*)?[-+*/|&]?=", "calls": r"\s*\("}[verb]
    return sum(re.search(rf"(?<![\w.]){pattern}", line) is not None for line in said) == 1


def _path_parameter(tool: Tool) -> str:
    return next(name for name in properties(tool.parameters) if slot_of(name) == "path")


def _check(probe: Probe, turn: Turn, _context: Context) -> Outcome | None:
    """Apply the edits in order: each old text must stand exactly once in the file, and the new file must be the wanted
    one. None leaves another tool, path or number of calls to the probe's expected call.
    """
    before, after, path = (probe.key[name] for name in ("before", "after", "path"))
    call = turn.calls[0] if len(turn.calls) == 1 else None
    if not isinstance(before, str) or call is None or path not in call.arguments.values():
        return None
    edits = names.replacements(call.arguments)
    if not edits:
        return Outcome(OutcomeClass.WRONG_VALUE, "no old text and new text") if _is_expected(call, probe) else None
    file = before
    for edit in edits:
        if fault := _misplaced(edit, file, str(path)):
            return fault
        file = file.replace(edit.old, edit.new)
    inserted = probe.key.get("inserted")
    if _written(file, inserted) != _written(str(after), inserted):
        return Outcome(OutcomeClass.WRONG_VALUE, f"the edit leaves {path} in another state than asked for")
    return None


def _is_expected(call: Call, probe: Probe) -> bool:
    return any(call.name == expected.name for alternative in probe.expected for expected in alternative)


def _misplaced(edit: names.Replacement, file: str, path: str) -> Outcome | None:
    """What keeps an edit from its place: its old text is not there, or does not say where."""
    found = file.count(edit.old)
    if not found:
        distance = nearest_distance(edit.old, file)
        detail = f"the old text is not in {path} as last seen: {distance} characters off at the nearest place"
        return Outcome(OutcomeClass.VERBATIM_MISS, detail, edit_distance=distance)
    if found > 1 or not edit.old:
        return Outcome(OutcomeClass.WRONG_VALUE, f"the old text occurs {found} times in {path}")
    return None


def _written(text: str, inserted: JsonValue) -> list[str]:
    """The lines of a file but for blank ones: whether an edit ends with a line break, and how far an ``inserted`` line
    is indented, is nobody's question.
    """
    said = ((line, line.strip()) for line in text.split("\n"))
    return [bare if bare == inserted else line for line, bare in said if bare]


FAMILY = Family(_NAME, _make, _check)
