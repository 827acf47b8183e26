"""How many more pairs it takes until the e-processes of an arm decide, if flips go on as they did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import ceil, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from kvassay.stats.eprocess import harm_log_e_values, within_margin_log_e_values
from kvassay.stats.paired import Flips
from kvassay.stats.power import NEVER

Floats = NDArray[np.float64]


class Evidence(NamedTuple):
    """A part of a mean of e-values: its share, and the flips that its `harm_e_value` counts."""

    share: float
    flips: Flips


def pairs_to_harm(evidence: Sequence[Evidence], pairs: int, *, alpha: float) -> int | None:
    """How many more pairs until the mean of `harm_e_value`s reaches 1/``alpha``, if flips go on as in these ``pairs``.

    About half of all runs with these true rates take longer. None where no part has more lost than gained.
    """
    if not any(flips.lost > flips.gained for _, flips in evidence):
        return None
    shares, flips = (np.array(column, dtype=float) for column in zip(*evidence, strict=True))
    lost, gained = flips.T / pairs
    return _more_until(lambda total: logsumexp(harm_log_e_values(lost * total, gained * total), b=shares), pairs, alpha)


def pairs_to_margin(lost: int, gained: int, pairs: int, *, margin: float, alpha: float) -> int | None:
    """How many more pairs until `within_margin_e_value` reaches 1/``alpha``, if flips go on at the observed rates.

    About half of all runs with these true rates take longer. None where the rates lose the margin or more. Before the
    first pair: the pairs of a run without flips.
    """
    lost_rate, gained_rate = (lost / pairs, gained / pairs) if pairs else (0.0, 0.0)
    if gained_rate - lost_rate <= -margin:
        return None
    evidence = partial(within_margin_log_e_values, margin=margin)
    return _more_until(lambda total: evidence(lost_rate * total, gained_rate * total, total), pairs, alpha)


def _more_until(log_e: Callable[[int], Floats | np.float64], pairs: int, alpha: float) -> int | None:
    """Walk along the observed rates. There log e, also of a mean of several e-values, is convex in the pairs and begins
    at 0, so it crosses only once.
    """
    below, above = 0, max(pairs, 1)
    while log_e(above) < -log(alpha):
        below, above = above, 2 * above
        if above > NEVER:
            return None
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if log_e(middle) >= -log(alpha) else (middle, above)
    return max(above - pairs, 0)


def more_pairs_anytime(
    lost: int,
    gained: int,
    pairs: int,
    *,
    margin: float,
    alpha: float,
    claims: int = 1,
    evidence: Sequence[Evidence] = (),
) -> int:
    """About how many pairs are missing until one of the two e-processes decides, at the observed rates of flips.

    The counterpart of `kvassay.stats.power.more_pairs` for runs that stop by e-values, and the same sort of projection:
    harm is asked for only where the loss is at least half the margin, the result is rounded up to tens, and is at least
    10. ``claims``: harm needs ``claims``/``alpha``, as Holm's adjustment has it for the next claim. ``evidence``: what
    the e-value of harm is made of, where that is not the pairs themselves.
    """
    missing = [pairs_to_margin(lost, gained, pairs, margin=margin, alpha=alpha)]
    if pairs and lost - gained >= margin * pairs / 2:
        parts = evidence or [Evidence(1.0, Flips(lost, gained))]
        missing.append(pairs_to_harm(parts, pairs, alpha=alpha / claims))
    nearest = min((more for more in missing if more is not None), default=NEVER)
    return max(10, ceil(nearest / 10) * 10)
