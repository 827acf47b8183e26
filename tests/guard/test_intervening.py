"""Interventions on the wire: what the upstream is asked, what the client gets, and what passes untouched meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import cast

import pytest

from guard.test_guard import guarded, page
from guard.turns import TOOLS, answer, ask, sized
from guard.wires import CHUNKED, Heard, Upstream, dechunked, get, post, saying, scripted, talk
from kvassay.guard.contract import Action
from kvassay.guard.guard import Running
from kvassay.guard.options import Bounds
from kvassay.types import JsonObject

CHAT = "/v1/chat/completions"
GOOD, BAD = ("read_file", '{"path": "src/a.py"}'), ("read_fil", '{"path": "src/a.py"}')


def event(delta: JsonObject, finish: str | None = None) -> bytes:
    """One event of a chat stream, framed."""
    choice: JsonObject = {"index": 0, "delta": delta, "finish_reason": finish}
    data = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    raw = b"data: " + json.dumps(data).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(raw), raw)


def call(name: str, arguments: str) -> JsonObject:
    """A delta that holds a whole call."""
    function: JsonObject = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": function}]}


def stream(*calls: tuple[str, str], text: str = "Let me see.") -> bytes:
    """A whole streamed reply."""
    events = [event({"role": "assistant", "content": text}), *(event(call(*one)) for one in calls)]
    finish = event({}, "tool_calls" if calls else "stop")
    return CHUNKED + b"".join(events) + finish + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def in_turn(*replies: bytes) -> Callable[[Heard, asyncio.StreamWriter], Coroutine[None, None, None]]:
    """An upstream that gives these replies one after the other, the last one for ever."""
    left = list(replies)

    async def reply(heard: Heard, writer: asyncio.StreamWriter) -> None:
        await saying(left.pop(0) if len(left) > 1 else left[0])(heard, writer)

    return reply


def calls_of(body: bytes) -> list[tuple[str, str]]:
    """The calls of a chat stream, as a client puts them together."""
    found: dict[int, list[str]] = {}
    for line in body.split(b"\n"):
        if line.startswith(b"data: {"):
            for choice in json.loads(line[6:])["choices"]:
                for part in choice["delta"].get("tool_calls") or ():
                    at = found.setdefault(part["index"], ["", ""])
                    at[0] += part["function"].get("name") or ""
                    at[1] += part["function"].get("arguments") or ""
    return [(name, arguments) for name, arguments in found.values()]


async def said(port: int, body: bytes) -> bytes:
    """The body of the reply to a chat request, without framing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(post(CHAT, body))
    async with asyncio.timeout(60):
        head = await reader.readuntil(b"\r\n\r\n")
        got = await (dechunked(reader) if b"chunked" in head else reader.read())
    writer.close()
    return got


def with_actions(
    scenario: Callable[[Running, Upstream], Coroutine[None, None, None]],
    upstream: bytes | list[bytes],
    **options: object,
) -> None:
    """Run a scenario against a guard with interventions."""
    replies = [upstream] if isinstance(upstream, bytes) else upstream

    async def run() -> None:
        async with scripted(in_turn(*replies)) as server, guarded(server.port, **options) as guard:
            await asyncio.sleep(0)
            await scenario(guard, server)

    asyncio.run(run())


def only(*actions: Action) -> frozenset[Action]:
    return frozenset(actions)


def test_poisoned_history_is_emptied_before_it_goes_on() -> None:
    function = {"name": "read_file", "arguments": '{"path": "a'}
    history = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c1", "content": "error"},
    ]
    body = json.dumps({"model": "m", "messages": history, "tools": TOOLS}).encode()

    async def scenario(guard: Running, upstream: Upstream) -> None:
        await said(guard.listen.port, body)
        sent = json.loads(upstream.heard[0].body)
        assert sent["messages"][1]["tool_calls"][0]["function"]["arguments"] == "{}"
        sent["messages"][1]["tool_calls"][0]["function"]["arguments"] = function["arguments"]
        assert sent == json.loads(body)

    with_actions(scenario, sized(answer(*GOOD)), actions=only(Action.SANITISE))


@pytest.mark.parametrize("streamed", [False, True])
def test_a_bad_call_is_asked_for_once_more(*, streamed: bool) -> None:
    first, second = (stream(BAD), stream(GOOD)) if streamed else (sized(answer(*BAD)), sized(answer(*GOOD)))

    async def scenario(guard: Running, upstream: Upstream) -> None:
        got = await said(guard.listen.port, ask(stream=streamed))
        if streamed:
            assert calls_of(got) == [GOOD]
            assert got.count(b"Let me see.") == 1
            assert got.endswith(b"data: [DONE]\n\n")
        else:
            assert got == answer(*GOOD)
        again = json.loads(upstream.heard[1].body)
        assert "seed" in again
        assert "kvassay guard: your last answer could not be used" in str(again["messages"])
        _, metrics = await page(guard, "metrics")
        assert b'actions_total{action="regenerate",then="correct"} 1\n' in metrics

    with_actions(scenario, [first, second], actions=only(Action.REGENERATE))


@pytest.mark.parametrize("streamed", [False, True])
def test_a_second_bad_call_leaves_the_first_as_it_was(*, streamed: bool) -> None:
    reply = stream(BAD) if streamed else sized(answer(*BAD))

    async def scenario(guard: Running, upstream: Upstream) -> None:
        direct = await said(upstream.port, ask(stream=streamed)) if streamed else answer(*BAD)
        upstream.heard.clear()
        assert await said(guard.listen.port, ask(stream=streamed)) == direct
        assert len(upstream.heard) == 2

    with_actions(scenario, reply, actions=only(Action.REGENERATE))


def test_a_truncated_call_is_never_completed() -> None:
    cut = ("read_file", '{"path": "src/a')

    async def scenario(guard: Running, _upstream: Upstream) -> None:
        assert calls_of(await said(guard.listen.port, ask(stream=True))) == [cut]

    with_actions(scenario, stream(cut), actions=only(Action.COERCE, Action.SANITISE))


def test_text_passes_at_once_while_a_call_waits() -> None:
    """The upstream goes on with its call only after the client has got the text; the call comes after the grade."""
    got_text = asyncio.Event()

    async def reply(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + event({"role": "assistant", "content": "Let me see."}))
        async with asyncio.timeout(30):
            await got_text.wait()
        name, arguments = GOOD
        writer.write(event(call(name, arguments[:5])))
        await writer.drain()
        await asyncio.sleep(0.3)
        more: JsonObject = {"tool_calls": [{"index": 0, "function": {"arguments": arguments[5:]}}]}
        writer.write(event(more) + event({}, "tool_calls") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    async def run() -> None:
        async with scripted(reply) as upstream, guarded(upstream.port, actions=only(Action.REGENERATE)) as guard:
            reader, writer = await asyncio.open_connection("127.0.0.1", guard.listen.port)
            writer.write(post(CHAT, ask(stream=True)))
            async with asyncio.timeout(60):
                await reader.readuntil(b"Let me see.")
                got_text.set()
                rest = await reader.read()
            assert rest.count(b"tool_calls") == 3
            assert rest.endswith(b"[DONE]\n\n\r\n0\r\n\r\n")
            writer.close()

    asyncio.run(run())


def test_pings_pass_while_a_call_waits() -> None:
    """The upstream ends its call only after the client has got a comment that came behind the call's beginning."""
    got_ping = asyncio.Event()

    async def reply(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        name, arguments = GOOD
        writer.write(CHUNKED + event(call(name, arguments[:5])) + b"8\r\n: ping\n\n\r\n")
        async with asyncio.timeout(30):
            await got_ping.wait()
        more: JsonObject = {"tool_calls": [{"index": 0, "function": {"arguments": arguments[5:]}}]}
        writer.write(event(more) + event({}, "tool_calls") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    async def run() -> None:
        async with scripted(reply) as upstream, guarded(upstream.port, actions=only(Action.REGENERATE)) as guard:
            reader, writer = await asyncio.open_connection("127.0.0.1", guard.listen.port)
            writer.write(post(CHAT, ask(stream=True)))
            async with asyncio.timeout(60):
                assert b"tool_calls" not in await reader.readuntil(b": ping\n\n")
                got_ping.set()
                assert calls_of(await reader.read()) == [GOOD]
            writer.close()

    asyncio.run(run())


def test_a_reply_too_large_to_be_held_passes_as_it_is() -> None:
    async def run() -> None:
        huge = "x" * 20_000, '{"path": "'
        async with scripted(saying(stream(huge))) as upstream:
            bounds = Bounds(watched_bytes=10_000, patience_s=60)
            async with guarded(upstream.port, actions=only(Action.REGENERATE), bounds=bounds) as guard:
                assert calls_of(await said(guard.listen.port, ask(stream=True))) == [huge]
                assert len(upstream.heard) == 1

    asyncio.run(run())


@pytest.mark.parametrize("room", [2**24, 1000])
def test_a_body_sent_in_chunks_is_read_if_it_is_small_enough(room: int) -> None:
    body = looping(6).replace(b'"go"', b'"' + b"go " * 300_000 + b'"')
    framed = get(CHAT, "Transfer-Encoding: chunked", method="POST") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)

    async def run() -> None:
        async with scripted(saying(sized(answer(*GOOD)))) as upstream:
            bounds = Bounds(watched_bytes=room, patience_s=60)
            async with guarded(upstream.port, actions=only(Action.WARN), bounds=bounds) as guard:
                assert (await talk(guard.listen.port, framed)).endswith(answer(*GOOD))
                [heard] = upstream.heard
                assert (heard.body == body) == (room < len(body))

    asyncio.run(run())


def test_a_plain_reply_cut_by_the_upstream_does_not_look_whole() -> None:
    async def answer(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"choices')
        await writer.drain()
        writer.close()

    async def run() -> None:
        async with scripted(answer) as upstream, guarded(upstream.port, actions=only(Action.REGENERATE)) as guard:
            got = await talk(guard.listen.port, post(CHAT, ask()))
            assert b'{"choices' in got
            assert b"Content-Length" not in got
            assert not got.endswith(b"0\r\n\r\n")

    asyncio.run(run())


def test_several_answers_to_one_question_are_left_alone() -> None:
    async def scenario(guard: Running, upstream: Upstream) -> None:
        asked = ask(stream=True).replace(b'"model"', b'"n": 2, "model"')
        assert calls_of(await said(guard.listen.port, asked)) == [BAD]
        assert len(upstream.heard) == 1

    with_actions(scenario, stream(BAD), actions=only(Action.REGENERATE))


def test_values_of_a_wrong_type_are_mended_without_loss() -> None:
    tool = cast("JsonObject", json.loads(json.dumps(TOOLS[0])))
    properties = {"path": {"type": "string"}, "line": {"type": "integer"}}
    tool["function"]["parameters"]["properties"] = properties  # type: ignore[index, call-overload]
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "go"}], "tools": [tool]}).encode()
    reply = answer("read_file", '{"path": "src/a.py", "line": "12"}')

    async def scenario(guard: Running, _upstream: Upstream) -> None:
        got = json.loads(await said(guard.listen.port, body))
        arguments = got["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
        assert json.loads(arguments) == {"path": "src/a.py", "line": 12}
        _, metrics = await page(guard, "metrics")
        assert b'actions_total{action="coerce",then="done"} 1\n' in metrics

    with_actions(scenario, sized(reply), actions=only(Action.COERCE))


def looping(times: int) -> bytes:
    """A request whose history holds the same call with the same result again and again."""
    messages: list[object] = [{"role": "user", "content": "go"}]
    for number in range(times):
        function = {"name": "read_file", "arguments": '{"path": "a.py"}'}
        made = {"id": f"c{number}", "type": "function", "function": function}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [made]},
            {"role": "tool", "tool_call_id": f"c{number}", "content": "no such file"},
        ]
    return json.dumps({"model": "m", "messages": messages, "tools": TOOLS, "stream": True}).encode()


def test_a_loop_is_told_to_the_model() -> None:
    async def scenario(guard: Running, upstream: Upstream) -> None:
        await said(guard.listen.port, looping(6))
        sent = json.loads(upstream.heard[0].body)["messages"]
        assert sent[-1]["content"].startswith("no such file\n\n[kvassay guard: ")
        assert sent[:-1] == json.loads(looping(6))["messages"][:-1]

    with_actions(scenario, stream(GOOD), actions=only(Action.WARN))


def test_a_loop_is_stopped_with_a_message_and_no_request() -> None:
    async def scenario(guard: Running, upstream: Upstream) -> None:
        got = await said(guard.listen.port, looping(6))
        assert b"Stopped by kvassay guard" in got
        assert got.endswith(b"data: [DONE]\n\n")
        assert upstream.heard == []

    with_actions(scenario, stream(GOOD), actions=only(Action.STOP))


def test_a_question_that_was_edited_is_still_known_when_the_client_sends_it_again() -> None:
    """Each time the guard adds its warning; L4 counts the client's question, not what became of it."""

    async def scenario(guard: Running, upstream: Upstream) -> None:
        said_to_client = [await said(guard.listen.port, looping(3)) for _ in range(4)]
        assert len({request.body for request in upstream.heard} | {looping(3)}) > 1
        assert len(upstream.heard) == 3
        assert b"Stopped by kvassay guard (L4)" in said_to_client[3]

    # coercing waits for each turn's grade, so that the next request finds it
    with_actions(scenario, stream(BAD), actions=only(Action.WARN, Action.STOP, Action.COERCE))


@pytest.mark.parametrize(
    "first", [stream(BAD), b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}"], ids=["bad", "error"]
)
def test_the_second_server_answers_for_the_first_and_gets_no_keys(first: bytes) -> None:
    async def run() -> None:
        async with scripted(saying(first)) as upstream, scripted(saying(stream(GOOD))) as other:
            url = f"http://127.0.0.1:{other.port}"
            async with guarded(upstream.port, actions=only(Action.FALL_BACK), fallback=url) as guard:
                keys = ("Authorization: Bearer sk-1", "X-LiteLLM-Api-Key: sk-1")
                got = await talk(guard.listen.port, post(CHAT, ask(stream=True), *keys), wait_s=60)
                assert got.startswith(b"HTTP/1.1 200 OK")
                assert b"read_file" in got
                assert b"sk-1" in upstream.heard[0].head
                assert b"sk-1" not in other.heard[0].head
                assert other.heard[0].body == ask(stream=True)

    asyncio.run(run())


def test_the_second_server_answers_where_the_first_is_down() -> None:
    async def run() -> None:
        async with scripted(saying(b"")) as gone:
            port = gone.port
        async with scripted(saying(sized(answer(*GOOD)))) as other:
            url = f"http://127.0.0.1:{other.port}"
            async with guarded(port, actions=only(Action.FALL_BACK), fallback=url) as guard:
                assert await said(guard.listen.port, ask()) == answer(*GOOD)

    asyncio.run(run())


def test_good_replies_pass_byte_for_byte_with_everything_on() -> None:
    async def run() -> None:
        async with scripted(in_turn(stream(GOOD))) as upstream:
            direct = await said(upstream.port, ask(stream=True))
            async with guarded(upstream.port, actions=frozenset(Action), fallback="http://127.0.0.1:1") as guard:
                assert await said(guard.listen.port, ask(stream=True)) == direct
                assert upstream.heard[0].body == upstream.heard[1].body

    asyncio.run(run())


@pytest.mark.parametrize("action", [Action.REGENERATE, Action.FALL_BACK])
def test_a_failed_second_try_counts_as_nobodys_loop_and_the_client_gets_the_first_answer(action: Action) -> None:
    """The client sends the same four times; L4 counts its three repeats, as it would without second tries."""

    async def run() -> None:
        async with scripted(in_turn(sized(answer(*BAD)))) as upstream, scripted(in_turn(sized(answer(*BAD)))) as other:
            url = f"http://127.0.0.1:{other.port}"
            async with guarded(upstream.port, actions=only(action), fallback=url) as guard:
                for _ in range(4):
                    assert await said(guard.listen.port, ask()) == answer(*BAD)
                (strip,) = guard.tally.sessions.values()
                loops = [[loop[:2] for loop in event.loops] for event in strip if not event.second_try]
                assert loops == [[], ["L4"], ["L4", "L2"], ["L4", "L2"]]
                assert [event.turn_index for event in strip] == [1, 1, 2, 2, 3, 3, 4, 4]
                assert all(event.loops == () for event in strip if event.second_try)
                assert sum(guard.tally.graded.values()) == 4

    asyncio.run(run())


@pytest.mark.parametrize("second", [b"", b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}", stream(BAD)[:-30]])
@pytest.mark.parametrize("first", [sized(answer(*BAD)), b"HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\nfirst"])
def test_a_second_server_that_fails_in_its_own_way_changes_nothing(first: bytes, second: bytes) -> None:
    async def broken(_heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(second)
        await writer.drain()
        writer.close()

    async def run() -> None:
        async with scripted(saying(first)) as upstream, scripted(broken) as other:
            url = f"http://127.0.0.1:{other.port}"
            async with guarded(upstream.port, actions=only(Action.FALL_BACK), fallback=url) as guard:
                got = await talk(guard.listen.port, post(CHAT, ask()), wait_s=60)
                assert got.startswith(first[:12])
                assert got.endswith(first.partition(b"\r\n\r\n")[2])
                assert len(other.heard) == 1

    asyncio.run(run())


def test_an_error_without_a_body_falls_back_too() -> None:
    async def run() -> None:
        empty = b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"
        async with scripted(saying(empty)) as upstream, scripted(saying(sized(answer(*GOOD)))) as other:
            url = f"http://127.0.0.1:{other.port}"
            async with guarded(upstream.port, actions=only(Action.FALL_BACK), fallback=url) as guard:
                assert await said(guard.listen.port, ask()) == answer(*GOOD)

    asyncio.run(run())


def test_a_question_told_what_was_wrong_stays_in_its_session() -> None:
    """The hint changes the first user message, by which a client without session ids is known."""

    async def scenario(guard: Running, upstream: Upstream) -> None:
        await said(guard.listen.port, ask())
        assert len(upstream.heard) == 2
        assert len(guard.tally.sessions) == 1

    with_actions(scenario, [sized(answer(*BAD)), sized(answer(*GOOD))], actions=only(Action.REGENERATE))
