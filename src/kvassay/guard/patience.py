"""How long a body may stand still: one timer a reply, not one a chunk."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

_SLACK = 0.05  # of the time: the timer is moved when it is at least this much behind


class Patience:
    """While entered, raises TimeoutError once nothing has moved for ``idle_s`` (up to a twentieth sooner).

    Moving a timer for each chunk of a stream costs as much as passing the chunk on.
    """

    __slots__ = ("_idle_s", "_move_from", "_now", "_timeout")

    def __init__(self, idle_s: float) -> None:
        self._now = asyncio.get_running_loop().time
        self._idle_s = idle_s
        self._timeout = asyncio.timeout(idle_s)
        self._move_from = self._now() + idle_s * _SLACK

    def moved(self) -> None:
        """Something came or went: wait anew."""
        now = self._now()
        if now >= self._move_from and not self._timeout.expired():
            self._timeout.reschedule(now + self._idle_s)
            self._move_from = now + self._idle_s * _SLACK

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._timeout.__aexit__(kind, error, trace)
