"""Whether an arm leaves the reference further the longer the context: each answer's divergence against its depth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
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
    kl: Mapping[TokenRole, float]


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

    An answer's score is the mean of its roles' ranks, each among the same family's answers: other families are left
    where the model fails, and answers have more prose the longer the context. Scores are dealt out among the depths of
    one scenario, or of a family whose scenarios have one depth each (`kvassay.stats.cluster.permutation`).
    """
    alone = {arm: found for arm, told in answers.items() if (found := _growth(told, resolution))}
    adjusted = holm([found.p_value for found in alone.values()])
    return {arm: replace(found, adjusted_p=p) for (arm, found), p in zip(alone.items(), adjusted, strict=True)}


def _growth(told: Sequence[Answer], resolution: float) -> Growth | None:
    """An arm's by itself, its p-value not adjusted yet."""
    known = [one for one in told if one.depth and all(map(isfinite, one.kl.values()))]
    scenarios: dict[int, set[str]] = defaultdict(set)
    for one in known:
        scenarios[one.depth].add(scenario_of(one.probe))
    depths = sorted(depth for depth, found in scenarios.items() if len(found) >= _LEAST_SCENARIOS)
    used = [one for one in known if one.depth in depths]
    if len(depths) < 2 or max(kl for one in used for kl in one.kl.values()) <= resolution:  # noqa: PLR2004
        return None
    scores: dict[tuple[str, int], list[float]] = defaultdict(list)
    for one, score in zip(used, _scores(used, resolution), strict=True):
        scores[scenario_of(one.probe), one.depth].append(score)
    values, places = [fmean(found) for found in scores.values()], [log2(depth) for _, depth in scores]
    kinds = _kinds(list(scores))
    away = centred(places, kinds)
    if not away.any():
        return None
    p_value = permutation(values, places, kinds)
    return Growth(
        answers=len(used),
        shallowest=depths[0],
        deepest=depths[-1],
        up=float(away @ values) > 0,
        p_value=p_value,
        adjusted_p=p_value,
    )


def _scores(answers: Sequence[Answer], resolution: float) -> list[float]:
    """Each answer's mean rank, from −1 to 1."""
    ranks: list[list[float]] = [[] for _ in answers]
    groups: dict[tuple[str, TokenRole], list[int]] = defaultdict(list)
    for index, one in enumerate(answers):
        for role in one.kl:
            groups[_family(one.probe), role].append(index)
    for (_, role), own in groups.items():
        told = rankdata([max(answers[index].kl[role], resolution) for index in own])
        for index, rank in zip(own, told, strict=True):
            ranks[index].append((2 * float(rank) - len(own) - 1) / len(own))
    return [fmean(found) for found in ranks]


def _kinds(places: Sequence[tuple[str, int]]) -> list[Hashable]:
    """Among what each score is dealt out: its scenario's depths, or its family's where the scenario has but one."""
    depths: dict[str, set[int]] = defaultdict(set)
    for scenario, depth in places:
        depths[scenario].add(depth)
    return [(scenario,) if len(depths[scenario]) > 1 else _family(scenario) for scenario, _ in places]


def _family(probe: str) -> str:
    return probe.partition("/")[0]
