"""Clustered paired differences: by hand, and under random scenario effects."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kvassay.stats.cluster import clustered_difference, sign_flip
from kvassay.stats.paired import mcnemar_harm

sums_lists = st.lists(st.integers(-6, 6), max_size=9)


def by_enumeration(sums: list[int], alternative: str) -> float:
    totals = [
        sum(sign * number for sign, number in zip(signs, sums, strict=True))
        for signs in product((1, -1), repeat=len(sums))
    ]
    if alternative == "less":
        return float(np.mean([total <= sum(sums) for total in totals]))
    return float(np.mean([abs(total) >= abs(sum(sums)) for total in totals]))


@given(sums_lists, st.sampled_from(["less", "two-sided"]))
@settings(deadline=None)
def test_sign_flip_equals_enumeration(sums: list[int], alternative: str) -> None:
    """The p-value is the share of all patterns of signs with a total as extreme."""
    assert sign_flip(sums, alternative=alternative) == pytest.approx(by_enumeration(sums, alternative))


@given(sums_lists)
@settings(deadline=None)
def test_sign_flip_is_symmetric_and_ignores_order(sums: list[int]) -> None:
    """Two-sidedly all signs may be turned; and the order of the clusters, or clusters without change, say nothing."""
    p_value = sign_flip(sums)
    assert sign_flip([-number for number in sums]) == p_value
    assert sign_flip([0, *reversed(sums), 0]) == p_value


@pytest.mark.parametrize("lost", [1, 5, 14])
def test_one_lost_pair_in_each_cluster_is_mcnemars_test(lost: int) -> None:
    """Clusters of a single pair make the sign-flip test the sign test, exactly McNemar's."""
    assert sign_flip([-1] * lost, alternative="less") == pytest.approx(mcnemar_harm(lost, 0))


def test_many_clusters_are_sampled_near_the_exact_value_and_never_give_zero() -> None:
    """Beyond 14 clusters: near McNemar's p-value for single pairs, at least 1 in 10,000, and the same every time."""
    sums = [-1] * 13 + [1] * 5
    assert sign_flip(sums, alternative="less") == pytest.approx(mcnemar_harm(13, 5), abs=0.005)
    assert sign_flip([-1] * 60, alternative="less") == 1 / 10_000
    assert sign_flip(sums) == sign_flip(sums)


def test_rounding_is_no_change() -> None:
    """Sums that differ from 0 by rounding only are clusters without change."""
    assert sign_flip([1e-17] * 30) == 1.0


def test_pairs_count_the_same_in_clusters_of_unequal_size() -> None:
    """The estimate is the mean over pairs, not over clusters; empty clusters are left out."""
    found = clustered_difference({"a": [-1, 0, 0, 0, 0, 0], "b": [-1, 0], "c": [0, 0], "d": []})
    assert found.difference == pytest.approx(-2 / 10)
    assert (found.clusters, found.pairs) == (3, 10)
    assert 0 < found.df < 2  # the large cluster weighs more than a third
    assert -1 <= found.low < found.difference < found.high


@pytest.mark.parametrize("differences", [{}, {"only": [-1, -1, 0]}])
def test_fewer_than_two_clusters_say_nothing_beyond_them(differences: dict[str, list[int]]) -> None:
    """One scenario, or none, allows no claim about others."""
    found = clustered_difference(differences)
    assert (found.low, found.high, found.p_harm, found.df) == (-1.0, 1.0, 1.0, 0.0)
    assert found.sign_flip_p_harm >= 0.5


@given(
    st.dictionaries(
        st.integers(), st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=8), min_size=2, max_size=8
    )
)
@settings(deadline=None, max_examples=60)
def test_swapping_the_arms_negates_the_interval(differences: dict[int, list[int]]) -> None:
    """Exchanging reference and candidate turns the sign of all."""
    found = clustered_difference(differences)
    swapped = clustered_difference({cluster: [-pair for pair in pairs] for cluster, pairs in differences.items()})
    assert (swapped.difference, swapped.low, swapped.high) == pytest.approx(
        (-found.difference, -found.high, -found.low)
    )


# --------------------------------------------------------------------------- random scenario effects, 20 × 20


def drawn(spread: float, *, runs: int, shift: float = 0.0) -> NDArray[np.int64]:
    """Differences (runs, 20 scenarios, 20 pairs): 30 % flip, each scenario's P(lost | flip) is ½ ± spread."""
    rng = np.random.default_rng(20270)
    own = 0.5 + shift + rng.uniform(-spread, spread, size=(runs, 20, 1))
    flips = rng.random((runs, 20, 20)) < 0.3
    lost = rng.random((runs, 20, 20)) < own
    return np.where(flips, np.where(lost, -1, 1), 0)


@pytest.mark.parametrize(("spread", "at_least"), [(0.3, 0.09), (0.5, 0.15)])
def test_the_scenario_is_the_unit_where_scenarios_differ(spread: float, at_least: float) -> None:
    """McNemar on pairs finds harm that is none far too often; the sign-flip test keeps to about 5 %."""
    runs = drawn(spread, runs=600)
    naive = [mcnemar_harm(int((run == -1).sum()), int((run == 1).sum())) <= 0.05 for run in runs]
    flipped = [sign_flip(run.sum(axis=1).tolist(), alternative="less", draws=399) <= 0.05 for run in runs]
    assert np.mean(naive) >= at_least
    assert np.mean(flipped) <= 0.065  # .05 and 1.7 standard errors of 600 runs


def test_the_clustered_interval_covers_where_scenarios_differ() -> None:
    """The clustered t interval holds the true mean difference in about 95 % of 400 seeded runs of 10 scenarios."""
    runs = drawn(0.4, runs=400, shift=0.1)[:, :10]
    truth = -0.3 * 0.2
    intervals = [clustered_difference(dict(enumerate(run.tolist()))) for run in runs]
    assert np.mean([found.low <= truth <= found.high for found in intervals]) >= 0.93
    assert np.mean([found.p_harm <= 0.05 for found in intervals]) > 0.15
