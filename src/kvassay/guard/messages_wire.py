"""Anthropic Messages: a reply's events, or its whole body, into a draft."""

from __future__ import annotations

from kvassay import fields
from kvassay.guard.contract import PieceKind
from kvassay.guard.drafts import Draft, tells_error
from kvassay.guard.loose import as_text, field_count
from kvassay.types import JsonObject

FINISH = {"end_turn": "stop", "stop_sequence": "stop", "tool_use": "tool_calls", "max_tokens": "length"}
"""Anthropic's stop reasons in chat completions' words."""


def read_plain(draft: Draft, body: JsonObject) -> None:
    """A whole reply."""
    if body.get("error") is not None:
        draft.fail(body["error"], body)
    elif isinstance(body.get("content"), list):
        for index, block in enumerate(fields.sections(body, "content")):
            _start(draft, index, block)
            _stop(draft, index)
        _frame(draft, body)
        _finish(draft, body)
        draft.ended = True


def read_event(draft: Draft, name: str, data: JsonObject) -> PieceKind:
    """One event; what kind of piece it is."""
    kind, index = fields.text(data, "type") or name, field_count(data, "index") or 0
    match "error" if tells_error(name, data) else kind:
        case "message_start":
            _frame(draft, fields.section(data, "message"))
        case "content_block_start":
            return _start(draft, index, fields.section(data, "content_block"))
        case "content_block_delta":
            return _delta(draft, index, fields.section(data, "delta"))
        case "content_block_stop":
            return _stop(draft, index)
        case "message_delta":
            _finish(draft, fields.section(data, "delta"))
            _usage(draft, data)
            return PieceKind.END
        case "message_stop":
            draft.ended = True
            return PieceKind.END
        case "error":
            draft.fail(data.get("error") or data, data)
    return PieceKind.PING if kind == "ping" else PieceKind.OTHER


def _frame(draft: Draft, message: JsonObject) -> None:
    draft.understood = True
    draft.name(message)
    _usage(draft, message)


def _usage(draft: Draft, body: JsonObject) -> None:
    """Anthropic counts cached tokens apart: all three together are the prompt."""
    usage = fields.section(body, "usage")
    anew, read = field_count(usage, "input_tokens"), field_count(usage, "cache_read_input_tokens")
    written = field_count(usage, "cache_creation_input_tokens")
    prompt = None if anew is None else anew + (read or 0) + (written or 0)
    draft.count(prompt, read, field_count(usage, "output_tokens"))


def _finish(draft: Draft, body: JsonObject) -> None:
    reason = fields.text(body, "stop_reason")
    draft.finish_reason = FINISH.get(reason, reason) or draft.finish_reason


def _start(draft: Draft, index: int, block: JsonObject) -> PieceKind:
    draft.understood = True
    draft.blocks, draft.open_at = max(draft.blocks, index + 1), (*draft.open_at, index)
    match fields.text(block, "type"):
        case "tool_use":
            call, given = draft.call(index), block.get("input")
            call.id, call.name = fields.text(block, "id"), [fields.text(block, "name")]
            call.arguments = [as_text(given)] if given else []
            return PieceKind.TOOL
        case "text":
            draft.content.append(fields.text(block, "text"))
        case "thinking":
            draft.reasoning.append(fields.text(block, "thinking"))
    return PieceKind.OTHER


def _delta(draft: Draft, index: int, delta: JsonObject) -> PieceKind:
    if index in draft.calls:
        draft.calls[index].arguments.append(fields.text(delta, "partial_json"))
        return PieceKind.TOOL
    draft.content.append(fields.text(delta, "text"))
    draft.reasoning.append(fields.text(delta, "thinking"))
    return PieceKind.TEXT


def _stop(draft: Draft, index: int) -> PieceKind:
    draft.open_at = tuple(at for at in draft.open_at if at != index)
    call = draft.calls.get(index)
    if call is None:
        return PieceKind.OTHER
    call.arguments = call.arguments if any(call.arguments) else ["{}"]  # a call without arguments has no deltas
    return PieceKind.TOOL
