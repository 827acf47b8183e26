"""The guard as a running server: sockets, the gate in front, the proxy behind, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple, Protocol

from aiohttp import HttpVersion11, web

from kvassay.errors import ConfigError, PortTaken
from kvassay.guard.gate import Gate
from kvassay.guard.heads import head_fault, target_fault
from kvassay.guard.options import PREFIX, Address, Bounds
from kvassay.guard.proxy import as_given
from kvassay.guard.refusals import refusal

Own = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Traffic(Protocol):
    """Answers a request with the upstream's answer; ``spent`` headers are not passed on."""

    def __call__(self, request: web.Request, *, spent: frozenset[bytes]) -> Awaitable[web.StreamResponse]: ...


_IDLE_S = 75.0  # between two requests of a connection, and before its first
_SHUTDOWN_S = 2.0
_HEAD_BYTES = 65536
_SILENT = logging.getLogger("kvassay.guard")
_SILENT.setLevel(logging.CRITICAL + 1)  # what clients send wrong is answered, not logged


class Doors(NamedTuple):
    """What stands behind a listening address: ``traffic`` and ``own`` pages; None where it does not serve them."""

    gate: Gate
    traffic: Traffic | None
    own: Own | None


class _Full(asyncio.Protocol):
    """Answers a connection beyond the limit."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101  asyncio's contract
        transport.write(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
        transport.close()


@asynccontextmanager
async def listening(sock: socket.socket, doors: Doors, bounds: Bounds) -> AsyncIterator[None]:
    """Serve on a bound socket while entered."""
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", _handler(doors), expect_handler=_unhurried)
    app.on_response_prepare.append(as_given)
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_SILENT,
        handler_cancellation=True,
        auto_decompress=False,
        keepalive_timeout=_IDLE_S,
        shutdown_timeout=_SHUTDOWN_S,
        max_line_size=_HEAD_BYTES,
        max_field_size=_HEAD_BYTES,
        lingering_time=1.0,
    )
    await runner.setup()
    web_server = runner.server
    assert web_server is not None  # noqa: S101  set up above

    def accept() -> asyncio.Protocol:
        return web_server() if len(web_server.connections) < bounds.connections else _Full()

    server = await asyncio.get_running_loop().create_server(accept, sock=sock)
    try:
        yield
    finally:
        server.close()
        await runner.cleanup()


def bind(place: Address) -> socket.socket:
    """A socket listening on an address. Raises PortTaken, ConfigError."""
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(place)
    except PermissionError as error:
        sock.close()
        raise ConfigError(f"{str(place)!r} can't be listened on: {error.strerror}") from None
    except OSError as error:
        sock.close()
        raise PortTaken(f"{str(place)!r} can't be listened on: {error.strerror}", hint="Choose another one.") from None
    return sock


def _handler(doors: Doors) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        old = request.version < HttpVersion11
        if fault := target_fault(request.raw_path) or head_fault(request.headers, old=old):
            return refusal(request.raw_path, 400, fault, close=True)
        own = doors.traffic is None or request.path == PREFIX or request.path.startswith(f"{PREFIX}/")
        passage = doors.gate.admit(request.headers, own=own)
        if passage.status:
            return _refused(request, passage.status, passage.reason, own=own)
        _go_on(request)
        if own:
            return await (_nothing if doors.own is None else doors.own)(request)
        assert doors.traffic is not None  # noqa: S101  own otherwise
        return await doors.traffic(request, spent=passage.spent)

    return handle


def _refused(request: web.Request, status: int, reason: str, *, own: bool) -> web.Response:
    response = refusal(request.raw_path, status, reason, close=True)
    if status == web.HTTPUnauthorized.status_code:
        response.headers["WWW-Authenticate"] = 'Basic realm="kvassay guard"' if own else "Bearer"
    return response


async def _nothing(request: web.Request) -> web.StreamResponse:
    return refusal(request.raw_path, 404, "there is nothing here; the guard's pages are on their own address")


async def _unhurried(_request: web.Request) -> None:
    """Leave Expect: 100-continue until the gate has let the request in."""


def _go_on(request: web.Request) -> None:
    waits = request.headers.get("Expect", "").lower() == "100-continue" and request.version >= HttpVersion11
    if waits and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
