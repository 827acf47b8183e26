"""One thread at a time does the driver's work."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kvassay.executor.baton import Baton


def test_work_never_overlaps_and_waiting_does() -> None:
    """Two visits each wait for the other with the baton given away, and never work at the same time."""
    baton, both, working, overlaps = Baton(), threading.Barrier(2, timeout=20), threading.Lock(), []

    def visit() -> None:
        with baton.held():
            for _ in range(50):
                with baton.released():
                    both.wait()  # passes only if both are here, neither holding the baton
                overlaps.append(not working.acquire(blocking=False))
                working.release()

    with ThreadPoolExecutor(2) as pool:
        for end in [pool.submit(visit), pool.submit(visit)]:
            end.result()
    assert not any(overlaps)


def test_a_fault_while_waiting_leaves_the_baton_usable() -> None:
    """It is back in hand when the fault is handled, and free afterwards."""
    baton = Baton()
    with pytest.raises(ZeroDivisionError), baton.held(), baton.released():
        _ = 1 // 0
    with baton.held():
        pass
