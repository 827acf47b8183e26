"""OpenAI Responses: a reply's events, or its whole body, into a draft."""

from __future__ import annotations

from kvassay import fields
from kvassay.guard.contract import PieceKind
from kvassay.guard.drafts import Draft, DraftCall, tells_error
from kvassay.guard.loose import as_text, field_count, joined_text
from kvassay.types import JsonObject

_CALLS = frozenset({"function_call", "custom_tool_call"})
_ARGUMENTS = frozenset({"response.function_call_arguments.delta", "response.custom_tool_call_input.delta"})
_ARGUMENTS_DONE = frozenset({"response.function_call_arguments.done", "response.custom_tool_call_input.done"})
_TEXT = frozenset({"response.output_text.delta", "response.refusal.delta"})
_REASONING = frozenset({"response.reasoning_text.delta", "response.reasoning_summary_text.delta"})
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_WHOLE = frozenset({"", "completed", "incomplete"})


def read_plain(draft: Draft, body: JsonObject) -> None:
    """A whole reply."""
    if body.get("error") is not None:
        draft.fail(body["error"], body)
    elif isinstance(body.get("output"), list):
        _end(draft, body)


def read_event(draft: Draft, name: str, data: JsonObject) -> PieceKind:
    """One event; what kind of piece it is."""
    kind = fields.text(data, "type") or name
    draft.sequence = field_count(data, "sequence_number") or draft.sequence
    if kind in _ENDS:
        _end(draft, fields.section(data, "response"))
        return PieceKind.END
    if tells_error(name, data):
        draft.fail(data.get("error") or data, data)
        return PieceKind.OTHER
    draft.understood = draft.understood or kind.startswith("response.")
    if kind in _TEXT | _REASONING:
        (draft.content if kind in _TEXT else draft.reasoning).append(fields.text(data, "delta"))
        return PieceKind.TEXT
    return _read_item(draft, kind, data)


def _read_item(draft: Draft, kind: str, data: JsonObject) -> PieceKind:
    item = fields.section(data, "item")
    if kind in _ARGUMENTS:
        _call(draft, data, item).arguments.append(fields.text(data, "delta"))
        return PieceKind.TOOL
    if kind in _ARGUMENTS_DONE:
        return PieceKind.TOOL
    if kind in {"response.output_item.added", "response.output_item.done"}:
        _open(draft, item, added=kind.endswith("added"))
        if fields.text(item, "type") in _CALLS:
            _set_call(_call(draft, data, item, begins=kind.endswith("added")), item)
            return PieceKind.TOOL
    draft.name(fields.section(data, "response"))
    return PieceKind.OTHER


def _call(draft: Draft, data: JsonObject, item: JsonObject, *, begins: bool = False) -> DraftCall:
    """The call that an event is about: by its item's or its own id, else by its place. llama.cpp sends no places, and
    Ollama one and the same for all calls: an item that begins where another stands is another call.
    """
    ids = list(filter(None, (fields.text(data, "item_id"), fields.text(item, "id"), fields.text(item, "call_id"))))
    index = field_count(data, "output_index")
    if index is None:
        return draft.call_named(*ids)
    place = f"#{index}"
    known = next((draft.call_keys[id_] for id_ in ids if id_ in draft.call_keys), None)
    taken = begins and index in draft.calls
    key = known if known is not None else max(draft.calls) + 1 if taken else draft.call_keys.get(place, index)
    draft.call_keys |= dict.fromkeys([*ids, place], key)
    return draft.call(key)


def _open(draft: Draft, item: JsonObject, *, added: bool) -> None:
    draft.blocks += added
    draft.open_block = fields.text(item, "type") if added else ""
    draft.open_id = fields.text(item, "id") if added else ""


def _set_call(call: DraftCall, item: JsonObject) -> None:
    """What an item says of its call; at its end it says all of it."""
    call.freeform = fields.text(item, "type") == "custom_tool_call"
    call.id = fields.text(item, "call_id") or call.id
    call.name = [fields.text(item, "name")]
    arguments = as_text(item.get("input" if call.freeform else "arguments"))
    call.arguments = [arguments] if arguments else call.arguments


def _end(draft: Draft, response: JsonObject) -> None:
    """The closing event holds the whole response; what the events did not bring is taken from there."""
    draft.name(response)
    draft.openai_usage(response, "input_tokens", "output_tokens")
    if response.get("error") is not None:
        draft.fail(response["error"], response)
        return
    _read_output(draft, response)
    status = fields.text(response, "status")
    reason = status if status not in _WHOLE else fields.text(fields.section(response, "incomplete_details"), "reason")
    natural = "tool_calls" if draft.calls else "stop"
    draft.finish_reason = "length" if reason == "max_output_tokens" else reason or natural
    draft.ended = draft.understood = True


def _read_output(draft: Draft, response: JsonObject) -> None:
    heard, thought, called = any(draft.content), any(draft.reasoning), bool(draft.calls)
    for index, item in enumerate(fields.sections(response, "output")):
        kind = fields.text(item, "type")
        if kind in _CALLS and not called:
            _set_call(draft.call(index), item)
        elif kind == "message" and not heard:
            draft.content.append(joined_text(item.get("content")))
        elif kind == "reasoning" and not thought:
            draft.reasoning.append(joined_text(item.get("content")) or joined_text(item.get("summary")))
