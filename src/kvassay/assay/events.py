"""What a run tells while it works, for progress displays; nothing in it is needed for the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from kvassay.backend.base import Progress
from kvassay.types import BootFacts, Trial


@dataclass(frozen=True, slots=True)
class Prepared:
    """All prompts are written. ``done`` of ``total`` trials were finished by an earlier start of this run, and
    ``counts`` says of each arm how many were right and how many asked.
    """

    total: int
    done: int
    arms: int
    resumed: bool
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BootProgress:
    """Arm ``index`` of ``of`` is starting, loading or processing a prompt."""

    arm: str
    index: int
    of: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class BootReady:
    """An arm answers; ``facts`` are what it reported about itself."""

    arm: str
    facts: BootFacts


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """A trial is committed. ``eta_s`` is the time the rest will take at the speed seen so far."""

    trial: Trial
    done: int
    total: int
    eta_s: float


@dataclass(frozen=True, slots=True)
class EpisodeEnded:
    """A closed loop is committed; ``task_done`` is None where infrastructure failed."""

    arm: str
    task: str
    task_done: bool | None
    ending: str
    turns: int
    done: int
    total: int
    eta_s: float


@dataclass(frozen=True, slots=True)
class RungDecided:
    """An arm's verdict at a depth stands before all its trials were asked; ``spared`` are left out."""

    arm: str
    depth: int
    spared: int


@dataclass(frozen=True, slots=True)
class BootLost:
    """A boot's worker was lost; the arm goes on in a new boot, at most ``left`` times more."""

    arm: str
    error: str
    left: int


@dataclass(frozen=True, slots=True)
class ArmFailed:
    """An arm could not be run; the others go on (``--keep-going``)."""

    arm: str
    error: str


Event: TypeAlias = Prepared | BootProgress | BootReady | TrialEnded | EpisodeEnded | RungDecided | BootLost | ArmFailed
Observer = Callable[[Event], None]


def ignore(_: Event) -> None:
    """The observer that ignores everything."""
