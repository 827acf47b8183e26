"""The e-processes: against exact arithmetic, and under peeking after every pair."""

from __future__ import annotations

import sys
from fractions import Fraction
from math import comb, inf

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kvassay.stats.eprocess import (
    anytime_interval,
    harm_e_value,
    harm_log_e_values,
    within_margin_e_value,
    within_margin_log_e_values,
)
from stats.stopping_times import stopping

counts = st.integers(0, 400)
margins = st.sampled_from([0.01, 0.02, 0.03, 0.05, 0.1, 0.3])

# --------------------------------------------------------------------------- harm


def exact_harm(lost: int, gained: int) -> Fraction:
    """∫ 8/3 θ · (2θ)^lost · (2(1 − θ))^gained over θ from ½ to 1, term by term in whole numbers."""
    integral = Fraction(0)
    for power in range(gained + 1):
        exponent = lost + 2 + power
        integral += comb(gained, power) * (-1) ** power * (1 - Fraction(1, 2**exponent)) / exponent
    return Fraction(8, 3) * 2 ** (lost + gained) * integral


@given(lost=st.integers(0, 120), gained=st.integers(0, 120))
def test_harm_equals_its_integral(lost: int, gained: int) -> None:
    """The closed form is the mixture's integral, computed exactly."""
    assert harm_e_value(lost, gained) == pytest.approx(float(exact_harm(lost, gained)), rel=1e-9)


@pytest.mark.parametrize(
    ("lost", "gained", "e_value"),
    [(0, 0, 1.0), (1, 0, 14 / 9), (0, 1, 4 / 9), (5, 0, 12.0952), (6, 0, 21.25), (9, 1, 20.6212), (3, 3, 163 / 420)],
)
def test_harm_by_hand(lost: int, gained: int, e_value: float) -> None:
    """Small counts: six lost and none gained pass 20, five don't; a gain costs three more."""
    assert harm_e_value(lost, gained) == pytest.approx(e_value, abs=5e-5)


@given(lost=counts, gained=counts)
def test_another_loss_is_evidence_of_harm_and_another_gain_is_evidence_against(lost: int, gained: int) -> None:
    """It rises with each pair lost and falls with each pair gained."""
    assert harm_log_e_values(lost + 1, gained) > harm_log_e_values(lost, gained) > harm_log_e_values(lost, gained + 1)


@given(lost=counts, gained=counts)
def test_the_next_discordant_pair_is_a_fair_bet(lost: int, gained: int) -> None:
    """At P(lost | discordant) = ½ the mean over the next pair's two outcomes is the present value: a martingale."""
    now = harm_log_e_values(lost, gained)
    after = np.exp(harm_log_e_values([lost + 1, lost], [gained, gained + 1]) - now)
    assert after.mean() == pytest.approx(1.0, rel=1e-9)


@given(lost=counts, gained=counts)
def test_harm_and_gain_never_stand_together(lost: int, gained: int) -> None:
    """Evidence of gain is evidence of harm with lost and gained exchanged."""
    assert min(harm_e_value(gained, lost), harm_e_value(lost, gained)) <= 1.0


@pytest.mark.parametrize(("lost", "gained"), [(20_000, 0), (0, 20_000), (20_000, 20_000), (2_000, 20_000), (9_000, 10)])
def test_thousands_of_pairs_neither_overflow_nor_vanish(lost: int, gained: int) -> None:
    """Without a warning, tens of thousands of pairs give a positive finite number."""
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        assert 0 < harm_e_value(lost, gained) <= sys.float_info.max
        assert 0 < within_margin_e_value(lost, gained, 50_000, margin=0.05) <= sys.float_info.max


# --------------------------------------------------------------------------- within margin


@pytest.mark.parametrize(("margin", "pairs"), [(0.05, 79), (0.03, 134), (0.02, 201)])
def test_without_flips_the_margin_is_passed_early(margin: float, pairs: int) -> None:
    """Without flips 20 is reached at exactly this many pairs; the cheapest bet would need 59, 99, 149."""
    before, after = (within_margin_e_value(0, 0, n, margin=margin) for n in (pairs - 1, pairs))
    assert before < 20 <= after


def by_betting(outcomes: list[int], margin: float) -> float:
    """The mixture's value by following each of many bets pair by pair, over Beta(3, 3/2) by the midpoint rule."""
    share = (np.arange(20_000) + 0.5) / 20_000
    density = share**2 * (1 - share) ** 0.5
    wealth = np.ones_like(share)
    for outcome in outcomes:
        wealth *= 1 + share / (1 - margin) * (outcome + margin)
    return float(np.average(wealth, weights=density))


@given(outcomes=st.lists(st.sampled_from([-1, 0, 0, 0, 1]), max_size=60), margin=margins)
@settings(deadline=None, max_examples=60)
def test_margin_equals_betting_pair_by_pair(outcomes: list[int], margin: float) -> None:
    """The closed form on counts is what the bets win in the order given, hence in every order."""
    lost, gained = outcomes.count(-1), outcomes.count(1)
    closed = within_margin_e_value(lost, gained, len(outcomes), margin=margin)
    assert closed == pytest.approx(by_betting(outcomes, margin), rel=1e-4)


@given(lost=counts, gained=counts, kept=counts, margin=margins, gained_rate=st.floats(0, 0.3))
def test_the_next_pair_is_a_fair_bet_at_the_margin(
    lost: int, gained: int, kept: int, margin: float, gained_rate: float
) -> None:
    """Where the next pair loses exactly the margin on average its mean value is the present one: a martingale."""
    pairs = lost + gained + kept
    now = within_margin_log_e_values(lost, gained, pairs, margin=margin)
    after = within_margin_log_e_values([lost + 1, lost, lost], [gained, gained, gained + 1], pairs + 1, margin=margin)
    chances = [gained_rate + margin, 1 - 2 * gained_rate - margin, gained_rate]
    assert np.average(np.exp(after - now), weights=chances) == pytest.approx(1.0, rel=1e-9)


@given(lost=counts, gained=counts, kept=counts, margin=margins)
def test_margin_orders_the_outcomes_of_a_pair(lost: int, gained: int, kept: int, margin: float) -> None:
    """A pair gained speaks for "within margin" more than one unchanged, and that more than one lost."""
    pairs = lost + gained + kept
    now = within_margin_log_e_values(lost, gained, pairs, margin=margin)
    one_lost, unchanged, one_gained = within_margin_log_e_values(
        [lost + 1, lost, lost], [gained, gained, gained + 1], pairs + 1, margin=margin
    )
    assert one_lost < now < unchanged < one_gained


@given(margins)
def test_no_data_are_no_evidence(margin: float) -> None:
    """Without pairs every e-value is 1."""
    assert harm_e_value(0, 0) == pytest.approx(1.0, rel=1e-15)
    assert within_margin_e_value(0, 0, 0, margin=margin) == pytest.approx(1.0, rel=1e-12)


# --------------------------------------------------------------------------- the interval


@given(lost=st.integers(0, 60), gained=st.integers(0, 60), kept=counts, margin=margins)
@settings(deadline=None)
def test_the_interval_says_what_the_margin_says(lost: int, gained: int, kept: int, margin: float) -> None:
    """Its lower end at two-sided 90 % lies above −margin exactly if the e-value reaches 20."""
    pairs = lost + gained + kept
    log_e = within_margin_log_e_values(lost, gained, pairs, margin=margin)
    assume(abs(log_e - np.log(20)) > 1e-6)
    assert (anytime_interval(lost, gained, pairs, level=0.9).low > -margin) == (log_e > np.log(20))


@given(lost=counts, gained=counts, kept=counts, level=st.sampled_from([0.8, 0.9, 0.95, 0.99]))
@settings(deadline=None)
def test_the_interval_is_symmetric_and_ordered(lost: int, gained: int, kept: int, level: float) -> None:
    """Swapping lost and gained negates it to the last digit; the estimate lies inside, all within ±1."""
    pairs = lost + gained + kept
    low, high = anytime_interval(lost, gained, pairs, level=level)
    assert anytime_interval(gained, lost, pairs, level=level) == (-high, -low)
    estimate = (gained - lost) / pairs if pairs else 0.0
    assert -1 <= low <= estimate <= high <= 1


def test_the_interval_of_extremes() -> None:
    """Nothing seen says nothing; all lost begins at −1; 79 clean pairs exclude a loss of 5 points, 78 do not."""
    assert anytime_interval(0, 0, 0) == (-1.0, 1.0)
    assert anytime_interval(30, 0, 30).low == -1.0
    assert anytime_interval(30, 0, 30).high < 0
    assert anytime_interval(0, 0, 79, level=0.9).low > -0.05 > anytime_interval(0, 0, 78, level=0.9).low


@pytest.mark.parametrize(("lost", "pairs"), [(5.75, 6), (2.125 + 6 / 8, 3), (1183, 1184), (99_999, 100_000)])
def test_the_interval_of_nearly_all_lost_begins_at_minus_one(lost: float, pairs: int) -> None:
    """One right answer left at one of a probe's four depths, or one of very many pairs: no margin is left to find."""
    low, high = anytime_interval(lost, 0, pairs, level=0.9)
    assert low == pytest.approx(-1.0, abs=1e-9)
    assert -1 < -lost / pairs < high
    assert anytime_interval(0, lost, pairs, level=0.9) == (-high, -low)


@pytest.mark.parametrize(("lost_rate", "gained_rate"), [(0.08, 0.02), (0.3, 0.25), (0.01, 0.0)])
def test_the_interval_seldom_ever_leaves_the_truth_out(lost_rate: float, gained_rate: float) -> None:
    """Looked at after each of 150 pairs, at most 5 % of 1,500 seeded runs ever have the truth outside at 95 %."""
    lost, gained = running_counts(np.tile([lost_rate, gained_rate], (1_500, 150, 1)))
    pairs, loss = np.arange(1, 151), lost_rate - gained_rate
    above = within_margin_log_e_values(lost, gained, pairs, margin=loss)
    below = within_margin_log_e_values(gained, lost, pairs, margin=-loss)
    assert (np.maximum(above, below).max(axis=1) >= np.log(40)).mean() <= 0.05


# --------------------------------------------------------------------------- type I, looked at after every pair


@pytest.mark.parametrize("flip_rate", [0.01, 0.05, 0.2, 0.5])
def test_harm_is_seldom_found_where_there_is_none_however_often_one_looks(flip_rate: float) -> None:
    """At equal rates of lost and gained at most 5 % of runs of 400 pairs ever call harm (exact)."""
    ended = stopping(lost_rate=flip_rate / 2, gained_rate=flip_rate / 2, pairs=400, alpha=0.05)
    assert ended.harm[-1] <= 0.05


@pytest.mark.parametrize(("lost_rate", "gained_rate"), [(0.05, 0.0), (0.06, 0.01), (0.1, 0.05), (0.03, 0.0)])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_a_loss_of_the_margin_seldom_passes_however_often_one_looks(
    lost_rate: float, gained_rate: float, alpha: float
) -> None:
    """At a loss of exactly the margin at most α of runs of 200 pairs ever pass: exact, every pair looked at."""
    margin = lost_rate - gained_rate
    ended = stopping(lost_rate=lost_rate, gained_rate=gained_rate, pairs=200, alpha=alpha, margin=margin)
    assert 0 < ended.within_margin[-1] <= alpha


def running_counts(chances: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pairs lost and gained so far; ``chances`` has shape (runs, pairs, 2): of lost, of gained."""
    drawn = np.random.default_rng(20264).random(chances.shape[:2])
    lost = drawn < chances[..., 0]
    gained = ~lost & (drawn < chances.sum(axis=-1))
    return np.cumsum(lost, axis=1).astype(float), np.cumsum(gained, axis=1).astype(float)


def ever_reached(log_e: NDArray[np.float64]) -> float:
    return float((log_e.max(axis=1) >= np.log(20)).mean())


def test_both_hold_where_the_rates_change_from_pair_to_pair() -> None:
    """Null rates that wander within the null: still at most 5 % of 1,500 seeded runs ever reach 20."""
    rng = np.random.default_rng(20265)
    flips = rng.uniform(0, 0.4, size=(1_500, 200))
    lost, gained = running_counts(np.stack([flips / 2, flips / 2], axis=-1))
    assert ever_reached(harm_log_e_values(lost, gained)) <= 0.05
    lost, gained = running_counts(np.stack([flips / 4 + 0.05, flips / 4], axis=-1))
    pairs = np.arange(1, 201)
    assert ever_reached(within_margin_log_e_values(lost, gained, pairs, margin=0.05)) <= 0.05


def test_families_of_unlike_rates_hold_after_whole_rounds() -> None:
    """Two families alternate, losing 10 % and none of their pairs: 5 points on average seldom pass."""
    chances = np.zeros((1_500, 200, 2))
    chances[:, ::2, 0] = 0.1
    lost, gained = running_counts(chances)
    after_rounds = within_margin_log_e_values(lost, gained, np.arange(1, 201), margin=0.05)[:, 1::2]
    assert 0.01 < ever_reached(after_rounds) <= 0.05


def test_a_stopped_run_has_an_expected_evidence_of_at_most_one() -> None:
    """Whatever the moment of stopping, here the first time above 3, the mean e-value under the null is at most 1."""
    lost, gained = running_counts(np.full((20_000, 60, 2), 0.2))
    log_e = harm_log_e_values(lost, gained)
    first = np.where((log_e >= np.log(3)).any(axis=1), (log_e >= np.log(3)).argmax(axis=1), 59)
    stopped = np.exp(log_e[np.arange(len(first)), first])
    assert stopped.mean() == pytest.approx(1.0, abs=0.03)
    assert stopped.max() < inf
