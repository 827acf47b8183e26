"""Ctrl-C once asks, twice interrupts, and afterwards it is what it was."""

from __future__ import annotations

import signal

import pytest

from kvassay.cli.stopping import StopOnRequest


def test_the_first_request_only_asks_and_the_second_interrupts(capfd: pytest.CaptureFixture[str]) -> None:
    """What the first one does is said on stderr."""
    with StopOnRequest() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert stop()
        assert "press Ctrl-C again" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_afterwards_ctrl_c_means_what_it_meant_before() -> None:
    """The handler is put back, also when an error leaves the block."""
    before = signal.getsignal(signal.SIGINT)
    try:
        with StopOnRequest():
            assert signal.getsignal(signal.SIGINT) != before
            int("x")
    except ValueError:
        pass
    assert signal.getsignal(signal.SIGINT) is before
