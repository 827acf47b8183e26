"""A process that dies with records in its spool, started by a test: importable where a test's own module is not."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection

from kvassay.guard.spool import Spool


def _take_all(spool: Spool, told: Connection) -> None:
    told.send(spool.take())
    multiprocessing.parent_process().join()  # type: ignore[union-attr]
    told.send(spool.take())


def write_and_die(told: Connection) -> None:
    """Put two records, with a reader starting in between that tells them, and be gone."""
    spool = Spool(1000)
    spool.put(b"first")
    multiprocessing.get_context("spawn").Process(target=_take_all, args=(spool, told)).start()
    spool.put(b"last")
    os._exit(9)
