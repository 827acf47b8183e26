"""The watching process: grades finished exchanges, survives what it can't read, ends with its parent."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.turns import answer, ask, exchange
from kvassay.guard.packing import unpacked
from kvassay.guard.spool import Spool
from kvassay.guard.store import open_store, read_events, read_turn
from kvassay.guard.watch import Watch, watches
from kvassay.guard.watcher import Watcher, begun
from kvassay.guard.watching import Watched, WatchSettings

GOOD, BAD = answer("read_file", '{"path": "src/a.py"}'), answer("read_file", '{"path": "src/a.py", "limti": 3}')


def test_a_turn_is_graded_with_its_depth() -> None:
    watcher = Watcher(WatchSettings(kv="q8_0/q4_0"))
    good, bad = (watcher.watch(exchange(ask(), reply)).event for reply in (GOOD, BAD))
    assert good is not None
    assert bad is not None
    assert (good.outcome, good.depth_tokens, good.kv, good.tools) == ("correct", 5000, "q8_0/q4_0", ("read_file",))
    assert (bad.outcome, bad.failed, bad.session) == ("M6", True, good.session)


def test_a_client_that_hangs_up_at_the_replys_end_has_all_of_it() -> None:
    """Some read the end of a stream and close at once; who closes before it is a turn that was broken off."""
    call = {"index": 0, "id": "c1", "function": {"name": "read_file", "arguments": '{"path": "src/a.py"}'}}
    said = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    begun = b"data: " + json.dumps(said).encode() + b"\n\n"
    whole = begun + b"data: " + json.dumps(end).encode() + b"\n\n"
    watcher = Watcher(WatchSettings())
    left = [
        watcher.watch(exchange(ask(stream=True), reply, complete=False, cancelled=True)).event
        for reply in (whole, begun)
    ]
    assert [(event.complete, event.cancelled, event.outcome == "correct") for event in left if event] == [
        (True, True, True),
        (False, True, False),
    ]


def test_whatever_names_a_model_says_is_stored_short_and_can_be_read_again(tmp_path: Path) -> None:
    """An unpaired surrogate is JSON to Python and to no one else: such an event must not spoil the store."""
    path = tmp_path / "g.sqlite"
    watcher = begun(WatchSettings(store=path, keep_days=1e6))
    unnamed = b'"model": "\\ud801"'
    for name in ("\ud800", "x" * 10**6):
        reply = answer(name, "{}").replace(b'"model": "m"', unnamed).replace(b'"tool_calls"}', b'"\\udfff"}')
        watcher.watch(exchange(ask().replace(b'"model": "m"', b'"model": ""'), reply))
    huge = answer("read_file", "{}").replace(b'"prompt_tokens": 5000', b'"prompt_tokens": ' + b"9" * 400)
    watcher.watch(exchange(ask(), huge, path="/\udcff/v1/chat/completions"))
    stored = read_events(path, newest=9)
    assert [(one.tools, one.model, one.finish_reason) for one in stored[:2]] == [
        (("?",), "?", "?"),
        (("x" * 200,), "?", "?"),
    ]
    assert [one.depth_tokens for one in stored] == [5000, 5000, None]


def test_packed_bodies_are_read() -> None:
    packed = exchange(
        gzip.compress(ask()), gzip.compress(BAD), headers=(("Content-Encoding", "gzip"),), reply_encoding="gzip"
    )
    event = Watcher(WatchSettings()).watch(packed).event
    assert event is not None
    assert event.outcome == "M6"
    assert unpacked(zlib.compress(BAD), "deflate") == unpacked(zlib.compress(BAD)[2:-4], "deflate") == BAD
    assert unpacked(b"x", "br") is None
    assert unpacked(b"no gzip", "gzip") is None


def test_what_is_no_turn_or_too_large_makes_no_event() -> None:
    watcher = Watcher(WatchSettings())
    assert watcher.watch(exchange(b"[]", b"{}")) == Watched()
    assert watcher.watch(exchange(ask(), GOOD, too_large=True)) == Watched()
    assert watches("POST", "/v1/chat/completions?x=1")
    assert not watches("GET", "/v1/chat/completions")
    assert not watches("POST", "/v1/embeddings")


@settings(max_examples=100, deadline=None)
@given(request=st.binary(max_size=200), reply=st.binary(max_size=200), valid=st.booleans(), status=st.integers(0, 599))
def test_no_bytes_make_it_fall(request: bytes, reply: bytes, status: int, *, valid: bool) -> None:
    watched = Watcher(WatchSettings()).watch(exchange(ask() if valid else request, reply, status=status))
    assert watched.fault == ""


def test_a_monitor_that_breaks_is_a_fault_and_no_exception() -> None:
    class Broken:
        def observe(self, *_values: object, **_named: object) -> None:
            raise RecursionError("deep")

    watcher = Watcher(WatchSettings(), monitor=Broken())  # type: ignore[arg-type]
    assert watcher.watch(exchange(ask(), GOOD)).fault == "RecursionError: deep"


def test_bodies_are_kept_only_if_asked_and_without_keys(tmp_path: Path) -> None:
    path = tmp_path / "g.sqlite"
    secret = "sk-proj-abcdefghijklmnopqrstuvwx"  # noqa: S105  a made-up one
    asked = ask(user=f"use {secret} and password=hunter22 at https://me:pa55word@host/")
    for keep in (False, True):
        store = open_store(path, keep_days=1e6, keep_mb=9)
        Watcher(WatchSettings(path, keep_bodies=keep), store).watch(exchange(asked, GOOD))
        store.close()
    kept = [read_turn(path, number) for number in (1, 2)]
    assert kept[0] is not None
    assert kept[0][1] is None
    assert kept[1] is not None
    assert kept[1][1] is not None
    assert "⟨secret:" in kept[1][1].request
    assert kept[1][1].answer == '→ read_file {"path": "src/a.py"}'
    for part in kept[1][1]:
        assert not any(word in part for word in (secret, "hunter22", "pa55word"))


def test_an_answer_that_is_nothing_but_reasoning_is_shown_as_that(tmp_path: Path) -> None:
    """A call that the server left within it is to be seen."""
    store = open_store(tmp_path / "g.sqlite", keep_days=1e6, keep_mb=9)
    message = {"content": "\n\n", "reasoning": "I need it. <tool_call>"}
    reply = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    Watcher(WatchSettings(keep_bodies=True), store).watch(exchange(ask(), reply))
    store.close()
    kept = read_turn(tmp_path / "g.sqlite", 1)
    assert kept is not None
    assert kept[1] is not None
    assert kept[1].answer == "I need it. <tool_call>"


def test_a_packed_reply_is_kept_so_that_it_can_be_read(tmp_path: Path) -> None:
    store = open_store(tmp_path / "g.sqlite", keep_days=1e6, keep_mb=9)
    packed = exchange(ask(), gzip.compress(GOOD), reply_encoding="gzip")
    Watcher(WatchSettings(keep_bodies=True), store).watch(packed)
    store.close()
    kept = read_turn(tmp_path / "g.sqlite", 1)
    assert kept is not None
    assert kept[1] is not None
    assert kept[1].reply == GOOD.decode()


def test_plain_text_is_not_redacted() -> None:
    text = 'def token(x): return x["password_field"], "bearer of news", task-force, risk-averse-undertaking-of-many'
    assert WatchSettings().redact(text) == text


def test_a_store_that_fails_costs_the_event_only() -> None:
    store = open_store(Path(":memory:"), keep_days=1, keep_mb=1)
    store.close()
    watched = Watcher(WatchSettings(), store).watch(exchange(ask(), GOOD))
    assert watched.event is not None
    assert watched.fault.startswith("not stored")
    assert isinstance(sqlite3.ProgrammingError(), sqlite3.Error)


# --------------------------------------------------------------------------- the process


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  what is waited for is another process
            await asyncio.sleep(0.05)


def test_the_process_is_replaced_when_it_dies_and_traffic_does_not_wait() -> None:
    async def scenario() -> None:
        heard: list[Watched] = []
        spool = Spool(10**6)
        watch = Watch(WatchSettings(), heard.append, spool)
        task = asyncio.create_task(watch.run())
        watch.take(exchange(ask(), GOOD))
        await until(lambda: len(heard) == 1)
        os.kill(psutil.Process().children(recursive=True)[-1].pid, signal.SIGKILL)
        watch.take(exchange(ask(), GOOD))
        await until(lambda: len(heard) == 2)
        watch.take(exchange(ask(), GOOD))
        await until(lambda: len(heard) == 3)
        assert heard[1].fault == "the watching process ended"
        assert heard[2].event is not None
        assert watch.restarts == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        spool.close()

    asyncio.run(scenario())


def test_a_monitor_that_falls_behind_loses_turns_not_memory() -> None:
    def ignore(_watched: Watched) -> None: ...

    async def scenario() -> None:
        with closing(Spool(400_000)) as spool:
            watch = Watch(WatchSettings(), ignore, spool)
            for _ in range(5):
                watch.take(exchange(ask(), b"x" * 100_000))
            assert watch.dropped == 2

    asyncio.run(scenario())


def test_the_traffic_goes_on_between_two_turns_that_are_heard_of() -> None:
    """Whoever hears of a turn may print it: no eight of them in one go."""
    rounds = 0
    heard_in: list[int] = []

    def count() -> None:
        nonlocal rounds
        rounds += 1
        asyncio.get_running_loop().call_soon(count)

    async def scenario() -> None:
        with closing(Spool(10**6)) as spool:
            watch = Watch(WatchSettings(), lambda _watched: heard_in.append(rounds), spool)
            task = asyncio.create_task(watch.run())
            for _ in range(8):
                watch.take(exchange(ask(), GOOD))
            count()
            await until(lambda: len(heard_in) == 8)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())
    assert len(set(heard_in)) == 8


def test_what_was_taken_before_the_end_is_heard_of() -> None:
    """A guard that is told to end says how many turns it has seen: all of them."""
    heard: list[Watched] = []

    async def scenario() -> None:
        with closing(Spool(10**6)) as spool:
            watch = Watch(WatchSettings(), heard.append, spool)
            task = asyncio.create_task(watch.run())
            for number in range(30):
                watch.take(exchange(ask(), GOOD))
                if number == 20:
                    await until(lambda: bool(heard))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())
    assert [watched.event is not None for watched in heard] == [True] * 30
