"""One request through: to the upstream and back, byte for byte, both ways streamed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count

import aiohttp
from aiohttp import HttpVersion11, web
from multidict import CIMultiDict
from yarl import URL

from kvassay.guard.heads import coding_fault, passed_on
from kvassay.guard.options import Bounds
from kvassay.guard.patience import Patience
from kvassay.guard.recording import AskedAs, Exchange, Fault, Recording
from kvassay.guard.refusals import refusal

GIVEN: web.ResponseKey[CIMultiDict[str]] = web.ResponseKey("given", CIMultiDict)  # the upstream's headers

Done = Callable[[Exchange], None]

_NEVER = frozenset[bytes]()
_AUTOMATIC = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_HEADERS = 1000
POOLED_S = 2.0  # llama-server and uvicorn close idle connections after 5 s: never send into a closing one


@dataclass(slots=True)
class Proxy:
    """Passes requests to ``upstream``; ``done`` hears of every exchange after its last byte has gone.

    ``session`` is made by `client_session`. ``watches`` says whose bodies ``done`` wants.
    """

    upstream: str
    session: aiohttp.ClientSession
    done: Done
    watches: Callable[[str, str], bool]
    bounds: Bounds
    _ids: count[int] = field(default_factory=lambda: count(1))

    async def pass_on(
        self,
        request: web.Request,
        *,
        spent: frozenset[bytes] = _NEVER,
        body: bytes | None = None,
        beginning: bytes = b"",
        actions: tuple[str, ...] = (),
        asked_as: AskedAs | None = None,
    ) -> web.StreamResponse:
        """Answer a request with the upstream's answer. ``spent`` headers are not passed on; ``body`` is sent in place
        of the request's own, changed by ``actions`` from what the client had ``asked_as``; ``beginning`` was read of
        it already.
        """
        if (request.content_length or 0) > self.bounds.body_bytes:
            return refusal(request.raw_path, *self._too_large(), close=True)
        recording = self.recording(request)
        recording.actions, recording.asked_as = actions, asked_as
        if body is not None:
            recording.asked(body)
        try:
            data = self._data(request, recording, beginning) if body is None else body
            return await self._exchange(request, recording, spent, data)
        except asyncio.CancelledError:
            recording.cancelled = True
            raise
        finally:
            self.done(recording.ended())

    def _too_large(self) -> Fault:
        return Fault(413, f"the body is larger than {self.bounds.body_bytes} bytes")

    def recording(self, request: web.Request) -> Recording:
        """A recording of a request that begins now."""
        return Recording(
            id=next(self._ids),
            method=request.method,
            path=request.raw_path,
            raw_headers=request.raw_headers,
            room_bytes=self.bounds.watched_bytes,
            watch=self.watches(request.method, request.path),
        )

    async def _exchange(
        self,
        request: web.Request,
        recording: Recording,
        spent: frozenset[bytes],
        data: bytes | AsyncIterator[bytes] | None,
    ) -> web.StreamResponse:
        try:
            async with self.sent(request, self.upstream, data, without=spent) as upstream:
                recording.status = upstream.status
                recording.reply_encoding = upstream.headers.get("Content-Encoding", "")
                with noticing_loss(upstream):
                    return await self._back(request, upstream, recording)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            status, message = recording.fault or explained(error, self.upstream)
            return refusal(request.raw_path, status, message, close=not request.content.is_eof())

    @asynccontextmanager
    async def sent(
        self,
        request: web.Request,
        server: str,
        data: bytes | AsyncIterator[bytes] | None,
        *,
        without: frozenset[bytes],
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A request on its way to a server, with this body; entered, the reply's head is there."""
        if isinstance(data, bytes) and len(data) != request.content_length:
            without |= {b"content-length"}
        async with asyncio.timeout(self.bounds.idle_s):
            reply = await self.session.request(
                request.method,
                URL(server + request.raw_path, encoded=True),
                headers=passed_on(request.raw_headers, without=without),
                data=data,
                allow_redirects=False,
            )
        async with reply:
            yield reply

    def _data(
        self, request: web.Request, recording: Recording, beginning: bytes
    ) -> bytes | AsyncIterator[bytes] | None:
        """A request's body: all of it where it is here already, which costs less; else as it arrives."""
        if not request.body_exists:
            return None
        if beginning or request.content_length is None or not request.content.is_eof():
            return self._body(request, recording, beginning)
        body = request.content.read_nowait()
        recording.asked(body)
        return body

    async def _body(self, request: web.Request, recording: Recording, chunk: bytes) -> AsyncIterator[bytes]:
        """The rest of a request's body behind a chunk that was read."""
        while chunk or (chunk := await self._more(request, recording)):
            recording.asked(chunk)
            if recording.request_bytes > self.bounds.body_bytes:
                recording.fault = self._too_large()
                raise ValueError
            yield chunk
            await asyncio.sleep(0)  # hear an upstream that answers early and goes: the next write would lose its answer
            chunk = b""

    async def _more(self, request: web.Request, recording: Recording) -> bytes:
        try:
            async with asyncio.timeout(self.bounds.request_s):
                return await request.content.readany()
        except TimeoutError:
            recording.fault = Fault(408, "the request's body stopped arriving")
            raise

    async def _back(
        self, request: web.Request, upstream: aiohttp.ClientResponse, recording: Recording
    ) -> web.StreamResponse:
        here = upstream.content.is_eof() or upstream.content.total_bytes > 0
        response = begun(upstream, _Here if here else web.StreamResponse)
        await response.prepare(request)
        try:
            async with Patience(self.bounds.idle_s) as patience:
                async for chunk in upstream.content.iter_any():
                    await response.write(chunk)
                    recording.answered(chunk)
                    patience.moved()
                await response.write_eof()
            recording.complete = True
        except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, TimeoutError):
            _cut(request)
        return response


class _Here(web.StreamResponse):
    """A reply whose body, or its beginning, is here already: the head goes with it in one piece."""

    _send_headers_immediately = False


def begun(
    upstream: aiohttp.ClientResponse,
    kind: type[web.StreamResponse] = web.StreamResponse,
    *,
    without: frozenset[bytes] = _NEVER,
) -> web.StreamResponse:
    """The upstream's reply, its head only, for the client. Raises ValueError where it can't be passed on."""
    fault = coding_fault(upstream.headers.getall("Transfer-Encoding", ()), old=False)
    if fault or upstream.status < web.HTTPOk.status_code:  # to an upgrade, say, that nobody asked for
        raise ValueError(fault)
    given = passed_on(upstream.raw_headers, without=without)
    response = kind(status=upstream.status, reason=upstream.reason, headers=given)
    response[GIVEN] = given
    return response


def client_session(bounds: Bounds) -> aiohttp.ClientSession:
    """A client that adds nothing of its own: no cookies, no redirects, no unpacking, no headers but Host. Silence is
    waited for by its user.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=POOLED_S),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=bounds.connect_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=_AUTOMATIC,
        max_line_size=65536,
        max_field_size=65536,
        max_headers=_HEADERS,
    )


async def as_given(request: web.Request, response: web.StreamResponse) -> None:
    """Undo what aiohttp does to a reply's headers: adds what the upstream did not send, takes a length from a 304. End
    the connection of an HTTP/1.0 client with a reply of unknown length, which it would keep for ever (an
    on_response_prepare signal).
    """
    if request.version < HttpVersion11 and response.content_length is None:
        response.force_close()
    given = response.get(GIVEN)
    if given is None:
        return
    for name in ("Date", "Server", "Content-Type"):
        if name not in given:
            response.headers.popall(name, None)
    if response.status == web.HTTPNotModified.status_code and "Content-Length" in given:
        response.headers["Content-Length"] = given["Content-Length"]


@contextmanager
def noticing_loss(upstream: aiohttp.ClientResponse) -> Iterator[None]:
    """While entered, a lost connection ends the reading of an unfinished reply.

    aiohttp 3.14 closes the connection on broken chunk framing but leaves the reader of the body waiting.
    """

    def lost(closed: asyncio.Future[None] | None) -> None:
        if closed is not None:
            _seen(closed)
        if not upstream.content.is_eof() and upstream.content.exception() is None:
            upstream.content.set_exception(aiohttp.ClientPayloadError("the connection was lost"))

    connection = upstream.connection
    if connection is None or connection.protocol is None:  # the whole reply is here
        yield
        return
    closed = connection.protocol.closed
    if closed is None:
        lost(None)
        yield
        return
    closed.add_done_callback(lost)
    try:
        yield
    finally:
        closed.remove_done_callback(lost)
        closed.remove_done_callback(_seen)  # of an earlier request on this connection
        closed.add_done_callback(_seen)


def _seen(closed: asyncio.Future[None]) -> None:
    """Nobody waits for a connection's end any more: asyncio must not complain about how it ended."""
    if not closed.cancelled():
        closed.exception()


def _cut(request: web.Request) -> None:
    """End the client's connection in the middle of the reply, as the upstream did: a cut reply must not look whole."""
    if request.transport is not None:
        request.transport.close()


def explained(error: Exception, upstream: str) -> Fault:
    """What a failed request to a server means for the client."""
    if isinstance(error, aiohttp.ClientSSLError):
        return Fault(502, f"no secure connection to {upstream}: {error.strerror or error}")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Fault(502, f"no server answers at {upstream}: is it running?")
    if isinstance(error, TimeoutError):
        return Fault(504, f"the server at {upstream} said nothing for too long")
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
        return Fault(502, f"the server at {upstream} closed the connection without an answer")
    return Fault(502, f"the server at {upstream} answered with something that is not HTTP")
