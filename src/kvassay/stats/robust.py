"""Least squares whose standard errors allow for clusters: CR2 with Satterthwaite's degrees of freedom."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from kvassay.stats.binomial import Interval

Floats = NDArray[np.float64]

_ROUNDING = 1e-9  # what is smaller, on the scale of the responses, is zero that rounding has missed
_ALIASED = 1e-6  # how far a column may be from identified by rounding alone; truly aliased ones are off by some tenths


@dataclass(frozen=True, slots=True)
class Estimate:
    """One coefficient with its interval, on the responses' scale; ``clusters`` is how many clusters bear on it.

    ``p_less`` and ``p_greater`` test one-sidedly that the coefficient is below and above 0. ``standard_error`` is 0
    where no cluster differs from the fit; see `clustered_ols` for what interval and p-values then mean.
    """

    value: float
    low: float
    high: float
    p_less: float
    p_greater: float
    standard_error: float
    df: float
    clusters: int

    @property
    def p_two_sided(self) -> float:
        return min(1.0, 2 * min(self.p_less, self.p_greater))


def clustered_ols(
    design: Floats, response: Floats, clusters: Sequence[Hashable], *, response_range: Interval, level: float = 0.95
) -> tuple[Estimate | None, ...]:
    """Ordinary least squares of ``response`` (n,) on ``design`` (n, columns), one estimate a column; two-sided level.

    None where the design doesn't identify the coefficient (it is aliased with others), or fewer than two clusters tell
    of its variance. Standard errors are CR2 (bias-reduced linearisation, working model of independence), the degrees of
    freedom Satterthwaite's for it; for a lone mean over G clusters of equal size that is the t test on cluster means
    with G − 1. CR1 with G − 1 is too small where clusters are few or differ in size.
    Sources: Bell & McCaffrey, Survey Methodology 28 (2002) 169-181; Pustejovsky & Tipton, JBES 36 (2018) 672-683.

    Where no cluster departs from the fit a t interval would be a point. Then, from n clusters that agree, a share s of
    deviating ones is excluded if (1 − s)ⁿ < (1 − level) / 2, and at worst those lie at the end of ``response_range``.
    """
    bread = np.asarray(np.linalg.pinv(design.T @ design, rcond=1e-10, hermitian=True), dtype=float)
    weights = bread @ design.T
    coefficients = weights @ response
    residuals = response - design @ coefficients
    parts = [_part(design[rows], residuals[rows], bread) for rows in _groups(clusters)]
    aliased = np.abs(np.eye(design.shape[1]) - weights @ design).max(axis=1, initial=0.0) > _ALIASED
    estimates: list[Estimate | None] = []
    for column, value in enumerate(coefficients.tolist()):
        variance = None if aliased[column] else _variance(column, parts, bread, plain=(weights[column] ** 2).sum())
        ends = np.outer(weights[column], response_range)
        reach = Interval(float(ends.min(axis=1).sum()), float(ends.max(axis=1).sum()))
        estimates.append(_estimate(value, variance, reach=reach, level=level) if variance else None)
    return tuple(estimates)


def _groups(clusters: Sequence[Hashable]) -> list[list[int]]:
    rows: dict[Hashable, list[int]] = {}
    for row, cluster in enumerate(clusters):
        rows.setdefault(cluster, []).append(row)
    return list(rows.values())


class _Part(NamedTuple):
    """What one cluster adds to each column's variance.

    With g = (I − H)^(−½) X (X'X)⁻¹ of the cluster: ``score`` (columns,) is g'e, ``norm`` (columns,) the diagonal of
    g'g, and ``cross`` (columns, columns) is X'g, whose column j belongs to coefficient j.
    """

    score: Floats
    norm: Floats
    cross: Floats


def _part(design: Floats, residuals: Floats, bread: Floats) -> _Part:
    values, vectors = np.linalg.eigh(bread)
    left, leverage_root, _ = np.linalg.svd(design @ (vectors * np.sqrt(np.maximum(values, 0.0))), full_matrices=False)
    # Directions that the cluster fits by itself (leverage 1) have no residual: they get the pseudo-inverse's 0.
    free = np.maximum(1 - leverage_root**2, 0.0)
    stretch = np.where(free > _ROUNDING, 1 / np.sqrt(np.maximum(free, _ROUNDING)), 0.0)
    plain = design @ bread
    adjusted = plain + left @ ((stretch - 1)[:, None] * (left.T @ plain))
    return _Part(adjusted.T @ residuals, (adjusted**2).sum(axis=0), design.T @ adjusted)


class _Variance(NamedTuple):
    """A coefficient's standard error and its degrees of freedom, and how many clusters bear on it."""

    standard_error: float
    df: float
    clusters: int


def _variance(column: int, parts: Sequence[_Part], bread: Floats, *, plain: float) -> _Variance | None:
    """None where clusters tell nothing; ``plain`` is the variance that independent errors of variance 1 would give."""
    norms = np.array([part.norm[column] for part in parts])
    cross = np.array([part.cross[:, column] for part in parts])
    # The variance estimator is a quadratic form in normal errors; its first two moments give Satterthwaite's df.
    form = np.diag(norms) - cross @ bread @ cross.T
    trace = float(np.trace(form))
    if trace <= _ROUNDING * plain:
        return None
    error = float(np.sqrt(sum(part.score[column] ** 2 for part in parts)))
    return _Variance(error, trace**2 / float((form**2).sum()), int((norms > _ROUNDING * norms.max()).sum()))


def _estimate(value: float, variance: _Variance, *, reach: Interval, level: float) -> Estimate:
    """``reach`` is how far the coefficient can lie at all, given the range of the responses."""
    error, df, clusters = variance
    if error <= _ROUNDING * (reach.high - reach.low):
        return _agreeing(value, reach, level, clusters)
    half_width = float(stdtrit(df, (1 + level) / 2)) * error
    return Estimate(
        value=value,
        low=max(value - half_width, reach.low),
        high=min(value + half_width, reach.high),
        p_less=float(stdtr(df, value / error)),
        p_greater=float(stdtr(df, -value / error)),
        standard_error=error,
        df=df,
        clusters=clusters,
    )


def _agreeing(value: float, reach: Interval, level: float, clusters: int) -> Estimate:
    """The estimate where all clusters say the same, so that nothing is known of their spread."""
    deviating = 1 - ((1 - level) / 2) ** (1 / clusters)
    value = 0.0 if abs(value) <= _ROUNDING * (reach.high - reach.low) else value
    # The share of clusters at the far end that would bring the mean to 0; the rest must all have been drawn.
    p_less = (reach.high / (reach.high - value)) ** clusters if value < 0 else 1.0
    p_greater = (reach.low / (reach.low - value)) ** clusters if value > 0 else 1.0
    return Estimate(
        value=value,
        low=value - deviating * (value - reach.low),
        high=value + deviating * (reach.high - value),
        p_less=p_less,
        p_greater=p_greater,
        standard_error=0.0,
        df=float(clusters - 1),
        clusters=clusters,
    )
