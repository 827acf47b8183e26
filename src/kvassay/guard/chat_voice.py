"""OpenAI chat completions: a reply of our own, whole or the rest of a stream."""

from __future__ import annotations

from collections.abc import Iterator

from kvassay.guard.contract import Begun, SaidCall
from kvassay.guard.speech import Speech, data_events
from kvassay.types import JsonObject


def plain(speech: Speech) -> JsonObject:
    """A whole reply."""
    message: JsonObject = {"role": "assistant", "content": speech.text or None}
    if speech.calls:
        message["tool_calls"] = [_call(call) for call in speech.calls]
    choice: JsonObject = {"index": 0, "message": message, "finish_reason": speech.finish_reason}
    return {**_frame(speech, "chat.completion"), "choices": [choice], "usage": _usage(speech)}


def tail(speech: Speech, begun: Begun) -> bytes:
    """All that is still to be sent of a stream."""
    return data_events(_chunks(speech, begun)) + b"data: [DONE]\n\n"


def _chunks(speech: Speech, begun: Begun) -> Iterator[JsonObject]:
    if not begun.started:
        yield _chunk(speech, {"role": "assistant", "content": ""})
    if speech.text:
        yield _chunk(speech, {"content": speech.text})
    for index, call in enumerate(speech.calls):
        yield _chunk(speech, {"tool_calls": [{"index": index, **_call(call)}]})
    yield _chunk(speech, {}, speech.finish_reason)
    if speech.include_usage:
        yield {**_frame(speech, "chat.completion.chunk"), "choices": [], "usage": _usage(speech)}


def _chunk(speech: Speech, delta: JsonObject, finish: str | None = None) -> JsonObject:
    choice: JsonObject = {"index": 0, "delta": delta, "finish_reason": finish}
    return {**_frame(speech, "chat.completion.chunk"), "choices": [choice]}


def _frame(speech: Speech, kind: str) -> JsonObject:
    return {"id": speech.response_id, "object": kind, "created": speech.created, "model": speech.model}


def _call(call: SaidCall) -> JsonObject:
    if call.freeform:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _usage(speech: Speech) -> JsonObject:
    return {
        "prompt_tokens": speech.prompt_tokens,
        "completion_tokens": speech.completion_tokens,
        "total_tokens": speech.prompt_tokens + speech.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": speech.cached_tokens},
    }
