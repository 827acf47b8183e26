"""Argument: an id, a path or a line number that occurred earlier and must be given back character by character."""

from __future__ import annotations

import random
from collections.abc import Sequence

from kvassay.probe.base import Family, call_probe, dice, exactly
from kvassay.probe.values import spoken
from kvassay.session.acts import fill, tool_for
from kvassay.session.scene import Fact, FactKind, Scene
from kvassay.types import ExpectedCall, Probe

_NAME = "argument"


def _make(scene: Scene, seed: int, level: int) -> Probe | None:
    rng = dice(_NAME, seed)
    asks = [_ticket, _job, _hit]
    for ask in rng.sample(asks, len(asks)):
        asked = ask(scene, rng, level)
        if asked:
            request, expected = asked
            return call_probe(_NAME, seed, level, request, expected)
    return None


_Asked = tuple[str, ExpectedCall]


def _ticket(scene: Scene, rng: random.Random, level: int) -> _Asked | None:
    """Level 1 shows a ticket, higher levels change it; level 3 takes one whose title has a near-identical sibling."""
    fact = _pick(scene, "ticket", rng, level)
    show, change = tool_for("ticket", scene.tools), tool_for("close", scene.tools)
    if fact is None or show is None or change is None:
        return None
    which = f'the id of the ticket "{fact.key}" (TCK-…, from the list)'
    if level == 1:
        return f"Call {show.name} with {which}.", exactly(show.name, fill(show.parameters, {"ticket": fact.value}))
    status = rng.choice(("blocked", "done", "in_progress"))
    arguments = fill(change.parameters, {"ticket": fact.value, "status": status})
    return f"Call {change.name} with {which} and status `{status}`.", exactly(change.name, arguments)


def _job(scene: Scene, rng: random.Random, level: int) -> _Asked | None:
    """The state of a job known by its name, or (level 2) its log; level 3 takes a name with a near-identical sibling."""
    fact = _pick(scene, "job", rng, level)
    logs, status = tool_for("logs", scene.tools), tool_for("status", scene.tools)
    if fact is None or logs is None or status is None:
        return None
    which = f'the id of the job "{fact.key}" (job-…, from the list)'
    if level == 1:
        return f"Call {status.name} with {which}.", exactly(status.name, fill(status.parameters, {"job": fact.value}))
    stream, count = rng.choice(("stdout", "stderr")), rng.randrange(10, 99)
    arguments = fill(logs.parameters, {"job": fact.value, "stream": stream, "count": count})
    return f"Call {logs.name} with {which}, stream `{stream}` and tail {count}.", exactly(logs.name, arguments)


def _hit(scene: Scene, rng: random.Random, level: int) -> _Asked | None:
    """The file where a symbol is defined; from level 2 on also the line of the definition."""
    read = tool_for("read", scene.tools)
    hits = scene.known("hit")
    if read is None or not hits:
        return None
    fact = rng.choice(hits)
    first, last = (fact.line, fact.line + 20) if level > 1 else (rng.randrange(2, 40), rng.randrange(50, 99))
    arguments = fill(read.parameters, {"path": fact.value, "start": first, "end": last, "count": last - first})
    numbers = {spoken(name): value for name, value in arguments.items() if isinstance(value, int)}
    lines = [f"{name} {'the line of that definition' if n == fact.line else n}" for name, n in numbers.items()]
    where = f"the file in which `{fact.key}` is defined"
    return f"Call {read.name} with {' and '.join([where, *lines])}.", exactly(read.name, arguments)


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
    return fact.key.partition(":")[0] if fact.kind == "ticket" else fact.key.partition("-")[2]


FAMILY = Family(_NAME, _make)
