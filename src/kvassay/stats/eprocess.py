"""Anytime-valid evidence on pairs: e-processes for harm, for gain, for a loss within the margin, and their interval.

An e-value of 20 is evidence at α = .05, and may be looked at after every pair: under the null the chance that an
e-process *ever* reaches 1/α is at most α (Ville, Étude critique de la notion de collectif, 1939). Counts are as in
`kvassay.stats.paired`: X = −1 for a pair lost, +1 for one gained, 0 for all others.

Why they are valid. Each e-process is a mixture, with weights fixed beforehand, of products of bets, one factor a pair,
and each factor is linear in X and never negative. Under the null its expectation given everything seen before is at
most 1, whatever the rates of that pair; they may differ from pair to pair and depend on the past. So each product is a
nonnegative supermartingale that begins at 1, and so is the mixture, because the weights don't depend on the data.

Pairs whose means differ (families of probes in a fixed proportion) need less: if they are independent and the null
holds on average over a round, the expectation of the round's product is at most its average factor to the power of the
round's size (arithmetic and geometric mean), again at most 1: looked at after whole rounds, nothing else changes.

Sources: Waudby-Smith & Ramdas, JRSS B 86 (2024) 1-27 (bets on bounded means); Turner, Ly, Grünwald, Journal of
Statistical Planning and Inference 230 (2024) 106116 (e-variables for Bernoulli streams in blocks); Ramdas, Grünwald,
Vovk, Shafer, Statistical Science 38 (2023) 576-601 (e-processes, Ville's inequality); Robbins, Annals of Mathematical
Statistics 41 (1970) 1397-1409 (mixtures).
"""

from __future__ import annotations

import sys
from functools import lru_cache
from math import exp, log
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincc, betaln, roots_jacobi

from kvassay.stats.binomial import Interval

Floats = NDArray[np.float64]

_LARGEST_LOG = log(sys.float_info.max)


def harm_e_value(lost: int, gained: int) -> float:
    """Evidence that pairs are lost more often than gained; null: P(lost | discordant) ≤ ½ for each pair.

    A discordant pair multiplies a bet on P(lost | discordant) = θ by 2θ if lost and by 2(1 − θ) if gained, whose null
    expectation is 1 + (2θ − 1)(2P(lost | discordant) − 1) ≤ 1 for θ ≥ ½; other pairs leave it alone. The bets are mixed
    over θ ~ Beta(2, 1) truncated to (½, 1], which gives the closed form

        e = ⁸⁄₃ · 2^(lost + gained) · B(lost + 2, gained + 1) · P(Beta(lost + 2, gained + 1) > ½).

    No data give 1; the order of the pairs is immaterial; six pairs lost and none gained pass 20. Values too large for
    a float are returned as the largest one.
    """
    return _as_e_value(harm_log_e_values(lost, gained))


def within_margin_e_value(lost: float, gained: float, pairs: float, *, margin: float) -> float:
    """Evidence that the loss is less than ``margin``; null: the mean of X is at most −margin, 0 < margin < 1.

    A pair multiplies the bet λ by 1 + λ(X + margin), which for 0 ≤ λ ≤ 1 / (1 − margin) is never negative and has null
    expectation 1 + λ(E[X] + margin) ≤ 1. The bets are mixed over λ(1 − margin) on 64 fixed points of Beta(3, 3/2)
    (the nodes of its Gauss-Jacobi quadrature), a finite mixture in closed form: valid as it stands, not as an
    approximation. The weight near λ's upper end is what passes the margin quickly without flips (79 pairs at a
    margin of 5 points); the rest is for a few flips.

    No data give 1; the order of the pairs is immaterial. Values too large for a float are returned as the largest one.
    """
    return _as_e_value(within_margin_log_e_values(lost, gained, pairs, margin=margin))


def anytime_interval(lost: float, gained: float, pairs: float, *, level: float = 0.95) -> Interval:
    """Two-sided confidence sequence for the paired difference (candidate minus reference); no pairs give (−1, 1).

    The chance that it *ever* leaves out the true difference, looked at after every pair, is at most 1 − ``level``. Its
    ends are the differences that `within_margin_e_value` and its mirror image don't refute, so that the lower end
    at level 1 − 2α lies above −margin exactly if that e-value is above 1/α.
    Source: Waudby-Smith & Ramdas, JRSS B 86 (2024) 1-27, section 4: confidence sequences by inverting bets.
    """
    # The upper end is the lower end of the mirrored table, so that symmetry holds to the last digit.
    needed = log(2 / (1 - level))
    return Interval(_anytime_low(lost, gained, pairs, needed), -_anytime_low(gained, lost, pairs, needed))


def _anytime_low(lost: float, gained: float, pairs: float, needed: float) -> float:
    """The e-value rises with the margin, through the whole of (−1, 1), unless every pair was lost. Where nearly every
    one was, no margin that a float tells from 1 may suffice.
    """
    from scipy.optimize import brentq  # noqa: PLC0415  half a second, at every start of the program

    def excess(margin: float) -> float:
        return float(within_margin_log_e_values(lost, gained, pairs, margin=margin)) - needed

    lowest, highest = -1 + 1e-12, 1 - 1e-12
    if lost == pairs or excess(highest) <= 0:
        return -1.0
    return -float(brentq(excess, lowest, highest, xtol=1e-12))


def _as_e_value(log_e: Floats) -> float:
    return exp(min(float(log_e), _LARGEST_LOG))


def harm_log_e_values(lost: ArrayLike, gained: ArrayLike) -> Floats:
    """The logarithm of `harm_e_value`, over arrays; the counts may be expected ones (fractions)."""
    lost, gained = np.broadcast_arrays(np.asarray(lost, dtype=float), np.asarray(gained, dtype=float))
    ahead = lost > gained
    # Where more was lost the tail is at least ½; elsewhere it may underflow, and a sum of positive terms is exact.
    tail = betaincc(np.where(ahead, lost, 0) + 2, np.where(ahead, gained, 0) + 1, 0.5)
    by_beta = (lost + gained + 3) * log(2) - log(3) + betaln(lost + 2, gained + 1) + np.log(tail)
    terms = _sum_of_terms(np.where(ahead, 0, lost), np.where(ahead, 0, gained))
    by_sum = log(2 / 3) - np.log(gained + 1) + np.log(terms)
    return np.asarray(np.where(ahead, by_beta, by_sum), dtype=float)


def _sum_of_terms(lost: Floats, gained: Floats) -> Floats:
    """Σₖ Πⱼ₍ⱼ₌₀…ₖ₋₁₎ (lost + 1 − j) / (gained + 2 + j), so that e = ⅔ · sum / (gained + 1); for lost ≤ gained.

    It is 2F1(−lost − 1, 1; gained + 2; −1), from the tail's hypergeometric form (DLMF 8.17.8) and Pfaff's
    transformation (DLMF 15.8.1): finite for whole counts, and without cancellation.
    """
    term, total, j = np.ones_like(lost), np.ones_like(lost), 0
    while np.any(np.abs(term) > 1e-17 * total):
        term = term * (lost + 1 - j) / (gained + 2 + j)
        total = total + term
        j += 1
    return total


def within_margin_log_e_values(lost: ArrayLike, gained: ArrayLike, pairs: ArrayLike, *, margin: float) -> Floats:
    """The logarithm of `within_margin_e_value`, over arrays; the counts may be expected ones (fractions).

    Valid for every margin strictly between −1 and 1; a negative one asks for a gain of at least that much.
    """
    lost, gained, pairs = (np.asarray(counts, dtype=float)[..., None] for counts in (lost, gained, pairs))
    bets = _margin_bets(margin)
    growth = lost * bets.log_if_lost + gained * bets.log_if_gained + (pairs - lost - gained) * bets.log_if_kept
    growth += bets.log_weight
    highest = growth.max(axis=-1, keepdims=True)
    return np.asarray(highest[..., 0] + np.log(np.exp(growth - highest).sum(axis=-1)), dtype=float)


class _Bets(NamedTuple):
    """The logarithms of the bets' weights, and of what each bet is multiplied by for a pair; shape (64,)."""

    log_weight: Floats
    log_if_lost: Floats
    log_if_kept: Floats
    log_if_gained: Floats


@lru_cache(maxsize=16)
def _margin_bets(margin: float) -> _Bets:
    share, log_weight = _beta_points()
    stake = share / (1 - margin)
    return _Bets(log_weight, np.log1p(-share), np.log1p(stake * margin), np.log1p(stake * (1 + margin)))


@lru_cache(maxsize=1)
def _beta_points() -> tuple[Floats, Floats]:
    """64 points of (0, 1) and the logarithms of their weights, which add up to 1: Beta(3, 3/2)."""
    node, weight = roots_jacobi(64, 0.5, 2.0)  # on (−1, 1), weight (1 − x)^½ (1 + x)²
    return (1 + node) / 2, np.log(weight / weight.sum())
