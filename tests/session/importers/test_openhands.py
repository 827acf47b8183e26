"""OpenHands' events, newer and older, in one file and in many."""

from __future__ import annotations

import json
from pathlib import Path

from kvassay.session.importers import sessions_in
from kvassay.session.transcript import Compaction
from kvassay.types import JsonObject, Message, ToolCall
from session.importers.files import document, jsonl, messages, oddities, only, said

TIME = "2026-01-02T03:04:05"


def event(kind: str, source: str, **more: object) -> JsonObject:
    return {"id": "x", "timestamp": TIME, "kind": kind, "source": source, **more}  # type: ignore[dict-item]


def text(words: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": words}]


def action(call_id: str, command: str, *, thought: str = "") -> JsonObject:
    call = {"id": call_id, "name": "terminal", "arguments": json.dumps({"command": command}), "origin": "completion"}
    more = {"thought": text(thought), "tool_name": "terminal", "tool_call_id": call_id, "tool_call": call}
    return event("ActionEvent", "agent", **more, llm_response_id="r1")


def seen(call_id: str, words: str, **more: object) -> JsonObject:
    observation = {"kind": "TerminalObservation", "content": text(words), **more}
    return event("ObservationEvent", "environment", tool_call_id=call_id, tool_name="terminal", observation=observation)


TOOL = {"type": "function", "function": {"name": "terminal", "description": "", "parameters": {"type": "object"}}}
NEWER = [
    event("SystemPromptEvent", "agent", system_prompt={"type": "text", "text": "Code."}, tools=[TOOL, {"kind": "X"}]),
    event("MessageEvent", "user", llm_message={"role": "user", "content": text("Fix it.")}),
    action("c1", "ls", thought="Listing."),
    action("c2", "pwd"),
    seen("c1", "a.py", exit_code=0),
    event("AgentErrorEvent", "agent", tool_call_id="c2", tool_name="terminal", error="unknown"),
    event("ConversationStateUpdateEvent", "environment"),
    event("MessageEvent", "agent", llm_message={"role": "assistant", "content": text("Done.")}),
]
TOLD = [
    Message("user", "Fix it."),
    Message(
        "assistant",
        "Listing.",
        (ToolCall("c1", "terminal", {"command": "ls"}), ToolCall("c2", "terminal", {"command": "pwd"})),
    ),
    Message("tool", "a.py", tool_call_id="c1"),
    Message("tool", "unknown", tool_call_id="c2"),
    Message("assistant", "Done."),
]


def test_parallel_calls_of_one_response_are_one_turn(tmp_path: Path) -> None:
    """As a list and as JSONL alike."""
    for path in (document(tmp_path, [*NEWER]), jsonl(tmp_path, *NEWER)):
        found = only(path)
        assert (found.agent, found.system) == ("openhands", "Code.")
        assert messages(found) == TOLD
        assert [entry.failed for entry in said(found) if entry.message.role == "tool"] == [False, True]
        assert [tool.name for tool in found.tools or ()] == ["terminal"]
        assert oddities(found) == {"tool without schema": 1}


def test_a_directory_of_events_is_one_session(tmp_path: Path) -> None:
    """Found by its first file, read in the order of the files' numbers."""
    folder = tmp_path / "talk" / "events"
    folder.mkdir(parents=True)
    for number, entry in enumerate(NEWER):
        (folder / f"event-{number + 7:05d}-ab.json").write_text(json.dumps(entry))
    (folder / "event-00099-ab.json").write_text("{")
    first, *others = sorted(folder.iterdir())
    found = only(first)
    assert (found.id, messages(found)) == ("talk", TOLD)
    assert oddities(found) == {"tool without schema": 1, "event file": 1}
    assert [source for path in others for source in sessions_in(path)] == []
    first.write_text("{")
    assert list(sessions_in(first)) == []
    assert messages(only(others[0])) == TOLD


def test_a_condensation_is_a_compaction(tmp_path: Path) -> None:
    """Its summary stands for what was forgotten."""
    condensed = event("Condensation", "environment", forgotten_event_ids=["x"], summary="S", llm_response_id="r")
    found = only(document(tmp_path, [*NEWER, condensed]))
    assert [entry.replacement for entry in found.entries if isinstance(entry, Compaction)] == [(Message("user", "S"),)]


def test_a_condensation_keeps_the_first_messages_and_the_newest(tmp_path: Path) -> None:
    """As it names what is forgotten: by ids, or in earlier releases from one number to another; never as a call."""
    said_ = [{"id": n, "source": "user", "action": "message", "args": {"content": f"m{n}"}} for n in range(6)]
    by_ids = {"forgotten_event_ids": [1, 2], "summary": "S1", "summary_offset": 1}
    by_ends = {"forgotten_events_start_id": 3, "forgotten_events_end_id": 3, "summary": "S2"}
    condensed = [
        {"id": 10 + at, "source": "agent", "action": "condensation", "args": args}
        for at, args in enumerate((by_ids, by_ends))
    ]
    asked = {"id": 9, "source": "agent", "action": "condensation_request", "args": {}}
    found = only(document(tmp_path, [*said_[:5], asked, condensed[0], said_[5], condensed[1]]))  # type: ignore[list-item]
    one, two = (entry for entry in found.entries if isinstance(entry, Compaction))
    assert ([m.content for m in one.replacement], one.kept) == (["m0", "S1"], 2)
    assert ([m.content for m in two.replacement], two.kept) == (["m0", "S2"], 2)
    assert [m.content for m in messages(found)] == [f"m{n}" for n in range(6)]
    assert not found.oddities


def test_older_events(tmp_path: Path) -> None:
    """Arguments without what the agent added; recorded calls where there are any; exit codes."""
    response = {"id": "r1", "choices": [{"message": {"tool_calls": [{"id": "c9", "function": FUNCTION}]}}]}
    called = {"function_name": "bash", "tool_call_id": "c9", "model_response": response}
    args = {"command": "ls", "thought": "Listing.", "blocking": False}
    events: list[object] = [
        {"id": 0, "source": "user", "action": "message", "args": {"content": "Fix it."}},
        {"id": 1, "source": "agent", "action": "run", "args": args},
        {"id": 2, "cause": 1, "observation": "run", "content": "no", "extras": {"exit_code": 1}},
        {"id": 3, "source": "agent", "action": "run", "args": args, "tool_call_metadata": called},
        {"id": 4, "cause": 3, "observation": "run", "content": "a", "extras": {}, "tool_call_metadata": called},
        {"id": 5, "source": "environment", "observation": "agent_state_changed", "content": "", "extras": {}},
    ]
    found = only(document(tmp_path, events))  # type: ignore[arg-type]
    assert messages(found) == [
        Message("user", "Fix it."),
        Message("assistant", "Listing.", (ToolCall("1", "run", {"command": "ls"}),)),
        Message("tool", "no", tool_call_id="1"),
        Message("assistant", "Listing.", (ToolCall("c9", "bash", {"command": "ls -a"}),)),
        Message("tool", "a", tool_call_id="c9"),
    ]
    assert [entry.failed for entry in said(found) if entry.message.role == "tool"] == [True, None]


FUNCTION = {"name": "bash", "arguments": '{"command": "ls -a"}'}


def test_one_event_alone_is_a_session_whatever_its_name(tmp_path: Path) -> None:
    """Its file need not be numbered."""
    path = tmp_path / "saved.json"
    path.write_text(json.dumps(NEWER[1]))
    (tmp_path / "other-1.json").write_text("{}")
    assert [len(list(sessions_in(file))) for file in (path, tmp_path / "other-1.json")] == [1, 0]
