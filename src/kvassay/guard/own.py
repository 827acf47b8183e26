"""The guard's own pages under one prefix: the live page, its data and events, metrics, one turn's bodies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from aiohttp import web

from kvassay.errors import StoreError, UsageError
from kvassay.guard.metrics import CONTENT_TYPE, Metrics
from kvassay.guard.options import PREFIX
from kvassay.guard.refusals import refusal
from kvassay.guard.store import Bodies, read_turn
from kvassay.guard.tally import Tally
from kvassay.guard.turn_event import TurnEvent
from kvassay.types import JsonObject

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_STATIC = {
    "": ("page.html", "text/html"),
    "page.js": ("page.js", "text/javascript"),
    "page.css": ("page.css", "text/css"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}
_NEWS_EVERY_S, _PING_EVERY_S = 0.5, 15.0
_VIEWERS = 20


@dataclass(slots=True)
class OwnPages:
    """Serves what the guard knows. ``facts`` stand at the page's top; ``gauges`` are read when metrics are wanted."""

    tally: Tally
    metrics: Metrics
    facts: JsonObject
    store: Path | None
    gauges: Callable[[], dict[str, float]]
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _viewers: int = 0

    def changed(self) -> None:
        """Tell the open pages that there is something new."""
        self._news.set()
        self._news = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request below the prefix."""
        if request.path == PREFIX:
            return web.Response(status=308, headers={"Location": f"{PREFIX}/"})
        place = request.path.removeprefix(f"{PREFIX}/")
        if request.method not in ("GET", "HEAD"):
            return refusal(request.path, 405, "the guard's own pages are only read")
        return await self._page(place)(request)

    def _page(self, place: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        if place.startswith("turns/"):
            return self._turn
        pages = {"state.json": self._state, "events": self._events, "metrics": self._metrics}
        return pages.get(place, self._static)

    async def _static(self, request: web.Request) -> web.StreamResponse:
        found = _STATIC.get(request.path.removeprefix(f"{PREFIX}/"))
        if found is None:
            return refusal(request.path, 404, f"there is nothing at {request.path}")
        name, kind = found
        return _reply(files("kvassay.guard").joinpath(name).read_bytes(), kind)

    async def _state(self, _request: web.Request) -> web.StreamResponse:
        return _json({**self.facts, **self.tally.state()})

    async def _metrics(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(
            body=self.metrics.text(gauges=self.gauges()).encode("utf-8", "replace"),
            headers={**_HEADERS, "Content-Type": CONTENT_TYPE},
        )

    async def _turn(self, request: web.Request) -> web.StreamResponse:
        number, _, part = request.path.removeprefix(f"{PREFIX}/turns/").partition("/")
        if self.store is None or not (number.isascii() and number.isdigit()):
            return refusal(request.path, 404, "there is no such turn")
        try:
            found = await asyncio.to_thread(read_turn, self.store, int(number[:18]))
            if found is None or found[1] is None:
                return refusal(
                    request.path, 404, "no bodies are kept of this turn (start the guard with --keep-bodies)"
                )
            return await asyncio.to_thread(_part, part, found[0], found[1])
        except (StoreError, UsageError) as error:
            return refusal(request.path, 500, error.message)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._viewers >= _VIEWERS:
            return refusal(request.path, 503, f"{_VIEWERS} pages are open already")
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        self._viewers += 1
        try:
            while True:
                await response.write(await self._something())
        except ConnectionError:
            return response
        finally:
            self._viewers -= 1

    async def _something(self) -> bytes:
        try:
            async with asyncio.timeout(_PING_EVERY_S):
                await self._news.wait()
        except TimeoutError:
            return b": still here\n\n"
        await asyncio.sleep(_NEWS_EVERY_S)
        return f"event: news\ndata: {self.tally.turns}\n\n".encode()


def _part(part: str, event: TurnEvent, bodies: Bodies) -> web.Response:
    """A turn's bodies as they are shown, its request, or the session that `kvassay replay` reads."""
    from kvassay.guard.handing import handed  # noqa: PLC0415  the importers: only for who asks for a turn

    if part == "request.json":
        return _file(f"request-{event.id}.json", bodies.request)
    session = handed(event, bodies)
    if part == "session.json":
        return _file(session.name, session.text)
    return _json({**bodies._asdict(), "file": session.name, "replay": session.command, "why_not": session.why_not})


def _file(name: str, text: str) -> web.Response:
    attached = {"Content-Disposition": f'attachment; filename="{name}"'}
    return _reply(text.encode("utf-8", "replace"), "application/json", attached)


def _json(value: JsonObject) -> web.Response:
    return _reply(json.dumps(value).encode(), "application/json")


def _reply(body: bytes, kind: str, more: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=body, headers={**_HEADERS, "Content-Type": f"{kind}; charset=utf-8", **(more or {})})
