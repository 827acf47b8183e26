"""Whether an arm leaves the reference further the longer the context: each answer's divergence against its depth."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import NamedTuple

from scipy.stats import rankdata

from kvassay.probe.sampled import scenario_of
from kvassay.stats.cluster import trend
from kvassay.stats.multiplicity import holm

ALPHA = 0.05
"""How often a run may say of any arm, wrongly, that its divergence changes with the context."""


class Answer(NamedTuple):
    """One compared answer: the mean lower bound of its positions' KL to the reference, in nats."""

    depth: int
    probe: str
    kl: float


@dataclass(frozen=True, slots=True)
class Growth:
    """How an arm's divergence goes with the context. ``p_value`` is two-sided, ``adjusted_p`` Holm's over the run's
    arms; ``answers`` were tested; ``up`` where longer contexts have the greater ranks.
    """

    answers: int
    up: bool
    p_value: float
    adjusted_p: float

    @property
    def shown(self) -> bool:
        """Whether more than chance speaks for it."""
        return self.adjusted_p <= ALPHA


def growths(answers: Mapping[str, Sequence[Answer]], *, resolution: float = 0.0) -> dict[str, Growth]:
    """The growth of every arm that was asked at two depths and diverges by more than ``resolution`` (nats) anywhere.

    Ranks are compared, as divergences span orders of magnitude, and within a family of probes, as at depths where the
    model fails other families are left to compare (`kvassay.stats.cluster.trend`).
    """
    trends = {
        arm: trend(*_ranked([one for one in told if one.depth]))
        for arm, told in answers.items()
        if max((one.kl for one in told), default=0.0) > resolution
    }
    known = {arm: (found, found.p_value) for arm, found in trends.items() if found.p_value is not None}
    adjusted = holm([p_value for _, p_value in known.values()])
    return {
        arm: Growth(found.clusters, found.total > 0, p_value, adjusted_p)
        for (arm, (found, p_value)), adjusted_p in zip(known.items(), adjusted, strict=True)
    }


def _ranked(answers: Sequence[Answer]) -> tuple[list[dict[float, float]], list[Hashable]]:
    """Doublings of the context → rank within the family, of each scenario; and each one's family."""
    families = [_family(one.probe) for one in answers]
    scenarios: dict[tuple[str, str], dict[float, list[float]]] = {}
    for family in dict.fromkeys(families):
        own = [one for one, its in zip(answers, families, strict=True) if its == family]
        for one, rank in zip(own, rankdata([one.kl for one in own]), strict=True):
            by_depth = scenarios.setdefault((family, scenario_of(one.probe)), {})
            by_depth.setdefault(log2(one.depth), []).append(float(rank))
    means = [{at: sum(ranks) / len(ranks) for at, ranks in by_depth.items()} for by_depth in scenarios.values()]
    return means, [family for family, _ in scenarios]


def _family(probe: str) -> str:
    return probe.partition("/")[0]
