"""When the e-processes stop: exact distributions against simulation, and the projections from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvassay.stats.eprocess import harm_e_value, harm_log_e_values, within_margin_e_value, within_margin_log_e_values
from kvassay.stats.paired import Flips
from kvassay.stats.power import NEVER
from kvassay.stats.stopping import Evidence, more_pairs_anytime, pairs_to_harm, pairs_to_margin
from stats.stopping_times import stopping


@pytest.mark.parametrize(
    ("lost_rate", "gained_rate", "median", "nine_tenths"), [(0.08, 0.0, 71, 114), (0.098, 0.018, 92, 219)]
)
def test_a_drop_from_98_to_90_stops_within_the_numbers_of_the_design(
    lost_rate: float, gained_rate: float, median: int, nine_tenths: int
) -> None:
    """98 % → 90 %, nested to independent: half the runs have stopped by 71 to 92 pairs, 90 % by 114 to 219."""
    ended = stopping(lost_rate=lost_rate, gained_rate=gained_rate, pairs=300, alpha=0.05)
    assert (ended.pairs_by(0.5), ended.pairs_by(0.9)) == (median, nine_tenths)


@pytest.mark.parametrize(("lost_rate", "gained_rate", "every"), [(0.02, 0.01, 1), (0.1, 0.02, 1), (0.06, 0.06, 10)])
def test_the_exact_distribution_equals_simulation(lost_rate: float, gained_rate: float, every: int) -> None:
    """At each tenth of a run the share ended, for either reason, is that of seeded simulated runs."""
    drawn = np.random.default_rng(20266).random((2_000, 200))
    lost = np.cumsum(drawn < lost_rate, axis=1)
    gained = np.cumsum((drawn >= lost_rate) & (drawn < lost_rate + gained_rate), axis=1)
    looked_at = np.arange(every, 201, every)
    lost, gained = lost[:, looked_at - 1], gained[:, looked_at - 1]
    harm = harm_log_e_values(lost, gained) >= np.log(20)
    within = within_margin_log_e_values(lost, gained, looked_at, margin=0.05) >= np.log(20)
    either = harm | within
    first = np.where(either.any(axis=1), either.argmax(axis=1), len(looked_at))
    by_harm = np.append(harm, np.zeros((len(harm), 1), dtype=bool), axis=1)[np.arange(len(harm)), first]
    ended = stopping(lost_rate=lost_rate, gained_rate=gained_rate, pairs=200, alpha=0.05, margin=0.05, every=every)
    for pairs in range(20, 201, 20):
        so_far = first < np.searchsorted(looked_at, pairs, side="right")
        assert ended.harm[pairs] == pytest.approx((so_far & by_harm).mean(), abs=0.035)
        assert ended.within_margin[pairs] == pytest.approx((so_far & ~by_harm).mean(), abs=0.035)


def test_without_flips_all_runs_end_at_the_same_pair() -> None:
    """With rates of 0 every run is within 5 points after 79 pairs, and none before; 78 planned pairs never end."""
    ended = stopping(lost_rate=0, gained_rate=0, pairs=80, alpha=0.05, margin=0.05)
    assert ended.within_margin.tolist() == [0.0] * 79 + [1.0] * 2
    assert ended.pairs_by(0.9) == 79
    assert stopping(lost_rate=0, gained_rate=0, pairs=78, alpha=0.05, margin=0.05).pairs_by(0.5) is None


@given(lost_rate=st.floats(0, 0.2), gained_rate=st.floats(0, 0.2), pairs=st.integers(1, 40), every=st.integers(1, 7))
@settings(deadline=None, max_examples=25)
def test_chances_of_having_ended_only_grow(lost_rate: float, gained_rate: float, pairs: int, every: int) -> None:
    """Both chances never fall from pair to pair, and together never exceed 1."""
    ended = stopping(lost_rate=lost_rate, gained_rate=gained_rate, pairs=pairs, alpha=0.2, margin=0.1, every=every)
    assert np.all(np.diff(ended.harm) >= 0)
    assert np.all(np.diff(ended.within_margin) >= 0)
    assert ended.harm[-1] + ended.within_margin[-1] <= 1 + 1e-9


# --------------------------------------------------------------------------- pairs still needed


def pairwise(lost: int, gained: int) -> list[Evidence]:
    """The evidence of pairs that all count alike."""
    return [Evidence(1.0, Flips(lost, gained))]


def test_a_mean_of_e_values_is_projected_as_it_is_judged() -> None:
    """Two probes lost at each of four depths of 60: the mean of the probes' e-value and the depths' passes 20 there."""
    parts = [Evidence(0.5, Flips(2, 0)), *[Evidence(0.125, Flips(2, 0))] * 4]
    more = pairs_to_harm(parts, 240, alpha=0.05)
    assert more is not None
    before, after = (harm_log_e_values(2 * (240 + n) / 240, 0) for n in (more - 1, more))
    assert before < np.log(20) <= after
    assert more_pairs_anytime(8, 0, 240, margin=0.01, alpha=0.05) < more
    assert more <= more_pairs_anytime(8, 0, 240, margin=0.01, alpha=0.05, evidence=parts) < more + 10


def test_where_neither_decision_is_in_sight_no_pairs_are_promised() -> None:
    """Twelve pairs lost by one probe and three gained by three others: neither within a margin of 1 point nor harm."""
    parts = [Evidence(0.5, Flips(1, 3)), *[Evidence(0.5 / 12, Flips(0, 1))] * 12]
    assert more_pairs_anytime(12, 3, 240, margin=0.01, alpha=0.05, evidence=parts) == NEVER


def test_the_projection_ends_where_the_evidence_suffices() -> None:
    """Twice the observed counts suffice exactly when the projection says that as many pairs again are enough."""
    more = pairs_to_harm(pairwise(5, 1), 40, alpha=0.05)
    assert more is not None
    total = 40 + more
    before, after = (harm_log_e_values(5 / 40 * n, 1 / 40 * n) for n in (total - 1, total))
    assert before < np.log(20) <= after


@pytest.mark.parametrize(("lost", "gained"), [(4, 1), (6, 0), (8, 2)])
def test_about_half_the_runs_have_found_harm_by_then(lost: int, gained: int) -> None:
    """At the observed rates of 50 pairs the projected total lies near the median stopping time."""
    more = pairs_to_harm(pairwise(lost, gained), 50, alpha=0.05)
    assert more is not None
    ended = stopping(lost_rate=lost / 50, gained_rate=gained / 50, pairs=400, alpha=0.05)
    assert 0.4 < ended.harm[50 + more] < 0.7


@pytest.mark.parametrize(("lost", "gained"), [(1, 1), (2, 2), (1, 0)])
def test_about_half_the_runs_are_within_margin_by_then(lost: int, gained: int) -> None:
    """The same for the margin, at the observed rates of 100 pairs."""
    more = pairs_to_margin(lost, gained, 100, margin=0.05, alpha=0.05)
    assert more is not None
    ended = stopping(lost_rate=lost / 100, gained_rate=gained / 100, pairs=300, alpha=0.05, margin=0.05)
    assert 0.4 < ended.within_margin[100 + more] < 0.75


def test_what_the_rates_cannot_show_is_never_projected() -> None:
    """No number of pairs shows harm where nothing is lost on balance, nor a margin that the rates themselves lose."""
    assert pairs_to_harm(pairwise(0, 0), 0, alpha=0.05) is None
    assert pairs_to_harm(pairwise(3, 3), 50, alpha=0.05) is None
    assert pairs_to_margin(5, 0, 100, margin=0.05, alpha=0.05) is None


def test_what_is_decided_needs_no_more() -> None:
    """Evidence that suffices already asks for no more pairs."""
    assert harm_e_value(7, 0) > 20
    assert pairs_to_harm(pairwise(7, 0), 30, alpha=0.05) == 0
    assert within_margin_e_value(0, 0, 90, margin=0.05) > 20
    assert pairs_to_margin(0, 0, 90, margin=0.05, alpha=0.05) == 0


def test_more_pairs_examples() -> None:
    """Nothing seen: a clean run's 79; one lost of 60: the margin; three of 40: harm, dearer among three arms."""
    assert more_pairs_anytime(0, 0, 0, margin=0.05, alpha=0.05) == 80
    assert more_pairs_anytime(1, 0, 60, margin=0.05, alpha=0.05) == 170
    assert more_pairs_anytime(3, 0, 40, margin=0.05, alpha=0.05) == 40
    assert more_pairs_anytime(3, 0, 40, margin=0.05, alpha=0.05, claims=3) == 70


@given(
    pairs=st.integers(1, 3000),
    lost_share=st.floats(0, 1),
    gained_share=st.floats(0, 1),
    margin=st.sampled_from([0.001, 0.02, 0.05, 0.5]),
)
@settings(deadline=None, max_examples=60)
def test_more_pairs_is_a_round_positive_number(
    pairs: int, lost_share: float, gained_share: float, margin: float
) -> None:
    """Whatever was seen, the projection is finite, in tens, and at least 10."""
    lost = round(lost_share * pairs)
    gained = round(gained_share * (pairs - lost))
    missing = more_pairs_anytime(lost, gained, pairs, margin=margin, alpha=0.05)
    assert missing >= 10
    assert missing % 10 == 0
