"""When the e-processes of an arm decide: the exact distribution of the stopping time, and the pairs still needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import ceil, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc, logsumexp

from kvassay.stats.eprocess import harm_log_e_values, within_margin_log_e_values
from kvassay.stats.paired import Flips
from kvassay.stats.power import NEVER

Floats = NDArray[np.float64]

_NEGLIGIBLE = 1e-12  # chance of more flips than the exact distribution follows


class Stopping(NamedTuple):
    """The chance that an arm has ended by n pairs, for n = 0 … pairs: because of harm, or as within margin."""

    harm: Floats
    within_margin: Floats

    def pairs_by(self, share: float) -> int | None:
        """The pairs by which this share of runs has ended for either reason; None beyond the planned pairs."""
        ended = np.flatnonzero(self.harm + self.within_margin >= share)
        return int(ended[0]) if ended.size else None


def stopping(
    *, lost_rate: float, gained_rate: float, pairs: int, alpha: float, margin: float | None = None, every: int = 1
) -> Stopping:
    """The distribution of the stopping time over runs of ``pairs`` independent pairs with these true rates.

    The arm ends when `harm_e_value`, or with a ``margin`` `within_margin_e_value`, reaches 1/``alpha``, looked at after
    each ``every`` pairs (harm first, should both). Exact: the chances of all (lost, gained) not yet ended are carried
    from pair to pair, but for at most 10⁻¹² of runs with more flips than that. At equal rates ``harm`` is the chance
    of a false alarm, at rates that lose the margin or more ``within_margin`` is.
    """
    lost, gained = (np.arange(_most_flips(rate, pairs) + 1) for rate in (lost_rate, gained_rate))
    harm = harm_log_e_values(lost[:, None], gained[None, :]) >= -log(alpha)
    running = np.zeros(harm.shape)
    running[0, 0] = 1.0
    ended = np.zeros((2, pairs + 1))
    for pair in range(1, pairs + 1):
        running = _one_more_pair(running, lost_rate, gained_rate)
        ended[:, pair] = ended[:, pair - 1]
        if pair % every == 0:
            ended[0, pair] += _end(running, harm)
            if margin is not None:
                ended[1, pair] += _end(running, _within(running, pair, margin=margin, alpha=alpha))
    return Stopping(*ended)


def _most_flips(rate: float, pairs: int) -> int:
    more_than = bdtrc(np.arange(pairs + 1), pairs, rate)
    return int(np.argmax(more_than <= _NEGLIGIBLE / 2))


def _one_more_pair(running: Floats, lost_rate: float, gained_rate: float) -> Floats:
    after = (1 - lost_rate - gained_rate) * running
    after[1:] += lost_rate * running[:-1]
    after[:, 1:] += gained_rate * running[:, :-1]
    return after


def _within(running: Floats, pairs: int, *, margin: float, alpha: float) -> NDArray[np.bool_]:
    """Where the margin's e-value suffices, of the (lost, gained) that runs have reached."""
    decided = np.zeros(running.shape, dtype=bool)
    lost, gained = np.nonzero(running > _NEGLIGIBLE / running.size)
    decided[lost, gained] = within_margin_log_e_values(lost, gained, pairs, margin=margin) >= -log(alpha)
    return decided


def _end(running: Floats, decided: NDArray[np.bool_]) -> float:
    """Take the decided runs out of those running, and say how many (as a chance) they were."""
    ending = float(running[decided].sum())
    running[decided] = 0.0
    return ending


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
