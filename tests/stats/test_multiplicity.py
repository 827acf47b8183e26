"""Several claims at once, on p-values and on e-values."""

from __future__ import annotations

from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import fdrcorrection, multipletests

from kvassay.stats.eprocess import harm_log_e_values
from kvassay.stats.multiplicity import e_bh, holm, holm_e


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
@settings(deadline=None, max_examples=25)  # statsmodels takes 30 ms a call
def test_equals_statsmodels(p_values: list[float]) -> None:
    """It is Holm's adjustment of an independent implementation, in the given order."""
    assert holm(p_values) == pytest.approx(tuple(multipletests(p_values, method="holm")[1]))


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=7), st.floats(0, 0.1))
def test_the_next_claim_stands_at_alpha_over_the_open_ones(p_values: list[float], p_value: float) -> None:
    """Whatever the others show, a claim not yet rejected is rejected once its p ≤ α / (claims not rejected)."""
    first, *_ = adjusted = holm(p_values)
    assume(first > 0.05)
    level = 0.05 / sum(each > 0.05 for each in adjusted)
    assume(abs(p_value - level) > 1e-12)
    assert (holm([p_value, *p_values[1:]])[0] <= 0.05) == (p_value < level)


def test_of_nothing_is_nothing() -> None:
    """No claims need no adjustment."""
    assert holm([]) == ()


# --------------------------------------------------------------------------- e-values

e_values_lists = st.lists(st.floats(0, 1e6), min_size=1, max_size=7)


def closed_by_means(e_values: list[float]) -> list[float]:
    """Closed testing by brute force: the least mean over all sets of hypotheses that hold the one in question."""
    indices = range(len(e_values))
    sets = [chosen for size in range(1, len(e_values) + 1) for chosen in combinations(indices, size)]
    return [min(fmean(e_values[i] for i in chosen) for chosen in sets if index in chosen) for index in indices]


@given(e_values_lists)
def test_holm_e_is_closed_testing_by_means(e_values: list[float]) -> None:
    """It equals brute force over all intersections, and is never below Bonferroni's e / K."""
    adjusted = holm_e(e_values)
    assert adjusted == pytest.approx(closed_by_means(e_values), rel=1e-9)
    assert all(own >= e_value / len(e_values) * (1 - 1e-12) for own, e_value in zip(adjusted, e_values, strict=True))


def test_holm_e_by_hand() -> None:
    """Two strong arms among three carry each other: 60 and 90 beside 1 stand at 20 or more, the 1 does not."""
    assert holm_e([60.0, 1.0, 90.0]) == pytest.approx((30.5, 1.0, 45.5))
    assert holm_e([]) == ()


@given(e_values_lists, st.sampled_from([0.05, 0.1, 0.2]))
def test_e_bh_is_bh_on_the_inverses(e_values: list[float], alpha: float) -> None:
    """It rejects what Benjamini-Hochberg's step-up rejects given 1/e as p-values, as statsmodels computes it."""
    assume(all(abs(k * e - len(e_values) / alpha) > 1e-6 for e in e_values for k in range(1, len(e_values) + 1)))
    inverses = [min(1.0, 1 / e_value) if e_value else 1.0 for e_value in e_values]
    assert e_bh(e_values, alpha=alpha) == tuple(fdrcorrection(inverses, alpha=alpha)[0])


def test_e_bh_by_hand() -> None:
    """At α .05, of four: 41 and 45 pass together (2 · 40 ≥ 4 / α) though neither would alone; ties share their fate."""
    assert e_bh([41.0, 3.0, 45.0, 0.2], alpha=0.05) == (True, False, True, False)
    assert e_bh([41.0, 3.0, 30.0, 0.2], alpha=0.05) == (False, False, False, False)
    assert e_bh([40.0, 40.0], alpha=0.05) == (True, True)
    assert e_bh([], alpha=0.05) == ()


def test_harm_is_seldom_found_in_any_of_four_arms_however_often_one_looks() -> None:
    """Four arms without harm share a reference, all looked at after each pair: at most 5 % of runs ever call harm."""
    rng = np.random.default_rng(20267)
    right = rng.random((600, 150, 5)) < 0.8
    lost = np.cumsum(right[..., :1] & ~right[..., 1:], axis=1)
    gained = np.cumsum(~right[..., :1] & right[..., 1:], axis=1)
    e_values = np.exp(harm_log_e_values(lost, gained))
    strongest = e_values.max(axis=2) >= 20  # the adjusted ones are never greater, so only these moments need Holm
    alarms = [
        any(max(holm_e(moment)) >= 20 for moment in run[looked].tolist())
        for run, looked in zip(e_values, strongest, strict=True)
    ]
    assert np.mean(alarms) <= 0.05
