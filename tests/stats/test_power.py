"""How many pairs it takes."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvassay.stats.paired import mcnemar_harm, tango_interval, tango_score
from kvassay.stats.power import mcnemar_power, more_pairs, pairs_for_drop, pairs_for_margin


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
def test_more_pairs_suffice_for_what_holm_asks(lost: int, gained: int, claims: int) -> None:
    """At the projected total the test has power .8 at α / claims; from more than ten pairs fewer it never did."""
    total = 60 + more_pairs(lost, gained, 60, margin=0.05, alpha=0.05, claims=claims)
    rates = {"lost_rate": lost / 60, "gained_rate": gained / 60, "alpha": 0.05 / claims}
    within = pairs_for_margin(margin=0.05, alpha=0.05, lost_rate=lost / 60, gained_rate=gained / 60)
    if within is not None and within <= total:
        return
    reached = [pairs for pairs in range(1, total + 1) if mcnemar_power(pairs, **rates) >= 0.8]
    assert reached or total > 500  # beyond 500 pairs the projection is the normal formula's
    assert total == 70 or not reached or reached[0] > total - 10
