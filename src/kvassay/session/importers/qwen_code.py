"""Qwen Code's sessions (``~/.qwen/projects/<project>/chats/*.jsonl``): JSONL, a tree of Gemini contents.

Read by: @qwen-code/qwen-code 0.24.4 (``ChatRecordingService``) and a session that it wrote. Checkpoints (a JSON list of
contents) and gemini-cli's own chat files (``{"sessionId": …, "messages": […]}``) are read too; the latter from their
published description, unverified.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from kvassay.session.importers.dialogue import Stamp, assistant, result
from kvassay.session.importers.documents import read_pieces
from kvassay.session.importers.fields import RawCall, at, int_at, list_at, object_at, text_at, unix_s, usage_of
from kvassay.session.importers.opening import with_system_apart
from kvassay.session.importers.source import Importer, Sample, one_file, sample
from kvassay.session.importers.tree import Node, way_to_last
from kvassay.session.json_text import Line, read_lines
from kvassay.session.transcript import Branch, Compaction, Facts, Item, Oddity, Said, Usage
from kvassay.types import JsonObject, JsonValue, Message

AGENT = "qwen-code"
_FAILED = ("error", "cancelled")
_UNSEEN = frozenset({"realtime_message", "code_mode_tool_result"})  # recorded, but never shown to the model


def _recognises(sample: Sample) -> bool:
    if any("parentUuid" in line and isinstance(at(line, "message", "parts"), list) for line in sample.lines):
        return True
    first = sample.first("") or sample.first("messages")
    return first is not None and (_is_content(first.value) or ("sessionId" in sample.keys and _is_logged(first.value)))


def _is_content(value: JsonValue) -> bool:
    return text_at(value, "role") in ("user", "model") and isinstance(at(value, "parts"), list)


def _is_logged(value: JsonValue) -> bool:
    return text_at(value, "type") in ("user", "gemini", "qwen", "info") and at(value, "content") is not None


def _read(path: Path) -> Iterator[Item]:
    lines = sample(path).lines
    yield from with_system_apart(_records(path) if any("parentUuid" in line for line in lines) else _document(path))


def _records(path: Path) -> Iterator[Item]:
    way = way_to_last(lambda: map(_node, read_lines(path)))
    left_out = 0
    for number, line in enumerate(read_lines(path)):
        if line.value is None:
            yield Oddity("damaged", line.fault, line.place)
        elif way.holds(number):
            if left_out:
                yield Branch(left_out, line.place)
            left_out = 0
            yield from _record(line.value, line.place)
        else:
            left_out += 1
    if left_out:
        yield Branch(left_out, "the end")


def _node(line: Line) -> Node | None:
    uuid = text_at(line.value, "uuid")
    return None if uuid is None else Node(uuid, text_at(line.value, "parentUuid"))


def _record(record: JsonObject, place: str) -> Iterator[Item]:
    kind, subtype = text_at(record, "type"), text_at(record, "subtype")
    stamp = Stamp(
        place,
        unix_s(record.get("timestamp")),
        _usage(object_at(record, "usageMetadata")),
        model=text_at(record, "model"),
    )
    yield Facts(id=text_at(record, "sessionId"), cwd=text_at(record, "cwd"))
    if subtype in _UNSEEN:
        yield Oddity("left out", f"record {subtype}", place)
    elif kind in ("user", "assistant", "tool_result"):
        status = text_at(record, "toolCallResult", "status")
        yield from _content(record.get("message"), stamp, failed=None if status is None else status in _FAILED)
    elif subtype == "chat_compression":
        history = list_at(record, "systemPayload", "compressedHistory")
        told = [item for content in history for item in _content(content, stamp, failed=None)]
        kept = tuple(item.message for item in told if isinstance(item, Said))
        yield Compaction(kept, 0, place, stamp.at_s, int_at(record, "systemPayload", "info", "originalTokenCount"))
    elif subtype == "custom_title":
        yield Facts(title=text_at(record, "systemPayload", "customTitle") or text_at(record, "systemPayload", "title"))
    elif kind != "system":
        yield Oddity("unknown", f"record {kind or 'no type'}", place)


def _usage(wire: JsonObject) -> Usage | None:
    output = (int_at(wire, "candidatesTokenCount") or 0) + (int_at(wire, "thoughtsTokenCount") or 0)
    return usage_of(prompt=[int_at(wire, "promptTokenCount")], output=output)


def _document(path: Path) -> Iterator[Item]:
    for piece in read_pieces(path):
        if isinstance(piece, Oddity):
            yield piece
        elif piece.key == "sessionId":
            yield Facts(id=piece.value if isinstance(piece.value, str) else None)
        elif piece.key in ("", "messages", "history"):
            stamp = Stamp(piece.place, unix_s(at(piece.value, "timestamp")), model=text_at(piece.value, "model"))
            read = _content if _is_content(piece.value) else _logged
            yield from read(piece.value, stamp, failed=None)


def _content(content: JsonValue, stamp: Stamp, *, failed: bool | None) -> Iterator[Item]:
    """Read a Gemini content: text, calls and results are its parts."""
    texts: list[str] = []
    calls: list[RawCall] = []
    results: list[Said] = []
    for part in list_at(content, "parts"):
        call, answer, text = object_at(part, "functionCall"), object_at(part, "functionResponse"), text_at(part, "text")
        if call:
            calls.append(RawCall(text_at(call, "id") or "", text_at(call, "name") or "", call.get("args", {})))
        elif answer:
            results.append(_result(answer, stamp, failed=failed))
        elif at(part, "thought") is True:
            yield Oddity("left out", "thought", stamp.place)
        elif text is not None:
            texts.append(text)
        else:
            name = next(iter(part), "nothing") if isinstance(part, dict) else "no object"
            known = name in ("inlineData", "fileData", "executableCode", "codeExecutionResult", "thoughtSignature")
            yield Oddity("left out" if known else "unknown", f"part {name}", stamp.place)
    yield from results
    if text_at(content, "role") == "model":
        yield assistant("".join(texts), calls, stamp)
    elif texts:
        yield Said(Message("user", "\n".join(texts)), stamp.place, stamp.at_s)


def _result(answer: JsonObject, stamp: Stamp, *, failed: bool | None) -> Said:
    response = object_at(answer, "response")
    output, error = response.get("output"), response.get("error")
    told = output if isinstance(output, str) else error if isinstance(error, str) else json.dumps(response)
    flag = failed if failed is not None else True if error is not None else None
    return result(text_at(answer, "id"), told, stamp, failed=flag)


def _logged(message: JsonValue, stamp: Stamp, *, failed: bool | None) -> Iterator[Item]:
    """Read a message of gemini-cli's chat file, whose calls carry their results."""
    content = at(message, "content")
    text = (
        content if isinstance(content, str) else "".join(text_at(p, "text") or "" for p in list_at(message, "content"))
    )
    if text_at(message, "type") == "user":
        yield Said(Message("user", text), stamp.place, stamp.at_s)
        return
    if text_at(message, "type") not in ("gemini", "qwen"):
        yield Oddity("left out", f"message {text_at(message, 'type')}", stamp.place)
        return
    calls = list_at(message, "toolCalls")
    raw = [RawCall(text_at(call, "id") or "", text_at(call, "name") or "", at(call, "args")) for call in calls]
    yield assistant(text, raw, stamp)
    for call in calls:
        status = text_at(call, "status")
        known = failed if status is None else status in _FAILED
        for part in list_at(call, "result"):
            if answer := object_at(part, "functionResponse"):
                yield _result({"id": text_at(call, "id"), **answer}, stamp, failed=known)


IMPORTER = Importer(AGENT, _recognises, one_file(AGENT, _read))
