"""The traffic's side of the monitor: hands finished exchanges to the watching process, never waits for it."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field

from kvassay.guard import watching
from kvassay.guard.asking import api_of
from kvassay.guard.contract import Asked, Expected
from kvassay.guard.recording import Exchange
from kvassay.guard.watching import Watched, WatchSettings

_BATCH_EVERY_S = 0.05
_BATCH_BYTES = 1024 * 1024
_LAST_WORDS_S = 10.0


def watches(method: str, path: str) -> bool:
    """Whether a request may be a turn, so that its bodies are worth holding."""
    return method == "POST" and api_of(path) is not None


async def _as_they_are(exchanges: Sequence[Exchange]) -> list[Exchange]:
    return list(exchanges)


@dataclass(slots=True)
class Watch:
    """``heard`` gets what became of each exchange, in order. Exchanges that find ``waiting_bytes`` full are dropped and
    counted in ``dropped``; a watching process that died is started anew and counted in ``restarts``. ``counted`` may
    add to exchanges what has to be asked for, before they are watched; not to those that `now` waits for.
    """

    settings: WatchSettings
    heard: Callable[[Exchange, Watched], None]
    waiting_bytes: int
    counted: Callable[[Sequence[Exchange]], Awaitable[list[Exchange]]] = _as_they_are
    dropped: int = 0
    restarts: int = 0
    _held_bytes: int = 0
    _queue: list[Exchange] = field(default_factory=list)
    _some: asyncio.Event = field(default_factory=asyncio.Event)
    _pool: ProcessPoolExecutor | None = None

    def take(self, exchange: Exchange) -> None:
        """Take over a finished exchange; returns at once."""
        size = _size(exchange)
        if self._held_bytes + size > self.waiting_bytes:
            self.dropped += 1
            return
        self._held_bytes += size
        self._queue.append(exchange)
        self._some.set()

    async def run(self) -> None:
        """Hand over what was taken, in batches, until cancelled; then hand over the rest."""
        try:
            await self._watched([])  # starts the process, so that the first turn need not wait for it
            while True:
                await self._some.wait()
                await asyncio.sleep(_BATCH_EVERY_S)
                await self._hand_over()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_S):
                    while self._queue:
                        await self._hand_over()
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)

    async def now(self, exchange: Exchange) -> Watched:
        """Watch one exchange and wait for what became of it, which ``heard`` hears too."""
        watched = (await self._watched([exchange]))[0]
        self.heard(exchange, watched)
        return watched

    async def expect(self, asked: Asked) -> Expected | None:
        """What the monitor says of a request before it goes on; None if it can't say."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._ready(), watching.expect, asked)
        except BrokenProcessPool:
            self._replace()
            return None

    async def _hand_over(self) -> None:
        batch = await self.counted(self._next())
        if batch:
            for exchange, watched in zip(batch, await self._watched(batch), strict=True):
                self.heard(exchange, watched)

    def _next(self) -> list[Exchange]:
        """What is handed over at once: little, because packing it stops the traffic's process for a moment."""
        size = number = 0
        while number < len(self._queue) and size < _BATCH_BYTES:
            size += _size(self._queue[number])
            number += 1
        batch, self._queue = self._queue[:number], self._queue[number:]
        self._held_bytes -= size
        if not self._queue:
            self._some.clear()
        return batch

    async def _watched(self, batch: list[Exchange]) -> list[Watched]:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._ready(), watching.watch_all, batch)
        except BrokenProcessPool:
            self._replace()
            return [Watched(fault="the watching process ended")] * len(batch)

    def _ready(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, initializer=watching.begin, initargs=(self.settings,))
        return self._pool

    def _replace(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            self._pool = None
            self.restarts += 1


def _size(exchange: Exchange) -> int:
    return len(exchange.request) + len(exchange.reply)
