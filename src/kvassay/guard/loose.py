"""JSON from strangers: what the guard reads of it beside plain fields (`kvassay.fields`)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from kvassay import fields
from kvassay.dialect.strict_json import MAX_DEPTH
from kvassay.types import JsonValue

_LARGEST_COUNT = 2**53


def field_count(body: Mapping[str, JsonValue], key: str) -> int | None:
    """A whole number that counts something; None where there is none, or one that no reader of JSON is sure to hold."""
    value = body.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_COUNT else None


def storable(text: str, chars: int) -> str:
    """A text that any store takes and any page shows: so many characters, and no unpaired surrogates."""
    return text[:chars].encode("utf-8", "replace").decode()


def too_deep(value: JsonValue) -> bool:
    """Whether a value is nested beyond what later readers, which recurse, can walk."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inner(outer)]
        if not level:
            return False
    return True


def _inner(value: JsonValue) -> list[JsonValue]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def joined_text(content: JsonValue) -> str:
    """The text of a message: a string, or a list of parts, their texts joined by newlines; other parts are left out."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(text for part in parts if (text := _part(part)))


def _part(part: JsonValue) -> str:
    if isinstance(part, str):
        return part
    return fields.text(part, "text") if isinstance(part, dict) else ""


def as_text(value: JsonValue) -> str:
    """A string as it is, any other value as the JSON that it came as (Ollama's arguments are objects); "" for null."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)
