"""Fields of other people's JSON: each by its type, None where it is something else."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from kvassay.session.json_text import settled
from kvassay.session.transcript import PoisonedCall, Usage
from kvassay.types import JsonObject, JsonValue, ToolCall
from kvassay.wire import parse_json

_MOST = 1 << 53  # what is more, or infinite, or no number at all, counts nothing
_MILLISECONDS = 1e11  # a later Unix time in seconds is in the year 5138
_LATEST_S = 253_402_300_800  # the year 10000: no date can say it


def text_at(value: JsonValue, *keys: str) -> str | None:
    """The string at a path of keys."""
    found = at(value, *keys)
    return found if isinstance(found, str) else None


def object_at(value: JsonValue, *keys: str) -> JsonObject:
    """The object at a path of keys; an empty one where there is none."""
    found = at(value, *keys)
    return found if isinstance(found, dict) else {}


def list_at(value: JsonValue, *keys: str) -> list[JsonValue]:
    """The list at a path of keys; an empty one where there is none."""
    found = at(value, *keys)
    return found if isinstance(found, list) else []


def int_at(value: JsonValue, *keys: str) -> int | None:
    """The whole number at a path of keys."""
    found = at(value, *keys)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return int(found) if abs(found) < _MOST else None


def at(value: JsonValue, *keys: str) -> JsonValue:
    """Whatever stands at a path of keys."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def unix_s(value: JsonValue) -> float | None:
    """A time as Unix seconds: ISO 8601, or a number of seconds or milliseconds."""
    match value:
        case bool() | None | list() | dict():
            return None
        case str():
            return _iso_s(value)
        case _:
            return _number_s(value) if abs(value) < _MOST else None


def _number_s(value: float) -> float | None:
    seconds = value / 1000 if abs(value) > _MILLISECONDS else float(value)
    return seconds if 0 <= seconds < _LATEST_S else None


def _iso_s(value: str) -> float | None:
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def usage_of(*, prompt: Iterable[int | None], output: int | None) -> Usage | None:
    """Usage from the parts of a prompt's tokens; None where nothing, or only zeros, was recorded."""
    prompt_tokens = sum(part or 0 for part in prompt)
    return Usage(prompt_tokens, output or 0) if prompt_tokens or output else None


class RawCall(NamedTuple):
    """A call as recorded: ``arguments`` is an object, or a string that should hold one."""

    id: str
    name: str
    arguments: JsonValue


class SortedCalls(NamedTuple):
    """A turn's calls, those apart whose arguments are no JSON object."""

    good: tuple[ToolCall, ...]
    poisoned: tuple[PoisonedCall, ...]


def sorted_calls(calls: Iterable[RawCall]) -> SortedCalls:
    """Tell well-formed calls from poisoned ones; nothing is repaired."""
    good: list[ToolCall] = []
    poisoned: list[PoisonedCall] = []
    for index, call in enumerate(calls):
        arguments = _object(call.arguments)
        if arguments is None:
            poisoned.append(PoisonedCall(index, call.id, call.name, _verbatim(call.arguments)))
        else:
            good.append(ToolCall(call.id, call.name, arguments))
    return SortedCalls(tuple(good), tuple(poisoned))


def _object(arguments: JsonValue) -> JsonObject | None:
    try:
        parsed = settled(arguments, parse_json(arguments)) if isinstance(arguments, str) else arguments
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _verbatim(arguments: JsonValue) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
