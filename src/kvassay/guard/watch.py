"""The traffic's side of the monitor: hands finished exchanges to the watching process, never waits for it."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from kvassay.guard import watching
from kvassay.guard.asking import api_of
from kvassay.guard.contract import Asked, Expected
from kvassay.guard.counting import Counter, wants_count
from kvassay.guard.recording import Exchange
from kvassay.guard.spool import Spool
from kvassay.guard.watching import Watched, WatchSettings

_BATCH_EVERY_S = 0.05
_BATCH_TURNS = 8  # what comes back is unpacked in one go, and stops the traffic's process for that long
_LAST_WORDS_S = 10.0
_ENDED = Watched(fault="the watching process ended")

A = TypeVar("A")
B = TypeVar("B")


def watches(method: str, path: str) -> bool:
    """Whether a request may be a turn, so that its bodies are worth holding."""
    return method == "POST" and api_of(path) is not None


class _Spooled(NamedTuple):
    """An exchange in the spool: where it ends, and itself if its tokens have to be counted."""

    end: int
    uncounted: Exchange | None


@dataclass(slots=True)
class Watch:
    """``heard`` gets what became of each exchange, in order. Exchanges that find the ``spool`` full are dropped and
    counted in ``dropped``; a watching process that died is started anew and counted in ``restarts``. ``counter`` is
    asked for the lengths that replies do not tell; not for those of the exchanges that `now` waits for.
    """

    settings: WatchSettings
    heard: Callable[[Watched], None]
    spool: Spool
    counter: Counter | None = None
    dropped: int = 0
    restarts: int = 0
    _queue: list[_Spooled] = field(default_factory=list)
    _some: asyncio.Event = field(default_factory=asyncio.Event)
    _pool: ProcessPoolExecutor | None = None

    def take(self, exchange: Exchange) -> None:
        """Take over a finished exchange; returns at once. From then on it is stored even if this process is killed."""
        end = self.spool.put(pickle.dumps(exchange, pickle.HIGHEST_PROTOCOL))
        if end is None:
            self.dropped += 1
            return
        self._queue.append(_Spooled(end, exchange if self.counter is not None and wants_count(exchange) else None))
        self._some.set()

    async def run(self) -> None:
        """Have what was taken watched, in batches, until cancelled; then the rest."""
        batches: asyncio.Future[object] = asyncio.ensure_future(self._watched([]))  # starts the process
        try:
            while True:
                await asyncio.shield(batches)
                await self._some.wait()
                await asyncio.sleep(_BATCH_EVERY_S)
                batches = asyncio.ensure_future(self._watch_all())
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_S):
                    await batches
                    await self._watch_all()
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)

    async def now(self, exchange: Exchange) -> Watched:
        """Watch one exchange and wait for what became of it, which ``heard`` hears too."""
        watched = await self._answer(watching.watch, exchange) or _ENDED
        self.heard(watched)
        return watched

    async def expect(self, asked: Asked) -> Expected | None:
        """What the monitor says of a request before it goes on; None if it can't say."""
        return await self._answer(watching.expect, asked)

    async def _watch_all(self) -> None:
        self._some.clear()
        while self._queue:
            batch, self._queue = self._queue[:_BATCH_TURNS], self._queue[_BATCH_TURNS:]
            for watched in await self._watched(batch):
                self.heard(watched)
                await asyncio.sleep(0)  # let the traffic through: who hears may print, and send

    async def _watched(self, batch: list[_Spooled]) -> list[Watched]:
        watched = await self._answer(watching.watch_spooled, await self._counts(batch))
        if watched is None:
            self.spool.skip_to(batch[-1].end if batch else 0)
            return [_ENDED] * len(batch)
        return watched

    async def _counts(self, batch: list[_Spooled]) -> list[int | None]:
        uncounted = [spooled.uncounted for spooled in batch if spooled.uncounted is not None]
        if self.counter is None or not uncounted:
            return [None] * len(batch)
        counts = iter(await self.counter.counts(uncounted))
        return [None if spooled.uncounted is None else next(counts) for spooled in batch]

    async def _answer(self, ask: Callable[[A], B], what: A) -> B | None:
        """What the watching process answers; None if it ended, and then there will be another one."""
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            given = (self.settings, self.spool)
            self._pool = ProcessPoolExecutor(1, context, initializer=watching.begin, initargs=given)
        pool = self._pool
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, ask, what)
        except BrokenProcessPool:
            if self._pool is pool:
                pool.shutdown(wait=False)
                self._pool = None
                self.restarts += 1
            return None
