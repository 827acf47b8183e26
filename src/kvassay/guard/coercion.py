"""Arguments of the wrong JSON type whose text is exactly a value of the right one: ``"5"`` for an integer."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from kvassay.dialect.strict_json import Scanned, read
from kvassay.grade.schema import schema_fault, type_faults
from kvassay.guard.contract import Asked, Coerced, Replied, SaidCall
from kvassay.guard.splice import replaced
from kvassay.types import JsonObject, JsonValue, OutcomeClass, Tool

_INTEGER = re.compile(r"0|-?[1-9]\d{0,17}")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_JSON_TYPES = {"array": list, "object": dict}


class _Change(NamedTuple):
    arguments: str
    did: tuple[str, ...]


def coerced(asked: Asked, replied: Replied) -> Coerced | None:
    """The reply's calls with every value of a wrong type put right, where that loses nothing and makes the call valid.

    Calls that are cut, or wrong in any other way, stay exactly as they are. None where nothing was changed.
    """
    tools = {tool.name: tool for tool in asked.tools}
    changes = [_change(call, tools.get(call.name)) for call in replied.calls]
    if not any(changes):
        return None
    calls = (
        replace(call, arguments=change.arguments) if change else call
        for call, change in zip(replied.calls, changes, strict=True)
    )
    return Coerced(tuple(calls), tuple(line for change in changes if change for line in change.did))


def _change(call: SaidCall, tool: Tool | None) -> _Change | None:
    outcome = read(call.arguments)
    arguments = outcome.value if isinstance(outcome, Scanned) else None
    if call.freeform or tool is None or not isinstance(arguments, dict):
        return None
    fault = schema_fault(tool, arguments)
    if fault is None or fault.kind is not OutcomeClass.WRONG_TYPE:
        return None
    change = _retyped(call.arguments, arguments, tool)
    mended = read(change.arguments)
    valid = isinstance(mended, Scanned) and isinstance(mended.value, dict) and schema_fault(tool, mended.value) is None
    return change if valid else None


def _retyped(text: str, arguments: JsonObject, tool: Tool) -> _Change:
    values: dict[tuple[str | int, ...], str] = {}
    did: list[str] = []
    for fault in type_faults(tool, arguments):
        old = _at(arguments, fault.place)
        new = lossless(old, fault.wanted)
        if new is not None:
            values[fault.place] = new
            did.append(f"{tool.name}.{'.'.join(map(str, fault.place))} was {json.dumps(old)}, is {new}")
    return _Change(replaced(text, values), tuple(did))


def _at(value: JsonValue, place: Sequence[str | int]) -> JsonValue:
    for step in place:
        if isinstance(value, dict):
            value = value[str(step)]
        elif isinstance(value, list):
            value = value[int(step)]
    return value


def lossless(value: JsonValue, wanted: Sequence[str]) -> str | None:
    """The JSON text of the same thing in one of the wanted types; None where something would be lost or guessed."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f'"{value}"' if "string" in wanted else None
    if not isinstance(value, str):
        return None
    return next((value for kind in wanted if _is_text_of(value, kind)), None)


def _is_text_of(text: str, kind: str) -> bool:
    match kind:
        case "integer":
            return bool(_INTEGER.fullmatch(text))
        case "number":
            return bool(_NUMBER.fullmatch(text)) and text != "-0" and _exact(text)
        case "boolean":
            return text in {"true", "false"}
        case "array" | "object":
            outcome = read(text)
            return isinstance(outcome, Scanned) and isinstance(outcome.value, _JSON_TYPES[kind])
        case _:
            return False


def _exact(text: str) -> bool:
    """Whether a double holds the number to its last digit as written."""
    value = float(text)
    return abs(value) < float("inf") and Decimal(repr(value)) == Decimal(text)
