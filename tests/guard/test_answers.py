"""Replies of our own are well-formed: read by our own reader they say what was meant, in all three APIs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from guard.traffic import Talk, answers, plain, replied, sse, stream
from kvassay.guard.answers import recalled, said, tail
from kvassay.guard.contract import Api, Begun, PieceKind, SaidCall
from kvassay.guard.events import EventSplitter
from kvassay.guard.replies import ReplyReader
from kvassay.types import JsonObject

APIS = tuple(Api)
CALLS = (("read", '{"path": "ä.py"}'), ("bash", '{"command": "ls"}'))


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("streamed", [True, False])
def test_a_stop_message_is_a_whole_reply(api: Api, *, streamed: bool) -> None:
    asked = Talk().asked(api, stream=streamed)
    answer = said(asked, "Stopped: ü", at_s=1.0)
    reply = replied(asked, answer.body)
    assert answer.status == 200
    assert answer.content_type.startswith("text/event-stream" if streamed else "application/json")
    assert (reply.turn.content, reply.calls, reply.finish_reason) == ("Stopped: ü", (), "stop")
    assert (reply.cut, reply.unread, reply.streamed) == (False, False, streamed)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("text", ["", "Let me look."])
def test_the_rest_of_a_stream_joins_what_was_passed_to_a_whole_reply(api: Api, text: str) -> None:
    asked = Talk().asked(api, stream_options={"include_usage": True})
    reader, passed = ReplyReader(asked), b""
    body = stream(api, text, [("read", '{"path": ')])
    for event in EventSplitter().feed(body):
        pieces = reader.feed(event.raw)
        passed += b"" if reader.tool_call_started else b"".join(piece.raw for piece in pieces)
    second = answers(asked, "Other text.", CALLS)
    joined = replied(asked, passed + tail(asked, reader.begun, second, second.calls, at_s=1.0))
    assert joined.turn.content == (text or "Other text.")
    assert joined.calls == second.calls
    assert (joined.finish_reason, joined.cut, joined.prompt_tokens) == ("tool_calls", False, 1200)
    assert joined.response_id == reader.begun.response_id


@pytest.mark.parametrize("api", [Api.CHAT, Api.MESSAGES])
def test_text_behind_a_call_is_not_lost_and_another_answer_without_a_call_is_told(api: Api) -> None:
    question, call = Talk().asked(api), (SaidCall("c", "read", "{}"),)
    begun = Begun(started=True, text="Let me see.", blocks=1)
    more = replied(question, stream(api, "Let me see. Done."))
    rest = tail(question, begun, more, call, at_s=0)
    assert (b" Done." in rest, b"Let me see" in rest) == (True, False)
    other = replied(question, stream(api, "There is no such file."))
    assert b"There is no such file." in tail(question, begun, other, (), at_s=0)
    assert b"There is no" not in tail(question, begun, other, call, at_s=0)


@pytest.mark.parametrize("api", APIS)
def test_a_stream_cut_in_an_open_text_block_is_closed_before_calls_follow(api: Api) -> None:
    asked = Talk().asked(api)
    reader, passed = ReplyReader(asked), b""
    for event in EventSplitter().feed(stream(api, "Look")):
        pieces = reader.feed(event.raw)
        passed += event.raw
        if pieces[-1].kind is PieceKind.TEXT:
            break
    second = answers(asked, "", CALLS)
    joined = replied(asked, passed + tail(asked, reader.begun, second, second.calls, at_s=1.0))
    assert (joined.turn.content, joined.calls, joined.cut) == ("L", second.calls, False)


def test_all_blocks_that_llama_cpp_leaves_open_up_to_the_end_are_closed_before_calls_follow() -> None:
    asked = Talk().asked(Api.MESSAGES)
    blocks: list[JsonObject] = [{"type": "thinking", "thinking": ""}, {"type": "text", "text": ""}]
    starts = [("content_block_start", {"index": at, "content_block": block}) for at, block in enumerate(blocks)]
    reader = ReplyReader(asked)
    reader.feed(sse([(name, {"type": name, **data}) for name, data in starts], named=True))
    call = (SaidCall("c", "read", "{}"),)
    events = EventSplitter().feed(tail(asked, reader.begun, answers(asked, "", CALLS), call, at_s=1.0))
    closed = [json.loads(event.data or "")["index"] for event in events if event.name == "content_block_stop"]
    assert closed == [0, 1, 2]


def test_responses_events_are_numbered_on_without_a_gap() -> None:
    asked = Talk().asked(Api.RESPONSES)
    reader, passed = ReplyReader(asked), b""
    for event in EventSplitter().feed(stream(Api.RESPONSES, "Hi", CALLS)):
        reader.feed(event.raw)
        passed += b"" if reader.tool_call_started else event.raw
    second = answers(asked, "", CALLS)
    events = EventSplitter().feed(passed + tail(asked, reader.begun, second, second.calls, at_s=1.0))
    numbers = [json.loads(event.data or "")["sequence_number"] for event in events]
    assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize("api", APIS)
def test_a_plain_reply_gets_new_arguments_and_keeps_every_other_byte(api: Api) -> None:
    asked, body = Talk().asked(api, stream=False), plain(api, "Text.", CALLS)
    reply = replied(asked, body)
    calls = (reply.calls[0], replace(reply.calls[1], arguments='{"command": 5}'))
    out = recalled(asked, body, reply, calls)
    old, new = ('"ls"', "5") if api is Api.MESSAGES else ('\\"ls\\"', "5")
    assert out == body.replace(old.encode(), new.encode())
