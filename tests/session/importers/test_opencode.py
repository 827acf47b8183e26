"""opencode's storage: files, and rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from kvassay.session.importers import load, sessions_in
from kvassay.session.transcript import Branch, Compaction, Transcript, Usage
from kvassay.types import JsonObject, Message, ToolCall
from session.importers.files import messages, oddities, said

SESSION: JsonObject = {
    "id": "ses_1", "projectID": "p", "directory": "/w", "title": "Work", "version": "1", "time": {"created": 1.7e12},
}  # fmt: skip
TOKENS = {"input": 10, "output": 4, "reasoning": 1, "cache": {"read": 80, "write": 10}}
Told = tuple[JsonObject, Sequence[JsonObject]]


def user(*parts: JsonObject) -> Told:
    return {"role": "user", "time": {"created": 1.7e12}}, parts


def agent(*parts: JsonObject, **more: object) -> Told:
    return {"role": "assistant", "modelID": "m-1", "time": {"created": 1.7e12}, **more}, parts  # type: ignore[dict-item]


def tool(call_id: str, **state: object) -> JsonObject:
    return {"type": "tool", "tool": "read", "callID": call_id, "state": state}  # type: ignore[dict-item]


def text(said_: str) -> JsonObject:
    return {"type": "text", "text": said_}


def files(folder: Path, told: Sequence[Told], session: JsonObject) -> Path:
    written = folder / "session" / "p" / "ses_1.json"
    written.parent.mkdir(parents=True)
    written.write_text(json.dumps(session))
    for number, (data, parts) in enumerate(told):
        (folder / "message" / "ses_1").mkdir(parents=True, exist_ok=True)
        (folder / "message" / "ses_1" / f"msg_{number}.json").write_text(json.dumps(data))
        for nth, part in enumerate(parts):
            (folder / "part" / f"msg_{number}").mkdir(parents=True, exist_ok=True)
            (folder / "part" / f"msg_{number}" / f"prt_{nth}.json").write_text(json.dumps(part))
    return written


def rows(folder: Path, told: Sequence[Told], session: JsonObject) -> Path:
    path = folder / "some.db"
    with closing(sqlite3.connect(path)) as store, store:
        store.execute("CREATE TABLE session (id, title, directory, time_created, revert)")
        store.execute("CREATE TABLE message (id, session_id, time_created, data)")
        store.execute("CREATE TABLE part (id, message_id, session_id, data)")
        revert = json.dumps(session["revert"]) if "revert" in session else None
        store.execute("INSERT INTO session VALUES ('ses_1', 'Work', '/w', 1.7e12, ?)", (revert,))
        for number, (data, parts) in enumerate(told):
            store.execute("INSERT INTO message VALUES (?, 'ses_1', ?, ?)", (f"msg_{number}", number, json.dumps(data)))
            for nth, part in enumerate(parts):
                row = (f"prt_{nth}", f"msg_{number}", json.dumps(part))
                store.execute("INSERT INTO part VALUES (?, ?, 'ses_1', ?)", row)
    return path


def export(folder: Path, told: Sequence[Told], session: JsonObject) -> Path:
    path = folder / "export.json"
    listed = [{"info": {"id": f"msg_{at}", **data}, "parts": list(parts)} for at, (data, parts) in enumerate(told)]
    path.write_text(json.dumps({"info": session, "messages": listed}))
    return path


@pytest.fixture(params=[files, rows, export])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    """Writes a session in one of the three ways, and reads it."""

    def read(*told: Told, **more: object) -> Transcript:
        (source,) = sessions_in(request.param(tmp_path, told, {**SESSION, **more}))
        return load(source)

    return read


def test_each_step_of_a_message_is_a_turn(kept) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """With its own tokens, calls and results; an interrupted call has failed."""
    found = kept(
        user(text("Read."), {"type": "file", "mime": "image/png"}),
        agent(
            {"type": "step-start"},
            text("Reading."),
            tool("c1", status="completed", input={"path": "a.py"}, output="A"),
            {"type": "step-finish", "reason": "tool-calls", "tokens": TOKENS},
            {"type": "step-start"},
            tool("c2", status="error", input={"path": "b.py"}, error="no such file"),
            tool("c3", status="running", input={"path": "c.py"}),
        ),
    )
    assert (found.agent, found.id, found.title, found.cwd, found.model) == ("opencode", "ses_1", "Work", "/w", "m-1")
    first, second = [entry for entry in said(found) if entry.message.role == "assistant"]
    assert first.message == Message("assistant", "Reading.", (ToolCall("c1", "read", {"path": "a.py"}),))
    assert (first.usage, first.stop_reason) == (Usage(100, 5), "tool-calls")
    assert [call.id for call in second.message.tool_calls] == ["c2", "c3"]
    results = [entry for entry in said(found) if entry.message.role == "tool"]
    assert [(entry.message.content[:12], entry.failed) for entry in results] == [
        ("A", False),
        ("no such file", True),
        ("[Tool execut", True),
    ]
    assert oddities(found) == {"part file": 1}


def test_a_compaction_keeps_its_tail(kept) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """The summary in opencode's own words, and the messages from the tail's first on."""
    found = kept(
        user(text("one")),
        user(text("two")),
        agent(text("2")),
        user({"type": "compaction", "auto": True, "tail_start_id": "msg_1"}),
        agent(text("Summary."), summary=True, finish="stop"),
        user(text("three")),
    )
    (marker,) = [entry for entry in found.entries if isinstance(entry, Compaction)]
    assert (marker.kept, [m.content for m in marker.replacement]) == (2, ["What did we do so far?", "Summary."])
    assert [m.content for m in messages(found)] == ["one", "two", "2", "three"]


@pytest.mark.parametrize("end", [{"error": {"name": "MessageAbortedError"}, "finish": "stop"}, {}])
def test_a_compaction_that_was_broken_off_replaces_nothing(kept, end: JsonObject) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """The whole history goes on being shown: an error, or no end at all, as where the program was killed."""
    found = kept(
        user(text("one")),
        agent(text("1")),
        user({"type": "compaction", "auto": True}),
        agent(text("Half a"), summary=True, **end),
        user(text("two")),
    )
    assert not [entry for entry in found.entries if isinstance(entry, Compaction)]
    assert [m.content for m in messages(found)] == ["one", "1", "two"]
    assert oddities(found) == {"compaction that was broken off": 1}


def test_turns_that_ended_in_an_error_are_told_as_the_model_saw_them(kept) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """What was aborted midway was shown, and is marked; what failed otherwise never was."""
    begun = {"type": "step-start"}
    aborted, failed = ({"name": name} for name in ("MessageAbortedError", "APIError"))
    found = kept(
        user(text("one")),
        agent(begun, text("Half"), error=failed),
        agent(begun, error=aborted),
        agent(begun, tool("c1", status="error", input={}, error="Tool execution aborted"), error=aborted),
        user({"type": "subtask", "prompt": "Look", "agent": "explore"}),
    )
    assert [m.role for m in messages(found)] == ["user", "assistant", "tool", "user"]
    assert said(found)[1].stop_reason == "aborted"
    assert said(found)[3].message.content == "The following tool was executed by the user"
    assert oddities(found) == {"turn that ended in an error": 2}


def test_what_was_taken_back_is_left_out(kept) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """From the message that the session says was reverted."""
    found = kept(user(text("one")), user(text("two")), user(text("three")), revert={"messageID": "msg_1"})
    assert [m.content for m in messages(found)] == ["one"]
    assert found.entries[-1] == Branch(2, "the end")


def test_raw_arguments_that_did_not_parse_are_poisoned(kept) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """A pending call keeps them as text."""
    found = kept(agent(tool("c1", status="pending", input={}, raw='{"path": ')))
    assert said(found)[0].poisoned[0].arguments == '{"path": '


def test_a_damaged_file_is_counted(tmp_path: Path) -> None:
    """The others are read."""
    path = files(tmp_path, [user(text("one")), user(text("two"))], SESSION)
    (tmp_path / "message" / "ses_1" / "msg_0.json").write_text("{")
    (tmp_path / "part" / "msg_1" / "prt_9.json").write_text("[]")
    (source,) = sessions_in(path)
    assert [m.content for m in messages(load(source))] == ["two"]
    assert oddities(load(source)) == {"message": 1, "part": 1}


def test_the_call_that_stands_in_for_an_unreadable_one_failed(kept) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """The tool `invalid` is completed; earlier releases kept the system prompt too."""
    state = {"status": "completed", "input": {"tool": "edit", "error": "bad"}, "output": "The arguments are invalid"}
    call = {**tool("c1", **state), "tool": "invalid"}
    found = kept(user(text("one")), agent(call, system=["Code.", "Now."]))
    assert said(found)[-1].failed is True
    assert found.system == "Code.\nNow."


def test_a_part_that_cannot_be_opened_is_counted(tmp_path: Path) -> None:
    """One of many files."""
    path = files(tmp_path, [user(text("one"), text("two"))], SESSION)
    (tmp_path / "part" / "msg_0" / "prt_1.json").unlink()
    (tmp_path / "part" / "msg_0" / "prt_1.json").mkdir()
    (source,) = sessions_in(path)
    assert oddities(load(source)) == {"part": 1}


def test_a_column_of_another_type_is_damage_to_itself(tmp_path: Path) -> None:
    """SQLite keeps whatever is written."""
    path = rows(tmp_path, [user(text("one"), text("two"), text("three")), user(text("four"))], SESSION)
    with closing(sqlite3.connect(path)) as store, store:
        store.execute("UPDATE part SET data = 42 WHERE rowid = 1")
        store.execute("UPDATE part SET data = CAST(X'7bff' AS TEXT) WHERE rowid = 2")
        store.execute("UPDATE message SET data = 1.5 WHERE rowid = 2")
        store.execute("UPDATE session SET title = 7, directory = X'00', time_created = 'x', revert = 3")
    (source,) = sessions_in(path)
    found = load(source)
    assert oddities(found) == {"part": 2, "message": 1}
    assert [message.content for message in messages(found)] == ["three"]
