"""Several claims at once: Holm's adjustment of p-values, its counterpart for e-values, and e-BH."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values in the given order: rejecting those ≤ α keeps the chance of any false rejection ≤ α.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979) 65-70.
    """
    adjusted = [0.0] * len(p_values)
    reached = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = reached
    return tuple(adjusted)


def holm_e(e_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted e-values in the given order: rejecting those ≥ 1/α keeps the chance of any false rejection ≤ α.

    Closed testing by the arithmetic mean, under any dependence: an e-value becomes the least mean of itself and any
    set of the others, which is never below Bonferroni's e / K nor below Holm's step-down on e-values. For e-processes
    that are all looked at after the same pairs it holds at any time, since their mean is an e-process too.
    Source: Vovk & Wang, Annals of Statistics 49 (2021) 1736-1754, algorithm 1.
    """
    adjusted = [0.0] * len(e_values)
    smaller: list[float] = []
    for index in sorted(range(len(e_values)), key=e_values.__getitem__):
        # The mean is least together with some of the smallest others; none larger than itself can lower it.
        sums = accumulate(smaller, initial=e_values[index])
        adjusted[index] = min(total / size for size, total in enumerate(sums, start=1))
        smaller.append(e_values[index])
    return tuple(adjusted)


def e_bh(e_values: Sequence[float], *, alpha: float) -> tuple[bool, ...]:
    """Which claims to report so that the expected share of false ones among them is at most ``alpha``.

    The k largest, for the greatest k whose k-th largest e-value is at least K / (k · alpha) among K; valid under any
    dependence. Source: Wang & Ramdas, JRSS B 84 (2022) 822-852.
    """
    ranked = sorted(e_values, reverse=True)
    passed = [e_value for k, e_value in enumerate(ranked, start=1) if k * e_value >= len(ranked) / alpha]
    return tuple(bool(passed) and e_value >= passed[-1] for e_value in e_values)
