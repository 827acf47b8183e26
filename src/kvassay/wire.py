"""Messages and tools between OpenAI's wire form, kvassay's types and the store's plain JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal, cast, get_args

from kvassay.errors import ConfigError
from kvassay.types import ExpectedCall, JsonObject, JsonValue, Message, Probe, Tool, ToolCall

_HALF_CHARACTER = re.compile(r"[\ud800-\udfff]")
RoleName = Literal["system", "user", "assistant", "tool"]


def _no_constant(name: str) -> JsonValue:
    raise ValueError(f"it holds {name}")


def parse_json(text: str) -> JsonValue:
    """Strict JSON: NaN and Infinity are refused too. Raises ValueError (also for nesting beyond Python's limit)."""
    try:
        return cast("JsonValue", json.loads(text, parse_constant=_no_constant))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def half_character(value: object) -> str | None:
    """The first half of a surrogate pair that stands alone in a JSON value, as its escape: no UTF-8 can hold it."""
    found = _HALF_CHARACTER.search(json.dumps(value, ensure_ascii=False))
    return f"\\u{ord(found[0]):04x}" if found else None


# --------------------------------------------------------------------------- messages, OpenAI's wire form


def message_to_openai(message: Message) -> JsonObject:
    """Put one message as ``/v1/chat/completions`` takes it; arguments are a JSON string, non-ASCII as it is."""
    wire: JsonObject = {"role": message.role, "content": message.content}
    if message.tool_calls:
        wire["tool_calls"] = [_call_to_openai(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        wire["tool_call_id"] = message.tool_call_id
    return wire


def message_from_openai(wire: JsonValue) -> Message:
    """Read one chat message: ``content`` may be null or a list of text parts (joined by newlines, as llama.cpp does).

    Raises ConfigError naming the field; a replayed call whose arguments are not a JSON object is a poisoned history
    (P3), which every server refuses for good.
    """
    if not isinstance(wire, dict):
        raise ConfigError(f"a message is {_kind(wire)}, not an object")
    role = "system" if wire.get("role") == "developer" else wire.get("role")
    if role not in get_args(RoleName):
        raise ConfigError(f"role is {role!r}, not one of {', '.join(get_args(RoleName))}")
    calls = wire.get("tool_calls") or []
    if not isinstance(calls, list):
        raise ConfigError(f"tool_calls is {_kind(calls)}, not a list")
    answered = wire.get("tool_call_id")
    if not isinstance(answered, str | None):
        raise ConfigError(f"tool_call_id is {_kind(answered)}, not a string")
    return Message(
        role=cast("RoleName", role),
        content=_content(wire.get("content")),
        tool_calls=tuple(_call_from_openai(call, index) for index, call in enumerate(calls)),
        tool_call_id=answered,
    )


def _content(value: JsonValue) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if not isinstance(value, list):
        raise ConfigError(f"content is {_kind(value)}, not a string or a list of text parts")
    return "\n".join(_part(part, index) for index, part in enumerate(value))


def _part(part: JsonValue, index: int) -> str:
    text = part.get("text") if isinstance(part, dict) else part
    if not isinstance(text, str):
        kind = part.get("type") if isinstance(part, dict) else _kind(part)
        raise ConfigError(f"content[{index}] is {kind!r}: only text parts can be asked")
    return text


def _call_to_openai(call: ToolCall) -> JsonObject:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _call_from_openai(wire: JsonValue, index: int) -> ToolCall:
    field = f"tool_calls[{index}]"
    function = wire.get("function", wire) if isinstance(wire, dict) else None
    if not isinstance(wire, dict) or not isinstance(function, dict):
        raise ConfigError(f"{field} is not an object with a function")
    name, id_ = function.get("name"), wire.get("id") or ""
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{field}.function.name is {name!r}, not a tool's name")
    if not isinstance(id_, str):
        raise ConfigError(f"{field}.id is {_kind(id_)}, not a string")
    return ToolCall(id=id_, name=name, arguments=_arguments(function.get("arguments"), field))


def _arguments(value: JsonValue, field: str) -> JsonObject:
    try:
        parsed = parse_json(value) if isinstance(value, str) else value
    except ValueError as error:
        raise _poisoned(field, value, str(error)) from None
    if not isinstance(parsed, dict):
        raise _poisoned(field, value, f"it is {_kind(parsed)}")
    return parsed


def _poisoned(field: str, value: JsonValue, reason: str) -> ConfigError:
    shown = repr(value) if len(repr(value)) <= 80 else repr(value)[:77] + "..."  # noqa: PLR2004 - one line of message
    return ConfigError(
        f"{field}.function.arguments is {shown}, not a JSON object: {reason} (history_poisoned, P3)",
        hint="Every server refuses such a history for good: mend or drop the call.",
    )


def _kind(value: JsonValue) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "null")


# --------------------------------------------------------------------------- tools


def tool_to_openai(tool: Tool) -> JsonObject:
    """Put one tool as ``/v1/chat/completions`` takes it."""
    function: JsonObject = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def tool_from_openai(wire: JsonValue) -> Tool:
    """Read ``{"type": "function", "function": {…}}``, the bare function (Responses API), or Anthropic's form.

    A tool without a schema takes no arguments. Raises ConfigError naming the field.
    """
    if not isinstance(wire, dict):
        raise ConfigError(f"a tool is {_kind(wire)}, not an object")
    if wire.get("type", "function") != "function" and "input_schema" not in wire:
        raise ConfigError(f"type is {wire['type']!r}: only function tools have a schema to check; remove it")
    function = wire.get("function", wire)
    if not isinstance(function, dict):
        raise ConfigError(f"function is {_kind(function)}, not an object")
    name, description = function.get("name"), function.get("description") or ""
    if not isinstance(name, str) or not name:
        raise ConfigError(f"name is {name!r}, not a tool's name")
    if not isinstance(description, str):
        raise ConfigError(f"description is {_kind(description)}, not a string")
    key = "input_schema" if "input_schema" in function else "parameters"
    schema = function.get(key)
    if not isinstance(schema, dict | None):
        raise ConfigError(f"{key} is {_kind(schema)}, not a JSON Schema object")
    return Tool(name, description, {"type": "object", "properties": {}} if schema is None else schema)


def load_tools(path: Path) -> tuple[Tool, ...]:
    """Read an agent's tools from a JSON list, or from an object with the key ``tools`` such as a recorded request.

    Raises ConfigError naming the file, the tool's index, the field and the reason.
    """
    wires = _tool_list(path)
    tools: dict[str, Tool] = {}
    for index, wire in enumerate(wires):
        try:
            tool = tool_from_openai(wire)
        except ConfigError as error:
            raise ConfigError(f"{path}: tools[{index}]: {error.message}") from None
        if half := half_character(tool_to_json(tool)):
            raise ConfigError(f"{path}: tools[{index}]: {half} is half a character, which no UTF-8 can hold")
        if tool.name in tools:
            raise ConfigError(f"{path}: tools[{index}]: name {tool.name!r} is declared twice")
        tools[tool.name] = tool
    return tuple(tools.values())


def _tool_list(path: Path) -> list[JsonValue]:
    try:
        document = parse_json(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: is not JSON: {error}") from error
    found = document.get("tools") if isinstance(document, dict) else document
    if not isinstance(found, list) or not found:
        raise ConfigError(
            f"{path}: holds no list of tools",
            hint='Give a JSON list of tools in OpenAI form, or a recorded request with the key "tools".',
        )
    return found


# --------------------------------------------------------------------------- the store's plain JSON


def message_to_json(message: Message) -> JsonObject:
    """Put a message as plain JSON, without loss."""
    return {
        "role": message.role,
        "content": message.content,
        "tool_calls": [{"id": c.id, "name": c.name, "arguments": c.arguments} for c in message.tool_calls],
        "tool_call_id": message.tool_call_id,
    }


def message_from_json(stored: JsonObject) -> Message:
    """Invert `message_to_json`; other forms raise KeyError or TypeError."""
    return Message(
        role=cast("RoleName", stored["role"]),
        content=cast("str", stored["content"]),
        tool_calls=tuple(
            ToolCall(cast("str", call["id"]), cast("str", call["name"]), cast("JsonObject", call["arguments"]))
            for call in _objects(stored["tool_calls"])
        ),
        tool_call_id=cast("str | None", stored["tool_call_id"]),
    )


def tool_to_json(tool: Tool) -> JsonObject:
    """Put a tool as plain JSON, without loss."""
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}


def tool_from_json(stored: JsonObject) -> Tool:
    """Invert `tool_to_json`; other forms raise KeyError or TypeError."""
    return Tool(
        cast("str", stored["name"]), cast("str", stored["description"]), cast("JsonObject", stored["parameters"])
    )


def probe_to_json(probe: Probe) -> JsonObject:
    """Put a probe as plain JSON, without loss."""
    return {
        "id": probe.id,
        "family": probe.family,
        "seed": probe.seed,
        "messages": [message_to_json(message) for message in probe.messages],
        "expected": [[_expected_to_json(call) for call in calls] for calls in probe.expected],
        "level": probe.level,
        "key": probe.key,
        "tools": None if probe.tools is None else [tool_to_json(tool) for tool in probe.tools],
        "stands_alone": probe.stands_alone,
        "tags": list(probe.tags),
    }


def probe_from_json(stored: JsonObject) -> Probe:
    """Invert `probe_to_json`; other forms raise KeyError or TypeError."""
    alternatives = cast("list[JsonValue]", stored["expected"])
    return Probe(
        id=cast("str", stored["id"]),
        family=cast("str", stored["family"]),
        seed=cast("int", stored["seed"]),
        messages=tuple(message_from_json(message) for message in _objects(stored["messages"])),
        expected=tuple(tuple(_expected_from_json(call) for call in _objects(calls)) for calls in alternatives),
        level=cast("int", stored["level"]),
        key=cast("JsonObject", stored["key"]),
        tools=None if stored["tools"] is None else tuple(tool_from_json(tool) for tool in _objects(stored["tools"])),
        stands_alone=cast("bool", stored["stands_alone"]),
        tags=tuple(cast("list[str]", stored["tags"])),
    )


def _expected_to_json(call: ExpectedCall) -> JsonObject:
    accepted: JsonObject = {name: list(values) for name, values in call.arguments.items()}
    optional: list[JsonValue] = [*sorted(call.optional)]
    return {"name": call.name, "arguments": accepted, "optional": optional}


def _expected_from_json(stored: JsonObject) -> ExpectedCall:
    accepted = cast("dict[str, list[JsonValue]]", stored["arguments"])
    return ExpectedCall(
        name=cast("str", stored["name"]),
        arguments={name: tuple(values) for name, values in accepted.items()},
        optional=frozenset(cast("list[str]", stored["optional"])),
    )


def _objects(value: JsonValue) -> list[JsonObject]:
    return cast("list[JsonObject]", value)
