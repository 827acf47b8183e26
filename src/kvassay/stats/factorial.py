"""Isolation: what quantising K costs, what V costs, what only both cost, and what of each depends on depth.

The model is a linear one for the chance of a right call, so that every effect is a difference in proportion:

    right ~ 1 + K + V + K×V + d + K×d + V×d + K×V×d,   d = log2(depth) − the mean over the depths measured,

with K and V 0 at the reference's type and 1 quantised. So K is the effect of K alone (V as in the reference) at the
geometric mean of the depths, K×V what both cost beyond the sum of K alone and V alone, d what a doubling of the context
does to the reference itself, K×d how much the effect of K alone changes with each doubling, and so on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import log2
from statistics import fmean
from typing import NamedTuple, TypeAlias

import numpy as np

from kvassay.stats.binomial import Interval
from kvassay.stats.cluster import permutation, sign_flip
from kvassay.stats.robust import clustered_ols


class Observation(NamedTuple):
    """One trial: which halves of the cache were quantised, the context in tokens, the scenario, was the call right."""

    k: bool
    v: bool
    depth: float
    cluster: Hashable
    right: bool


class Term(StrEnum):
    """A term of the model; those with depth are per doubling of the context."""

    K = "K"
    V = "V"
    K_V = "K × V"
    DEPTH = "depth"
    K_DEPTH = "K × depth"
    V_DEPTH = "V × depth"
    K_V_DEPTH = "K × V × depth"


@dataclass(frozen=True, slots=True)
class FactorialEffect:
    """One term's effect, as a proportion (per doubling of the context where the term has depth).

    ``low``/``high`` and the two-sided ``p_value`` are cluster-robust (CR2, t with ``df``), from ``clusters`` clusters.
    ``random_p`` is two-sided, from the ``blocks`` clusters that hold all cells of the contrast; None without any. It is
    a sign-flip test's, or, of a term with depth where no cluster has two depths, a permutation test's.
    """

    term: Term
    effect: float
    low: float
    high: float
    p_value: float
    df: float
    clusters: int
    random_p: float | None
    blocks: int


@dataclass(frozen=True, slots=True)
class Factorial:
    """The identified effects in the model's order; K, V and K × V are those at ``centre_depth`` tokens."""

    effects: tuple[FactorialEffect, ...]
    centre_depth: float
    observations: int
    clusters: int

    def of(self, term: Term) -> FactorialEffect | None:
        """The effect of a term; None where the observations don't identify it."""
        return next((effect for effect in self.effects if effect.term is term), None)


def factorial(observations: Sequence[Observation], *, level: float = 0.95) -> Factorial:
    """Fit the model by least squares, clustered by scenario; intervals at two-sided ``level``.

    A term is left out where the observations don't identify it in the full model: with one depth all terms with depth,
    with K alone all terms with V, with both halves always quantised together K, V and K × V; with fewer than two
    clusters everything. No term is ever dropped to identify another. Depths below 1 token count as 1.

    The sign-flip test takes each cluster's own contrast of cells (mean over its depths; slope over them where the term
    has depth) and needs that the contrast is symmetric about 0 under the null, as it is if the arms are exchangeable.
    Where each depth has clusters of its own, a term with depth is tested by dealing the contrasts out to the clusters
    anew: under the null they don't depend on the depth.
    """
    depths = sorted({_doublings(each.depth) for each in observations})
    centre = fmean(depths) if depths else 0.0
    design = np.array([[1.0, *_regressors(each, centre)] for each in observations]).reshape(-1, 1 + len(Term))
    right = np.array([each.right for each in observations], dtype=float)
    labels = [each.cluster for each in observations]
    _, *fitted = clustered_ols(design, right, labels, response_range=Interval(0.0, 1.0), level=level)
    scenarios = _cells_by_cluster(observations)
    effects = []
    for term, estimate in zip(Term, fitted, strict=True):
        if estimate is not None:
            random_p, blocks = _randomised(scenarios, term)
            effects.append(
                FactorialEffect(
                    term=term,
                    effect=estimate.value,
                    low=estimate.low,
                    high=estimate.high,
                    p_value=estimate.p_two_sided,
                    df=estimate.df,
                    clusters=estimate.clusters,
                    random_p=random_p,
                    blocks=blocks,
                )
            )
    return Factorial(tuple(effects), 2**centre if depths else 0.0, len(observations), len(scenarios))


def _doublings(depth: float) -> float:
    return log2(max(depth, 1.0))


def _regressors(observation: Observation, centre: float) -> tuple[float, ...]:
    """The columns in the order of `Term`."""
    k, v, doublings = float(observation.k), float(observation.v), _doublings(observation.depth) - centre
    return k, v, k * v, doublings, k * doublings, v * doublings, k * v * doublings


Cells: TypeAlias = Mapping[float, Mapping[tuple[bool, bool], float]]
"""One cluster: doublings → (K quantised, V quantised) → the share of right calls."""

_K, _V, _BOTH, _REFERENCE = (True, False), (False, True), (True, True), (False, False)

# What each contrast adds and takes away at one depth; the same with and without depth.
_SIGNS: Mapping[Term, Mapping[tuple[bool, bool], int]] = {
    Term.K: {_K: 1, _REFERENCE: -1},
    Term.V: {_V: 1, _REFERENCE: -1},
    Term.K_V: {_BOTH: 1, _K: -1, _V: -1, _REFERENCE: 1},
    Term.DEPTH: {_REFERENCE: 1},
    Term.K_DEPTH: {_K: 1, _REFERENCE: -1},
    Term.V_DEPTH: {_V: 1, _REFERENCE: -1},
    Term.K_V_DEPTH: {_BOTH: 1, _K: -1, _V: -1, _REFERENCE: 1},
}
_WITH_DEPTH = {Term.DEPTH, Term.K_DEPTH, Term.V_DEPTH, Term.K_V_DEPTH}


def _cells_by_cluster(observations: Sequence[Observation]) -> list[Cells]:
    rights: dict[Hashable, dict[float, dict[tuple[bool, bool], list[bool]]]] = defaultdict(lambda: defaultdict(dict))
    for k, v, depth, cluster, right in observations:
        rights[cluster][_doublings(depth)].setdefault((k, v), []).append(right)
    return [
        {depth: {cell: fmean(values) for cell, values in cells.items()} for depth, cells in by_depth.items()}
        for by_depth in rights.values()
    ]


def _randomised(scenarios: Sequence[Cells], term: Term) -> tuple[float | None, int]:
    """The randomisation test's p-value, and from how many clusters."""
    contrasts = [found for by_depth in scenarios if (found := _at_depths(by_depth, term))]
    if term not in _WITH_DEPTH:
        return (sign_flip([fmean(found.values()) for found in contrasts]) if contrasts else None), len(contrasts)
    if slopes := [_slope(found) for found in contrasts if len(found) > 1]:
        return sign_flip(slopes), len(slopes)
    places = [depth for found in contrasts for depth in found]
    if len(set(places)) < 2:  # noqa: PLR2004  one depth has no slope
        return None, 0
    return permutation([value for found in contrasts for value in found.values()], places), len(places)


def _at_depths(by_depth: Cells, term: Term) -> dict[float, float]:
    """One cluster's contrast at each depth where it holds all cells."""
    signs = _SIGNS[term]
    return {
        depth: sum(sign * cells[cell] for cell, sign in signs.items())
        for depth, cells in by_depth.items()
        if signs.keys() <= cells.keys()
    }


def _slope(values: Mapping[float, float]) -> float:
    middle = fmean(values)
    return sum((at - middle) * value for at, value in values.items()) / sum((at - middle) ** 2 for at in values)
