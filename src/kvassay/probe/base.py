"""What a probe family is, and what all families share: the dice, the question, the right answer."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from kvassay.grade.context import Context
from kvassay.grade.grader import Check
from kvassay.session.scene import Scene
from kvassay.types import ExpectedCall, JsonObject, Message, Outcome, Probe, Turn

LEVELS = (1, 2, 3)

# Small models otherwise describe the call in prose; how a call is written is left to the chat template.
_CALL_ONLY = "Answer with one tool call and nothing else, in the form of the earlier calls, with no other parameters."


def no_check(_probe: Probe, _turn: Turn, _context: Context) -> Outcome | None:
    """Leave the decision to the probe's expected calls."""
    return None


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of question. ``make`` returns None where the scene or its tools don't hold what the question needs;
    equal arguments make equal probes. ``check`` is the family's own question to a well-formed answer; None from it
    leaves the decision to ``Probe.expected``.
    """

    name: str
    make: Callable[[Scene, int, int], Probe | None]
    check: Check = no_check


_NUMBERS_PER_RUNG = 9_999  # a multiple of the levels: every rung begins with the first
_RUNGS_PER_RUN = 100


def numbers_of(seed: int, rung: int) -> range:
    """What a rung's questions are drawn by: no other of the first 100 rungs of a run, whatever its seed, has these."""
    first = (seed * _RUNGS_PER_RUN + rung) * _NUMBERS_PER_RUNG
    return range(first, first + _NUMBERS_PER_RUNG)


def dice(family: str, seed: int) -> random.Random:
    """The family's own random numbers for a seed."""
    return random.Random(f"{family}/{seed}")  # noqa: S311  # reproducible, not secret


def call_probe(
    family: str, seed: int, level: int, request: str, *expected: ExpectedCall, key: JsonObject | None = None
) -> Probe:
    """A probe whose right answer is one call; ``expected`` lists the accepted ones."""
    return Probe(
        id=f"{family}/{seed}",
        family=family,
        seed=seed,
        messages=(Message("user", f"{request} {_CALL_ONLY}"),),
        expected=tuple((call,) for call in expected),
        level=level,
        key=key or {},
    )


def exactly(name: str, arguments: JsonObject) -> ExpectedCall:
    """The call that has these arguments and no others."""
    return ExpectedCall(name, {parameter: (value,) for parameter, value in arguments.items()})
