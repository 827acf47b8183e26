"""Slow is not hung."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from kvassay.backend.patience import OutOfPatienceError, Patience, attend


def test_a_request_that_shows_progress_may_take_longer_than_the_limit() -> None:
    """As long as the pulse changes, a request is waited for."""
    beats = itertools.count()
    done = attend(lambda: time.sleep(0.5) or "done", lambda: next(beats), Patience(0.2), poll_s=0.02)
    assert done == "done"


def test_a_request_without_progress_is_given_up() -> None:
    """A pulse that stands still, or can't be had, ends the waiting after the limit."""
    for pulse in ("stuck", None):
        never = threading.Event()
        started = time.monotonic()
        with pytest.raises(OutOfPatienceError):
            attend(never.wait, lambda pulse=pulse: pulse, Patience(0.2), poll_s=0.02)
        assert 0.2 < time.monotonic() - started < 2
        never.set()


def test_the_error_of_a_request_is_its_own() -> None:
    """What the request raises is raised where it is waited for."""

    def broken() -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        attend(broken, lambda: None, Patience(5), poll_s=0.02)


def test_a_slow_server_gets_more_patience() -> None:
    """Ten times the longest silence seen is allowed, where that is more than the least."""
    patience = Patience(0.01)
    assert patience.limit_s == 0.01
    time.sleep(0.1)
    patience.sign()
    assert patience.limit_s >= 1.0
