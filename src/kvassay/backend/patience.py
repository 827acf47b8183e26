"""Tells a slow server from a stuck one: by signs of progress, never by a fixed time for the whole request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

PATIENCE_S = 900.0
"""How long a server may show no sign of progress: time for a batch of 512 tokens at half a token a second."""

_GAP_FACTOR = 10.0
T = TypeVar("T")


class OutOfPatienceError(Exception):
    """No sign of progress for the time allowed."""


class Patience:
    """A clock that signs of life set back. A server that was silent for long before gets ten times its longest
    silence, so that an arm is never failed for being slow.
    """

    def __init__(self, least_s: float = PATIENCE_S) -> None:
        self._least_s = least_s
        self._longest_gap_s = 0.0
        self._since = time.monotonic()
        self._last: object = None

    @property
    def limit_s(self) -> float:
        return max(self._least_s, _GAP_FACTOR * self._longest_gap_s)

    def start(self) -> None:
        """A request begins."""
        self._since = time.monotonic()

    def sign(self) -> None:
        """The server did something."""
        now = time.monotonic()
        self._longest_gap_s = max(self._longest_gap_s, now - self._since)
        self._since = now

    def check(self) -> None:
        """Raise OutOfPatienceError if the last sign is too long ago."""
        if time.monotonic() - self._since > self.limit_s:
            raise OutOfPatienceError

    def observe(self, pulse: object) -> None:
        """Take a change of ``pulse`` as a sign of life; None is no observation."""
        if pulse is not None and pulse != self._last:
            self._last = pulse
            self.sign()
        else:
            self.check()


def attend(request: Callable[[], T], pulse: Callable[[], object], patience: Patience, *, poll_s: float = 5.0) -> T:
    """The result of ``request``, watched by ``pulse``. Raises OutOfPatienceError, leaving the request to itself."""
    future: Future[T] = Future()
    patience.start()
    # A daemon thread: a request that is stuck must not keep the program from ending.
    threading.Thread(target=_fulfil, args=(future, request), daemon=True).start()
    while not wait([future], poll_s).done:
        patience.observe(pulse())
    return future.result()


def _fulfil(future: Future[T], request: Callable[[], T]) -> None:
    try:
        future.set_result(request())
    except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
        future.set_exception(error)
