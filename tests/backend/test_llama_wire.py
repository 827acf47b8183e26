"""llama-server's JSON."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.backend import llama_wire as wire
from kvassay.backend.base import Sampling
from kvassay.errors import BackendError
from kvassay.types import ChatReply, JsonObject, Message, Stop, Timings, Tool, ToolCall, WireCall

TIMINGS: JsonObject = {"cache_n": 225, "prompt_n": 1, "prompt_ms": 44.0, "predicted_n": 27, "predicted_ms": 1218.0}


def test_arguments_go_out_as_strings() -> None:
    """Calls in the history carry their arguments as JSON text, unicode left alone."""
    call = ToolCall("c1", "write", {"text": "é"})
    body = wire.conversation([Message("assistant", "", (call,)), Message("tool", "ok", (), "c1")], [])
    assert body["messages"] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "write", "arguments": '{"text": "é"}'}}
            ],
        },
        {"role": "tool", "content": "ok", "tool_call_id": "c1"},
    ]
    assert "tools" not in body


def test_a_completion_is_greedy_ungrammatical_and_cached() -> None:
    """The raw channel sends ids, keeps markers as text, uses the cache and neutral samplers, and sends no grammar."""
    body = wire.completion_body([1, 2], Sampling(max_tokens=9, top_n=5), ["<tool_call>"])
    assert body["prompt"] == [1, 2]
    assert (body["n_predict"], body["n_probs"], body["temperature"]) == (9, 5, 0.0)
    assert (body["cache_prompt"], body["id_slot"], body["preserved_tokens"]) == (True, 0, ["<tool_call>"])
    assert (body["repeat_penalty"], body["top_p"], body["min_p"]) == (1.0, 1.0, 0.0)
    assert not [key for key in body if "grammar" in key or "schema" in key]


def test_reads_a_completion() -> None:
    """Text, reason of the end, ids, positions and counts are read."""
    said = wire.completion(
        {
            "content": "10",
            "stop_type": "limit",
            "tokens": [16, 15],
            "timings": TIMINGS,
            "completion_probabilities": [
                {"id": 16, "token": "1", "logprob": -0.5, "top_logprobs": [{"id": 16, "logprob": -0.5}]}
            ],
        }
    )
    assert (said.text, said.stop, said.tokens) == ("10", Stop.LIMIT, (16, 15))
    assert said.timings == Timings(225, 1, 44.0, 27, 1218.0)
    assert said.timings.prompt_tokens == 226
    assert said.positions[0].top == ((16, -0.5),)


@pytest.mark.parametrize(("said", "stop"), [("eos", Stop.EOS), ("limit", Stop.LIMIT), ("word", Stop.OTHER)])
def test_reasons_to_stop(said: str, stop: Stop) -> None:
    """The server's words for the end become ours."""
    assert wire.completion({"stop_type": said}).stop is stop


def chunks_of(reply: ChatReply, cuts: list[int]) -> list[JsonObject]:
    """A reply cut into deltas, as servers stream it."""

    def pieces(text: str) -> list[str]:
        places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
        return [text[a:b] for a, b in pairwise(places)]

    deltas: list[JsonObject] = [{"role": "assistant", "content": None}]
    deltas += [{"reasoning_content": piece} for piece in pieces(reply.reasoning)]
    deltas += [{"content": piece} for piece in pieces(reply.content)]
    for index, call in enumerate(reply.calls):
        first: JsonObject = {"index": index, "id": f"c{index}", "function": {"name": call.name, "arguments": ""}}
        rest: list[JsonObject] = [{"index": index, "function": {"arguments": p}} for p in pieces(call.arguments)]
        deltas += [{"tool_calls": [part]} for part in (first, *rest)]
    ends: list[JsonObject] = [
        {"choices": [{"index": 0, "delta": {}, "finish_reason": reply.finish_reason}]},
        {"choices": [], "usage": {"prompt_tokens": 226}, "timings": TIMINGS},
    ]
    return [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas] + ends


replies = st.builds(
    ChatReply,
    content=st.text(max_size=30),
    reasoning=st.text(max_size=30),
    calls=st.lists(st.builds(WireCall, name=st.text(min_size=1, max_size=8), arguments=st.text(max_size=30))).map(
        tuple
    ),
    finish_reason=st.just("tool_calls"),
    timings=st.just(Timings(225, 1, 44.0, 27, 1218.0)),
)


@given(replies, st.lists(st.integers(0, 30)))
def test_a_streamed_reply_is_the_whole_reply(reply: ChatReply, cuts: list[int]) -> None:
    """Wherever the deltas are cut, they join to exactly the reply that was sent."""
    lines = [f"data: {json.dumps(chunk)}" for chunk in chunks_of(reply, cuts)]
    stream = [line for data in lines for line in (": ping", data, "")] + ["data: [DONE]"]
    assert wire.assemble(chunk for line in stream if (chunk := wire.event(line))) == reply


def test_reasoning_is_found_by_either_name() -> None:
    """Ollama and vLLM call it ``reasoning``; where both names stand, it is read once."""
    both = {"reasoning": "hm", "reasoning_content": "hm"}
    for message in ({"reasoning": "hm"}, {"reasoning_content": "hm"}, both):
        assert wire.chat_reply({"choices": [{"message": message}]}).reasoning == "hm"
        assert wire.assemble([{"choices": [{"delta": message}]}]).reasoning == "hm"


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\u2029"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_only_line_feeds_end_a_line_of_a_stream(mark: str, size: int) -> None:
    """Characters that some call line ends stand inside a string as they are, wherever the network cuts the stream."""
    chunk = json.dumps({"choices": [{"delta": {"content": f"a{mark}b"}}]}, ensure_ascii=False)
    sent = f": ping\r\n\r\ndata: {chunk}\r\n\r\ndata: [DONE]\n"
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
    reply = wire.assemble(chunk for line in wire.lines(pieces) if (chunk := wire.event(line)))
    assert reply.content == f"a{mark}b"


@pytest.mark.parametrize("line", ['data: {"choices": [{"del', "data: null", "data: [1]"])
def test_a_line_that_is_no_object_is_told(line: str) -> None:
    """A stream that broke off, or comes from something else, is an error of the server with its words."""
    with pytest.raises(BackendError, match="no JSON object"):
        wire.event(line)


def test_reads_a_whole_reply() -> None:
    """A reply in one piece is read with its calls' arguments untouched."""
    reply = wire.chat_reply(
        {
            "choices": [
                {
                    "finish_reason": "tool_calls",
                    "message": {
                        "content": None,
                        "reasoning_content": "hm",
                        "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": '{"a": 1'}}],
                    },
                }
            ],
            "timings": TIMINGS,
        }
    )
    assert reply.calls == (WireCall("f", '{"a": 1'),)
    assert (reply.content, reply.reasoning, reply.finish_reason, reply.status) == ("", "hm", "tool_calls", 200)


@pytest.mark.parametrize(
    "line", ['error: {"code": 500, "message": "no"}', 'data: {"error": {"code": 500, "message": "no"}}']
)
def test_an_error_in_the_stream_is_a_status(line: str) -> None:
    """A server that fails after it sent status 200 is reported with the status it meant."""
    reply = wire.assemble([chunk] if (chunk := wire.event(line)) else [])
    assert reply.status == 500
    assert '"message": "no"' in reply.error


def test_context_errors_carry_both_numbers() -> None:
    """The server's answer to a prompt that is too long becomes an error with both sizes; others don't."""
    body = {"error": {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 13536, "n_ctx": 8192}}
    error = wire.context_error(json.dumps(body))
    assert error is not None
    assert error.message == "the prompt needs 13536 tokens, the server's context holds 8192"
    assert wire.context_error('{"error": {"code": 400}}') is None
    assert wire.context_error("<html>") is None
    assert wire.context_error("[]") is None


def test_tools_go_out_whole() -> None:
    """A tool's schema is sent as it is."""
    schema: JsonObject = {"type": "object", "properties": {"a": {"type": "string"}}}
    body = wire.conversation([], [Tool("f", "does f", schema)])
    assert body["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "does f", "parameters": schema}}
    ]
