"""Paired proportions at a fixed number of pairs: McNemar's exact test, Tango's and Newcombe's intervals.

Everywhere ``lost`` pairs are right under the reference only, ``gained`` under the candidate only, and the difference is
candidate minus reference: (gained − lost) / pairs. Swapping the two negates every interval exactly.
"""

from __future__ import annotations

from math import copysign, inf, sqrt
from statistics import NormalDist
from typing import NamedTuple

from scipy.special import bdtrc

from kvassay.stats.binomial import Interval, wilson_interval


class Flips(NamedTuple):
    """Discordant pairs, or probes, by direction."""

    lost: int
    gained: int


def mcnemar_harm(lost: int, gained: int) -> float:
    """Exact one-sided McNemar p-value for harm: P(X ≥ lost) with X ~ Binomial(lost + gained, 1/2).

    Source: McNemar, Psychometrika 12 (1947) 153-157, in its conditional (sign test) form; no discordant pair gives 1.
    """
    return float(bdtrc(lost - 1, lost + gained, 0.5)) if lost else 1.0


def mcnemar_harm_midp(lost: int, gained: int) -> float:
    """The mid-p version of `mcnemar_harm`: half of P(X = lost) is taken off; not strictly level-keeping.

    Source: Fagerland, Lydersen, Laake, BMC Medical Research Methodology 13 (2013) 91.
    """
    more_lost = float(bdtrc(lost, lost + gained, 0.5))
    return (mcnemar_harm(lost, gained) + more_lost) / 2


def tango_score(lost: float, gained: float, pairs: float, difference: float) -> float:
    """Tango's score statistic for H0: the true difference is ``difference``, strictly between −1 and 1.

    About standard normal under H0, positive where the data lie above it. Counts may be expected ones (fractions).
    Source: Tango, Statistics in Medicine 17 (1998) 891-908, eq. 24-26: the variance takes the maximum-likelihood
    estimate of P(lost) under H0, the greater root of 2n q² + B q − lost · D(1 − D) = 0 with the sign of D turned.
    """
    # Tango's λ is p12 − p21; with p12 = P(gained), p21 = P(lost), b = gained, c = lost.
    b = -(lost + gained) + (2 * pairs - gained + lost) * difference
    discriminant = b * b + 8 * pairs * lost * difference * (1 - difference)
    q_lost = (sqrt(max(discriminant, 0.0)) - b) / (4 * pairs)
    variance = pairs * (2 * q_lost + difference * (1 - difference))
    excess = gained - lost - pairs * difference
    if variance <= 0:  # no flips at D = 0, or rounding next to ±1
        return copysign(inf, excess) if excess else 0.0
    return excess / sqrt(variance)


def tango_interval(lost: float, gained: float, pairs: float, *, level: float = 0.95) -> Interval:
    """Two-sided score interval for the paired difference (candidate minus reference); no pairs say nothing: (−1, 1).

    The bounds are the differences that Tango's score test does not reject: the roots of `tango_score` = ±z.
    Source: Tango, Statistics in Medicine 17 (1998) 891-908.
    """
    if pairs == 0:
        return Interval(-1.0, 1.0)
    z = NormalDist().inv_cdf((1 + level) / 2)
    # The upper bound is the lower bound of the mirrored table, so that symmetry holds to the last digit.
    return Interval(_tango_low(lost, gained, pairs, z), -_tango_low(gained, lost, pairs, z))


def _tango_low(lost: float, gained: float, pairs: float, z: float) -> float:
    from scipy.optimize import brentq  # noqa: PLC0415  half a second, at every start of the program

    if lost == pairs:
        return -1.0
    observed = (gained - lost) / pairs
    just_above, just_below = -1 + 1e-12, observed - 1e-12
    return float(brentq(lambda d: tango_score(lost, gained, pairs, d) - z, just_above, just_below, xtol=1e-12))


def newcombe_interval(  # the whole table: unlike Tango's interval this one uses the concordant pairs
    both: int, lost: int, gained: int, neither: int, *, level: float = 0.95
) -> Interval:
    """Square-and-add interval for the paired difference (candidate minus reference); an empty table gives (−1, 1).

    Wilson intervals of the two margins, joined with the continuity-corrected φ.
    Source: Newcombe, Statistics in Medicine 17 (1998) 2635-2650, method 10.
    """
    pairs = both + lost + gained + neither
    if pairs == 0:
        return Interval(-1.0, 1.0)
    reference = wilson_interval(both + lost, pairs, level=level)
    candidate = wilson_interval(both + gained, pairs, level=level)
    p_reference, p_candidate = (both + lost) / pairs, (both + gained) / pairs
    phi = _corrected_phi(both, lost, gained, neither)
    down = _square_and_add(p_candidate - candidate.low, reference.high - p_reference, phi)
    up = _square_and_add(p_reference - reference.low, candidate.high - p_candidate, phi)
    difference = (gained - lost) / pairs
    return Interval(difference - down, difference + up)


def _square_and_add(one: float, other: float, phi: float) -> float:
    return sqrt(max(one * one - 2 * phi * one * other + other * other, 0.0))


def _corrected_phi(both: int, lost: int, gained: int, neither: int) -> float:
    """φ of the table, its numerator drawn towards 0 by pairs / 2 where it is positive; 0 where a margin is empty."""
    margins = (both + lost) * (gained + neither) * (both + gained) * (lost + neither)
    if margins == 0:
        return 0.0
    numerator = float(both * neither - lost * gained)
    if numerator > 0:
        numerator = max(numerator - (both + lost + gained + neither) / 2, 0.0)
    return numerator / sqrt(margins)
