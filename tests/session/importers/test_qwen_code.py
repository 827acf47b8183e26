"""Qwen Code's records, its checkpoints, and gemini-cli's chat files."""

from __future__ import annotations

from pathlib import Path

from kvassay.session.transcript import Compaction, Usage
from kvassay.types import JsonObject, JsonValue, Message, ToolCall
from session.importers.files import chained, document, jsonl, messages, oddities, only, said

CALL: JsonValue = {"functionCall": {"id": "c1", "name": "read_file", "args": {"path": "a.py"}}}
ANSWER: JsonValue = {"functionResponse": {"id": "c1", "name": "read_file", "response": {"output": "A"}}}
ASKED = [
    Message("user", "Read."),
    Message("assistant", "Reading.", (ToolCall("c1", "read_file", {"path": "a.py"}),)),
    Message("tool", "A", tool_call_id="c1"),
]
CONTENTS: list[JsonValue] = [
    {"role": "user", "parts": [{"text": "Read."}]},
    {"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": "Reading."}, CALL]},
    {"role": "user", "parts": [ANSWER]},
]


def record(kind: str, **more: object) -> JsonObject:
    head = {"sessionId": "s-1", "timestamp": "2026-01-02T03:04:05Z", "type": kind, "cwd": "/w"}
    return {**head, **more}  # type: ignore[dict-item]


def records(*extra: JsonObject) -> list[JsonObject]:
    tokens = {"promptTokenCount": 100, "candidatesTokenCount": 7, "thoughtsTokenCount": 2}
    told = [
        record("user", message=CONTENTS[0]),
        record("assistant", message=CONTENTS[1], model="m-1", usageMetadata=tokens),
        record("tool_result", message=CONTENTS[2], toolCallResult={"callId": "c1", "status": "error"}),
    ]
    return chained([*told, *extra], own="uuid", parent="parentUuid")


def test_records_are_turns(tmp_path: Path) -> None:
    """Contents, tokens, model and the status of a call."""
    found = only(jsonl(tmp_path, *records(record("system", subtype="ui_telemetry"))))
    assert (found.agent, found.id, found.model, found.cwd) == ("qwen-code", "s-1", "m-1", "/w")
    assert messages(found) == ASKED
    assert said(found)[1].usage == Usage(100, 9)
    assert said(found)[2].failed is True
    assert oddities(found) == {"thought": 1}


def test_a_compression_replaces_the_history(tmp_path: Path) -> None:
    """By the contents that were recorded with it."""
    payload = {"info": {"originalTokenCount": 900}, "compressedHistory": CONTENTS[:1]}
    found = only(jsonl(tmp_path, *records(record("system", subtype="chat_compression", systemPayload=payload))))
    assert found.entries[-1] == Compaction((ASKED[0],), 0, "line 4", found.started_s, 900)


def test_records_that_the_model_was_never_shown_are_counted(tmp_path: Path) -> None:
    """What was said in a live conversation, and the results of calls that a script made."""
    spoken = record("user", message=CONTENTS[0], subtype="realtime_message")
    inner = record("tool_result", message=CONTENTS[2], subtype="code_mode_tool_result")
    found = only(jsonl(tmp_path, *records(spoken, inner)))
    assert messages(found) == ASKED
    assert {"record realtime_message": 1, "record code_mode_tool_result": 1}.items() <= oddities(found).items()


def test_a_checkpoint_is_a_list_of_contents(tmp_path: Path) -> None:
    """Without envelopes nothing says what failed, but an error's own field."""
    failed: JsonValue = {"role": "user", "parts": [{"functionResponse": {"id": "c1", "response": {"error": "no"}}}]}
    found = only(document(tmp_path, [*CONTENTS, failed]))
    assert messages(found)[:3] == ASKED
    assert [entry.failed for entry in said(found)[2:]] == [None, True]


def test_a_chat_file_of_gemini_cli(tmp_path: Path) -> None:
    """Calls carry their results."""
    call = {"id": "c1", "name": "read_file", "args": {"path": "a.py"}, "status": "success", "result": [ANSWER]}
    chat: JsonValue = {
        "sessionId": "s-1",
        "messages": [
            {"type": "user", "content": "Read."},
            {"type": "gemini", "content": "Reading.", "toolCalls": [call]},  # type: ignore[list-item]
            {"type": "info", "content": "Saved."},
        ],
    }
    found = only(document(tmp_path, chat))
    assert (found.id, messages(found)) == ("s-1", ASKED)
    assert said(found)[2].failed is False
