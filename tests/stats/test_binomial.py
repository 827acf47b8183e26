"""The Wilson interval and Fisher's exact test."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact
from statsmodels.stats.proportion import proportion_confint

from kvassay.stats.binomial import fisher_greater, wilson_interval


@given(trials=st.integers(1, 5000), share=st.floats(0, 1), level=st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_equals_statsmodels(trials: int, share: float, level: float) -> None:
    """It is the Wilson interval of an independent implementation."""
    successes = round(share * trials)
    expected = proportion_confint(successes, trials, alpha=1 - level, method="wilson")
    assert wilson_interval(successes, trials, level=level) == pytest.approx(expected, abs=1e-12)


def test_published_example() -> None:
    """81 of 263 gives 0.2553 to 0.3662 (Newcombe 1998, Statistics in Medicine 17:857, table I)."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_no_trials_say_nothing() -> None:
    """Without trials every proportion is possible."""
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(trials=st.integers(1, 500))
def test_ends_are_exact_at_none_and_all(trials: int) -> None:
    """None right begins at exactly 0, all right ends at exactly 1, and neither is a single point."""
    none, every = wilson_interval(0, trials), wilson_interval(trials, trials)
    assert none.low == 0.0
    assert every.high == 1.0
    assert none.high == pytest.approx(1 - every.low)
    assert none.high > 0


@given(st.tuples(*[st.integers(0, 200)] * 4))
def test_fisher_equals_scipys(table: tuple[int, int, int, int]) -> None:
    """The one-sided p of the table, by the hypergeometric tail."""
    hits, misses, other_hits, other_misses = table
    found = fisher_greater(hits, hits + misses, other_hits, other_hits + other_misses)
    assert found == pytest.approx(fisher_exact([[hits, misses], [other_hits, other_misses]], "greater").pvalue)


def test_the_lady_tasting_tea() -> None:
    """Four of four cups told apart from four others: 1 in 70 (Fisher, The Design of Experiments, 1935)."""
    assert fisher_greater(4, 4, 0, 4) == pytest.approx(1 / 70)
