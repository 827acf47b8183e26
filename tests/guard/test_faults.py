"""Servers and clients that misbehave: the client gets what the upstream gave, or an error in its own API's shape."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.wires import CHUNKED, OK, Heard, get, guarding, post, saying, scripted, talk
from kvassay.guard.options import Bounds

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
Answer = Callable[[Heard, asyncio.StreamWriter], Awaitable[None]]


def dying(*parts: bytes, abort: bool = False) -> Answer:
    """An upstream that says something and goes."""

    async def answer(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
        await writer.drain()
        if abort:
            writer.transport.abort()
        writer.close()

    return answer


async def silent(_heard: Heard, _writer: asyncio.StreamWriter) -> None:
    """An upstream that never answers."""
    await asyncio.sleep(60)


def error_of(got: bytes) -> tuple[int, dict[str, object]]:
    """The status and the error of a reply."""
    head, _, body = got.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body)


async def asked(answer: Answer, sent: bytes, bounds: Bounds | None = None) -> bytes:
    """What a client gets from an upstream through a guard."""
    async with scripted(answer) as upstream, guarding(upstream.port, bounds=bounds) as guard:
        return await talk(guard.port, sent)


def test_no_server_there_is_said_in_the_apis_own_shape() -> None:
    async def scenario() -> None:
        async with scripted(silent) as upstream:
            port = upstream.port
        async with guarding(port) as guard:
            status, body = error_of(await talk(guard.port, post(CHAT, b"{}")))
            assert (status, body["error"]["type"]) == (502, "server_error")  # type: ignore[index]
            assert f"no server answers at http://127.0.0.1:{port}" in str(body)
            status, body = error_of(await talk(guard.port, post(MESSAGES, b"{}")))
            assert (status, body["type"], body["error"]["type"]) == (502, "error", "api_error")  # type: ignore[index]
            status, body = error_of(await talk(guard.port, post("/api/chat", b"{}")))
            assert (status, str(body["error"])[:15]) == (502, "kvassay guard: ")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (dying(), 502),
        (dying(abort=True), 502),
        (dying(b"HTTP/1.1 200 OK\r\nContent-"), 502),
        (dying(b"SSH-2.0-OpenSSH_9.6\r\n"), 502),
        (dying(b"\x00\xff" * 4000), 502),
        (dying(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n"), 502),
        (dying(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 502),
        (dying(b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello"), 502),
    ],
    ids=[
        "closes",
        "resets",
        "half a head",
        "another protocol",
        "noise",
        "a huge header",
        "two lengths",
        "a wrong length",
    ],
)
def test_an_upstream_that_speaks_no_http_becomes_a_clear_error(answer: Answer, status: int) -> None:
    got, body = error_of(asyncio.run(asked(answer, post(CHAT, b"{}"))))
    assert got == status
    assert "kvassay guard: the server at" in body["error"]["message"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("answer", "given_body"),
    [
        (dying(CHUNKED, b"5\r\nhello\r\n"), b"5\r\nhello\r\n"),
        (dying(CHUNKED, b"5\r\nhello\r\n", abort=True), b"5\r\nhello\r\n"),
        (dying(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"), b"hello"),
    ],
    ids=["closes", "resets", "says less than promised"],
)
def test_a_reply_cut_by_the_upstream_is_cut_for_the_client(answer: Answer, given_body: bytes) -> None:
    """The client gets what came, and can tell that it is not all: the reply has no proper end."""

    async def scenario() -> None:
        async with scripted(answer) as upstream, guarding(upstream.port) as guard:
            got = await talk(guard.port, post(CHAT, b"{}"))
            assert given_body.startswith(got.partition(b"\r\n\r\n")[2])
            assert b"0\r\n\r\n" not in got
            exchange = (await guard.recorded())[0]
            assert (exchange.complete, exchange.cancelled, exchange.status) == (False, False, 200)

    asyncio.run(scenario())


@pytest.mark.parametrize("end", [b"", b"ZZ\r\n"], ids=["closes", "breaks its framing"])
def test_what_came_before_the_cut_reaches_the_client(end: bytes) -> None:
    async def answer(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + b"5\r\nhello\r\n")
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.write(end)
        writer.close()

    assert asyncio.run(asked(answer, post(CHAT, b"{}"))).endswith(b"\r\n\r\n5\r\nhello\r\n")


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    ],
)
def test_a_reply_in_a_form_that_nobody_asked_for_is_an_error(reply: bytes) -> None:
    status, body = error_of(asyncio.run(asked(saying(reply), post(CHAT, b"{}"))))
    assert (status, body["error"]["type"]) == (502, "server_error")  # type: ignore[index]


def test_an_upstream_silent_for_too_long_is_given_up() -> None:
    status, body = error_of(asyncio.run(asked(silent, post(CHAT, b"{}"), Bounds(idle_s=0.2))))
    assert (status, "said nothing for too long" in str(body)) == (504, True)


def test_a_stream_silent_for_too_long_is_cut() -> None:
    async def answer(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + b"5\r\nhello\r\n")
        await asyncio.sleep(60)

    assert asyncio.run(asked(answer, post(CHAT, b"{}"), Bounds(idle_s=0.2))).endswith(b"5\r\nhello\r\n")


def test_a_client_that_stops_within_its_body_is_told_and_let_go() -> None:
    async def scenario() -> None:
        bounds = Bounds(request_s=0.2)
        async with scripted(saying(OK)) as upstream, guarding(upstream.port, bounds=bounds) as guard:
            sent = get(CHAT, "Content-Length: 100", method="POST") + b"half"
            assert error_of(await talk(guard.port, sent))[0] == 408

    asyncio.run(scenario())


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_bounds_is_refused(*, chunked: bool) -> None:
    sent = post(CHAT, b"x" * 5000)
    if chunked:
        sent = get(CHAT, "Transfer-Encoding: chunked", method="POST") + b"1388\r\n" + b"x" * 5000 + b"\r\n0\r\n\r\n"
    status, body = error_of(asyncio.run(asked(saying(OK), sent, Bounds(body_bytes=1000))))
    assert (status, "larger than 1000 bytes" in str(body)) == (413, True)


def test_connections_over_the_bounds_are_turned_away() -> None:
    async def scenario() -> None:
        async with scripted(saying(OK)) as upstream, guarding(upstream.port, bounds=Bounds(connections=2)) as guard:
            held = [await asyncio.open_connection("127.0.0.1", guard.port) for _ in range(2)]
            for reader, writer in held:
                writer.write(get("/x", close=False))
                await reader.readuntil(b"{}")
            assert (await talk(guard.port, get("/x"))).startswith(b"HTTP/1.1 503 ")
            held[0][1].close()
            await asyncio.sleep(0.1)
            assert (await talk(guard.port, get("/x"))).startswith(b"HTTP/1.1 200 ")
            held[1][1].close()

    asyncio.run(scenario())


def test_an_upstream_that_answers_early_and_goes_has_its_answer_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    """It closes with most of the body unread: a write into that connection fails, and must not cost its answer."""

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(rude, "127.0.0.1", 0)
        async with server, guarding(server.sockets[0].getsockname()[1]) as guard:
            for _ in range(5):
                got = await talk(guard.port, post(CHAT, b"x" * 3_000_000))
                assert (got[:12], got[-3:]) == (b"HTTP/1.1 413", b"big")
        gc.collect()

    asyncio.run(scenario())
    assert not caplog.records


def test_an_upstream_may_answer_before_it_has_read_the_body() -> None:
    async def answer(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(OK.replace(b"200 OK", b"429 Too Many Requests"))

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await answer(Heard(b"", b""), writer)
        await writer.drain()
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(early, "127.0.0.1", 0)
        async with guarding(server.sockets[0].getsockname()[1]) as guard:
            reader, writer = await asyncio.open_connection("127.0.0.1", guard.port)
            writer.write(get(CHAT, "Content-Length: 10", method="POST") + b"half")
            async with asyncio.timeout(5):
                assert (await reader.readline()).startswith(b"HTTP/1.1 429")
            writer.close()
        server.close()

    asyncio.run(scenario())


@settings(max_examples=60, deadline=None)
@given(reply=st.binary(max_size=400), framed=st.booleans())
def test_no_reply_makes_the_guard_hang_or_fall(reply: bytes, *, framed: bool) -> None:
    """Whatever an upstream says before it goes, the client's connection ends and the guard serves the next one."""

    async def scenario() -> None:
        async with scripted(dying(CHUNKED + reply if framed else reply)) as upstream, guarding(upstream.port) as guard:
            await talk(guard.port, post(CHAT, b"{}"))
            upstream.answer = saying(OK)
            assert (await talk(guard.port, post(CHAT, b"{}"))).endswith(b"{}")

    asyncio.run(scenario())


@settings(max_examples=60, deadline=None)
@given(sent=st.binary(min_size=1, max_size=300))
def test_no_request_makes_the_guard_fall(sent: bytes) -> None:
    async def scenario() -> None:
        async with scripted(saying(OK)) as upstream, guarding(upstream.port) as guard:
            _, writer = await asyncio.open_connection("127.0.0.1", guard.port)
            writer.write(sent)
            writer.close()
            assert (await talk(guard.port, post(CHAT, b"{}"))).endswith(b"{}")

    asyncio.run(scenario())
