"""The sequential test: few false alarms however long one looks, and soon an alarm when the rate has changed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.guard.detector import Detector, learnt, stated

RUNS, TURNS, ALPHA = 300, 300, 0.05


def first_alarm(detector: Detector, failures: np.ndarray) -> int | None:
    for turn, failed in enumerate(failures):
        detector = detector.seen(failed=bool(failed))
        if detector.fired:
            return turn
    return None


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.4])
def test_false_alarms_stay_below_the_stated_rate(rate: float) -> None:
    failures = np.random.default_rng(1).random((RUNS, TURNS)) < rate
    alarms = [first_alarm(stated(rate, false_alarm_rate=ALPHA), run) for run in failures]
    assert sum(alarm is not None for alarm in alarms) / RUNS <= ALPHA


@pytest.mark.parametrize("rate", [0.02, 0.1])
def test_false_alarms_stay_below_the_stated_rate_when_the_baseline_is_learnt(rate: float) -> None:
    failures = np.random.default_rng(2).random((RUNS, 100 + TURNS)) < rate
    alarms = 0
    for run in failures:
        detector = learnt(int(run[:100].sum()), 100, false_alarm_rate=ALPHA)
        assert detector is not None
        alarms += first_alarm(detector, run[100:]) is not None
    assert alarms / RUNS <= ALPHA


def test_a_change_that_comes_late_is_found_within_thirty_turns_nine_times_of_ten() -> None:
    rng = np.random.default_rng(3)
    late = []
    for _ in range(200):
        failures = np.concatenate([rng.random(100) < 0.05, rng.random(60) < 0.6])
        alarm = first_alarm(stated(0.05, false_alarm_rate=0.01), failures)
        late.append(alarm is not None and 100 <= alarm < 130)
    assert np.mean(late) >= 0.9


@given(rate=st.floats(0.001, 0.9), outcomes=st.lists(st.booleans(), max_size=12))
def test_one_more_turn_never_gains_on_average_under_the_baseline(rate: float, outcomes: list[bool]) -> None:
    detector = stated(rate, false_alarm_rate=0.01)
    for failed in outcomes:
        detector = detector.seen(failed=failed)
    up, down = detector.seen(failed=True).evidence, detector.seen(failed=False).evidence
    assert rate * up + (1 - rate) * down <= detector.evidence * (1 + 1e-9)


def test_an_alarm_once_raised_stays_raised() -> None:
    detector = stated(0.01, false_alarm_rate=0.05)
    for failed in [True] * 5 + [False] * 500:
        detector = detector.seen(failed=failed)
    assert detector.fired
    assert detector.evidence < detector.threshold


def test_a_model_that_always_fails_has_no_baseline_to_leave() -> None:
    assert learnt(100, 100, false_alarm_rate=0.01) is None
