"""How many pairs it takes: to show a loss within the margin, to detect a drop, to settle what is undecided."""

from __future__ import annotations

from functools import lru_cache
from itertools import count
from math import ceil, floor, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrc, bdtrik

from kvassay.stats.paired import Flips, tango_score

NEVER = 10_000_000
"""Pairs that nobody asks: what a projection says where no decision is in sight."""

_ROUNDING = 1e-9  # a power that is reached exactly, as 1/2 often is, is reached
_EXACT_UP_TO = 500  # pairs; beyond it the normal formula is within some 10 % of the exact count, and much quicker


def pairs_for_margin(*, margin: float, alpha: float, lost_rate: float = 0.0, gained_rate: float = 0.0) -> int | None:
    """Pairs after which Tango's lower bound lies above −margin, if pairs flip at exactly these rates.

    One-sided ``alpha``. Without flips it is z²(1 − margin) / margin rounded up. None where the rates themselves lose
    the margin or more. The score grows with the square root of the pairs, hence the closed form.
    """
    if gained_rate - lost_rate <= -margin:
        return None
    score_of_one = tango_score(lost_rate, gained_rate, 1.0, -margin)
    return floor((NormalDist().inv_cdf(1 - alpha) / score_of_one) ** 2) + 1


def mcnemar_power(pairs: int, *, lost_rate: float, gained_rate: float, alpha: float) -> float:
    """Chance that the exact one-sided McNemar test at ``alpha`` finds harm in ``pairs`` pairs with these true rates.

    Exact and unconditional: summed over the binomial number of discordant pairs.
    """
    flip_rate = lost_rate + gained_rate
    if not flip_rate:
        return 0.0
    discordant = np.arange(1, pairs + 1)
    critical = _critical_losses(max(pairs, 2 * _EXACT_UP_TO), alpha)[:pairs]
    rejected = np.where(critical > discordant, 0.0, bdtrc(critical - 1, discordant, lost_rate / flip_rate))
    chance = bdtr(discordant, pairs, flip_rate) - bdtr(discordant - 1, pairs, flip_rate)
    return float(np.sum(chance * rejected))


@lru_cache(maxsize=16)
def _critical_losses(up_to: int, alpha: float) -> NDArray[np.float64]:
    """For 1 … ``up_to`` discordant pairs, the least number lost that the one-sided exact test calls harm."""
    discordant = np.arange(1, up_to + 1)
    # bdtrik inverts a smooth extension of the binomial distribution function, so its ceiling may be one off at a jump.
    critical = np.ceil(bdtrik(1 - alpha, discordant, 0.5)) + 1
    critical = np.where(bdtrc(critical - 2, discordant, 0.5) <= alpha, critical - 1, critical)
    return np.where(bdtrc(critical - 1, discordant, 0.5) > alpha, critical + 1, critical)


def pairs_for_drop(*, lost_rate: float, gained_rate: float, alpha: float, power: float) -> int:
    """The fewest pairs at which `mcnemar_power` reaches ``power``; ``lost_rate`` must exceed ``gained_rate``.

    Above 500 pairs the normal formula instead: Connor, Biometrics 43 (1987) 207-211.
    """
    drop, flip_rate = lost_rate - gained_rate, lost_rate + gained_rate
    z_alpha, z_power = NormalDist().inv_cdf(1 - alpha), NormalDist().inv_cdf(power)
    approximate = ((z_alpha * sqrt(flip_rate) + z_power * sqrt(max(flip_rate - drop**2, 0.0))) / drop) ** 2
    if approximate > _EXACT_UP_TO:
        return ceil(approximate)
    # Power is a saw-tooth in the pairs, so it is walked up, from well below where the formula puts the answer.
    return next(
        pairs
        for pairs in count(max(1, int(0.5 * approximate)))
        if mcnemar_power(pairs, lost_rate=lost_rate, gained_rate=gained_rate, alpha=alpha) >= power - _ROUNDING
    )


def more_pairs(
    lost: int,
    gained: int,
    pairs: int,
    *,
    margin: float,
    alpha: float,
    claims: int = 1,
    witnesses: Flips | None = None,
    power: float = 0.8,
) -> int:
    """About how many pairs are missing until one of the two decisions falls, if flips go on at the observed rates.

    A projection, not a promise: it is rounded up to tens, and at least 10. ``claims`` is what Holm's adjustment divides
    ``alpha`` by for the next claim of harm: this one and the others not yet shown. ``witnesses``: what the test of harm
    counts in these pairs, where that is not the pairs themselves. `NEVER` where the rates lead to neither decision.
    """
    rates = {"lost_rate": lost / pairs, "gained_rate": gained / pairs} if pairs else {}
    totals = [pairs_for_margin(margin=margin, alpha=alpha, **rates)]
    seen = witnesses or Flips(lost, gained)
    if pairs and lost - gained >= margin * pairs / 2 and seen.lost > seen.gained:
        rates = {"lost_rate": seen.lost / pairs, "gained_rate": seen.gained / pairs}
        totals.append(pairs_for_drop(alpha=alpha / claims, power=power, **rates))
    nearest = min((total - pairs for total in totals if total is not None), default=NEVER)
    return max(10, ceil(nearest / 10) * 10)
