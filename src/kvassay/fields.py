"""Fields of other programs' JSON, read leniently: each as its type, or as nothing."""

from __future__ import annotations

from collections.abc import Mapping

from kvassay.types import JsonObject, JsonValue


def section(body: Mapping[str, JsonValue], key: str) -> JsonObject:
    """An object inside an object; empty where there is none."""
    value = body.get(key)
    return value if isinstance(value, dict) else {}


def sections(body: Mapping[str, JsonValue], key: str) -> list[JsonObject]:
    """The objects of a list; empty where there is none."""
    value = body.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def first(body: Mapping[str, JsonValue], key: str) -> JsonObject:
    """The first object of a list; empty where there is none."""
    return next(iter(sections(body, key)), {})


def text(body: Mapping[str, JsonValue], key: str) -> str:
    """A string; empty where there is none."""
    value = body.get(key)
    return value if isinstance(value, str) else ""


def real(body: Mapping[str, JsonValue], key: str) -> float:
    """A number; 0 where there is none."""
    value = body.get(key)
    return float(value) if isinstance(value, int | float) else 0.0


def number(body: Mapping[str, JsonValue], key: str) -> int:
    """A whole number; 0 where there is none."""
    return int(real(body, key))
