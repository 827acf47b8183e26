"""One thread at a time does the driver's work; it gives the baton away only while its own server works."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Baton:
    """Makes arms that are asked at the same time safe without a lock in every room: store, meter, agenda and progress
    are touched only by the thread that holds the baton, and nobody holds it while waiting.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the baton: for one visit."""
        with self._lock:
            yield

    @contextmanager
    def released(self) -> Iterator[None]:
        """Let others work; the baton is back when this is left. Only for who holds it."""
        self._lock.release()
        try:
            yield
        finally:
            self._lock.acquire()
