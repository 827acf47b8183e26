"""Items of OpenAI's Responses API: what one turn says and calls stands in several of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from kvassay.session.importers.dialogue import Stamp, assistant, custom_call, read_message, result, take_apart
from kvassay.session.importers.fields import RawCall, at, object_at, text_at
from kvassay.session.transcript import Item, Oddity
from kvassay.types import JsonObject, JsonValue

_CALLS = frozenset({"function_call", "mcp_call", "mcp_tool_call"})
_LEFT_OUT = frozenset(
    {
        "reasoning", "web_search_call", "file_search_call", "image_generation_call", "code_interpreter_call",
        "computer_call", "computer_call_output", "item_reference", "compaction", "compaction_summary",
        "compaction_trigger", "ghost_snapshot", "mcp_list_tools", "additional_tools",
    }
)  # fmt: skip
_SHELL = "local_shell"


class Turns:
    """Puts the items of one assistant turn together; a turn ends where something else is said, or at `end`."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: list[RawCall] = []
        self._stamp: Stamp | None = None

    def take(self, item: JsonValue, stamp: Stamp) -> Iterator[Item]:
        """Read one item."""
        kind = text_at(item, "type") or ("message" if text_at(item, "role") else None)
        call = _call(item, kind)
        if call:
            self._begin(stamp)
            self._calls.append(call)
        elif kind == "message" and text_at(item, "role") == "assistant":
            yield from self._message(item, stamp)
        elif kind and kind.endswith("_output"):
            yield from self.end()
            yield from _result(item, stamp)
        elif kind == "message":
            yield from self.end()
            yield from read_message(item, stamp)
        else:
            yield Oddity("left out" if kind in _LEFT_OUT else "unknown", f"item {kind or 'no type'}", stamp.place)

    def end(self, stamp: Stamp | None = None) -> Iterator[Item]:
        """The turn so far, with what ``stamp`` adds to it; nothing where none has begun."""
        if self._stamp:
            begun, given = self._stamp, stamp or self._stamp
            joined = replace(begun, usage=given.usage, stop_reason=given.stop_reason, model=given.model)
            yield assistant("\n".join(self._texts), self._calls, joined)
        self._texts, self._calls, self._stamp = [], [], None

    @property
    def open(self) -> bool:
        return self._stamp is not None

    def _begin(self, stamp: Stamp) -> None:
        self._stamp = self._stamp or stamp

    def _message(self, item: JsonValue, stamp: Stamp) -> Iterator[Item]:
        if self._calls:  # text after calls is a new turn: nothing is said between a call and its result
            yield from self.end()
        self._begin(stamp)
        parts = take_apart(at(item, "content"), stamp)
        yield from parts.oddities
        self._texts += parts.texts
        self._calls += parts.calls


def _call(item: JsonValue, kind: str | None) -> RawCall | None:
    id_ = text_at(item, "call_id") or text_at(item, "id") or ""
    if kind in _CALLS:
        return RawCall(id_, text_at(item, "name") or "", at(item, "arguments"))
    if kind == "custom_tool_call" and isinstance(item, dict):
        return custom_call(id_, item)
    if kind in ("local_shell_call", "shell_call"):
        return RawCall(id_, _SHELL, object_at(item, "action"))
    if kind == "tool_search_call":
        return RawCall(id_, "tool_search", at(item, "arguments"))
    return None


def _result(item: JsonValue, stamp: Stamp) -> Iterator[Item]:
    output = at(item, "output")
    inner = output if isinstance(output, str | list) or output is None else _wrapped(object_at(item, "output"))
    parts = take_apart(inner, stamp)
    yield from parts.oddities
    success = at(item, "output", "success")
    failed = not success if isinstance(success, bool) else None
    yield result(text_at(item, "call_id"), parts.text, stamp, failed=failed)


def _wrapped(output: JsonObject) -> JsonValue:
    """Codex once recorded ``{"content": …, "success": …}``."""
    return output.get("content") or output.get("body")
