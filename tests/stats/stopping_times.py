"""The exact distribution of the stopping time (docs/design/statistics.md), which projections are held against."""

from __future__ import annotations

from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc

from kvassay.stats.eprocess import harm_log_e_values, within_margin_log_e_values

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
