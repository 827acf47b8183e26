"""Claude Code's sessions."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvassay.session.transcript import Branch, Compaction, Usage
from kvassay.types import JsonObject, Message, ToolCall
from session.importers.files import chained, jsonl, messages, oddities, only, said


def user(content: object, **more: object) -> JsonObject:
    entry = {"type": "user", "sessionId": "s-1", "cwd": "/w", "isSidechain": False, "timestamp": "2026-01-02T03:04:05Z"}
    return {**entry, "message": {"role": "user", "content": content}, **more}  # type: ignore[dict-item]


def block(id_: str, content: JsonObject, **more: object) -> JsonObject:
    usage = {"input_tokens": 3, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 7, "output_tokens": 5}
    message = {"id": id_, "role": "assistant", "model": "m-1", "content": [content], "usage": usage, "stop_reason": "x"}
    entry = {"type": "assistant", "sessionId": "s-1", "isSidechain": False, "timestamp": "2026-01-02T03:04:06Z"}
    return {**entry, "message": message, **more}  # type: ignore[dict-item]


def use(id_: str, path: str) -> JsonObject:
    return {"type": "tool_use", "id": id_, "name": "Read", "input": {"file_path": path}}


def answer(id_: str, text: str, **more: object) -> JsonObject:
    return user([{"type": "tool_result", "tool_use_id": id_, "content": text, **more}])


def tree(*entries: JsonObject) -> list[JsonObject]:
    return chained(entries, own="uuid", parent="parentUuid")


def test_parallel_calls_are_one_turn_wherever_their_results_hang(tmp_path: Path) -> None:
    """The result of the first call is on no way to the last entry, and is told all the same."""
    lines = tree(
        {"type": "file-history-snapshot"},
        user("Read both."),
        block("m1", {"type": "text", "text": "Reading."}),
        block("m1", use("c1", "a.py")),
        answer("c1", "A"),
        {**block("m1", use("c2", "b.py")), "parentUuid": "e3"},
        answer("c2", "no such file", is_error=True),
        block("m2", {"type": "text", "text": "Done."}),
    )
    found = only(jsonl(tmp_path, *lines))
    assert (found.agent, found.id, found.cwd, found.model) == ("claude-code", "s-1", "/w", "m-1")
    assert messages(found) == [
        Message("user", "Read both."),
        Message(
            "assistant",
            "Reading.",
            (ToolCall("c1", "Read", {"file_path": "a.py"}), ToolCall("c2", "Read", {"file_path": "b.py"})),
        ),
        Message("tool", "A", tool_call_id="c1"),
        Message("tool", "no such file", tool_call_id="c2"),
        Message("assistant", "Done."),
    ]
    assert [entry.failed for entry in said(found)] == [None, None, False, True, None]
    assert said(found)[1].usage == Usage(100, 5)


def test_an_edited_prompt_leaves_the_old_way(tmp_path: Path) -> None:
    """What the user took back is a marker."""
    lines = tree(user("one"), block("m1", {"type": "text", "text": "1"}), {**user("two"), "parentUuid": None})
    found = only(jsonl(tmp_path, *lines))
    assert messages(found) == [Message("user", "two")]
    assert found.entries[0] == Branch(2, "line 3")


def test_a_compaction_is_a_marker_with_its_summary(tmp_path: Path) -> None:
    """What came before it stays in the transcript."""
    boundary: JsonObject = {"type": "system", "subtype": "compact_boundary", "compactMetadata": {"preTokens": 99}}
    lines = tree(
        user("one"),
        {**boundary, "parentUuid": None, "logicalParentUuid": "e0"},
        user("Summary: one", isCompactSummary=True, isVisibleInTranscriptOnly=True),
        user("two"),
    )
    found = only(jsonl(tmp_path, *lines))
    assert [m.content for m in messages(found)] == ["one", "two"]
    (marker,) = [entry for entry in found.entries if isinstance(entry, Compaction)]
    assert (marker.replacement, marker.kept, marker.tokens_before) == ((Message("user", "Summary: one"),), 0, 99)


def test_a_subagents_entries_are_left_out_of_the_main_session_only(tmp_path: Path) -> None:
    """A file that begins with a subagent is that subagent's session."""
    aside = {**user("Look."), "isSidechain": True, "agentId": "a7", "parentUuid": None, "uuid": "x"}
    found = only(jsonl(tmp_path, *tree(user("one")), aside, {**user("two"), "uuid": "y", "parentUuid": "e0"}))
    assert [m.content for m in messages(found)] == ["one", "two"]
    assert oddities(found) == {"subagent's entry": 1}
    alone = only(jsonl(tmp_path, aside))
    assert (alone.id, messages(alone)) == ("a7", [Message("user", "Look.")])


def test_a_recorded_request_tells_system_prompt_and_tools(tmp_path: Path) -> None:
    """As newer releases keep it beside the session."""
    tool = {"name": "Read", "description": "Reads.", "input_schema": {"type": "object"}}
    shape: JsonObject = {"system": [{"type": "text", "text": "Code."}], "tools": [tool]}  # type: ignore[list-item]
    found = only(jsonl(tmp_path, *tree(user("one")), {"type": "api-request-shape", "shape": shape}))
    assert (found.system, [tool.name for tool in found.tools or ()]) == ("Code.", ["Read"])


def test_titles_and_what_the_model_never_saw(tmp_path: Path) -> None:
    """A title is a fact; an API error's text was said by no model; entries from the future are counted."""
    title: JsonObject = {"type": "custom-title", "customTitle": "My work"}
    error = block("m1", {"type": "text", "text": "API Error"}, isApiErrorMessage=True)
    found = only(jsonl(tmp_path, *tree(user("one"), error), title, {"type": "dream"}, "{"))
    assert (found.title, messages(found)) == ("My work", [Message("user", "one")])
    assert oddities(found) == {"turn that reports an API error": 1, "entry dream": 1, "not JSON": 1}


def test_a_late_entry_that_says_nothing_ends_no_branch(tmp_path: Path) -> None:
    """A hook's progress or a notice hangs on an old entry: the session ends with what was said last."""
    lines = tree(
        user("one"),
        block("m1", {"type": "text", "text": "1"}),
        user("two"),
        block("m2", {"type": "text", "text": "2"}),
        {"type": "system", "subtype": "informational", "parentUuid": "e0"},
        {"type": "progress", "parentUuid": "e1"},
        {"type": "custom-title", "customTitle": "Numbers", "uuid": None},
    )
    found = only(jsonl(tmp_path, *lines))
    assert [message.content for message in messages(found)] == ["one", "1", "two", "2"]
    assert not [entry for entry in found.entries if isinstance(entry, Branch)]
    assert found.title == "Numbers"


@pytest.mark.parametrize("parent", ["s", "e5"])
@pytest.mark.parametrize(
    "kept",
    [
        {"preservedSegment": {"headUuid": "e2", "tailUuid": "e5", "anchorUuid": "s"}},
        {"preservedMessages": {"uuids": ["e2", "e3", "e4", "e5"], "anchorUuid": "s"}},
    ],
)
def test_a_compaction_that_keeps_messages_says_how_many(tmp_path: Path, kept: JsonObject, parent: str) -> None:
    """They stand behind the summary. What comes next may hang on the summary or on the last message kept."""
    boundary: JsonObject = {"type": "system", "subtype": "compact_boundary", "compactMetadata": kept}
    lines = tree(
        user("one"),
        block("m1", {"type": "text", "text": "1"}),
        user("two"),
        block("m2", use("c1", "a.py")),
        answer("c1", "A"),
        block("m3", {"type": "text", "text": "2"}),
        {**boundary, "uuid": "b", "parentUuid": None, "logicalParentUuid": "e5"},
        user("Summary: one", uuid="s", parentUuid="b", isCompactSummary=True),
        user("three", parentUuid=parent),
        block("m4", {"type": "text", "text": "3"}),
    )
    found = only(jsonl(tmp_path, *lines))
    (marker,) = [entry for entry in found.entries if isinstance(entry, Compaction)]
    assert (marker.kept, [message.content for message in marker.replacement]) == (4, ["Summary: one"])
    assert [message.content for message in messages(found)] == ["one", "1", "two", "", "A", "2", "three", "3"]


def test_messages_kept_in_front_of_a_summary_are_counted(tmp_path: Path) -> None:
    """A compaction of the newer part only: no marker can say it, so it is told that they are missing."""
    kept: JsonObject = {"preservedSegment": {"headUuid": "e0", "tailUuid": "e1", "anchorUuid": "b"}}
    boundary: JsonObject = {"type": "system", "subtype": "compact_boundary", "compactMetadata": kept}
    lines = tree(
        user("one"),
        block("m1", {"type": "text", "text": "1"}),
        user("two"),
        {**boundary, "uuid": "b", "parentUuid": None, "logicalParentUuid": "e2"},
        user("Summary: two", uuid="s", parentUuid="b", isCompactSummary=True),
    )
    found = only(jsonl(tmp_path, *lines))
    (marker,) = [entry for entry in found.entries if isinstance(entry, Compaction)]
    assert marker.kept == 0
    assert oddities(found) == {"messages that a compaction keeps in front of its summary": 1}
