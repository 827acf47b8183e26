"""opencode's messages and their parts, told as turns: one message of its assistant may hold several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kvassay.session.importers.dialogue import Stamp, assistant, result
from kvassay.session.importers.fields import RawCall, at, int_at, list_at, object_at, text_at, unix_s, usage_of
from kvassay.session.transcript import Compaction, Facts, Item, Oddity, Said, Usage
from kvassay.types import JsonObject, JsonValue, Message

_ASKED = "What did we do so far?"  # opencode's own words in place of a compaction's request
_RAN = "The following tool was executed by the user"  # … and in place of a command that ran as a task
_INTERRUPTED = "[Tool execution was interrupted]"
_ABORTED = "MessageAbortedError"
_REWRITTEN = "invalid"  # the tool whose call stands in for one that could not be read
_SILENT = frozenset({"step-start", "step-finish", "snapshot", "patch", "agent", "retry"})
_LEFT_OUT = frozenset({"file", "reasoning"})


@dataclass(slots=True)
class Told:
    """How many messages have been told, at which number each of opencode's began, and what a compaction asked for."""

    said: int = 0
    begins: dict[str, int] = field(default_factory=dict)
    tail: str | None = None


def tell(data: JsonObject, parts: Sequence[JsonObject], id_: str, place: str, state: Told) -> Iterator[Item]:
    """Tell one message."""
    state.begins[id_] = state.said
    stamp = Stamp(place, unix_s(at(data, "time", "created")), model=text_at(data, "modelID"))
    if text_at(data, "role") == "user":
        items = _user(parts, stamp, state)
    elif _unseen(data, parts):
        items = iter([Oddity("left out", "turn that ended in an error", place)])
    elif data.get("summary") is True and _broken_off(data, state):
        items = iter([Oddity("left out", "compaction that was broken off", place)])
        state.tail = None
    elif data.get("summary") is True:
        items = _compaction(parts, stamp, state)
    elif text_at(data, "role") == "assistant":
        items = _assistant(data, parts, stamp)
    else:
        items = iter([Oddity("unknown", f"role {text_at(data, 'role')!r}", place)])
    for item in items:
        state.said += isinstance(item, Said)
        yield item


def _unseen(data: JsonObject, parts: Sequence[JsonObject]) -> bool:
    """Whether opencode never shows a turn to its model: one that ended in an error, except what was aborted midway."""
    said = any(text_at(part, "type") not in ("step-start", "reasoning") for part in parts)
    return bool(object_at(data, "error")) and not (text_at(data, "error", "name") == _ABORTED and said)


def _broken_off(data: JsonObject, state: Told) -> bool:
    """Whether a compaction came to no end, and so replaces nothing. The first releases did not record ends."""
    return bool(object_at(data, "error")) or (state.tail is not None and not text_at(data, "finish"))


def _user(parts: Sequence[JsonObject], stamp: Stamp, state: Told) -> Iterator[Item]:
    texts = []
    for part in parts:
        kind = text_at(part, "type")
        if kind == "text" and part.get("ignored") is not True:
            texts.append(text_at(part, "text") or "")
        elif kind == "subtask":
            texts.append(_RAN)
        elif kind == "compaction":
            state.tail = text_at(part, "tail_start_id") or ""
        else:
            yield from _odd(part, stamp)
    if texts:
        yield Said(Message("user", "\n".join(texts)), stamp.place, stamp.at_s)


def _compaction(parts: Sequence[JsonObject], stamp: Stamp, state: Told) -> Iterator[Item]:
    summary = "".join(text_at(part, "text") or "" for part in parts if text_at(part, "type") == "text")
    kept = state.said - state.begins.get(state.tail or "", state.said)
    yield Compaction((Message("user", _ASKED), Message("assistant", summary)), kept, stamp.place, stamp.at_s)
    state.begins, state.tail = {}, None


def _assistant(data: JsonObject, parts: Sequence[JsonObject], stamp: Stamp) -> Iterator[Item]:
    if system := [text for text in list_at(data, "system") if isinstance(text, str)]:  # earlier releases record it
        yield Facts(system="\n".join(system))
    whole = object_at(data, "tokens")
    for step in _steps(parts):
        finish: JsonObject = next((part for part in step if text_at(part, "type") == "step-finish"), {})
        full = Stamp(
            stamp.place,
            stamp.at_s,
            _usage(object_at(finish, "tokens") or whole),
            text_at(finish, "reason") or ("aborted" if object_at(data, "error") else text_at(data, "finish")),
            stamp.model,
        )
        yield from _step(step, full)


def _steps(parts: Sequence[JsonObject]) -> Iterator[list[JsonObject]]:
    step: list[JsonObject] = []
    for part in parts:
        if text_at(part, "type") == "step-start" and step:
            yield step
            step = []
        step.append(part)
    if step:
        yield step


def _step(parts: Sequence[JsonObject], stamp: Stamp) -> Iterator[Item]:
    texts: list[str] = []
    calls: list[RawCall] = []
    results: list[Said] = []
    for part in parts:
        kind = text_at(part, "type")
        if kind == "text":
            texts.append(text_at(part, "text") or "")
        elif kind == "tool":
            state = object_at(part, "state")
            calls.append(RawCall(text_at(part, "callID") or "", text_at(part, "tool") or "", _input(state)))
            results.append(_result(part, state, stamp))
        else:
            yield from _odd(part, stamp)
    if texts or calls:
        yield assistant("\n".join(texts), calls, stamp)
        yield from results


def _input(state: JsonObject) -> JsonValue:
    """The arguments; of a call whose arguments did not parse, the raw text."""
    return state["raw"] if state.get("raw") and not state.get("input") else state.get("input")


def _result(part: JsonObject, state: JsonObject, stamp: Stamp) -> Said:
    status = text_at(state, "status")
    text = text_at(state, "output") if status == "completed" else text_at(state, "error")
    failed = status != "completed" or text_at(part, "tool") == _REWRITTEN
    return result(text_at(part, "callID"), _INTERRUPTED if text is None else text, stamp, failed=failed)


def _usage(tokens: JsonObject) -> Usage | None:
    prompt = [int_at(tokens, "input"), int_at(tokens, "cache", "read"), int_at(tokens, "cache", "write")]
    return usage_of(prompt=prompt, output=(int_at(tokens, "output") or 0) + (int_at(tokens, "reasoning") or 0))


def _odd(part: JsonObject, stamp: Stamp) -> Iterator[Item]:
    kind = text_at(part, "type")
    if kind in _LEFT_OUT or (kind == "text" and part.get("ignored") is True):
        yield Oddity("left out", f"part {kind}", stamp.place)
    elif kind not in _SILENT:
        yield Oddity("unknown", f"part {kind or 'no type'}", stamp.place)
