"""Clustered paired differences: by hand, by enumeration, and under random scenario effects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from kvassay.stats.cluster import Shares, clustered_difference, permutation, share_greater, sign_flip
from kvassay.stats.paired import mcnemar_harm

sums_lists = st.lists(st.integers(-6, 6), max_size=9)


def by_enumeration(sums: Sequence[Fraction | int], alternative: str) -> float:
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


def by_convolution(sums: list[int], alternative: str) -> float:
    """The exact p-value for any number of clusters, from the distribution of the total under random signs."""
    totals = {0: 1.0}
    for number in sums:
        moved: dict[int, float] = defaultdict(float)
        for total, chance in totals.items():
            moved[total + number] += chance / 2
            moved[total - number] += chance / 2
        totals = moved
    observed = sum(sums)
    if alternative == "less":
        return sum(chance for total, chance in totals.items() if total <= observed)
    return sum(chance for total, chance in totals.items() if abs(total) >= abs(observed))


@given(st.lists(st.integers(-6, 6), min_size=10, max_size=14), st.sampled_from(["less", "two-sided"]))
@settings(deadline=None, max_examples=40)
def test_sign_flip_equals_the_distribution_of_the_total(sums: list[int], alternative: str) -> None:
    """Up to 14 clusters it is exact."""
    assert sign_flip(sums, alternative=alternative) == pytest.approx(by_convolution(sums, alternative))


@given(
    st.lists(st.integers(-6, 6).filter(bool), min_size=15, max_size=40),
    st.sampled_from(["less", "two-sided"]),
    st.integers(0, 99),
)
@settings(deadline=None, max_examples=40)
def test_sampled_signs_are_near_the_distribution_of_the_total(sums: list[int], alternative: str, seed: int) -> None:
    """Beyond 14 clusters it lies within five standard errors of 9,999 draws, and five draws, of the exact p-value."""
    exact = by_convolution(sums, alternative)
    sampled = sign_flip(sums, alternative=alternative, seed=seed)
    assert sampled == pytest.approx(exact, abs=5 * np.sqrt(exact * (1 - exact) / 9_999) + 5 / 10_000)


@given(st.lists(st.fractions(-1, 1, max_denominator=7), max_size=8), st.sampled_from(["less", "two-sided"]))
@settings(deadline=None)
def test_sums_of_unequal_depths_tie_as_their_fractions_do(sums: list[Fraction], alternative: str) -> None:
    """Means over depths are thirds and sevenths: totals that are equal as fractions are equal as floats."""
    assert sign_flip([float(number) for number in sums], alternative=alternative) == pytest.approx(
        by_enumeration(sums, alternative)
    )


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


@given(
    st.dictionaries(
        st.integers(), st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=30), min_size=2, max_size=12
    )
)
@settings(deadline=None, max_examples=100)
def test_clustered_t_by_hand(differences: dict[int, list[int]]) -> None:
    """For a lone mean of N pairs Bell and McCaffrey's sums are short: with nᵢ pairs and Sᵢ the sum of a cluster's
    residuals, variance Σ Sᵢ² / (N² − N nᵢ), and Q has the entries (nᵢ [i = j] − nᵢ nⱼ / N) / (N √((N − nᵢ)(N − nⱼ))).
    """
    sizes = {cluster: len(pairs) for cluster, pairs in differences.items()}
    n = sum(sizes.values())
    mean = Fraction(sum(map(sum, differences.values())), n)
    residuals = {cluster: sum(pairs) - sizes[cluster] * mean for cluster, pairs in differences.items()}
    assume(any(residuals.values()))
    error = np.sqrt(float(sum(residuals[c] ** 2 / (n * (n - sizes[c])) for c in sizes)))
    squares = sum(
        (sizes[a] * (a == b) - Fraction(sizes[a] * sizes[b], n)) ** 2 / ((n - sizes[a]) * (n - sizes[b]))
        for a, b in product(sizes, repeat=2)
    )
    df = float(1 / squares)  # the trace of N · Q is 1
    found = clustered_difference(differences, level=0.9)
    assert (found.difference, found.df) == pytest.approx((float(mean), df))
    assert found.p_harm == pytest.approx(student.cdf(float(mean) / error, df))
    half_width = student.ppf(0.95, df) * error
    assert (found.low, found.high) == pytest.approx(
        (max(-1, float(mean) - half_width), min(1, float(mean) + half_width))
    )


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


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.sampled_from((-1, 0, 1)), st.sampled_from((11, 13, 15))), min_size=4, max_size=7))
def test_permutation_comes_near_all_orders(scenarios: list[tuple[int, int]]) -> None:
    """The share among all orders, within what 9,999 drawn ones can miss it by."""
    values, places = map(np.array, zip(*scenarios, strict=True))
    centred = places - places.mean()
    total = abs(values @ centred)
    exact = np.mean([abs(np.array(order) @ centred) >= total - 1e-9 for order in permutations(values)])
    assert permutation(list(values), list(places)) == pytest.approx(exact, abs=0.025)


def test_equal_values_or_one_place_show_nothing() -> None:
    """Whatever is dealt out, nothing changes: p 1."""
    assert permutation([1.0, 1.0, 1.0], [11.0, 13.0, 15.0]) == 1.0
    assert permutation([0.0, -1.0, 1.0], [11.0, 11.0, 11.0]) == 1.0


def test_with_clusters_alike_two_shares_are_compared_by_the_paired_t_test() -> None:
    """Clusters of the same size: the t test of each cluster's own difference of the two shares."""
    rng = np.random.default_rng(3)
    hits, others = rng.binomial(4, 0.5, 12), rng.binomial(9, 0.3, 12)
    clusters = [Shares(int(one), 4, int(other), 9) for one, other in zip(hits, others, strict=True)]
    paired = ttest_1samp(hits / 4 - others / 9, 0.0, alternative="greater")
    assert share_greater(clusters) == pytest.approx(paired.pvalue)


def test_runs_of_hits_within_clusters_are_no_evidence_for_a_kind() -> None:
    """Each cluster is one run of hits somewhere among its places, or none: the level holds."""
    rng = np.random.default_rng(5)
    kind = np.arange(30) % 10 < 2
    found = []
    for _ in range(400):
        clusters = []
        for _ in range(20):
            hit = np.zeros(30, dtype=bool)
            start, length = rng.integers(30), rng.integers(12) * rng.integers(2)
            hit[start : start + length] = True
            clusters.append(Shares(int((hit & kind).sum()), 6, int((hit & ~kind).sum()), 24))
        found.append(share_greater(clusters) <= 0.05)
    assert np.mean(found) <= 0.07


def test_one_cluster_says_nothing_of_shares() -> None:
    """Nor do clusters that hold only one of the two."""
    assert share_greater([Shares(5, 5, 0, 20)]) == 1.0
    assert share_greater([Shares(0, 0, 3, 20), Shares(0, 0, 0, 20)]) == 1.0


def test_within_kinds_only_orders_of_each_kind_count() -> None:
    """Against every order of two kinds: 3! × 3! of them; the mean of each kind's own places is taken off."""
    values, places, kinds = [1.0, 2.0, 4.0, 0.0, 3.0, 3.5], [11.0, 13.0, 15.0, 13.0, 14.0, 15.0], [*"aaabbb"]
    centred = np.array(places) - np.repeat([13.0, 14.0], 3)
    total = abs(np.array(values) @ centred)
    orders = [np.array((*one, *other)) for one in permutations(values[:3]) for other in permutations(values[3:])]
    exact = np.mean([abs(order @ centred) >= total - 1e-9 for order in orders])
    assert permutation(values, places, kinds) == pytest.approx(exact, abs=0.025)


def test_what_differs_between_kinds_is_nothing_within_them() -> None:
    """All of one kind near, all of the other far: nothing can be told, however different the two are."""
    values, places = [1.0] * 8 + [9.0] * 8, [11.0] * 8 + [15.0] * 8
    assert permutation(values, places, [*"aaaaaaaabbbbbbbb"]) == 1.0
    assert permutation(values, places) < 0.001
