"""Messages in OpenAI's chat form, Anthropic's and the AI SDK's: one reader, for agents mix them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from kvassay.errors import ConfigError
from kvassay.session.importers.fields import RawCall, at, int_at, list_at, sorted_calls, text_at, usage_of
from kvassay.session.transcript import Item, Oddity, Said, Usage
from kvassay.types import JsonObject, JsonValue, Message, Tool
from kvassay.wire import tool_from_openai

_TEXTS = frozenset({"text", "input_text", "output_text", "summary_text", "refusal"})
_CALLS = frozenset({"tool_use", "server_tool_use", "mcp_tool_use", "toolCall"})
_LEFT_OUT = frozenset(
    {
        "image", "image_url", "input_image", "input_file", "input_audio", "document", "file", "audio", "video",
        "thinking", "redacted_thinking", "reasoning", "reasoning_content", "cache_edits", "container_upload",
        "thoughtSignature",
    }
)  # fmt: skip
_ROLES = {"system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant"}


@dataclass(frozen=True, slots=True)
class Stamp:
    """What an agent's envelope says about the message inside."""

    place: str
    at_s: float | None = None
    usage: Usage | None = None
    stop_reason: str | None = None
    model: str | None = None


@dataclass(slots=True)
class Parts:
    """One message's content, taken apart."""

    texts: list[str] = field(default_factory=list)
    calls: list[RawCall] = field(default_factory=list)
    results: list[Said] = field(default_factory=list)
    oddities: list[Oddity] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


def read_message(wire: JsonValue, stamp: Stamp) -> Iterator[Item]:
    """Read one message. Results inside a user's message come out in front of its text, as tool messages."""
    if not isinstance(wire, dict):
        yield Oddity("damaged", "message is no object", stamp.place)
        return
    role = text_at(wire, "role")
    if role in ("tool", "function"):
        yield from _result(wire, stamp)
        return
    if role not in _ROLES:
        kind = text_at(wire, "type")
        yield (
            Oddity("left out", f"content {kind}", stamp.place)
            if kind in _LEFT_OUT
            else Oddity("unknown", f"role {role!r}", stamp.place)
        )
        return
    parts = take_apart(wire.get("content"), stamp)
    _more_calls(wire, parts)
    yield from parts.oddities
    yield from parts.results
    if _ROLES[role] == "assistant":
        yield assistant(parts.text, parts.calls, stamp)
    elif parts.text or not parts.results:
        yield Said(Message("system" if _ROLES[role] == "system" else "user", parts.text), stamp.place, stamp.at_s)


def assistant(text: str, calls: list[RawCall], stamp: Stamp) -> Said:
    """An assistant's turn."""
    good, poisoned = sorted_calls(calls)
    return Said(
        Message("assistant", text, good),
        stamp.place,
        at_s=stamp.at_s,
        usage=stamp.usage,
        stop_reason=stamp.stop_reason,
        model=stamp.model,
        poisoned=poisoned,
    )


def result(id_: str | None, text: str, stamp: Stamp, *, failed: bool | None) -> Said:
    """A tool's result."""
    return Said(Message("tool", text, tool_call_id=id_ or None), stamp.place, at_s=stamp.at_s, failed=failed)


def take_apart(content: JsonValue, stamp: Stamp) -> Parts:
    """Read a message's content: a string, or a list of parts."""
    parts = Parts()
    if isinstance(content, str):
        parts.texts.append(content)
    elif isinstance(content, list):
        for part in content:
            _take(part, parts, stamp)
    elif content is not None:
        _take(content, parts, stamp)
    return parts


def _take(part: JsonValue, parts: Parts, stamp: Stamp) -> None:
    kind = text_at(part, "type")
    text = part if isinstance(part, str) else text_at(part, "text")
    if text is None and kind == "refusal":
        text = text_at(part, "refusal")
    if isinstance(part, str) or kind in _TEXTS or (kind is None and text is not None):
        parts.texts.append(text or "")
    elif kind in _CALLS:
        arguments = at(part, "arguments") if kind == "toolCall" else at(part, "input")
        parts.calls.append(RawCall(text_at(part, "id") or "", text_at(part, "name") or "", arguments))
    elif kind == "tool-call":
        call = RawCall(text_at(part, "toolCallId") or "", text_at(part, "toolName") or "", at(part, "input"))
        parts.calls.append(call)
    elif kind == "tool-result":
        parts.results.append(_output(part, parts, stamp))
    elif kind and kind.endswith("tool_result"):
        parts.results.append(_inner_result(part, parts, stamp))
    else:
        known = kind in _LEFT_OUT
        parts.oddities.append(Oddity("left out" if known else "unknown", f"content {kind or 'no type'}", stamp.place))


def _inner_result(part: JsonValue, parts: Parts, stamp: Stamp) -> Said:
    inner = take_apart(at(part, "content"), stamp)
    parts.oddities += inner.oddities
    flag = at(part, "is_error")
    # Anthropic's default for is_error is false.
    return result(text_at(part, "tool_use_id"), inner.text, stamp, failed=flag if isinstance(flag, bool) else False)


def _output(part: JsonValue, parts: Parts, stamp: Stamp) -> Said:
    """The AI SDK's result: ``output`` is ``{"type", "value"}``, whose value is text, JSON or a list of parts."""
    kind, value = text_at(part, "output", "type") or "", at(part, "output", "value")
    if kind.endswith("json"):
        value = json.dumps(value, ensure_ascii=False)
    inner = take_apart(value, stamp)
    parts.oddities += inner.oddities
    return result(text_at(part, "toolCallId"), inner.text, stamp, failed=kind.startswith("error"))


def _result(wire: JsonObject, stamp: Stamp) -> Iterator[Item]:
    parts = take_apart(wire.get("content"), stamp)
    yield from parts.oddities
    if parts.results:
        yield from parts.results
        return
    flag = wire.get("is_error")
    id_ = text_at(wire, "tool_call_id")
    yield result(id_, parts.text, stamp, failed=flag if isinstance(flag, bool) else None)


def _more_calls(wire: JsonObject, parts: Parts) -> None:
    """Calls beside the content, and in the form that came before tools (``function_call``)."""
    for call in list_at(wire, "tool_calls"):
        function = at(call, "function")
        named = call if function is None else function
        raw = RawCall(text_at(call, "id") or "", text_at(named, "name") or "", at(named, "arguments"))
        custom = at(call, "custom")
        parts.calls.append(custom_call(raw.id, custom) if isinstance(custom, dict) else raw)
    if isinstance(legacy := wire.get("function_call"), dict):
        parts.calls.append(RawCall("", text_at(legacy, "name") or "", legacy.get("arguments")))


def custom_call(id_: str, custom: JsonObject) -> RawCall:
    """A call of a tool that takes free text: the text becomes the one argument ``input``."""
    return RawCall(id_, text_at(custom, "name") or "", {"input": custom.get("input")})


def usage_at(wire: JsonValue) -> Usage | None:
    """Usage as OpenAI (chat, Responses) or Anthropic reports it; Anthropic counts cached tokens apart."""
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    prompt = [int_at(wire, "prompt_tokens")] if int_at(wire, "prompt_tokens") else [int_at(wire, n) for n in names]
    return usage_of(prompt=prompt, output=int_at(wire, "completion_tokens") or int_at(wire, "output_tokens"))


def read_tools(wires: list[JsonValue], place: str) -> tuple[tuple[Tool, ...], list[Oddity]]:
    """Declared tools, each name once; those without a schema to check (web search, custom grammars) are counted."""
    tools: dict[str, Tool] = {}
    oddities: list[Oddity] = []
    for wire in _flat(wires):
        try:
            tool = _custom_tool(wire) or tool_from_openai(wire)
        except ConfigError:
            oddities.append(Oddity("left out", f"tool of type {text_at(wire, 'type')!r}", place))
        else:
            tools.setdefault(tool.name, tool)
    return tuple(tools.values()), oddities


def _custom_tool(wire: JsonValue) -> Tool | None:
    """A tool that takes free text, as one with the only argument ``input``."""
    custom = at(wire, "custom") if isinstance(at(wire, "custom"), dict) else wire
    name = text_at(custom, "name")
    if text_at(wire, "type") != "custom" or name is None:
        return None
    schema: JsonObject = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    return Tool(name, text_at(custom, "description") or "", schema)


def _flat(wires: list[JsonValue]) -> Iterator[JsonValue]:
    """Tools one by one: Codex puts some under a namespace."""
    for wire in wires:
        if text_at(wire, "type") == "namespace":
            yield from list_at(wire, "tools")
        else:
            yield wire
