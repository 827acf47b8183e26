"""Argument: an id, a path or a line number that occurred earlier and must be given back character by character."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from kvassay.probe.base import Family, call_probe, dice, exactly
from kvassay.probe.values import spoken
from kvassay.session.acts import fill, tool_for
from kvassay.session.scene import Fact, FactKind, Scene
from kvassay.types import ExpectedCall, Probe, Tool

_NAME = "argument"
_LABELS = ("urgent", "backend", "flaky", "security", "network")


def _make(scene: Scene, seed: int, level: int) -> Probe | None:
    rng = dice(_NAME, seed)
    asks = [_last_file] if level == 1 else [_ticket, _job, _hit]
    for ask in rng.sample(asks, len(asks)):
        asked = ask(scene, rng, level)
        if asked:
            request, expected = asked
            return call_probe(_NAME, seed, level, request, expected)
    return None


_Asked = tuple[str, ExpectedCall]


def _ticket(scene: Scene, rng: random.Random, level: int) -> _Asked | None:
    """A ticket known by its title; level 3 takes one that has a near-identical sibling."""
    fact, change = _pick(scene, "ticket", rng, level), tool_for("close", scene.tools)
    if fact is None or change is None:
        return None
    status, label = rng.choice(("blocked", "done", "in_progress")), rng.choice(_LABELS)
    arguments = fill(change.parameters, {"ticket": fact.value, "status": status}) | {"labels": [label]}
    which = f"the id of the ticket on the {fact.key}"
    request = f"Call {change.name} with {which}, status `{status}` and one label, `{label}`."
    return request, exactly(change.name, arguments)


def _job(scene: Scene, rng: random.Random, level: int) -> _Asked | None:
    """The log of a job known by its name; level 3 takes one that has a near-identical sibling."""
    fact, logs = _pick(scene, "job", rng, level), tool_for("logs", scene.tools)
    if fact is None or logs is None:
        return None
    stream, count = rng.choice(("stdout", "stderr")), rng.randrange(10, 99)
    arguments = fill(logs.parameters, {"job": fact.value, "stream": stream, "count": count})
    request = f"Call {logs.name} with the id of the {fact.key}, stream `{stream}` and tail {count}."
    return request, exactly(logs.name, arguments)


def _last_file(scene: Scene, rng: random.Random, _level: int) -> _Asked | None:
    """Other lines of the file read last: only its path must be found."""
    read = tool_for("read", scene.tools)
    if read is None or not scene.files:
        return None
    last = max(scene.files, key=lambda view: view.message)
    first = rng.randrange(2, 40)
    return _reading(read, "the file that you read last", last.path, (first, first + rng.randrange(10, 60)))


def _hit(scene: Scene, rng: random.Random, level: int) -> _Asked | None:
    """The file where a symbol is defined; at level 3 from the line of the definition on."""
    read = tool_for("read", scene.tools)
    hits = scene.known("hit")
    if read is None or not hits:
        return None
    fact = rng.choice(hits)
    first = fact.line if level == 3 else rng.randrange(2, 40)  # noqa: PLR2004
    where = f"the file that defines {fact.key}"
    said = {fact.line: "the line of that definition"} if level == 3 else {}  # noqa: PLR2004
    return _reading(read, where, fact.value, (first, first + rng.randrange(10, 60)), said)


def _reading(
    read: Tool, which: str, path: str, lines: tuple[int, int], said: Mapping[int, str] = MappingProxyType({})
) -> _Asked:
    """The reading of some lines in the tool's own terms: first and last line, or first line and number of lines."""
    first, last = lines
    arguments = fill(read.parameters, {"path": path, "start": first, "end": last, "count": last - first + 1})
    numbers = {spoken(name): value for name, value in arguments.items() if isinstance(value, int)}
    stated = " and ".join(f"{name} {said.get(number, number)}" for name, number in numbers.items())
    return f"Call {read.name} on {which}{f' with {stated}' if stated else ''}.", exactly(read.name, arguments)


def _pick(scene: Scene, kind: FactKind, rng: random.Random, level: int) -> Fact | None:
    facts = scene.known(kind)
    alike = [fact for fact in facts if _siblings(fact, facts)]
    options = (alike if level == 3 else [fact for fact in facts if fact not in alike]) or facts  # noqa: PLR2004
    return rng.choice(options) if options else None


def _siblings(fact: Fact, facts: Sequence[Fact]) -> bool:
    """Whether another title or name is about the same module."""
    module = _module(fact)
    return any(_module(other) == module for other in facts if other is not fact)


def _module(fact: Fact) -> str:
    """``deadlock in calendar``, ``nightly build of calendar``: the last word."""
    return fact.key.rpartition(" ")[2]


FAMILY = Family(_NAME, _make)
