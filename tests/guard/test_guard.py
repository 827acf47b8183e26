"""The whole guard: traffic in front, the watching process behind, its pages, metrics and memory."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from guard.turns import answer, ask, event, sized
from guard.wires import CHUNKED, OK, Heard, get, post, saying, scripted, talk
from kvassay.errors import PortTaken, StoreBusy
from kvassay.guard.guard import Running, running
from kvassay.guard.metrics import Metrics, depth_label
from kvassay.guard.options import PREFIX, Address, Bounds, Options
from kvassay.guard.proxy import POOLED_S
from kvassay.guard.tally import Tally, wilson
from kvassay.guard.watching import Watched

CHAT = "/v1/chat/completions"
TOKEN = "a-token-of-thirty-two-characters"  # noqa: S105  a test's
BAD = answer("read_fil", '{"path": "src/a.py"}')


@asynccontextmanager
async def guarded(upstream_port: int, **options: object) -> AsyncIterator[Running]:
    """A running guard on a free port, which waits for its monitor however busy the machine is."""
    values = {"listen": Address("127.0.0.1", 0), "bounds": Bounds(patience_s=60), **options}
    async with running(Options(f"http://127.0.0.1:{upstream_port}", **values)) as guard:  # type: ignore[arg-type]
        yield guard


async def page(guard: Running, path: str, *headers: str) -> tuple[bytes, bytes]:
    """Head and body of one of the guard's own pages."""
    head, _, body = (await talk(guard.page.port, get(f"{PREFIX}/{path}", *headers))).partition(b"\r\n\r\n")
    return head, body


async def turns_seen(guard: Running, number: int) -> None:
    """Wait until the monitor has told of so many turns."""
    async with asyncio.timeout(60):
        while guard.tally.turns < number:  # noqa: ASYNC110  what is waited for is another process
            await asyncio.sleep(0.05)


def test_a_failed_turn_is_on_page_and_metrics_and_survives_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = tmp_path / "g.sqlite"
        async with scripted(saying(sized(BAD))) as upstream:
            async with guarded(upstream.port, store=store, keep_bodies=True, kv="q4_0/q4_0") as guard:
                assert (await talk(guard.listen.port, post(CHAT, ask()))).endswith(BAD)
                await turns_seen(guard, 1)
                state = json.loads((await page(guard, "state.json"))[1])
                assert list(state["cells"][0].values())[:5] == ["m", "q4_0/q4_0", "8k", 1, 1]
                assert state["failures"][0]["outcome"] == "M3"
                _, metrics = await page(guard, "metrics")
                assert b'kvassay_guard_turns_total{model="m",kv="q4_0/q4_0",depth="8k",outcome="M3"} 1\n' in metrics
                bodies = json.loads((await page(guard, "turns/1"))[1])
                assert bodies["answer"] == '→ read_fil {"path": "src/a.py"}'
                assert (await page(guard, "turns/1/request.json"))[1] == ask()
            async with guarded(upstream.port, store=store) as guard:
                assert guard.tally.turns == 1

    asyncio.run(scenario())


def test_store_and_port_belong_to_one_guard(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with guarded(1, store=tmp_path / "g.sqlite") as guard:
            with pytest.raises(StoreBusy):
                async with guarded(1, store=tmp_path / "g.sqlite"):
                    pass
            with pytest.raises(PortTaken):
                async with guarded(1, listen=guard.listen):
                    pass

    asyncio.run(scenario())


def test_the_page_has_a_strict_policy_and_changes_nothing() -> None:
    async def scenario() -> None:
        async with guarded(1) as guard:
            for path in ("", "page.js", "page.css", "state.json", "metrics"):
                head, _ = await page(guard, path)
                assert head.startswith(b"HTTP/1.1 200 OK")
                assert b"Content-Security-Policy: default-src 'none'; script-src 'self'" in head
                assert b"unsafe" not in head
                assert b"nosniff" in head
            assert (await page(guard, "../x"))[0].startswith(b"HTTP/1.1 400")
            assert (await page(guard, "turns/1"))[0].startswith(b"HTTP/1.1 404")
            assert (await page(guard, "nothing"))[0].startswith(b"HTTP/1.1 404")
            assert (await page(guard, "", "Origin: http://evil.example"))[0].startswith(b"HTTP/1.1 403")
            assert (await page(guard, "", "Sec-Fetch-Site: cross-site"))[0].startswith(b"HTTP/1.1 403")
            assert (await talk(guard.page.port, post(f"{PREFIX}/", b"")))[:12] == b"HTTP/1.1 405"
            assert b"Location: /__kvassay/" in await talk(guard.page.port, get(PREFIX))

    asyncio.run(scenario())


def test_news_reach_an_open_page() -> None:
    async def scenario() -> None:
        async with scripted(saying(sized(BAD))) as upstream, guarded(upstream.port) as guard:
            reader, writer = await asyncio.open_connection("127.0.0.1", guard.page.port)
            writer.write(get(f"{PREFIX}/events", close=False))
            await reader.readuntil(b"\r\n\r\n")
            await talk(guard.listen.port, post(CHAT, ask()))
            async with asyncio.timeout(60):
                await reader.readuntil(b"event: news\ndata: 1\n\n")
            writer.close()

    asyncio.run(scenario())


def test_page_and_proxy_can_have_addresses_of_their_own() -> None:
    async def scenario() -> None:
        other = Address("127.0.0.1", 0)
        async with scripted(saying(OK)) as upstream, guarded(upstream.port, page=other) as guard:
            assert guard.page != guard.listen
            assert (await page(guard, ""))[0].startswith(b"HTTP/1.1 200")
            assert (await talk(guard.page.port, get("/v1/models")))[:12] == b"HTTP/1.1 404"
            assert (await talk(guard.listen.port, get(f"{PREFIX}/")))[:12] == b"HTTP/1.1 404"
            assert (await talk(guard.listen.port, get("/v1/models"))).endswith(b"{}")

    asyncio.run(scenario())


def test_with_a_token_nothing_opens_without_it() -> None:
    async def scenario() -> None:
        async with scripted(saying(OK)) as upstream, guarded(upstream.port, token=TOKEN) as guard:
            assert (await talk(guard.listen.port, post(CHAT, ask())))[:12] == b"HTTP/1.1 401"
            head, _ = await page(guard, "state.json")
            assert head.startswith(b"HTTP/1.1 401")
            assert b"WWW-Authenticate: Basic" in head
            assert (await talk(guard.listen.port, post(CHAT, ask(), f"Authorization: Bearer {TOKEN}"))).endswith(b"{}")
            assert TOKEN.encode() not in upstream.heard[0].head
            assert (await page(guard, "state.json", f"X-Kvassay-Token: {TOKEN}"))[0].startswith(b"HTTP/1.1 200")

    asyncio.run(scenario())


# --------------------------------------------------------------------------- many requests


def test_ten_thousand_requests_and_two_hundred_streams_leave_nothing_behind() -> None:
    """After warming up, memory stays within a small bound, and no connection, task or file stays open."""

    async def stream(heard: Heard, writer: asyncio.StreamWriter) -> None:
        if heard.body == b"s":
            writer.write(CHUNKED)
            for _ in range(5):
                writer.write(b"6\r\ndata: \r\n")
                await asyncio.sleep(0.2)
            writer.write(b"0\r\n\r\n")
        else:
            writer.write(OK)

    async def many(port: int, number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(number):
            writer.write(post("/v1/x", b"{}", close=False))
            await reader.readuntil(b"{}")
        writer.close()

    async def scenario() -> None:
        me = psutil.Process()
        async with scripted(stream) as upstream, guarded(upstream.port) as guard:
            await asyncio.gather(*(many(guard.listen.port, 100) for _ in range(10)))
            before, files = me.memory_info().rss, me.num_fds()
            await asyncio.gather(*(many(guard.listen.port, 900) for _ in range(10)))
            got = await asyncio.gather(*(talk(guard.listen.port, post("/s", b"s"), wait_s=60) for _ in range(200)))
            assert all(one.count(b"data: ") == 5 and one.endswith(b"0\r\n\r\n") for one in got)
            upstream.heard.clear()
            await asyncio.sleep(3 * POOLED_S)  # the pool lets go of idle connections at its second look, at the latest
            assert me.memory_info().rss - before < 40 * 2**20
            assert me.num_fds() <= files
            assert len(asyncio.all_tasks()) < 30

    if sys.platform != "win32":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    asyncio.run(scenario())


# --------------------------------------------------------------------------- counting


def test_labels_are_escaped_and_few() -> None:
    metrics = Metrics()
    for number in range(80):
        metrics.watched(Watched(event(model=f'm"{number}\n')))
    text = metrics.text(gauges={"x": 1})
    assert r'model="m\"0\n"' in text
    assert text.count('outcome="correct"') == 51
    assert 'model="other",kv="q8_0/q4_0",depth="8k",outcome="correct"} 30\n' in text


def test_depths_are_powers_of_two() -> None:
    depths = {None: "unknown", 0: "1k", 1024: "1k", 1025: "2k", 131072: "128k", 10**6: "1024k"}
    assert {tokens: depth_label(tokens) for tokens in depths} == depths


def test_a_tally_holds_what_a_page_can_show() -> None:
    tally = Tally()
    for number in range(500):
        tally.add(event(session=f"s{number % 100}", outcome="M1" if number % 5 == 0 else "correct", turn_index=number))
    tally.add(event(outcome="", skipped="no tools"))
    state = tally.state()
    assert state["cells"] == [
        {"model": "m", "kv": "q8_0/q4_0", "depth": "8k", "n": 500, "failed": 100, **wilson(100, 500)._asdict()}
    ]
    assert state["classes"] == [{"model": "m", "kv": "q8_0/q4_0", "outcome": "M1", "n": 100}]
    assert [len(state[key]) for key in ("sessions", "failures")] == [60, 40]  # type: ignore[arg-type]


def test_wilson_agrees_with_statsmodels() -> None:
    from statsmodels.stats.proportion import proportion_confint  # noqa: PLC0415  slow to import

    for k, n in ((0, 5), (1, 7), (50, 100), (9, 9)):
        assert wilson(k, n) == pytest.approx(proportion_confint(k, n, method="wilson"), abs=1e-9)
