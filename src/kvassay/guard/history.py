"""The conversation of a request, in each of the three APIs' forms → kvassay's messages, and what is poisoned in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from kvassay import fields
from kvassay.guard.contract import Api, Poison
from kvassay.guard.loose import joined_text, too_deep
from kvassay.types import JsonObject, JsonValue, Message, ToolCall
from kvassay.wire import parse_json

Place: TypeAlias = tuple[str | int, ...]
_ROLES: dict[str, Literal["system", "user", "assistant", "tool"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


@dataclass(slots=True)
class History:
    """A conversation as it is read. Calls of one turn stand in one message, wherever the API puts them."""

    messages: list[Message] = field(default_factory=list)
    poisoned: list[Poison] = field(default_factory=list)
    failed_ids: set[str] = field(default_factory=set)
    partial: bool = False

    def say(self, role: Literal["system", "user", "assistant"], text: str) -> None:
        """Add what somebody said; nothing for an empty text."""
        if text:
            self.messages.append(Message(role=role, content=text))

    def call(self, call: ToolCall) -> None:
        """Add a call to the assistant's turn that is under way."""
        last = self.messages[-1] if self.messages else None
        if last is None or last.role != "assistant":
            self.messages.append(Message(role="assistant", tool_calls=(call,)))
            return
        self.messages[-1] = Message(role="assistant", content=last.content, tool_calls=(*last.tool_calls, call))

    def answer(self, call_id: str, text: str, *, failed: bool = False) -> None:
        """Add a tool's result."""
        self.messages.append(Message(role="tool", content=text, tool_call_id=call_id or None))
        if failed and call_id:
            self.failed_ids.add(call_id)

    def arguments(self, value: JsonValue, place: Place, call_id: str, tool: str) -> JsonObject:
        """A replayed call's arguments; {} where they are poisoned, which is noted, or too deep to be walked."""
        if isinstance(value, dict) or value is None:
            return {} if value is None or too_deep(value) else value
        try:
            parsed = parse_json(value) if isinstance(value, str) else value
        except ValueError:
            parsed = None
        if isinstance(parsed, dict):
            return {} if too_deep(parsed) else parsed
        self.poisoned.append(Poison(place, call_id, tool, value if isinstance(value, str) else repr(value)))
        return {}


def read_history(api: Api, body: JsonObject) -> History:
    """Read the whole conversation that a request replays. Total: what can't be understood is left out."""
    history = History()
    match api:
        case Api.CHAT:
            _read_chat(history, body)
        case Api.RESPONSES:
            _read_responses(history, body)
        case Api.MESSAGES:
            _read_messages(history, body)
    return history


def _indexed(body: JsonObject, key: str) -> Iterator[tuple[int, JsonObject]]:
    value = body.get(key)
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield index, item


# --------------------------------------------------------------------------- OpenAI chat completions


def _read_chat(history: History, body: JsonObject) -> None:
    for index, wire in _indexed(body, "messages"):
        role = _ROLES.get(fields.text(wire, "role"), "user")
        text = joined_text(wire.get("content"))
        if role == "tool":
            history.answer(fields.text(wire, "tool_call_id"), text)
        elif role == "assistant":
            history.messages.append(Message(role="assistant", content=text))
            _read_chat_calls(history, wire, ("messages", index))
        else:
            history.say(role, text)


def _read_chat_calls(history: History, wire: JsonObject, place: Place) -> None:
    for number, call in _indexed(wire, "tool_calls"):
        function, custom = fields.section(call, "function"), fields.section(call, "custom")
        id_, name = fields.text(call, "id"), fields.text(function or custom, "name")
        if custom:
            history.call(ToolCall(id_, name, {"input": fields.text(custom, "input")}))
            continue
        where = (*place, "tool_calls", number, "function", "arguments")
        history.call(ToolCall(id_, name, history.arguments(function.get("arguments"), where, id_, name)))
    legacy = fields.section(wire, "function_call")
    if legacy:
        name, where = fields.text(legacy, "name"), (*place, "function_call", "arguments")
        history.call(ToolCall("", name, history.arguments(legacy.get("arguments"), where, "", name)))


# --------------------------------------------------------------------------- OpenAI Responses


def _read_responses(history: History, body: JsonObject) -> None:
    history.partial = bool(body.get("previous_response_id") or body.get("conversation"))
    history.say("system", fields.text(body, "instructions"))
    history.say("user", fields.text(body, "input"))
    for index, item in _indexed(body, "input"):
        kind, id_, name = fields.text(item, "type"), fields.text(item, "call_id"), fields.text(item, "name")
        match kind:
            case "function_call":
                where = ("input", index, "arguments")
                history.call(ToolCall(id_, name, history.arguments(item.get("arguments"), where, id_, name)))
            case "custom_tool_call":
                history.call(ToolCall(id_, name, {"input": fields.text(item, "input")}))
            case "local_shell_call":
                history.call(ToolCall(id_, "local_shell", fields.section(item, "action")))
            case "function_call_output" | "custom_tool_call_output" | "local_shell_call_output":
                failed = fields.text(item, "status") == "incomplete"
                history.answer(id_, joined_text(item.get("output")), failed=failed)
            case "message" | "":
                _say_item(history, item)
            case "item_reference":
                history.partial = True


def _say_item(history: History, item: JsonObject) -> None:
    role, text = _ROLES.get(fields.text(item, "role"), "user"), joined_text(item.get("content"))
    history.say("user" if role == "tool" else role, text)


# --------------------------------------------------------------------------- Anthropic Messages


def _read_messages(history: History, body: JsonObject) -> None:
    history.say("system", joined_text(body.get("system")))
    for index, wire in _indexed(body, "messages"):
        if fields.text(wire, "role") == "assistant":
            _read_said(history, wire, index)
        else:
            _read_given(history, wire)


def _read_said(history: History, wire: JsonObject, index: int) -> None:
    history.messages.append(Message(role="assistant", content=joined_text(wire.get("content"))))
    for number, block in _indexed(wire, "content"):
        if fields.text(block, "type") == "tool_use":
            id_, name = fields.text(block, "id"), fields.text(block, "name")
            where = ("messages", index, "content", number, "input")
            history.call(ToolCall(id_, name, history.arguments(block.get("input"), where, id_, name)))


def _read_given(history: History, wire: JsonObject) -> None:
    """What the user or the tools gave: results first, as they answer the turn before."""
    for block in fields.sections(wire, "content"):
        if fields.text(block, "type") == "tool_result":
            failed = block.get("is_error") is True
            history.answer(fields.text(block, "tool_use_id"), joined_text(block.get("content")), failed=failed)
    role = _ROLES.get(fields.text(wire, "role"), "user")
    history.say("system" if role == "system" else "user", joined_text(wire.get("content")))
