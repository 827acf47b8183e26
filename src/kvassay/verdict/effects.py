"""Trials become pairs, pairs become effects: a paired difference with its interval, its p-value and its state."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import fmean
from typing import NamedTuple, TypeAlias

from kvassay.stats.eprocess import anytime_interval, harm_e_value, within_margin_e_value
from kvassay.stats.paired import Flips, mcnemar_harm, tango_interval

Outcomes: TypeAlias = Mapping[tuple[str, int, str], bool | None]
"""(arm label, depth, probe id) → was the call right; None where infrastructure failed. Absent: not asked."""

Trials: TypeAlias = Mapping[tuple[int, str], bool | None]
"""One arm's outcomes by (depth, probe id)."""


class State(StrEnum):
    """What can be said of a candidate against the reference."""

    DEGRADED = "degraded"
    WITHIN_MARGIN = "within margin"
    BOTH = "both"  # worse, but by less than the margin
    INCONCLUSIVE = "inconclusive"

    @property
    def is_worse(self) -> bool:
        return self in (State.DEGRADED, State.BOTH)

    @property
    def is_within(self) -> bool:
        return self in (State.WITHIN_MARGIN, State.BOTH)


@dataclass(frozen=True, slots=True)
class Effect:
    """A paired difference, candidate minus reference, as proportions (−1 … 1) over ``pairs`` probes.

    ``lost`` pairs are right under the reference only, ``gained`` under the candidate only. ``low``/``high`` bound the
    difference at the run's level, at any time or for a number of pairs fixed beforehand, as the run's rule has it;
    ``p_value`` is the exact one-sided McNemar test for harm, for a fixed number. ``harm_e`` and ``within_e`` are
    anytime-valid e-values, against "no harm" and against "a loss of the margin or more". ``harm_p`` is the p-value that
    the run's own rule decides by. ``dropped`` pairs fell to infrastructure faults. ``depth`` None means all depths
    together; its evidence and its interval count probes, not pairs (`over_depths`).
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
    harm_e: float = 1.0
    within_e: float = 1.0
    harm_p: float = 1.0


class Pairing(NamedTuple):
    """The pairs of one arm as (reference right, candidate right), and how many fell to infrastructure faults."""

    pairs: tuple[tuple[bool, bool], ...]
    dropped: int


def by_arm(outcomes: Outcomes) -> dict[str, dict[tuple[int, str], bool | None]]:
    """The outcomes of each arm, keyed by (depth, probe id); an arm that is not there has none."""
    trials: dict[str, dict[tuple[int, str], bool | None]] = defaultdict(dict)
    for (arm, depth, probe), right in outcomes.items():
        trials[arm][depth, probe] = right
    return trials


class Pair(NamedTuple):
    """One probe at one depth, answered by both arms."""

    place: tuple[int, str]
    reference_right: bool
    candidate_right: bool


def paired(reference: Trials, candidate: Trials, *, depths: Collection[int]) -> Iterator[Pair]:
    """The two arms' trials of the same probe at the same depth, infrastructure faults left out."""
    for place, right in candidate.items():
        under = reference.get(place)
        if place[0] in depths and under is not None and right is not None:
            yield Pair(place, under, right)


def pair_up(reference: Trials, candidate: Trials, *, depths: Collection[int]) -> Pairing:
    """The pairs as outcomes alone, with the number of those that fell to infrastructure faults."""
    both = sum(place[0] in depths and place in reference for place in candidate)
    pairs = tuple((pair.reference_right, pair.candidate_right) for pair in paired(reference, candidate, depths=depths))
    return Pairing(pairs, dropped=both - len(pairs))


def flipped_probes(reference: Trials, candidate: Trials, *, depths: Collection[int]) -> Flips:
    """How many probes flipped: lost lose at more of these depths than they gain at, gained the reverse."""
    return _flips(_means(reference, candidate, depths=depths))


def _flips(means: Sequence[float]) -> Flips:
    return Flips(lost=sum(mean < 0 for mean in means), gained=sum(mean > 0 for mean in means))


def _means(reference: Trials, candidate: Trials, *, depths: Collection[int]) -> list[float]:
    """Each probe's change, −1 … 1: its mean over those of the depths at which both arms answered it."""
    of_probes: defaultdict[str, list[int]] = defaultdict(list)
    for (_, probe), before, now in paired(reference, candidate, depths=depths):
        of_probes[probe].append(now - before)
    return [fmean(changes) for changes in of_probes.values()]


def state_of(*, worse: bool, within: bool) -> State:
    """The state that two one-sided decisions make: harm shown, and a loss of the margin or more excluded."""
    if worse:
        return State.BOTH if within else State.DEGRADED
    return State.WITHIN_MARGIN if within else State.INCONCLUSIVE


def is_doubtful(by_depth: Iterable[Effect], *, alpha: float) -> bool:
    """One depth shows a loss that may exceed the margin: nothing over all depths is called within it. Unadjusted, as
    this only withholds a claim.
    """
    return any(found.harm_p <= alpha and not found.state.is_within for found in by_depth)


def effect(
    pairs: Sequence[tuple[bool, bool]],
    *,
    arm: str,
    alpha: float,
    margin: float,
    depth: int | None = None,
    dropped: int = 0,
    anytime: bool = False,
) -> Effect:
    """The effect over (reference right, candidate right) pairs, by two one-sided decisions, each at ``alpha``.

    ``anytime``: worse where the e-value against "no harm" reaches 1 / alpha, within margin where the one against "a
    loss of the margin or more" does; both may be looked at after every pair. Otherwise, for a number of pairs fixed
    beforehand: worse where the exact one-sided McNemar p ≤ alpha, within margin where Tango's lower bound at one-sided
    alpha (the two-sided interval at 1 − 2 · alpha) lies above −margin.
    """
    cells = Counter(pairs)
    lost, gained, kept = cells[True, False], cells[False, True], cells[True, True]
    interval = (anytime_interval if anytime else tango_interval)(lost, gained, len(pairs), level=1 - 2 * alpha)
    p_value, harm_e = mcnemar_harm(lost, gained), harm_e_value(lost, gained)
    within_e = within_margin_e_value(lost, gained, len(pairs), margin=margin)
    harm_p = min(1.0, 1 / harm_e) if anytime else p_value
    within = within_e >= 1 / alpha if anytime else interval.low > -margin
    return Effect(
        arm=arm,
        depth=depth,
        pairs=len(pairs),
        reference_correct=kept + lost,
        candidate_correct=kept + gained,
        lost=lost,
        gained=gained,
        difference=(gained - lost) / len(pairs) if pairs else 0.0,
        low=interval.low,
        high=interval.high,
        p_value=p_value,
        state=state_of(worse=harm_p <= alpha, within=within),
        dropped=dropped,
        harm_e=harm_e,
        within_e=within_e,
        harm_p=harm_p,
    )


def over_depths(
    reference: Trials,
    candidate: Trials,
    *,
    arm: str,
    depths: Collection[int],
    alpha: float,
    margin: float,
    anytime: bool = False,
) -> Effect:
    """The effect over all of these depths together.

    Our own questions are drawn anew at each depth. Where a probe is asked at several, its answers resemble each other,
    so that here the evidence counts probes. Harm: lost are those with more pairs lost than gained, gained the reverse.
    Within margin, and the interval: a probe counts by its mean over the depths asked, one lost at one of two as half a
    probe lost. That is on the safe side: a bet's factor is linear in that mean, and its logarithm concave, so that
    halves are worth no more than the mean; and of all variables with such a mean whole ones vary most.

    With e-values half the evidence of harm is the mean of the depths' own ones, so that harm at one depth is not
    cancelled by luck at another: a mean of e-values is an e-value under any dependence (Vovk & Wang, Annals of
    Statistics 49, 2021).
    """
    pairs, dropped = pair_up(reference, candidate, depths=depths)
    found = effect(pairs, arm=arm, alpha=alpha, margin=margin, dropped=dropped, anytime=anytime)
    own: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for (depth, _), before, now in paired(reference, candidate, depths=depths):
        own[depth][now - before] += 1
    if len(own) < 2:  # noqa: PLR2004  one depth is all depths
        return found
    means = _means(reference, candidate, depths=depths)
    lost, gained = _flips(means)
    p_value, harm_e = mcnemar_harm(lost, gained), harm_e_value(lost, gained)
    harm_e = (harm_e + sum(harm_e_value(cells[-1], cells[1]) for cells in own.values()) / len(own)) / 2
    harm_p = min(1.0, 1 / harm_e) if anytime else p_value
    loss, gain = (sum(max(0.0, sign * mean) for mean in means) for sign in (-1, 1))
    low, high = (anytime_interval if anytime else tango_interval)(loss, gain, len(means), level=1 - 2 * alpha)
    within_e = within_margin_e_value(loss, gain, len(means), margin=margin)
    within = within_e >= 1 / alpha if anytime else low > -margin
    state = state_of(worse=harm_p <= alpha, within=within)
    return replace(
        found, p_value=p_value, harm_e=harm_e, harm_p=harm_p, low=low, high=high, within_e=within_e, state=state
    )
