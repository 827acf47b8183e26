"""What goes through the guard is what was sent: raw sockets on both sides, compared with a direct connection."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.wires import CHUNKED, OK, Heard, dechunked, get, guarding, post, saying, scripted, talk
from kvassay.guard.options import Bounds

CHAT = "/v1/chat/completions"


def lines(head: bytes) -> list[bytes]:
    """A head's lines, without those of one connection only (hop by hop) and Host."""
    dropped = (b"connection:", b"host:", b"keep-alive:", b"transfer-encoding:")
    return [line for line in head.split(b"\r\n") if not line.lower().startswith(dropped)]


REQUESTS = {
    "plain": post(CHAT, b'{"model":"m"}', "Content-Type: application/json", "Authorization: Bearer sk-1"),
    "repeated headers in order and spelling": post("/v1/x", b"{}", "X-One: 1", "x-two: 2", "X-One: 3"),
    "query with odd escapes": get("/v1/models/a%2Fb%20c?x=%2e%2e/..&y=%C3%A4&&z"),
    "no body": get("/health", "Accept: */*"),
    "empty body": post(CHAT, b""),
    "binary body": post("/upload", bytes(range(256)) * 500, "Content-Type: application/octet-stream"),
    "packed body": post(CHAT, b"\x1f\x8b\x08not really gzip", "Content-Encoding: gzip"),
    "another method": get("/v1/responses/r1", "Content-Length: 0", method="DELETE"),
    "a doubled slash": get("//v1//models"),
    "header text beyond ASCII": get("/x", "X-Name: Gr\u00fc\u00dfe"),
}


@pytest.mark.parametrize("sent", REQUESTS.values(), ids=REQUESTS.keys())
def test_a_request_arrives_as_it_was_sent(sent: bytes) -> None:
    async def scenario() -> None:
        async with scripted(saying(OK.replace(b"200 OK\r\n", b"200 OK\r\nConnection: close\r\n"))) as upstream:
            async with guarding(upstream.port) as guard:
                await talk(guard.port, sent)
            head, body = upstream.heard[0]
            sent_head, _, sent_body = sent.partition(b"\r\n\r\n")
            assert lines(head.removesuffix(b"\r\n\r\n")) == lines(sent_head)
            assert body == sent_body
            assert f"Host: 127.0.0.1:{upstream.port}".encode() in head

    asyncio.run(scenario())


REPLIES = {
    "sized": b"HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nX-A: 1\r\nx-b: 2\r\nX-A: 3\r\nContent-Length: 5\r\n\r\nhello",
    "another reason": b"HTTP/1.1 200 Sure Thing\r\nContent-Length: 0\r\n\r\n",
    "no type, no date, no server": b"HTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx",
    "an error": b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    "a redirect is not followed": b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /v2\r\nContent-Length: 0\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
    "not modified": b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n',
    "not modified, its length": b"HTTP/1.1 304 Not Modified\r\nX-A: 1\r\nContent-Length: 500\r\n\r\n",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 300 + b"Content-Length: 0\r\n\r\n",
    "packed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00",
    "cookies": b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2; Path=/\r\nContent-Length: 0\r\n\r\n",
    "continued first": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
def test_a_reply_arrives_as_it_was_sent(reply: bytes) -> None:
    async def scenario() -> None:
        async with scripted(saying(reply)) as upstream, guarding(upstream.port) as guard:
            got = await talk(guard.port, get("/v1/models"))
            head, _, body = got.partition(b"\r\n\r\n")
            final = reply.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
            sent_head, _, sent_body = final.partition(b"\r\n\r\n")
            assert lines(head) == lines(sent_head)
            assert body == sent_body

    asyncio.run(scenario())


@settings(max_examples=40, deadline=None)
@given(
    parts=st.lists(st.binary(min_size=1, max_size=3000), min_size=1, max_size=12),
    trailer=st.sampled_from([b"", b"X-Trailer: 1\r\n"]),
)
def test_a_chunked_stream_of_any_bytes_arrives_whole(parts: list[bytes], trailer: bytes) -> None:
    """Framing is each connection's own; the body is the same, and trailers do no harm."""
    framed = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)

    async def scenario() -> None:
        answer = saying(CHUNKED, framed, b"0\r\n" + trailer + b"\r\n")
        async with scripted(answer) as upstream, guarding(upstream.port) as guard:
            reader, writer = await asyncio.open_connection("127.0.0.1", guard.port)
            writer.write(post(CHAT, b"{}"))
            await reader.readuntil(b"\r\n\r\n")
            assert await dechunked(reader) == b"".join(parts)
            writer.close()
            assert (await guard.recorded())[0].reply == b"".join(parts)

    asyncio.run(scenario())


def test_a_chunked_request_arrives_whole() -> None:
    async def scenario() -> None:
        async with scripted(saying(OK)) as upstream, guarding(upstream.port) as guard:
            sent = get(CHAT, "Transfer-Encoding: chunked", method="POST")
            sent += b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nT: 1\r\n\r\n"
            assert (await talk(guard.port, sent)).endswith(b"{}")
            assert upstream.heard[0].body == b"abcdefg"

    asyncio.run(scenario())


def test_a_reply_that_ends_with_the_connection_arrives_whole() -> None:
    async def answer(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nto the end")
        writer.close()

    async def scenario() -> None:
        async with scripted(answer) as upstream, guarding(upstream.port) as guard:
            reader, writer = await asyncio.open_connection("127.0.0.1", guard.port)
            writer.write(get("/x"))
            assert b"chunked" in await reader.readuntil(b"\r\n\r\n")
            assert await dechunked(reader) == b"to the end"
            writer.close()
            old = await talk(guard.port, b"GET /x HTTP/1.0\r\nHost: localhost\r\n\r\n")
            assert old.endswith(b"\r\n\r\nto the end")

    asyncio.run(scenario())


def test_a_stream_to_an_old_client_that_keeps_connections_ends_with_this_one() -> None:
    async def scenario() -> None:
        answer = saying(CHUNKED + b"7\r\ndata: 1\r\n0\r\n\r\n")
        async with scripted(answer) as upstream, guarding(upstream.port) as guard:
            sent = get(CHAT, "Connection: keep-alive", close=False).replace(b"HTTP/1.1", b"HTTP/1.0")
            got = await talk(guard.port, sent, wait_s=5)
            assert got.endswith(b"\r\n\r\ndata: 1")

    asyncio.run(scenario())


def test_head_gets_the_headers_of_a_body_that_does_not_come() -> None:
    async def scenario() -> None:
        reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12345\r\n\r\n"
        async with scripted(saying(reply)) as upstream, guarding(upstream.port) as guard:
            got = await talk(guard.port, get("/x", method="HEAD"))
            assert b"Content-Length: 12345" in got
            assert got.endswith(b"\r\n\r\n")

    asyncio.run(scenario())


def test_every_event_passes_before_the_next_one_is_sent() -> None:
    """The upstream sends each event only after the client has got the one before: nothing is held back."""
    events = [b"data: {}\n\n", b": ping\n\n", b"event: x\ndata: 1\n\n", b"data: [DO", b"NE]\n\n"]
    got_one = asyncio.Event()

    async def answer(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        for event in events:
            got_one.clear()
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
            async with asyncio.timeout(10):
                await got_one.wait()
        writer.write(b"0\r\n\r\n")

    async def scenario() -> None:
        async with scripted(answer) as upstream, guarding(upstream.port) as guard:
            reader, writer = await asyncio.open_connection("127.0.0.1", guard.port)
            writer.write(post(CHAT, b"{}"))
            await reader.readuntil(b"\r\n\r\n")
            for event in events:
                async with asyncio.timeout(10):
                    assert await reader.readexactly(int(await reader.readline(), 16)) == event
                await reader.readexactly(2)
                got_one.set()
            writer.close()

    asyncio.run(scenario())


def test_a_connection_is_kept_for_many_requests_on_both_sides() -> None:
    async def scenario() -> None:
        async with scripted(saying(OK)) as upstream, guarding(upstream.port) as guard:
            reader, writer = await asyncio.open_connection("127.0.0.1", guard.port)
            for number in range(20):
                writer.write(post(f"/v1/{number}", b"{}", close=False))
                await reader.readuntil(b"{}")
            writer.write(get("/a", close=False) + get("/b", close=False))  # pipelined
            for _ in range(2):
                await reader.readuntil(b"{}")
            writer.close()
            assert [heard.head.split(b" ")[1] for heard in upstream.heard[-3:]] == [b"/v1/19", b"/a", b"/b"]
            assert upstream.connections == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("begun", [False, True], ids=["before the reply", "within the stream"])
def test_a_client_that_goes_away_ends_the_upstream_request_at_once(*, begun: bool) -> None:
    async def answer(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        if begun:
            writer.write(CHUNKED + b"2\r\nhi\r\n")
        await asyncio.sleep(60)

    async def scenario() -> None:
        async with scripted(answer) as upstream, guarding(upstream.port) as guard:
            reader, writer = await asyncio.open_connection("127.0.0.1", guard.port)
            writer.write(post(CHAT, b"{}", close=False))
            if begun:
                await reader.readuntil(b"hi")
            await upstream.asked.wait()
            writer.transport.abort()
            async with asyncio.timeout(5):
                await upstream.lost.wait()
            exchange = (await guard.recorded())[0]
            assert (exchange.cancelled, exchange.complete) == (True, False)

    asyncio.run(scenario())


def test_a_slow_reader_holds_the_upstream_back() -> None:
    """Back-pressure: of an endless stream that nobody reads, only what buffers hold leaves the upstream."""
    sent = itertools.count()
    total = 0

    async def answer(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        nonlocal total
        writer.write(CHUNKED)
        for _ in sent:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()
            total += 65536

    async def scenario() -> None:
        async with scripted(answer) as upstream, guarding(upstream.port) as guard:
            reader, writer = await asyncio.open_connection("127.0.0.1", guard.port, limit=1024)
            writer.write(get("/x"))
            await reader.readuntil(b"\r\n\r\n")
            before = -1
            while before != total:
                before = total
                await asyncio.sleep(0.3)
            assert total < 40 * 2**20
            writer.transport.abort()
            async with asyncio.timeout(5):
                await upstream.lost.wait()

    asyncio.run(scenario())


def test_expect_continue_is_answered_before_the_body_is_sent() -> None:
    async def scenario() -> None:
        async with scripted(saying(OK)) as upstream, guarding(upstream.port) as guard:
            reader, writer = await asyncio.open_connection("127.0.0.1", guard.port)
            writer.write(get(CHAT, "Content-Length: 4", "Expect: 100-continue", method="POST"))
            async with asyncio.timeout(5):
                assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"body")
            assert (await reader.read()).endswith(b"{}")
            assert upstream.heard[0].body == b"body"
            assert b"Expect" not in upstream.heard[0].head

    asyncio.run(scenario())


def test_a_body_larger_than_the_monitor_holds_still_passes_whole() -> None:
    async def scenario() -> None:
        body = b"0123456789abcdef" * 200_000
        bounds = Bounds(watched_bytes=1000)
        async with scripted(saying(OK)) as upstream, guarding(upstream.port, bounds=bounds) as guard:
            assert (await talk(guard.port, post(CHAT, body))).endswith(b"{}")
            assert upstream.heard[0].body == body
            exchange = (await guard.recorded())[0]
            assert (exchange.too_large, exchange.request, exchange.reply) == (True, b"", b"")

    asyncio.run(scenario())


def test_a_header_repeated_under_two_spellings_arrives_twice() -> None:
    async def scenario() -> None:
        async with scripted(saying(OK)) as upstream, guarding(upstream.port) as guard:
            await talk(guard.port, get("/x", "X-One: 1", "x-one: 2"))
            assert b"X-One: 1\r\nX-One: 2\r\n" in upstream.heard[0].head

    asyncio.run(scenario())


def test_the_path_goes_behind_the_upstreams_own() -> None:
    async def scenario() -> None:
        async with scripted(saying(OK)) as upstream, guarding(upstream.port, path="/api/llm") as guard:
            await talk(guard.port, get("/v1/models?x=1"))
            assert upstream.heard[0].head.startswith(b"GET /api/llm/v1/models?x=1 HTTP/1.1\r\n")

    asyncio.run(scenario())


def test_a_key_that_the_upstream_repeats_is_recorded_nowhere() -> None:
    async def scenario() -> None:
        key = "a-key-like-no-other"
        reply = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 36\r\n\r\nno such API key: a-key-like-no-other"
        async with scripted(saying(reply)) as upstream, guarding(upstream.port) as guard:
            got = await talk(guard.port, post("/v1/chat/completions", key.encode(), f"Authorization: Bearer {key}"))
            assert got.endswith(reply[-36:])
            assert upstream.heard[0].body == key.encode()
            assert key not in str((await guard.recorded())[0])
            assert guard.exchanges[0].reply == b"no such API key: [key]"
            assert guard.exchanges[0].request == b"[key]"

    asyncio.run(scenario())


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
def test_a_key_that_the_upstream_repeats_packed_is_recorded_nowhere(pack: Callable[[bytes], bytes]) -> None:
    async def scenario() -> None:
        key, packed = "a-key-like-no-other", pack(b"no such API key: a-key-like-no-other")
        coding = {gzip.compress: b"gzip", zlib.compress: b"deflate"}[pack]
        head = b"HTTP/1.1 401 Unauthorized\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (
            coding,
            len(packed),
        )
        async with scripted(saying(head + packed)) as upstream, guarding(upstream.port) as guard:
            got = await talk(guard.port, post("/v1/chat/completions", b"{}", f"Authorization: Bearer {key}"))
            assert got.endswith(packed)
            exchange = (await guard.recorded())[0]
            assert (exchange.reply, exchange.reply_encoding) == (b"no such API key: [key]", "")

    asyncio.run(scenario())


def test_a_packed_reply_is_unpacked_once() -> None:
    """Where a key had to be looked for, the monitor need not do it again; where there is none, the traffic does not."""

    async def scenario() -> None:
        packed = gzip.compress(b"fine")
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
        async with scripted(saying(head + packed)) as upstream, guarding(upstream.port) as guard:
            for headers in (("Authorization: Bearer a-key-like-no-other",), ()):
                assert (await talk(guard.port, post(CHAT, b"{}", *headers))).endswith(packed)
            with_key, without = await guard.recorded(2)
            assert (with_key.reply, with_key.reply_encoding) == (b"fine", "")
            assert (without.reply, without.reply_encoding) == (packed, "gzip")

    asyncio.run(scenario())


def test_keys_reach_the_upstream_and_no_recording() -> None:
    async def scenario() -> None:
        names = ("X-LiteLLM-Api-Key", "apikey", "Ocp-Apim-Subscription-Key", "X-Auth-Token", "CF-Access-Client-Secret")
        keys = ("Authorization: Bearer sk-geheim", "Cookie: a=geheim", *(f"{name}: geheim" for name in names))
        async with scripted(saying(OK)) as upstream, guarding(upstream.port) as guard:
            await talk(guard.port, post(CHAT, b"{}", *keys, "Session-Id: s1"))
            assert upstream.heard[0].head.count(b"geheim") == len(keys)
            exchange = (await guard.recorded())[0]
            assert ("Session-Id", "s1") in exchange.headers
            assert "geheim" not in repr(exchange.headers)

    asyncio.run(scenario())
