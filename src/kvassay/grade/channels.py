"""Faults between the model and the agent: truncated prompts (P0), parsers and streams that lose a call (P2)."""

from __future__ import annotations

from collections.abc import Sequence

from kvassay.grade.schema import schema_fault
from kvassay.grade.server import evidence
from kvassay.grade.values import json_equal
from kvassay.types import Call, ChatReply, JsonValue, Tool, Turn, WireCall
from kvassay.wire import parse_json

_OK = 200
_KEPT_SHARE = 0.9
_SHOWN_CHARS = 120


def prompt_truncated(ours: int, servers: int) -> bool:
    """P0: the server read less than 0.9 of the prompt's tokens as we count them (Ollama cuts silently)."""
    return servers < _KEPT_SHARE * ours


def parser_fault(raw: Turn, parsed: Turn, *, tools: Sequence[Tool] = ()) -> str | None:
    """P2: say what the server lost where the raw text holds a valid call in the native dialect and the parsed message
    does not hold the same. Both turns answer the same probe greedily. None where nothing was lost.

    With ``tools``, a raw call that is unknown or breaks its schema is not valid: llama.cpp masks it or answers 500,
    and that is the model's failure.
    """
    if not raw.calls or raw.faults or not raw.native or not _valid(raw.calls, tools):
        return None
    if _same(raw.calls, parsed.calls) and not parsed.faults:
        return None
    if parsed.status != _OK:
        answer = f"HTTP {parsed.status}: {_cut(evidence(parsed))}"
        return f"the raw text calls {_named(raw.calls)}; the server answered {answer}"
    return f"the raw text calls {_named(raw.calls)}; the parsed message holds {_named(parsed.calls)}"


def stream_mismatch(plain: ChatReply, streamed: ChatReply) -> str | None:
    """P2: say where a streamed answer differs from the plain one; None where an agent would see the same."""
    if plain.status != streamed.status:
        return f"plain answers HTTP {plain.status}, streamed HTTP {streamed.status}"
    if [_read(call) for call in plain.calls] != [_read(call) for call in streamed.calls]:
        return f"plain holds {_wired(plain.calls)}, streamed {_wired(streamed.calls)}"
    if plain.content.strip() != streamed.content.strip():
        return f"plain says {_cut(plain.content)!r}, streamed {_cut(streamed.content)!r}"
    return None


def _valid(calls: Sequence[Call], tools: Sequence[Tool]) -> bool:
    declared = {tool.name: tool for tool in tools}
    known = all(call.name in declared for call in calls) if tools else True
    return known and not any(schema_fault(declared[c.name], c.arguments) for c in calls if c.name in declared)


def _same(a: Sequence[Call], b: Sequence[Call]) -> bool:
    return len(a) == len(b) and all(
        x.name == y.name and json_equal(x.arguments, y.arguments) for x, y in zip(a, b, strict=True)
    )


def _read(call: WireCall) -> tuple[str, JsonValue]:
    """A call as an agent reads it: blanks between JSON tokens don't matter."""
    try:
        return call.name, parse_json(call.arguments)
    except ValueError:
        return call.name, call.arguments


def _named(calls: Sequence[Call]) -> str:
    return ", ".join(f"{call.name}({_cut(str(call.arguments))})" for call in calls) or "no call"


def _wired(calls: Sequence[WireCall]) -> str:
    return ", ".join(f"{call.name}({_cut(call.arguments)})" for call in calls) or "no call"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"
