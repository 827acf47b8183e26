"""The rest of a run is estimated from the server's own speeds."""

from __future__ import annotations

import pytest

from kvassay.assay.meter import FIRST_GUESS_S, Meter
from kvassay.types import Timings


def test_before_anything_has_ended_the_guess_is_per_trial() -> None:
    """Something is shown from the start."""
    assert Meter(total=10, done=4, tokens_left=1000, boots_left=2).eta_s == 6 * FIRST_GUESS_S


def test_the_rest_is_prompt_answers_and_boots_each_at_its_mean_speed() -> None:
    """1000 tokens at 100/s, one answer at 2 s, one boot at 8 s."""
    meter = Meter(total=2, done=0, tokens_left=2100, boots_left=2)
    meter.boot(8.0)
    meter.prompt(Timings(0, 1000, 10_000, 0, 0))
    meter.trial(Timings(1000, 100, 1000, 20, 2000), 3.0)
    assert meter.done == 1
    assert meter.eta_s == pytest.approx(1000 / 100 + 2.0 + 8.0)


def test_answers_without_timings_count_by_the_clock() -> None:
    """A refused request tells no timings."""
    meter = Meter(total=3, done=0, tokens_left=0, boots_left=0)
    meter.trial(None, 0.5)
    assert meter.eta_s == pytest.approx(1.0)


def test_more_work_than_expected_never_makes_the_rest_negative() -> None:
    """A server that processes a prompt twice leaves nothing below zero."""
    meter = Meter(total=1, done=0, tokens_left=10, boots_left=0)
    meter.boot(1.0)
    meter.prompt(Timings(0, 50, 100, 0, 0))
    meter.trial(Timings(0, 50, 100, 1, 1), 0.2)
    assert (meter.tokens_left, meter.boots_left, meter.eta_s) == (0, 0, 0)


def test_an_arm_left_out_is_no_longer_waited_for() -> None:
    """Its trials and tokens leave the total."""
    meter = Meter(total=10, done=5, tokens_left=300, boots_left=0)
    meter.leave_out(5, 300)
    assert (meter.total, meter.eta_s) == (5, 0)


def test_boots_that_are_asked_at_the_same_time_share_what_is_left() -> None:
    """Half the time with two, and the whole again when one has ended."""
    meter = Meter(total=4, done=0, tokens_left=0, boots_left=0)
    with meter.one_more():
        with meter.one_more():
            assert meter.eta_s == pytest.approx(10.0)
        assert meter.eta_s == pytest.approx(20.0)
