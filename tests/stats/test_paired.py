"""Paired tests and intervals against published numbers, independent tools, brute force and simulation."""

from __future__ import annotations

from functools import cache
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import norm
from statsmodels.stats.contingency_tables import mcnemar

from kvassay.stats.binomial import Interval
from kvassay.stats.paired import (
    mcnemar_harm,
    mcnemar_harm_midp,
    newcombe_interval,
    tango_interval,
    tango_score,
)

flips = st.tuples(st.integers(0, 60), st.integers(0, 60))
tables = st.tuples(*[st.integers(0, 60)] * 4).filter(any)  # both, lost, gained, neither

# --------------------------------------------------------------------------- McNemar


@given(flips)
def test_mcnemar_equals_statsmodels(lost_gained: tuple[int, int]) -> None:
    """The smaller of the two one-sided p-values, doubled, is statsmodels' exact two-sided p-value."""
    lost, gained = lost_gained
    two_sided = mcnemar([[0, lost], [gained, 0]], exact=True).pvalue if lost + gained else 1.0
    smaller = min(mcnemar_harm(lost, gained), mcnemar_harm(gained, lost))
    assert min(1.0, 2 * smaller) == pytest.approx(two_sided)


@pytest.mark.parametrize(("lost", "gained", "p"), [(0, 0, 1.0), (1, 0, 0.5), (5, 0, 1 / 32), (0, 5, 1.0), (2, 1, 0.5)])
def test_mcnemar_by_hand(lost: int, gained: int, p: float) -> None:
    """Small tables have the p-values that one can count on one's fingers."""
    assert mcnemar_harm(lost, gained) == pytest.approx(p)


@given(flips)
def test_midp_lies_below_and_is_balanced(lost_gained: tuple[int, int]) -> None:
    """The mid-p of harm and of its mirror add up to one, and neither exceeds the exact p-value."""
    lost, gained = lost_gained
    assert mcnemar_harm_midp(lost, gained) + mcnemar_harm_midp(gained, lost) == pytest.approx(1.0)
    assert mcnemar_harm_midp(lost, gained) <= mcnemar_harm(lost, gained)


def test_midp_published_example() -> None:
    """1 against 7 discordant pairs: two-sided mid-p 0.0391 (Fagerland et al. 2013, airway hyper-responsiveness)."""
    assert 2 * mcnemar_harm_midp(7, 1) == pytest.approx(0.0391, abs=5e-5)


# --------------------------------------------------------------------------- Tango


@pytest.mark.parametrize(
    ("lost", "gained", "pairs", "level", "published"),
    [
        pytest.param(3, 9, 32, 0.95, (-0.027, 0.390), id="Tango 1998, crossover trial"),
        pytest.param(1, 0, 44, 0.90, (-0.096, 0.037), id="Tango 1998, soft contact lenses"),
        pytest.param(7, 1, 21, 0.95, (-0.517, -0.026), id="Fagerland et al. 2014, airway hyper-responsiveness"),
        pytest.param(16, 6, 161, 0.95, (-0.1240, -0.0054), id="contingencytables, complete response"),
        pytest.param(25, 28, 618, 0.90, (-0.0148, 0.0247), id="PropCIs scoreci.mp(25, 28, 618)"),
    ],
)
def test_tango_published(lost: int, gained: int, pairs: int, level: float, published: tuple[float, float]) -> None:
    """Tango's interval has the values of the paper and of two R packages."""
    digits = max(len(str(bound).partition(".")[2]) for bound in published)
    interval = tango_interval(lost, gained, pairs, level=level)
    assert (round(interval.low, digits), round(interval.high, digits)) == published


def brute_force_score(lost: int, gained: int, pairs: int, difference: float) -> float:
    """The score statistic with the nuisance parameter found by maximising the trinomial likelihood numerically."""

    def minus_log_likelihood(q_lost: float) -> float:
        cells = ((lost, q_lost), (gained, q_lost + difference), (pairs - lost - gained, 1 - 2 * q_lost - difference))
        return -sum(n * np.log(max(p, 1e-300)) for n, p in cells if n)

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    q_lost = minimize_scalar(minus_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    variance = (2 * q_lost + difference - difference**2) / pairs
    return ((gained - lost) / pairs - difference) / sqrt(variance)


@pytest.mark.parametrize(("lost", "gained", "pairs"), [(3, 9, 32), (1, 0, 44), (7, 1, 9), (2, 2, 60), (5, 0, 6)])
def test_tango_inverts_the_score_test(lost: int, gained: int, pairs: int) -> None:
    """The bounds are where a brute-force score test (numerical maximum likelihood) changes its mind."""
    z = norm.ppf(0.975)
    low, high = tango_interval(lost, gained, pairs)
    for inside, outside in ((low + 1e-4, low - 1e-4), (high - 1e-4, high + 1e-4)):
        assert abs(brute_force_score(lost, gained, pairs, inside)) < z
        assert abs(outside) >= 1 or abs(brute_force_score(lost, gained, pairs, outside)) > z


def test_score_equals_brute_force() -> None:
    """The closed form of the nuisance estimate is the numerical maximum of the likelihood."""
    for difference in np.linspace(-0.9, 0.9, 19):
        expected = brute_force_score(4, 7, 25, difference)
        assert tango_score(4, 7, 25, difference) == pytest.approx(expected, abs=1e-4)


@given(flips, st.integers(0, 400), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_tango_is_symmetric_and_ordered(lost_gained: tuple[int, int], kept: int, level: float) -> None:
    """Swapping lost and gained negates the interval to the last digit; the estimate lies inside, all within ±1."""
    lost, gained = lost_gained
    pairs = lost + gained + kept
    low, high = tango_interval(lost, gained, pairs, level=level)
    assert tango_interval(gained, lost, pairs, level=level) == (-high, -low)
    estimate = (gained - lost) / pairs if pairs else 0.0
    assert -1 <= low <= estimate + 1e-9
    assert estimate - 1e-9 <= high <= 1


@pytest.mark.parametrize("pairs", [1, 2, 10, 60, 20_000])
def test_tango_edges(pairs: int) -> None:
    """Without flips it is ± z² / (n + z²); where every pair was lost it starts at exactly −1."""
    z2 = norm.ppf(0.95) ** 2
    assert tango_interval(0, 0, pairs, level=0.9) == pytest.approx((-z2 / (pairs + z2), z2 / (pairs + z2)), abs=1e-9)
    assert tango_interval(pairs, 0, pairs).low == -1.0
    assert tango_interval(0, pairs, pairs).high == 1.0


def test_no_pairs_say_nothing() -> None:
    """Without pairs every difference is possible."""
    assert tango_interval(0, 0, 0) == (-1.0, 1.0)
    assert newcombe_interval(0, 0, 0, 0) == (-1.0, 1.0)


# --------------------------------------------------------------------------- Newcombe


@pytest.mark.parametrize(
    ("table", "published"),
    [
        pytest.param((1, 7, 1, 12), (-0.507, -0.026), id="Fagerland et al. 2014, airway hyper-responsiveness"),
        pytest.param((59, 16, 6, 80), (-0.1186, -0.0046), id="contingencytables, complete response"),
        pytest.param((80, 10, 2, 8), (-0.1554, -0.0102), id="method 10 reimplemented elsewhere, positive phi"),
        pytest.param((1, 1, 97, 1), (0.8737, 0.9850), id="Newcombe 1998 table III, cells 1 97 1 1"),
    ],
)
def test_newcombe_published(table: tuple[int, int, int, int], published: tuple[float, float]) -> None:
    """The square-and-add interval has the values of independent implementations; (both, lost, gained, neither)."""
    assert newcombe_interval(*table) == pytest.approx(published, abs=5e-4 if published[0] == -0.507 else 5e-5)


@given(tables)
def test_newcombe_is_symmetric_and_ordered(table: tuple[int, int, int, int]) -> None:
    """Swapping lost and gained negates the interval; the estimate lies inside, all within ±1."""
    both, lost, gained, neither = table
    low, high = newcombe_interval(both, lost, gained, neither)
    assert newcombe_interval(both, gained, lost, neither) == (-high, -low)
    estimate = (gained - lost) / sum(table)
    assert -1 - 1e-12 <= low <= estimate <= high <= 1 + 1e-12


# --------------------------------------------------------------------------- coverage by simulation

TRUTHS = [(0.02, 0.02), (0.05, 0.0), (0.1, 0.02), (0.3, 0.25), (0.9, 0.01)]  # true rates of lost and gained pairs


@cache
def _tango(lost: int, gained: int, pairs: int) -> Interval:
    return tango_interval(lost, gained, pairs)


@cache
def _newcombe(both: int, lost: int, gained: int, neither: int) -> Interval:
    return newcombe_interval(both, lost, gained, neither)


def coverage(rates: tuple[float, float], *, pairs: int = 100, draws: int = 20_000) -> tuple[float, float]:
    """How often Tango's and Newcombe's 95 % intervals hold the true difference; half the unflipped pairs are right."""
    lost, gained = rates
    kept = (1 - lost - gained) / 2
    drawn = np.random.default_rng(20261).multinomial(pairs, (kept, lost, gained, kept), size=draws)
    unique, times = np.unique(drawn, axis=0, return_counts=True)
    truth = gained - lost
    tango = [_tango(int(row[1]), int(row[2]), pairs) for row in unique]
    newcombe = [_newcombe(*map(int, row)) for row in unique]
    held = [[low <= truth <= high for low, high in intervals] for intervals in (tango, newcombe)]
    return tuple(np.average(held, axis=1, weights=times))


@pytest.mark.parametrize("rates", TRUTHS)
def test_intervals_cover(rates: tuple[float, float]) -> None:
    """Both 95 % intervals hold the truth in at least 94 % of seeded simulated runs of 100 pairs.

    Three standard errors of 20,000 draws are half a point. Wald's interval falls to 77 % and below near 0 and 1.
    """
    assert min(coverage(rates)) >= 0.94


@pytest.mark.parametrize("flip_rate", [0.02, 0.1, 0.5])
def test_harm_is_seldom_found_where_there_is_none(flip_rate: float) -> None:
    """With equal true rates the exact test calls harm in at most 5 % of seeded simulated runs of 60 pairs."""
    drawn = np.random.default_rng(20262).multinomial(60, (flip_rate / 2, flip_rate / 2, 1 - flip_rate), size=20_000)
    unique, times = np.unique(drawn[:, :2], axis=0, return_counts=True)
    found = [mcnemar_harm(int(lost), int(gained)) <= 0.05 for lost, gained in unique]
    assert np.average(found, weights=times) <= 0.05
