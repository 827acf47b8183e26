"""One proportion: the Wilson score interval. Two of them: Fisher's exact test."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from typing import NamedTuple


class Interval(NamedTuple):
    """A confidence interval for a proportion (0 … 1) or a difference of proportions (−1 … 1)."""

    low: float
    high: float


def fisher_greater(successes: int, trials: int, others: int, other_trials: int) -> float:
    """One-sided p that these trials succeed no more often than the others, given how many succeeded in all; no trials
    say nothing: 1.

    Source: Fisher, JRSS 98 (1935) 39-82; the tail of the hypergeometric distribution.
    """
    from scipy.stats import hypergeom  # noqa: PLC0415  half a second, at every start of the program

    if not trials:
        return 1.0
    return float(hypergeom.sf(successes - 1, trials + other_trials, successes + others, trials))


def wilson_interval(successes: int, trials: int, *, level: float = 0.95) -> Interval:
    """Two-sided score interval for ``successes`` of ``trials``; no trials say nothing: (0, 1).

    Source: Wilson, JASA 22 (1927) 209-212; formula 3 of Newcombe, Statistics in Medicine 17 (1998) 857-872.
    """
    if trials == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + level) / 2)
    failures = trials - successes
    centre = successes + z * z / 2
    half_width = z * sqrt(successes * failures / trials + z * z / 4)
    whole = trials + z * z
    # At 0 and n the end is exactly 0 or 1; rounding must not say otherwise.
    low = (centre - half_width) / whole if successes else 0.0
    high = (centre + half_width) / whole if failures else 1.0
    return Interval(low, high)
