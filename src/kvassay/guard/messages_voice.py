"""Anthropic Messages: a reply of our own, whole or the rest of a stream."""

from __future__ import annotations

from collections.abc import Iterator

from kvassay.dialect.strict_json import Scanned, read
from kvassay.guard.contract import Begun, SaidCall
from kvassay.guard.messages_wire import FINISH
from kvassay.guard.speech import Speech, named_events
from kvassay.types import JsonObject, JsonValue

_REASONS = {ours: theirs for theirs, ours in FINISH.items() if theirs != "stop_sequence"}


def plain(speech: Speech) -> JsonObject:
    """A whole reply."""
    content: list[JsonValue] = [{"type": "text", "text": speech.text}] if speech.text else []
    content += [_block(call, _input(call)) for call in speech.calls]
    return {**_message(speech), "content": content, "stop_reason": _reason(speech), "usage": _usage(speech)}


def tail(speech: Speech, begun: Begun) -> bytes:
    """All that is still to be sent of a stream; its blocks are numbered on from those begun."""
    return named_events(_events(speech, begun))


def _events(speech: Speech, begun: Begun) -> Iterator[JsonObject]:
    if not begun.started:
        yield {"type": "message_start", "message": {**_message(speech), "usage": _usage(speech)}}
    for at in begun.open_at:
        yield {"type": "content_block_stop", "index": at}
    index = begun.blocks
    if speech.text:
        yield from _run(index, {"type": "text", "text": ""}, {"type": "text_delta", "text": speech.text})
        index += 1
    for number, call in enumerate(speech.calls, start=index):
        yield from _run(number, _block(call, {}), {"type": "input_json_delta", "partial_json": call.arguments})
    delta: JsonObject = {"stop_reason": _reason(speech), "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": speech.completion_tokens}}
    yield {"type": "message_stop"}


def _run(index: int, block: JsonObject, delta: JsonObject) -> Iterator[JsonObject]:
    yield {"type": "content_block_start", "index": index, "content_block": block}
    yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def _block(call: SaidCall, given: JsonValue) -> JsonObject:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": given}


def _input(call: SaidCall) -> JsonValue:
    """A plain reply holds arguments as a value: what can't be read stays visible as the text that it is."""
    outcome = read(call.arguments)
    return outcome.value if isinstance(outcome, Scanned) else call.arguments


def _reason(speech: Speech) -> str:
    return _REASONS.get(speech.finish_reason, speech.finish_reason)


def _message(speech: Speech) -> JsonObject:
    frame: JsonObject = {"id": speech.response_id, "type": "message", "role": "assistant", "model": speech.model}
    return {**frame, "content": [], "stop_reason": None, "stop_sequence": None}


def _usage(speech: Speech) -> JsonObject:
    fresh = max(0, speech.prompt_tokens - speech.cached_tokens)
    counts: JsonObject = {"input_tokens": fresh, "cache_read_input_tokens": speech.cached_tokens}
    return {**counts, "output_tokens": speech.completion_tokens}
