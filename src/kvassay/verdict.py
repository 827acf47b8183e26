"""Effects become a verdict in words a person understands."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What can be said of a candidate against the reference."""

    DEGRADED = "degraded"
    WITHIN_MARGIN = "within margin"
    BOTH = "both"  # worse, but by less than the margin
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Effect:
    """A paired difference, candidate minus reference, as proportions (−1 … 1) over ``pairs`` probes.

    ``lost`` pairs are right under the reference only, ``gained`` under the candidate only. ``low``/``high`` bound the
    difference at the run's level; ``p_value`` is the exact one-sided McNemar test for harm. ``dropped`` pairs fell to
    infrastructure faults. ``depth`` None means all depths together.
    """

    arm: str
    depth: int | None
    pairs: int
    reference_correct: int
    candidate_correct: int
    lost: int
    gained: int
    difference: float
    low: float
    high: float
    p_value: float
    state: State
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class ArmVerdict:
    """One arm's verdict: its state over all depths, one sentence with its numbers, the effects behind it."""

    arm: str
    state: State
    sentence: str
    overall: Effect
    by_depth: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """``headline`` is the one sentence to read first; ``notes`` say what limits it (weak reference, A/A flips,
    dropped pairs, arms not run); ``arms`` holds the candidates in the run's order."""

    headline: str
    notes: tuple[str, ...]
    arms: tuple[ArmVerdict, ...]
