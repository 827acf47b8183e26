"""A scripted upstream and a guard on real sockets in one event loop, spoken to in raw bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from kvassay.guard.gate import Gate
from kvassay.guard.options import Address, Bounds
from kvassay.guard.proxy import Proxy, client_session
from kvassay.guard.recording import Exchange
from kvassay.guard.server import Doors, Own, bind, listening

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Heard(NamedTuple):
    """A request as the upstream received it: the head's bytes, the body without its framing."""

    head: bytes
    body: bytes


@dataclass
class Upstream:
    """``answer`` writes the reply to a request; ``asked`` is set once there
    was one, ``lost`` once the other side has closed a connection.
    """

    answer: Callable[[Heard, asyncio.StreamWriter], Awaitable[None]]
    port: int = 0
    heard: list[Heard] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request after the other."""
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                request = await hear(reader)
                self.heard.append(request)
                self.asked.set()
                answering = asyncio.ensure_future(self.answer(request, writer))
                gone = asyncio.ensure_future(_closed(reader, writer))
                await asyncio.wait((answering, gone), return_when=asyncio.FIRST_COMPLETED)
                gone.cancel()
                if not answering.done():
                    answering.cancel()
                    break
                await answering
        self.lost.set()
        writer.close()


async def _closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while not (writer.transport.is_closing() or reader.at_eof()):  # noqa: ASYNC110  a stream has no event for its end
        await asyncio.sleep(0.005)


async def hear(reader: asyncio.StreamReader) -> Heard:
    """Read one request."""
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        return Heard(head, await dechunked(reader))
    length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0]) if b"content-length:" in lower else 0
    return Heard(head, await reader.readexactly(length))


async def dechunked(reader: asyncio.StreamReader) -> bytes:
    """Read a chunked body to its end, trailers included."""
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    while await reader.readline() != b"\r\n":
        pass
    return body


def saying(*parts: bytes) -> Callable[[Heard, asyncio.StreamWriter], Awaitable[None]]:
    """An answer of fixed bytes."""

    async def answer(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return answer


@asynccontextmanager
async def scripted(answer: Callable[[Heard, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[Upstream]:
    """An upstream that is listening."""
    upstream = Upstream(answer)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, limit=2**26)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()


@dataclass
class Guarded:
    """A guard that is listening, and what it recorded."""

    port: int
    exchanges: list[Exchange] = field(default_factory=list)
    one_more: asyncio.Event = field(default_factory=asyncio.Event)

    def done(self, exchange: Exchange) -> None:
        """What the proxy calls."""
        self.exchanges.append(exchange)
        self.one_more.set()

    async def recorded(self, number: int = 1) -> list[Exchange]:
        """Wait until so many exchanges have ended."""
        async with asyncio.timeout(10):
            while len(self.exchanges) < number:
                self.one_more.clear()
                await self.one_more.wait()
        return self.exchanges


@asynccontextmanager
async def guarding(
    upstream_port: int,
    *,
    gate: Gate | None = None,
    bounds: Bounds | None = None,
    own: Own | None = None,
    path: str = "",
) -> AsyncIterator[Guarded]:
    """A guard in front of a port of this machine."""
    limits = bounds or Bounds()
    sock = bind(Address("127.0.0.1", 0))
    guarded = Guarded(sock.getsockname()[1])
    async with client_session(limits) as session:
        proxy = Proxy(f"http://127.0.0.1:{upstream_port}{path}", session, guarded.done, _always, limits)
        async with listening(sock, Doors(gate or Gate(), proxy.pass_on, own), limits):
            yield guarded


def _always(_method: str, _path: str) -> bool:
    return True


async def talk(port: int, sent: bytes, *, wait_s: float = 10) -> bytes:
    """Send bytes; everything that comes back until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    async with asyncio.timeout(wait_s):
        got = b""
        with suppress(ConnectionError):
            while part := await reader.read(65536):
                got += part
    writer.close()
    return got


def get(path: str, *headers: str, close: bool = True, method: str = "GET") -> bytes:
    """A request without a body."""
    lines = (f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers, *(("Connection: close",) if close else ()))
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("utf-8", "surrogateescape")


def post(path: str, body: bytes, *headers: str, close: bool = True) -> bytes:
    """A request with a body."""
    return get(path, f"Content-Length: {len(body)}", *headers, close=close, method="POST") + body
