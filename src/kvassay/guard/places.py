"""Where in a request's JSON the newest words stand: of the tools, or of whoever spoke last."""

from __future__ import annotations

from kvassay import fields
from kvassay.guard.contract import Api
from kvassay.guard.splice import Path
from kvassay.types import JsonObject, JsonValue

_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})


def last_result(api: Api, body: JsonObject) -> Path | None:
    """The text of the last tool result; None where there is none to write to."""
    key = "input" if api is Api.RESPONSES else "messages"
    items = body.get(key)
    for index in reversed(range(len(items) if isinstance(items, list) else 0)):
        item = items[index] if isinstance(items, list) else None
        place = _result(api, item) if isinstance(item, dict) else None
        if place is not None:
            return (key, index, *place)
    return None


def last_words(api: Api, body: JsonObject) -> Path | None:
    """The text at the end of the conversation, be it the user's or a tool's; None where the model itself spoke last."""
    key = "input" if api is Api.RESPONSES else "messages"
    items = body.get(key)
    if isinstance(items, str):
        return (key,)
    last = items[-1] if isinstance(items, list) and items else None
    if not isinstance(last, dict) or not isinstance(items, list) or fields.text(last, "role") == "assistant":
        return None
    place = _result(api, last) or _text(last, "content")
    return None if place is None else (key, len(items) - 1, *place)


def _result(api: Api, item: JsonObject) -> tuple[str | int, ...] | None:
    match api:
        case Api.CHAT:
            return _text(item, "content") if fields.text(item, "role") == "tool" else None
        case Api.RESPONSES:
            return _text(item, "output") if fields.text(item, "type") in _OUTPUTS else None
        case Api.MESSAGES:
            return _block(item)


def _block(message: JsonObject) -> tuple[str | int, ...] | None:
    """The text of a message's last ``tool_result`` block."""
    blocks = message.get("content")
    for index in reversed(range(len(blocks) if isinstance(blocks, list) else 0)):
        block = blocks[index] if isinstance(blocks, list) else None
        if isinstance(block, dict) and fields.text(block, "type") == "tool_result":
            place = _text(block, "content")
            return None if place is None else ("content", index, *place)
    return None


def _text(holder: JsonObject, key: str) -> tuple[str | int, ...] | None:
    """A string, or the text of the last part that has one."""
    value: JsonValue = holder.get(key)
    if isinstance(value, str):
        return (key,)
    for index in reversed(range(len(value) if isinstance(value, list) else 0)):
        part = value[index] if isinstance(value, list) else None
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            return (key, index, "text")
    return None
