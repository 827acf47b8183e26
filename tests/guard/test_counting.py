"""Prompt lengths from the server's tokenizer: which way is asked, when none is, and that nobody waits for it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine

import pytest

from guard.test_guard import guarded, turns_seen
from guard.traffic import PATHS, Talk, plain, stream
from guard.turns import ask, exchange, sized
from guard.wires import CHUNKED, Heard, post, scripted, talk
from kvassay.guard.contract import NO_REPLY, Api
from kvassay.guard.counting import wants_count
from kvassay.guard.options import Options

CHAT = PATHS[Api.CHAT]
NOT_FOUND = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
MUTE = stream(Api.CHAT, "Fine.").replace(b'"usage": {"prompt_tokens": 1200', b'"usage": {"p": 1200')
STREAM = CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(MUTE), MUTE)
Answer = Callable[[Heard, asyncio.StreamWriter], Coroutine[None, None, None]]


def server(**routes: object) -> Answer:
    """A server that streams without usage, and has these paths (their slashes are ``__``) besides."""

    async def answer(heard: Heard, writer: asyncio.StreamWriter) -> None:
        path = heard.head.split(b" ")[1].decode()
        found = routes.get(path.strip("/").replace("/", "__").replace("-", "_"))
        if path == CHAT:
            writer.write(STREAM)
        else:
            writer.write(NOT_FOUND if found is None else sized(json.dumps(found).encode()))

    return answer


NEW_LLAMA_CPP = server(v1__chat__completions__input_tokens={"input_tokens": 4321}, tokenize={"tokens": []})
OLD_LLAMA_CPP = server(apply_template={"prompt": "<s>hi"}, tokenize={"tokens": [*range(77)]})
VLLM = server(tokenize={"count": 99, "max_model_len": 4096, "tokens": [1, 2]})


@pytest.mark.parametrize(
    ("answer", "depth"), [(NEW_LLAMA_CPP, 4321), (OLD_LLAMA_CPP, 77), (VLLM, 99), (server(), None)]
)
def test_a_stream_without_usage_gets_its_length_from_the_tokenizer(answer: Answer, depth: int | None) -> None:
    async def run() -> None:
        async with scripted(answer) as upstream, guarded(upstream.port) as guard:
            sent = ask(stream=True)
            await talk(guard.listen.port, post(CHAT, sent, "Authorization: Bearer sk-1"))
            await turns_seen(guard, 1)
            ((event,),) = guard.tally.sessions.values()
            assert (event.depth_tokens, event.prompt_tokens) == (depth, None)
            assert all(heard.body == sent for heard in upstream.heard if heard.head.startswith(b"POST /v1/chat"))
            assert all(b"sk-1" not in heard.head for heard in upstream.heard[1:])

    asyncio.run(run())


def test_a_server_without_a_tokenizer_is_not_asked_again_and_again() -> None:
    async def run() -> None:
        async with scripted(server()) as upstream, guarded(upstream.port) as guard:
            for turn in range(3):
                await talk(guard.listen.port, post(CHAT, ask(stream=True)))
                await turns_seen(guard, turn + 1)
            assert len([heard for heard in upstream.heard if b"completions HTTP" not in heard.head]) == 3

    asyncio.run(run())


def test_the_client_does_not_wait_for_a_slow_tokenizer_and_the_turn_is_graded_without_it() -> None:
    async def slow(heard: Heard, writer: asyncio.StreamWriter) -> None:
        if b"completions HTTP" in heard.head:
            writer.write(STREAM)
        else:
            await asyncio.sleep(60)

    async def run() -> None:
        async with scripted(slow) as upstream, guarded(upstream.port) as guard:
            for turn in range(2):
                began = time.monotonic()
                await talk(guard.listen.port, post(CHAT, ask(stream=True)))
                assert time.monotonic() - began < 30
                await turns_seen(guard, turn + 1)
            assert [event.depth_tokens for strip in guard.tally.sessions.values() for event in strip] == [None, None]

    asyncio.run(run())


def test_nothing_is_asked_where_the_user_does_not_want_it() -> None:
    async def run() -> None:
        async with scripted(NEW_LLAMA_CPP) as upstream, guarded(upstream.port, count_tokens=False) as guard:
            await talk(guard.listen.port, post(CHAT, ask(stream=True)))
            await turns_seen(guard, 1)
            assert len(upstream.heard) == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    ("url", "allowed", "counts"),
    [
        ("http://127.0.0.1:8080", None, True),
        ("http://[::1]:8080", None, True),
        ("http://localhost:8080", False, False),
        ("http://192.168.1.5:8080", None, False),
        ("https://api.example.com", None, False),
        ("https://api.example.com", True, True),
    ],
)
def test_only_a_server_of_this_machine_is_asked_unless_the_user_allows_it(
    url: str, *, counts: bool, allowed: bool | None
) -> None:
    assert Options(url, count_tokens=allowed).counts_tokens is counts


@pytest.mark.parametrize("api", tuple(Api))
def test_an_answer_that_tells_its_length_needs_no_count(api: Api) -> None:
    body = json.dumps(Talk().body(api)).encode()
    long = "word " * 20_000
    for reply in (stream(api, "Fine."), plain(api, "Fine."), plain(api, long), stream(api, long)):
        assert not wants_count(exchange(body, reply, path=PATHS[api]))


def test_a_stream_that_the_client_broke_off_needs_a_count_and_one_that_never_reached_a_server_does_not() -> None:
    begun = MUTE[: len(MUTE) // 2]
    assert wants_count(exchange(ask(), begun, complete=False, cancelled=True))
    assert wants_count(exchange(ask(), b"", status=NO_REPLY, complete=False, cancelled=True))
    assert not wants_count(exchange(ask(), b"", status=NO_REPLY, complete=False))
    assert not wants_count(exchange(ask(), b"busy", status=503))
    assert not wants_count(exchange(b"", b"", too_large=True))
