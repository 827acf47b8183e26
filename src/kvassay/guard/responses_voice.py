"""OpenAI Responses: a reply of our own, whole or the rest of a stream."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from kvassay.guard.contract import Begun, SaidCall
from kvassay.guard.speech import Speech, named_events
from kvassay.types import JsonObject, JsonValue


def plain(speech: Speech) -> JsonObject:
    """A whole reply."""
    return _response(speech, "incomplete" if speech.finish_reason == "length" else "completed", _output(speech, 0))


def tail(speech: Speech, begun: Begun) -> bytes:
    """All that is still to be sent of a stream; numbered on from its last event."""
    numbers = count(begun.sequence + 1 if begun.started else 0)
    events: list[JsonObject] = [] if begun.started else _opening(speech)
    said: list[JsonValue] = []
    if begun.text:
        item = _message(begun.open_id or "msg_0", begun.text)
        said.append(item)
        events += _closing(item, begun.blocks - 1) if begun.open_block == "message" else []
    fresh = _output(speech, begun.blocks)
    for index, new in enumerate(fresh, start=begun.blocks):
        events += _item(new, index)
    end = "incomplete" if speech.finish_reason == "length" else "completed"
    events.append({"type": f"response.{end}", "response": _response(speech, end, [*said, *fresh])})
    return named_events({"type": event["type"], "sequence_number": next(numbers), **event} for event in events)


def _opening(speech: Speech) -> list[JsonObject]:
    response = _response(speech, "in_progress", [])
    return [{"type": "response.created", "response": response}, {"type": "response.in_progress", "response": response}]


def _output(speech: Speech, start: int) -> list[JsonObject]:
    texts = [_message(f"msg_kvassay_{start}", speech.text)] if speech.text else []
    return [*texts, *(_call(call, index) for index, call in enumerate(speech.calls, start=start + len(texts)))]


def _message(id_: str, text: str) -> JsonObject:
    return {"type": "message", "id": id_, "status": "completed", "role": "assistant", "content": [_part(text)]}


def _part(text: str) -> JsonObject:
    return {"type": "output_text", "text": text, "annotations": []}


def _call(call: SaidCall, index: int) -> JsonObject:
    kind, key = ("custom_tool_call", "input") if call.freeform else ("function_call", "arguments")
    head: JsonObject = {"type": kind, "id": f"fc_kvassay_{index}", "status": "completed", "call_id": call.id}
    return {**head, "name": call.name, key: call.arguments}


def _item(item: JsonObject, index: int) -> Iterator[JsonObject]:
    at: JsonObject = {"output_index": index}
    if item["type"] == "message":
        yield {"type": "response.output_item.added", **at, "item": {**item, "status": "in_progress", "content": []}}
        within: JsonObject = {"item_id": item["id"], **at, "content_index": 0}
        yield {"type": "response.content_part.added", **within, "part": _part("")}
        yield {"type": "response.output_text.delta", **within, "delta": _text(item)}
        yield from _closing(item, index)
        return
    key = "arguments" if item["type"] == "function_call" else "input"
    stem = "response.function_call_arguments" if key == "arguments" else "response.custom_tool_call_input"
    within = {"item_id": item["id"], **at}
    yield {"type": "response.output_item.added", **at, "item": {**item, "status": "in_progress", key: ""}}
    yield {"type": f"{stem}.delta", **within, "delta": item[key]}
    yield {"type": f"{stem}.done", **within, key: item[key]}
    yield {"type": "response.output_item.done", **at, "item": item}


def _closing(item: JsonObject, index: int) -> Iterator[JsonObject]:
    within: JsonObject = {"item_id": item["id"], "output_index": index, "content_index": 0}
    yield {"type": "response.output_text.done", **within, "text": _text(item)}
    yield {"type": "response.content_part.done", **within, "part": _part(_text(item))}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _text(item: JsonObject) -> str:
    parts = item["content"]
    first = parts[0] if isinstance(parts, list) and parts else {}
    return str(first["text"]) if isinstance(first, dict) else ""


def _response(speech: Speech, status: str, output: list[JsonValue] | list[JsonObject]) -> JsonObject:
    usage: JsonObject = {
        "input_tokens": speech.prompt_tokens,
        "input_tokens_details": {"cached_tokens": speech.cached_tokens},
        "output_tokens": speech.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": speech.prompt_tokens + speech.completion_tokens,
    }
    return {
        "id": speech.response_id,
        "object": "response",
        "created_at": speech.created,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "model": speech.model,
        "output": [*output],
        "usage": None if status == "in_progress" else usage,
    }
