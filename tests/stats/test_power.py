"""How many pairs it takes."""

from __future__ import annotations

from itertools import count
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import binom, multinomial

from kvassay.stats.paired import Flips, mcnemar_harm, tango_interval, tango_score
from kvassay.stats.power import NEVER, mcnemar_power, more_pairs, pairs_for_drop, pairs_for_margin


@pytest.mark.parametrize(("margin", "pairs"), [(0.05, 52), (0.03, 88), (0.02, 133)])
def test_pairs_for_margin_without_flips(margin: float, pairs: int) -> None:
    """Without flips Tango's lower bound passes the margin at exactly this many pairs, and not one earlier."""
    assert pairs_for_margin(margin=margin, alpha=0.05) == pairs
    assert tango_interval(0, 0, pairs, level=0.9).low > -margin > tango_interval(0, 0, pairs - 1, level=0.9).low


def test_pairs_for_margin_with_flips() -> None:
    """With 2 % lost and 2 % gained the score test at the margin rejects at this many pairs, and not one earlier."""
    pairs = pairs_for_margin(margin=0.05, alpha=0.05, lost_rate=0.02, gained_rate=0.02)
    assert pairs is not None
    before, after = (tango_score(0.02 * n, 0.02 * n, n, -0.05) for n in (pairs - 1, pairs))
    assert before < NormalDist().inv_cdf(0.95) < after


def test_a_loss_beyond_the_margin_is_never_within_it() -> None:
    """No number of pairs shows a loss within the margin if the rates themselves lose the margin."""
    assert pairs_for_margin(margin=0.05, alpha=0.05, lost_rate=0.07, gained_rate=0.01) is None


@pytest.mark.parametrize(("lost_rate", "gained_rate", "pairs"), [(0.08, 0.0, 98), (0.098, 0.018, 156)])
def test_pairs_for_a_drop_from_98_to_90(lost_rate: float, gained_rate: float, pairs: int) -> None:
    """98 % → 90 % is found with power 0.9 by 98 pairs (nested) to 156 (independent), the numbers of the design."""
    assert pairs_for_drop(lost_rate=lost_rate, gained_rate=gained_rate, alpha=0.05, power=0.9) == pairs


def test_many_pairs_come_from_the_normal_formula_without_delay() -> None:
    """A drop of 1 point among many flips needs thousands of pairs: the formula's count, near the exact power."""
    pairs = pairs_for_drop(lost_rate=0.06, gained_rate=0.05, alpha=0.05, power=0.8)
    assert 6000 < pairs < 8000
    assert mcnemar_power(pairs, lost_rate=0.06, gained_rate=0.05, alpha=0.05) == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(("lost_rate", "gained_rate", "alpha"), [(0.1, 0.02, 0.05), (0.3, 0.1, 0.01), (0.08, 0, 0.05)])
def test_power_equals_simulation(lost_rate: float, gained_rate: float, alpha: float) -> None:
    """The exact power is the share of seeded simulated runs in which the test finds harm."""
    rates = (lost_rate, gained_rate, 1 - lost_rate - gained_rate)
    drawn = np.random.default_rng(20263).multinomial(100, rates, size=20_000)
    unique, times = np.unique(drawn[:, :2], axis=0, return_counts=True)
    found = [mcnemar_harm(int(lost), int(gained)) <= alpha for lost, gained in unique]
    exact = mcnemar_power(100, lost_rate=lost_rate, gained_rate=gained_rate, alpha=alpha)
    assert exact == pytest.approx(np.average(found, weights=times), abs=0.012)


def enumerated_power(pairs: int, lost_rate: float, gained_rate: float, alpha: float) -> float:
    """The trinomial chance of every table whose exact one-sided McNemar p-value is at most alpha, by scipy."""
    lost, gained = (counts.ravel() for counts in np.indices((pairs + 1, pairs + 1)))
    lost, gained = lost[lost + gained <= pairs], gained[lost + gained <= pairs]
    rates = (lost_rate, gained_rate, max(0.0, 1 - lost_rate - gained_rate))
    chance = multinomial.pmf(np.column_stack([lost, gained, pairs - lost - gained]), pairs, rates)
    return float(chance[binom.sf(lost - 1, lost + gained, 0.5) <= alpha].sum())


rates = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda ab: (ab[0] / 80, ab[1] / 80))


@given(st.integers(1, 60), rates, st.sampled_from([0.05, 0.025, 0.05 / 3, 0.01, 1 / 32, 0.3]))
@settings(deadline=None, max_examples=100)
def test_power_equals_enumeration(pairs: int, lost_gained: tuple[float, float], alpha: float) -> None:
    """The power is the sum over all tables that the test calls harm, at levels that a p-value meets exactly too."""
    expected = enumerated_power(pairs, *lost_gained, alpha)
    lost, gained = lost_gained
    assert mcnemar_power(pairs, lost_rate=lost, gained_rate=gained, alpha=alpha) == pytest.approx(expected, abs=1e-10)


@example(lost=20, gained=0, alpha=0.05, power=0.5)  # 9 pairs, of which 5 or more are lost in exactly half of all cases
@given(st.integers(8, 30), st.integers(0, 4), st.sampled_from([0.05, 0.05 / 3]), st.sampled_from([0.5, 0.8, 0.9]))
@settings(deadline=None, max_examples=15)
def test_pairs_for_a_drop_are_the_fewest(lost: int, gained: int, alpha: float, power: float) -> None:
    """From a single pair upwards no number of pairs reaches the power by enumeration before the one that is given."""
    fewest = next(n for n in count(1) if enumerated_power(n, lost / 40, gained / 40, alpha) >= power - 1e-9)
    assert pairs_for_drop(lost_rate=lost / 40, gained_rate=gained / 40, alpha=alpha, power=power) == fewest


@given(rates, st.sampled_from([0.02, 0.05, 0.1]), st.sampled_from([0.05, 0.01]))
@settings(deadline=None, max_examples=50)
def test_pairs_for_margin_are_the_fewest(lost_gained: tuple[float, float], margin: float, alpha: float) -> None:
    """From one pair upwards the score test at the margin, at exactly these rates, first rejects at this number."""
    lost, gained = lost_gained
    pairs = pairs_for_margin(margin=margin, alpha=alpha, lost_rate=lost, gained_rate=gained)
    up_to = range(1, 400 if pairs is None else min(pairs, 3000) + 1)
    z = NormalDist().inv_cdf(1 - alpha)
    passed = [n for n in up_to if tango_score(lost * n, gained * n, n, -margin) > z]
    assert passed == ([pairs] if pairs in up_to else [])


@given(pairs=st.integers(1, 100), lost_share=st.floats(0, 1), gained_share=st.floats(0, 1))
@settings(deadline=None, max_examples=50)
def test_more_pairs_is_a_round_positive_number(pairs: int, lost_share: float, gained_share: float) -> None:
    """Whatever was seen, the projection is finite, in tens, and at least 10."""
    lost = round(lost_share * pairs)
    gained = round(gained_share * (pairs - lost))
    missing = more_pairs(lost, gained, pairs, margin=0.05, alpha=0.05)
    assert missing >= 10
    assert missing % 10 == 0


def test_more_pairs_examples() -> None:
    """Nothing seen: the 52 of a clean run; 1 lost of 60: as many again; 1 lost of 12: what detecting a drop takes."""
    assert more_pairs(0, 0, 0, margin=0.05, alpha=0.05) == 60
    assert more_pairs(1, 0, 60, margin=0.05, alpha=0.05) == 60
    assert more_pairs(1, 0, 12, margin=0.05, alpha=0.05) == 70


@given(lost=st.integers(4, 14), gained=st.integers(0, 3), claims=st.integers(1, 9))
@settings(deadline=None, max_examples=25)
def test_more_pairs_are_what_the_nearer_decision_needs(lost: int, gained: int, claims: int) -> None:
    """Harm at α / claims with power .8, or the margin, whichever comes first; in tens, never fewer than it takes."""
    lost_rate, gained_rate = lost / 60, gained / 60
    harm = pairs_for_drop(lost_rate=lost_rate, gained_rate=gained_rate, alpha=0.05 / claims, power=0.8)
    within = pairs_for_margin(margin=0.05, alpha=0.05, lost_rate=lost_rate, gained_rate=gained_rate)
    nearer = harm if within is None else min(harm, within)
    missing = more_pairs(lost, gained, 60, margin=0.05, alpha=0.05, claims=claims)
    assert missing - 10 < max(nearer - 60, 10) <= missing


def test_more_pairs_count_what_the_test_of_harm_counts() -> None:
    """Two probes lost at each of four depths are eight pairs, but two witnesses: it takes four times as many pairs."""
    as_pairs = pairs_for_drop(lost_rate=8 / 240, gained_rate=0, alpha=0.05, power=0.8)
    missing = more_pairs(8, 0, 240, margin=0.01, alpha=0.05, witnesses=Flips(2, 0))
    assert as_pairs < 240
    assert 3.5 * as_pairs < 240 + missing < 4.5 * as_pairs
    assert more_pairs(12, 3, 240, margin=0.01, alpha=0.05, witnesses=Flips(1, 3)) == NEVER
