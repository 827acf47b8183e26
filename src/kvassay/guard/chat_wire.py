"""OpenAI chat completions: a reply's chunks, or its whole body, into a draft."""

from __future__ import annotations

from kvassay import fields
from kvassay.guard.contract import PieceKind
from kvassay.guard.drafts import Draft, DraftCall, tells_error
from kvassay.guard.loose import as_text, field_count, joined_text
from kvassay.types import JsonObject

_DONE = "[DONE]"


def is_end(data: str) -> bool:
    """Whether an event's data is the closing mark, which is no JSON."""
    return data.strip() == _DONE


def read_plain(draft: Draft, body: JsonObject) -> None:
    """A whole reply."""
    if "error" in body and body["error"] is not None:
        draft.fail(body["error"], body)
        return
    _read_frame(draft, body)
    for choice in fields.sections(body, "choices")[:1]:
        message = fields.section(choice, "message")
        calls = [{**call, "index": index} for index, call in enumerate(fields.sections(message, "tool_calls"))]
        _add(draft, {**message, "tool_calls": [*calls]})
        draft.finish_reason = fields.text(choice, "finish_reason") or None
        draft.ended = draft.understood = True


def read_chunk(draft: Draft, name: str, chunk: JsonObject) -> PieceKind:
    """One chunk; what kind of piece it is."""
    if tells_error(name, chunk):
        draft.fail(chunk.get("error") or chunk, chunk)
        return PieceKind.OTHER
    _read_frame(draft, chunk)
    choices = fields.sections(chunk, "choices")
    draft.understood = draft.understood or bool(choices) or "choices" in chunk
    deltas = [fields.section(choice, "delta") for choice in choices]
    for choice, delta in zip(choices, deltas, strict=True):
        if not choice.get("index"):
            _add(draft, delta)
            draft.finish_reason = fields.text(choice, "finish_reason") or draft.finish_reason
    draft.ended = draft.ended or draft.finish_reason is not None
    if any(delta.get("tool_calls") or delta.get("function_call") for delta in deltas):
        return PieceKind.TOOL
    if not choices or any(choice.get("finish_reason") for choice in choices):
        return PieceKind.END
    return PieceKind.TEXT if any(_speaks(delta) for delta in deltas) else PieceKind.OTHER


def _speaks(delta: JsonObject) -> bool:
    return any(delta.get(key) for key in ("content", "reasoning_content", "reasoning", "refusal"))


def _read_frame(draft: Draft, body: JsonObject) -> None:
    if not draft.response_id:
        draft.name(body)
    if "usage" not in body and "timings" not in body:  # as most chunks are: the reader has to be quick
        return
    draft.openai_usage(body, "prompt_tokens", "completion_tokens")
    timings = fields.section(body, "timings")  # llama.cpp's own, in every reply
    cached, anew = field_count(timings, "cache_n"), field_count(timings, "prompt_n")
    if cached is not None and anew is not None:
        draft.count(cached + anew, cached, field_count(timings, "predicted_n"))


def _add(draft: Draft, delta: JsonObject) -> None:
    """A delta of a stream; a whole message is one delta."""
    draft.content.append(joined_text(delta.get("content")) or fields.text(delta, "refusal"))
    draft.reasoning.append(fields.text(delta, "reasoning_content") or fields.text(delta, "reasoning"))
    for part in fields.sections(delta, "tool_calls"):
        _add_call(_call(draft, part), part)
    legacy = fields.section(delta, "function_call")
    if legacy:
        _add_call(draft.call(0), {"function": legacy})


def _call(draft: Draft, part: JsonObject) -> DraftCall:
    """The call that a part belongs to: by its index; servers without one begin a call with an id or a name. Some give
    all calls one index (Ollama 0.20, older vLLM and SGLang): there another id with a name begins another call.
    """
    index, id_ = field_count(part, "index"), fields.text(part, "id")
    name = fields.text(fields.section(part, "custom") or fields.section(part, "function"), "name")
    last = max(draft.calls, default=-1)
    if index is None:
        known = last >= 0 and (id_ == draft.calls[last].id if id_ else not name)
        return draft.call(last if known else last + 1)
    key = draft.call_keys.get(str(index), last + 1 if index in draft.calls else index)
    if id_ and name and draft.call(key).id not in ("", id_):
        key = last + 1
    draft.call_keys[str(index)] = key
    return draft.call(key)


def _add_call(call: DraftCall, part: JsonObject) -> None:
    custom = fields.section(part, "custom")
    function = custom or fields.section(part, "function")
    call.id = fields.text(part, "id") or call.id
    call.freeform = call.freeform or bool(custom)
    name = fields.text(function, "name")
    if name != "".join(call.name):  # NVIDIA's NIM repeats it in every part (hermes-agent issue 8259)
        call.name.append(name)
    call.arguments.append(as_text(function.get("input" if custom else "arguments")))
