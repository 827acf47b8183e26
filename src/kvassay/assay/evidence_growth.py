"""Whether an arm leaves the reference further the longer the context: each answer's divergence against its depth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, log2
from statistics import fmean
from typing import NamedTuple

from scipy.stats import rankdata

from kvassay.dialect.canvas import TokenRole
from kvassay.probe.sampled import scenario_of
from kvassay.stats.cluster import centred, permutation
from kvassay.stats.multiplicity import holm

ALPHA = 0.05
"""How often a run may say of any arm, wrongly, that its divergence changes with the context."""

_LEAST_SCENARIOS = 3
"""A depth with fewer is left out: a replay's are one turn each, and turns differ by more than their depth."""


class Answer(NamedTuple):
    """One compared answer: by role the mean lower bound of its positions' KL to the reference, in nats."""

    depth: int
    probe: str
    level: int
    kl: Mapping[TokenRole, float]

    @property
    def like(self) -> tuple[str, int, bool]:
        """What answers must have in common to be compared: family and difficulty, as at depths where the model fails
        other questions are left, and whether there is prose, which comes with other calls.
        """
        return self.probe.partition("/")[0], self.level, TokenRole.PROSE in self.kl


@dataclass(frozen=True, slots=True)
class Growth:
    """How an arm's divergence goes with the context. ``p_value`` is two-sided, ``adjusted_p`` Holm's over the run's
    arms; ``answers`` at the depths from ``shallowest`` to ``deepest`` were tested; ``up`` where longer contexts have
    the greater ranks.
    """

    answers: int
    shallowest: int
    deepest: int
    up: bool
    p_value: float
    adjusted_p: float

    @property
    def shown(self) -> bool:
        """Whether more than chance speaks for it."""
        return self.adjusted_p <= ALPHA


def growths(answers: Mapping[str, Sequence[Answer]], *, resolution: float = 0.0) -> dict[str, Growth]:
    """The growth of every arm where anything can be told of it; ``resolution`` is the divergence (nats) below which
    all is rounding, and equal.

    An answer's score is the mean of its roles' ranks among answers like it. Scores are dealt out among the depths of
    one scenario, or of all scenarios with one depth that are alike (`kvassay.stats.cluster.permutation`).
    """
    alone = {arm: found for arm, told in answers.items() if (found := _growth(told, resolution))}
    adjusted = holm([found.p_value for found in alone.values()])
    return {arm: replace(found, adjusted_p=p) for (arm, found), p in zip(alone.items(), adjusted, strict=True)}


def _growth(told: Sequence[Answer], resolution: float) -> Growth | None:
    """An arm's by itself, its p-value not adjusted yet."""
    used = _comparable([one for one in told if one.depth and all(map(isfinite, one.kl.values()))])
    if max((kl for one in used for kl in one.kl.values()), default=0.0) <= resolution:
        return None
    scores: dict[tuple[Hashable, str, int], list[float]] = defaultdict(list)
    for one, kind, score in zip(used, _kinds(used), _scores(used, resolution), strict=True):
        scores[kind, scenario_of(one.probe), one.depth].append(score)
    values, kinds = [fmean(found) for found in scores.values()], [kind for kind, _, _ in scores]
    places = [log2(depth) for _, _, depth in scores]
    p_value = permutation(values, places, kinds)
    depths = [one.depth for one in used]
    return Growth(
        answers=len(used),
        shallowest=min(depths),
        deepest=max(depths),
        up=float(centred(places, kinds) @ values) > 0,
        p_value=p_value,
        adjusted_p=p_value,
    )


def _comparable(answers: Sequence[Answer]) -> list[Answer]:
    """Those at depths with enough scenarios that are dealt out among two depths or more."""
    used = list(answers)
    while True:
        scenarios = _sets((one.depth, scenario_of(one.probe)) for one in used)
        enough = [one for one in used if len(scenarios[one.depth]) >= _LEAST_SCENARIOS]
        kinds = _kinds(enough)
        depths = _sets((kind, one.depth) for kind, one in zip(kinds, enough, strict=True))
        kept = [one for kind, one in zip(kinds, enough, strict=True) if len(depths[kind]) > 1]
        if len(kept) == len(used):
            return kept
        used = kept


def _scores(answers: Sequence[Answer], resolution: float) -> list[float]:
    """Each answer's mean rank, from −1 to 1."""
    ranks: list[list[float]] = [[] for _ in answers]
    groups: dict[tuple[Hashable, TokenRole], list[int]] = defaultdict(list)
    for index, one in enumerate(answers):
        for role in one.kl:
            groups[one.like, role].append(index)
    for (_, role), own in groups.items():
        told = rankdata([max(answers[index].kl[role], resolution) for index in own])
        for index, rank in zip(own, told, strict=True):
            ranks[index].append((2 * float(rank) - len(own) - 1) / len(own))
    return [fmean(found) for found in ranks]


def _kinds(answers: Sequence[Answer]) -> list[Hashable]:
    """Among what each is dealt out: the depths of its scenario, or where that has but one, of all that are alike."""
    depths = _sets(((scenario_of(one.probe), one.like), one.depth) for one in answers)
    own = [(scenario_of(one.probe), one.like) for one in answers]
    return [which if len(depths[which]) > 1 else one.like for which, one in zip(own, answers, strict=True)]


def _sets(pairs: Iterable[tuple[Hashable, Hashable]]) -> dict[Hashable, set[Hashable]]:
    found: dict[Hashable, set[Hashable]] = defaultdict(set)
    for key, value in pairs:
        found[key].add(value)
    return found
