"""The watching process: what it is told, what it tells, and its three entry points.

Light to import: the traffic's process must not carry the monitor (and SciPy) in its memory.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kvassay.guard.contract import Asked, Expected, Observed
from kvassay.guard.recording import Exchange
from kvassay.guard.spool import Spool
from kvassay.guard.turn_event import TurnEvent
from kvassay.session.redact import Redactor

if TYPE_CHECKING:
    from kvassay.guard.watcher import Watcher

_NICE = 10  # traffic first


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """What the watching process is told; ``store`` None keeps nothing. ``redact`` sees all text before it is kept."""

    store: Path | None = None
    keep_days: float = 30.0
    keep_mb: float = 256.0
    keep_bodies: bool = False
    kv: str = ""
    redact: Callable[[str], str] = field(default_factory=lambda: Redactor().without_secrets)


class Watched(NamedTuple):
    """What became of an exchange: nothing for what is no turn; ``fault`` names what went wrong on our side."""

    event: TurnEvent | None = None
    observed: Observed | None = None
    fault: str = ""


# --------------------------------------------------------------------------- in the process

_watcher: Watcher | None = None
_spool: Spool | None = None
_at_work = threading.Lock()


def begin(settings: WatchSettings, spool: Spool) -> None:
    """Make this process the watching one: it leaves Ctrl-C to its parent, ends when that is gone, and works when the
    machine has nothing else to do.
    """
    from kvassay.guard.watcher import begun  # noqa: PLC0415  heavy, and needed in this process only

    global _watcher, _spool  # a pool's worker keeps its state in its module
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(_NICE)
    _watcher, _spool = begun(settings), spool
    threading.Thread(target=_end_with_parent, daemon=True).start()


def watch(exchange: Exchange) -> Watched:
    """Watch one exchange that is not in the spool."""
    assert _watcher is not None  # noqa: S101  begin() made it
    with _at_work:
        return _watcher.watch(exchange)


def watch_spooled(counts: Sequence[int | None]) -> list[Watched]:
    """Watch the oldest exchanges of the spool, which must hold as many as there are ``counts`` of their tokens."""
    with _at_work:
        return [watched for count in counts if (watched := _watch_next(count)) is not None]


def _watch_next(counted_tokens: int | None = None) -> Watched | None:
    assert _watcher is not None  # noqa: S101  begin() made both
    assert _spool is not None  # noqa: S101
    record = _spool.take()
    if record is None:
        return None
    exchange: Exchange = pickle.loads(record)  # noqa: S301  our own parent's
    return _watcher.watch(replace(exchange, counted_tokens=counted_tokens))


def expect(asked: Asked) -> Expected | None:
    """What the monitor says of a request before it goes on; None where it fails."""
    assert _watcher is not None  # noqa: S101  begin() made it
    return _watcher.expect(asked)


def _end_with_parent() -> None:
    """End when the traffic's process is gone, however that came; what it has left in the spool is stored first."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    with _at_work:
        try:
            while _watch_next() is not None:
                pass
        finally:
            os._exit(0)
