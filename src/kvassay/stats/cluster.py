"""Paired differences that come in clusters (scenarios): claims about workloads like the suite, not only the suite.

Pairs of one scenario resemble each other, so that tests which count pairs find too much. Here the scenario is the unit.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kvassay.stats.binomial import Interval
from kvassay.stats.robust import clustered_ols

Differences: TypeAlias = Mapping[Hashable, Sequence[float]]
"""Cluster → candidate minus reference of each of its pairs: −1 lost, +1 gained, 0 otherwise."""

_ROUNDING = 1e-9  # sums nearer to 0, or totals nearer to each other (as a share of all), are equal
_BLOCK = 1000  # draws at a time
_ENUMERATED = 14  # clusters that changed; beyond, the 2¹⁴ and more patterns of signs are sampled


@dataclass(frozen=True, slots=True)
class ClusteredDifference:
    """The mean paired difference over all pairs, as a proportion (−1 … 1), with scenario-clustered inference.

    ``low``/``high`` is the clustered t interval, ``p_harm`` its one-sided p-value for harm, ``sign_flip_p_harm`` the
    sign-flip test's. With fewer than two clusters nothing is known beyond them: (−1, 1), p 1, df 0.
    """

    difference: float
    low: float
    high: float
    p_harm: float
    sign_flip_p_harm: float
    df: float
    clusters: int
    pairs: int


def clustered_difference(differences: Differences, *, level: float = 0.95) -> ClusteredDifference:
    """The mean paired difference with its clustered t interval (two-sided ``level``) and both tests for harm.

    Clusters may be of unequal size; each pair counts the same. Clusters without pairs are left out. The t interval is
    that of `kvassay.stats.robust.clustered_ols` for a lone mean, the sign-flip test runs on the clusters' sums.
    """
    of_clusters = {cluster: pairs for cluster, pairs in differences.items() if len(pairs)}
    response = np.array([pair for pairs in of_clusters.values() for pair in pairs], dtype=float)
    labels = [cluster for cluster, pairs in of_clusters.items() for _ in pairs]
    design = np.ones((len(labels), 1))
    (mean,) = clustered_ols(design, response, labels, response_range=Interval(-1.0, 1.0), level=level)
    return ClusteredDifference(
        difference=float(response.mean()) if labels else 0.0,
        low=mean.low if mean else -1.0,
        high=mean.high if mean else 1.0,
        p_harm=mean.p_less if mean else 1.0,
        sign_flip_p_harm=sign_flip([sum(pairs) for pairs in of_clusters.values()], alternative="less"),
        df=mean.df if mean else 0.0,
        clusters=len(of_clusters),
        pairs=len(labels),
    )


def sign_flip(
    sums: Sequence[float],
    *,
    alternative: Literal["less", "two-sided"] = "two-sided",
    draws: int = 9_999,
    seed: int = 0,
) -> float:
    """The p-value of the total of one number per cluster, against the totals with each number's sign flipped at random.

    Null: each cluster's number is as likely to be x as −x, independently of the others' signs; so it is if the arms are
    exchangeable within every cluster, however alike a cluster's pairs are. All patterns of signs are enumerated for up
    to 14 nonzero numbers; beyond, ``draws`` are drawn (``seed``), and the observed one counts as one more of them, so
    that the p-value stays valid.
    Sources: Fisher, The Design of Experiments (1935), section 21; Phipson & Smyth, SAGMB 9 (2010) article 39.
    """
    numbers = np.array([number for number in sums if abs(number) > _ROUNDING], dtype=float)
    exact = len(numbers) <= _ENUMERATED
    totals = _all_signs(len(numbers)) @ numbers if exact else _drawn_totals(numbers, draws, seed)
    total, rounding = numbers.sum(), _ROUNDING * np.abs(numbers).sum()
    if alternative == "less":
        as_extreme = int((totals <= total + rounding).sum())
    else:
        as_extreme = int((np.abs(totals) >= abs(total) - rounding).sum())
    return as_extreme / len(totals) if exact else (as_extreme + 1) / (draws + 1)


class Shares(NamedTuple):
    """Of one cluster: ``hits`` of ``places`` of the kind in question, ``others_hit`` of ``others``."""

    hits: int
    places: int
    others_hit: int
    others: int


def share_greater(clusters: Sequence[Shares]) -> float:
    """The one-sided p-value that places of a kind are hit more often than the others, where the places of a cluster
    depend on each other: the clustered t test of the difference of the two shares (`kvassay.stats.robust`). 1 where
    clusters tell nothing of its variance.
    """
    hit = np.concatenate([np.repeat([1.0, 0, 1, 0], _counts(one)) for one in clusters])
    kind = np.concatenate([np.repeat([1.0, 1, 0, 0], _counts(one)) for one in clusters])
    labels = [n for n, one in enumerate(clusters) for _ in range(one.places + one.others)]
    design = np.column_stack([np.ones_like(kind), kind])
    _, difference = clustered_ols(design, hit, labels, response_range=Interval(0.0, 1.0))
    return difference.p_greater if difference else 1.0


def _counts(one: Shares) -> tuple[int, int, int, int]:
    return one.hits, one.places - one.hits, one.others_hit, one.others - one.others_hit


def permutation(
    values: Sequence[float],
    places: Sequence[float],
    kinds: Sequence[Hashable] | None = None,
    *,
    draws: int = 9_999,
    seed: int = 0,
) -> float:
    """The two-sided p-value of Σ (place − mean place) · value, against the same with the values dealt out anew.

    Null: whatever places the values have, they are exchangeable among them, as independent ones of one distribution
    are; with ``kinds``, among the places of their own kind, whose mean is then the one taken off. ``draws`` are drawn
    (``seed``), and the observed one counts as one more of them.
    Sources: Pitman, Supplement to JRSS 4 (1937) 225-232; Phipson & Smyth, SAGMB 9 (2010) article 39.
    """
    numbers = np.array(values, dtype=float)
    away, members = centred(places, kinds), _members(kinds, len(numbers))
    rng = np.random.default_rng(seed)
    sizes = [_BLOCK] * (draws // _BLOCK) + [draws % _BLOCK]
    dealt = (
        sum(rng.permuted(np.tile(numbers[own], (size, 1)), axis=1) @ away[own] for own in members) for size in sizes
    )
    totals = np.concatenate([np.asarray(block) for block in dealt])
    total, rounding = numbers @ away, _ROUNDING * (np.abs(numbers) @ np.abs(away))
    return (int((np.abs(totals) >= abs(total) - rounding).sum()) + 1) / (draws + 1)


def centred(places: Sequence[float], kinds: Sequence[Hashable] | None = None) -> NDArray[np.float64]:
    """The places less the mean of their kind."""
    numbers = np.array(places, dtype=float)
    for own in _members(kinds, len(numbers)):
        numbers[own] -= numbers[own].mean()
    return numbers


def _members(kinds: Sequence[Hashable] | None, count: int) -> list[NDArray[np.intp]]:
    """The indices of each kind; of all without kinds."""
    members: dict[Hashable, list[int]] = {}
    for index, kind in enumerate([None] * count if kinds is None else kinds):
        members.setdefault(kind, []).append(index)
    return [np.array(own) for own in members.values()]


def _all_signs(clusters: int) -> NDArray[np.float64]:
    """Every pattern of signs, shape (2 ** clusters, clusters)."""
    patterns = np.arange(2**clusters)[:, None] >> np.arange(clusters)[None, :]
    return np.asarray(1 - 2 * (patterns & 1), dtype=float)


def _drawn_totals(numbers: NDArray[np.float64], draws: int, seed: int) -> NDArray[np.float64]:
    """The totals under random signs, drawn a block at a time: memory does not grow with the draws."""
    rng = np.random.default_rng(seed)
    sizes = [_BLOCK] * (draws // _BLOCK) + [draws % _BLOCK]
    blocks = (rng.integers(0, 2, size=(size, len(numbers)), dtype=np.int8) for size in sizes)
    return np.concatenate([(1 - 2 * block) @ numbers for block in blocks])
