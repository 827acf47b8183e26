"""Clustered least squares against R's clubSandwich, statsmodels and the papers' own matrices."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from kvassay.stats.binomial import Interval
from kvassay.stats.robust import clustered_ols
from stats.bell_mccaffrey import cr2

Data: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64], list[int]]
"""Design, response and clusters."""

CLUBSANDWICH = json.loads(Path(__file__).with_name("clubsandwich.json").read_text("utf-8"))
UNIT = Interval(0.0, 1.0)


def unbalanced(seed: int) -> Data:
    """A design of four columns, responses, and the clusters (of 1 to 8 rows) of 60 rows."""
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(60), rng.integers(0, 2, 60), rng.normal(size=60), rng.normal(size=60)])
    clusters = np.repeat(np.arange(60), rng.integers(1, 9, 60))[:60].tolist()
    response = design @ [0.5, -0.2, 0.1, 0.0] + rng.normal(size=60) + rng.normal(size=60)[clusters]
    return design, response, clusters


def torn(seed: int) -> Data:
    """The 2×2 by depth of 4 to 8 clusters with up to half of the trials missing, and a column of few clusters."""
    rng = np.random.default_rng(seed)
    grid = np.array(list(product(range(rng.integers(4, 9)), (0, 1), (0, 1), (-1, 0, 1))))
    clusters, k, v, d = grid[rng.random(len(grid)) < rng.uniform(0.5, 1)].T
    few = (clusters < rng.integers(1, 4)) * rng.integers(0, 2, len(clusters))
    design = np.column_stack([np.ones(len(clusters)), k, v, k * v, d, k * d, v * d, few]).astype(float)
    return design, (rng.random(len(clusters)) < 0.7 - 0.3 * k).astype(float), clusters.tolist()


def tiny(seed: int) -> Data:
    """A few rows of up to four cells in up to five clusters: often nothing is left to tell of a coefficient."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(4, 16)
    k, v = rng.integers(0, 2, (2, rows))
    design = np.column_stack([np.ones(rows), k, v, k * v])[:, : rng.integers(1, 5)]
    return design, rng.integers(0, 2, rows).astype(float), rng.integers(0, rng.integers(2, 6), rows).tolist()


@pytest.mark.parametrize("case", CLUBSANDWICH, ids=lambda case: case["name"])
def test_equals_clubsandwich(case: dict[str, Any]) -> None:
    """Value, standard error, degrees of freedom and p are those of the R package by the method's authors."""
    design, response = np.array(case["design"], dtype=float), np.array(case["response"], dtype=float)
    estimates = clustered_ols(design, response, case["clusters"], response_range=Interval(-99.0, 99.0))
    for field in ("value", "standard_error", "df", "p_two_sided"):
        assert [getattr(estimate, field) for estimate in estimates] == pytest.approx(case[field], rel=1e-9)


@given(st.integers(0, 2**32 - 1), st.sampled_from([unbalanced, torn, tiny]))
@settings(deadline=None, max_examples=120)
def test_equals_the_papers_matrices(seed: int, drawn: Callable[[int], Data]) -> None:
    """Errors and degrees of freedom are CR2 and Satterthwaite's, computed the long way, clusters of leverage 1 too."""
    design, response, clusters = drawn(seed)
    assume(np.linalg.matrix_rank(design) == design.shape[1])
    estimates = clustered_ols(design, response, clusters, response_range=Interval(-99.0, 99.0))
    for estimate, expected in zip(estimates, cr2(design, response, clusters), strict=True):
        if estimate is None:
            assert np.isnan(expected.df)
        elif estimate.standard_error == 0:
            assert expected.variance == pytest.approx(0, abs=1e-12)
        else:
            error = np.sqrt(expected.variance)
            assert estimate.standard_error == pytest.approx(error, rel=1e-6)
            assert estimate.df == pytest.approx(expected.df, rel=1e-6)
            assert estimate.low == pytest.approx(max(-99, estimate.value - student.ppf(0.975, expected.df) * error))
            assert estimate.p_two_sided == pytest.approx(2 * student.sf(abs(estimate.value / error), expected.df))


@pytest.mark.parametrize("seed", range(5))
def test_has_statsmodels_coefficients_and_nearly_its_errors(seed: int) -> None:
    """Coefficients are statsmodels'; its CR1 errors, which differ in the small-sample factor only, are within 20 %."""
    design, response, clusters = unbalanced(seed)
    fitted = sm.OLS(response, design).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    estimates = clustered_ols(design, response, clusters, response_range=Interval(-9.0, 9.0))
    for estimate, value, error in zip(estimates, fitted.params, fitted.bse, strict=True):
        assert estimate is not None
        assert estimate.value == pytest.approx(value)
        assert estimate.standard_error == pytest.approx(error, rel=0.2)


def test_equals_statsmodels_where_all_clusters_have_the_same_design() -> None:
    """There CR2 is statsmodels' uncorrected error times √(G / (G − 1)), with G − 1 degrees of freedom."""
    rng = np.random.default_rng(20268)
    block = np.array([[1, k, v, k * v] for k in (0, 1) for v in (0, 1)], dtype=float)
    design, clusters = np.tile(block, (15, 1)), np.repeat(np.arange(15), 4).tolist()
    response = rng.integers(0, 2, 60).astype(float)
    kwds = {"groups": clusters, "use_correction": False}
    fitted = sm.OLS(response, design).fit(cov_type="cluster", cov_kwds=kwds)
    for estimate, error in zip(clustered_ols(design, response, clusters, response_range=UNIT), fitted.bse, strict=True):
        assert estimate is not None
        assert estimate.standard_error == pytest.approx(error * np.sqrt(15 / 14))
        assert estimate.df == pytest.approx(14)


def test_a_lone_mean_is_the_t_test_on_cluster_means() -> None:
    """With clusters of equal size the mean's test is scipy's one-sample t test of the cluster means."""
    values = np.random.default_rng(20269).normal(size=(9, 6))
    (mean,) = clustered_ols(
        np.ones((54, 1)), values.ravel(), np.repeat(np.arange(9), 6).tolist(), response_range=Interval(-9, 9)
    )
    expected = ttest_1samp(values.mean(axis=1), 0.0)
    assert mean is not None
    assert (mean.df, mean.clusters) == (pytest.approx(8), 9)
    assert mean.p_two_sided == pytest.approx(expected.pvalue)
    assert (mean.low, mean.high) == pytest.approx(tuple(expected.confidence_interval()))


def test_aliased_columns_have_no_estimate() -> None:
    """Of two equal columns neither is told apart; the others are estimated all the same."""
    design, response, clusters = unbalanced(1)
    twice = np.column_stack([design, design[:, 1]])
    estimates = clustered_ols(twice, response, clusters, response_range=Interval(-9, 9))
    assert [estimate is None for estimate in estimates] == [False, True, False, False, True]


def test_one_cluster_tells_nothing_of_the_spread() -> None:
    """With a single cluster, and with none, nothing is estimated."""
    assert clustered_ols(np.ones((4, 1)), np.array([0.0, 1, 1, 0]), [0] * 4, response_range=UNIT) == (None,)
    assert clustered_ols(np.ones((0, 1)), np.array([]), [], response_range=UNIT) == (None,)


def test_clusters_that_agree_do_not_give_a_point() -> None:
    """Twenty clusters all at 0: 16.8 % of others would go unseen in 2.5 % of samples, and no more is claimed."""
    (mean,) = clustered_ols(np.ones((60, 1)), np.zeros(60), list(range(20)) * 3, response_range=Interval(-1, 1))
    assert mean is not None
    assert (mean.low, mean.high) == pytest.approx((-(1 - 0.025 ** (1 / 20)), 1 - 0.025 ** (1 / 20)))
    assert mean.p_two_sided == 1.0


@pytest.mark.parametrize("clusters", [2, 5, 12])
def test_clusters_that_all_lose_everything_are_as_coins_that_all_fall_alike(clusters: int) -> None:
    """If every pair of every cluster is lost, the p-value for harm is ½ to the power of the clusters."""
    labels = list(range(clusters)) * 3
    (mean,) = clustered_ols(np.ones((len(labels), 1)), -np.ones(len(labels)), labels, response_range=Interval(-1, 1))
    assert mean is not None
    assert mean.p_less == pytest.approx(0.5**clusters)
    assert mean.p_greater == 1.0
    assert mean.low == pytest.approx(-1.0)
    assert (mean.high < 0) == (mean.p_two_sided < 0.05)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.booleans(), st.booleans()), max_size=40))
@settings(deadline=None, max_examples=80)
def test_any_design_gives_intervals_around_the_value_within_reach(rows: list[tuple[int, bool, bool, bool]]) -> None:
    """Whatever the cells and clusters, no warning, and low ≤ value ≤ high, with p-values between 0 and 1."""
    design = np.array([[1.0, k, v, k * v] for _, k, v, _ in rows]).reshape(-1, 4)
    response = np.array([float(right) for *_, right in rows])
    with np.errstate(all="raise", under="ignore"):
        estimates = clustered_ols(design, response, [row[0] for row in rows], response_range=UNIT)
    for estimate in filter(None, estimates):
        assert -4 <= estimate.low <= estimate.value + 1e-9
        assert estimate.value - 1e-9 <= estimate.high <= 4
        assert 0 <= min(estimate.p_less, estimate.p_greater) <= estimate.p_two_sided <= 1
