"""What a run's controls say of the run itself: the reference's own score, the A/A repeat, dropped and missing pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from kvassay.assay.records import ArmSpec
from kvassay.verdict.effects import Effect, Trials, over_depths, pair_up

REFERENCE_FAILS_BELOW = 0.5  # of its calls right: such a depth says nothing about the cache
REFERENCE_WEAK_BELOW = 0.8
DROPPED_AT_MOST = 0.02  # of an arm's pairs, beyond which the run is invalid


class Tally(NamedTuple):
    """How many of the reference's ``trials`` at one depth were right."""

    depth: int
    right: int
    trials: int

    @property
    def fails(self) -> bool:
        return self.right < REFERENCE_FAILS_BELOW * self.trials

    @property
    def is_weak(self) -> bool:
        return self.right < REFERENCE_WEAK_BELOW * self.trials


class Dropped(NamedTuple):
    """How many of one arm's ``pairs`` fell to infrastructure faults."""

    arm: str
    dropped: int
    pairs: int

    @property
    def is_too_many(self) -> bool:
        return self.dropped > DROPPED_AT_MOST * self.pairs


@dataclass(frozen=True, slots=True)
class Measurements:
    """What a run measured beside right and wrong.

    ``identical`` maps arms whose log-probabilities all equal the reference's to the last digit to the number of
    answers compared: whatever was asked for, nothing of it reached the computation. ``unchecked`` arms gave no
    log-probabilities to compare. ``pair_s`` is each arm's time for one more pair in seconds; ``spared`` how many probes
    the stopping rule left out. ``stated`` arms have the pair that the user said: no server told it back. ``computed``:
    formats were computed in transformers, not stored by an engine. ``clean`` is the type that a half has where the
    other one alone is varied, for engines that can't leave it as the reference has it.
    """

    identical: Mapping[str, int] = field(default_factory=dict)
    unchecked: tuple[str, ...] = ()
    pair_s: Mapping[str, float] = field(default_factory=dict)
    spared: Mapping[str, int] = field(default_factory=dict)
    stated: tuple[str, ...] = ()
    computed: bool = False
    clean: str | None = None


NOT_MEASURED = Measurements()


@dataclass(frozen=True, slots=True)
class Controls:
    """The terms of a run (reference, alpha, margin) and what its controls showed.

    ``tallies`` and ``depths`` (those judged) hold only depths with trials of the reference. ``repeat`` is the A/A
    effect, ``control`` that of the positive control, None without pairs; ``control_label`` None where none was planned.
    ``asked`` counts each arm's trials out of ``expected`` (probe, depth) places.
    """

    reference: str
    alpha: float
    margin: float
    anytime: bool
    measured: Measurements
    control_label: str | None
    control: Effect | None
    tallies: tuple[Tally, ...]
    depths: tuple[int, ...]
    repeat: Effect | None
    dropped: tuple[Dropped, ...]
    asked: dict[str, int]
    expected: int
    silent_depths: tuple[int, ...]

    @property
    def reference_types(self) -> tuple[str, str]:
        """The reference's K and V types; its label is written "K/V" or "K/V norot" (kvassay.types.Arm)."""
        k, _, v = self.reference.partition(" ")[0].partition("/")
        return k, v

    @property
    def plain_types(self) -> tuple[str, str]:
        """K's and V's types where only the other half is varied: the reference's, or both ``clean``."""
        k, v = self.reference_types
        clean = self.measured.clean
        return (clean, clean) if clean and clean not in (k, v) else (k, v)

    @property
    def model_fails(self) -> bool:
        """The reference itself fails at every depth."""
        return bool(self.tallies) and all(tally.fails for tally in self.tallies)

    @property
    def invalid(self) -> tuple[Dropped, ...]:
        return tuple(arm for arm in self.dropped if arm.is_too_many)

    @property
    def is_noisy(self) -> bool:
        """The A/A repeat flips at least as often as the margin allows a candidate to lose."""
        return self.repeat is not None and self.repeat.lost + self.repeat.gained >= self.margin * self.repeat.pairs

    @property
    def is_blind(self) -> bool:
        """The positive control was measured and does not show."""
        return self.control is not None and self.control.harm_p > self.alpha

    @property
    def fault(self) -> str:
        """Why nothing of this run can be relied on; empty where it can."""
        if self.model_fails:
            return f"the model itself fails at {self.reference}"
        return "too many pairs were dropped" if self.invalid else ""

    @property
    def obstacle(self) -> str:
        """Why no arm of this run may be called within margin; empty where nothing forbids it."""
        if self.fault:
            return self.fault
        if self.is_noisy:
            return f"a second boot of {self.reference} flips as many calls as the margin allows"
        if self.is_blind:
            return f"the positive control {self.control_label} does not show"
        return ""


def read_controls(
    trials: Mapping[str, Trials],
    *,
    reference: str,
    repeat: str | None,
    candidates: Sequence[str],
    depths: Sequence[int],
    alpha: float,
    margin: float,
    anytime: bool = False,
    control: ArmSpec | None = None,
    measured: Measurements = NOT_MEASURED,
) -> Controls:
    """Read the controls off the trials of each arm.

    Depths at which the reference fails are not judged, unless it fails at all of them.
    """
    own = trials.get(reference, {})
    tallies = tuple(_tallies(own, depths))
    judged = tuple(tally.depth for tally in tallies if not tally.fails) or tuple(tally.depth for tally in tallies)
    harsh = control.label if control else None
    others = [*candidates, *filter(None, (harsh, repeat))]
    compared = partial(_compared, trials, reference, judged, alpha=alpha, margin=margin, anytime=anytime)
    asked = {arm: [place for place in trials.get(arm, {}) if place[0] in depths] for arm in (reference, *others)}
    places = {place for of_arm in asked.values() for place in of_arm}
    return Controls(
        reference=reference,
        alpha=alpha,
        margin=margin,
        anytime=anytime,
        measured=measured,
        control_label=harsh,
        control=compared(harsh) if harsh else None,
        tallies=tallies,
        depths=judged,
        repeat=compared(repeat) if repeat else None,
        dropped=tuple(_dropped(own, trials.get(arm, {}), arm, depths) for arm in others),
        asked={arm: len(of_arm) for arm, of_arm in asked.items()},
        expected=len(places),
        silent_depths=tuple(depth for depth in depths if all(place[0] != depth for place in places)),
    )


def _tallies(reference: Trials, depths: Sequence[int]) -> Iterator[Tally]:
    cells = Counter((depth, right) for (depth, _), right in reference.items())
    for depth in depths:
        if trials := cells[depth, True] + cells[depth, False]:
            yield Tally(depth, cells[depth, True], trials)


def _compared(
    trials: Mapping[str, Trials],
    reference: str,
    depths: Sequence[int],
    label: str,
    *,
    alpha: float,
    margin: float,
    anytime: bool,
) -> Effect | None:
    found = over_depths(
        trials.get(reference, {}),
        trials.get(label, {}),
        arm=label,
        depths=depths,
        alpha=alpha,
        margin=margin,
        anytime=anytime,
    )
    return found if found.pairs else None


def _dropped(reference: Trials, candidate: Trials, label: str, depths: Sequence[int]) -> Dropped:
    pairs, dropped = pair_up(reference, candidate, depths=depths)
    return Dropped(label, dropped, dropped + len(pairs))
