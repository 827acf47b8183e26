"""Clustered least squares against statsmodels, textbook matrices and simulation."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import fractional_matrix_power
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from kvassay.stats.binomial import Interval
from kvassay.stats.robust import clustered_ols

UNIT = Interval(0.0, 1.0)


def unbalanced(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64], list[int]]:
    """A design of four columns, responses, and the clusters (of 1 to 8 rows) of 60 rows."""
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(60), rng.integers(0, 2, 60), rng.normal(size=60), rng.normal(size=60)])
    clusters = np.repeat(np.arange(60), rng.integers(1, 9, 60))[:60].tolist()
    response = design @ [0.5, -0.2, 0.1, 0.0] + rng.normal(size=60) + rng.normal(size=60)[clusters]
    return design, response, clusters


def by_matrices(
    design: NDArray[np.float64], response: NDArray[np.float64], clusters: list[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """CR2 standard errors and Satterthwaite's df as the papers write them, with whole n × n matrices."""
    bread = np.linalg.inv(design.T @ design)
    residual_maker = np.eye(len(response)) - design @ bread @ design.T
    residuals = residual_maker @ response
    variance, projected = np.zeros_like(bread), []
    for cluster in sorted(set(clusters)):
        rows = np.flatnonzero(np.array(clusters) == cluster)
        adjustment = fractional_matrix_power(residual_maker[np.ix_(rows, rows)], -0.5).real
        half = bread @ design[rows].T @ adjustment
        variance += np.outer(half @ residuals[rows], half @ residuals[rows])
        projected.append(residual_maker[rows].T @ half.T)
    forms = np.array(projected)  # (clusters, n, columns)
    grams = np.einsum("ani,bni->iab", forms, forms)
    df = np.array([np.trace(gram) ** 2 / (gram**2).sum() for gram in grams])
    return np.sqrt(np.diag(variance)), df


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_papers_matrices(seed: int) -> None:
    """Standard errors and degrees of freedom are CR2 and Satterthwaite's, computed the long way."""
    data = unbalanced(seed)
    estimates = clustered_ols(*data, response_range=Interval(-9.0, 9.0))
    errors, df = by_matrices(*data)
    for estimate, error, freedom in zip(estimates, errors, df, strict=True):
        assert estimate is not None
        assert estimate.standard_error == pytest.approx(error, rel=1e-6)
        assert estimate.df == pytest.approx(freedom, rel=1e-6)
        assert estimate.low == pytest.approx(estimate.value - student.ppf(0.975, freedom) * error)
        assert estimate.p_two_sided == pytest.approx(2 * student.sf(abs(estimate.value / error), freedom))


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
