"""pi's sessions, as its own documentation and code describe them."""

from __future__ import annotations

from pathlib import Path

from kvassay.session.transcript import Branch, Compaction, Usage
from kvassay.types import JsonObject, Message, ToolCall
from session.importers.files import chained, jsonl, messages, oddities, only, said

HEAD: JsonObject = {
    "type": "session", "version": 3, "id": "s-1", "timestamp": "2026-01-02T03:04:05.000Z", "cwd": "/work/w",
}  # fmt: skip


def message(role: str, content: object, **more: object) -> JsonObject:
    return {
        "type": "message",
        "timestamp": "2026-01-02T03:05:00Z",
        "message": {"role": role, "content": content, **more},
    }  # type: ignore[dict-item]


def test_a_turn_with_its_call_and_result(tmp_path: Path) -> None:
    """Text, thoughts, call, usage, stop reason, model, result and error flag."""
    call = {"type": "toolCall", "id": "c1", "name": "read", "arguments": {"path": "a.py"}}
    content = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Reading."}, call]
    usage = {"input": 10, "output": 5, "cacheRead": 100, "cacheWrite": 20, "totalTokens": 135}
    entries = chained(
        [
            message("user", "Fix it."),
            message("assistant", content, usage=usage, stopReason="toolUse", model="m-1"),
            message("toolResult", [{"type": "text", "text": "no such file"}], toolCallId="c1", isError=True),
        ]
    )
    found = only(jsonl(tmp_path, HEAD, *entries))
    assert (found.agent, found.id, found.cwd, found.model, found.title) == ("pi", "s-1", "/work/w", "m-1", "Fix it.")
    assert messages(found) == [
        Message("user", "Fix it."),
        Message("assistant", "Reading.", (ToolCall("c1", "read", {"path": "a.py"}),)),
        Message("tool", "no such file", tool_call_id="c1"),
    ]
    turn, answer = said(found)[1:]
    assert (turn.usage, turn.stop_reason, turn.place) == (Usage(130, 5), "toolUse", "line 3")
    assert answer.failed is True
    assert found.ended_s is not None
    assert found.started_s is not None
    assert found.ended_s - found.started_s == 55
    assert oddities(found) == {"content thinking": 1}


def test_only_the_way_to_the_last_entry_is_told(tmp_path: Path) -> None:
    """A branch that was left is a marker with the number of its entries."""
    entries = chained([message("user", "one"), message("user", "two"), message("user", "three")])
    entries.append({**message("user", "other two"), "id": "x", "parentId": "e0"})
    found = only(jsonl(tmp_path, HEAD, *entries))
    assert [m.content for m in messages(found)] == ["one", "other two"]
    assert found.entries[1] == Branch(2, "line 5")


def test_a_compaction_says_what_stayed(tmp_path: Path) -> None:
    """The summary in pi's own words, and the number of messages kept in front of it."""
    compaction: JsonObject = {"type": "compaction", "summary": "S", "firstKeptEntryId": "e1", "tokensBefore": 900}
    entries = chained(
        [message("user", "one"), message("user", "two"), message("user", "three"), compaction, message("user", "four")]
    )
    (marker,) = [e for e in only(jsonl(tmp_path, HEAD, *entries)).entries if isinstance(e, Compaction)]
    assert (marker.kept, marker.tokens_before, marker.place) == (2, 900, "line 5")
    assert marker.replacement[0].content.endswith("<summary>\nS\n</summary>")


def test_version_1_has_no_tree_and_counts_entries(tmp_path: Path) -> None:
    """``firstKeptEntryIndex`` counts the header as entry 0."""
    compaction: JsonObject = {"type": "compaction", "summary": "S", "firstKeptEntryIndex": 2, "tokensBefore": 9}
    head = {key: value for key, value in HEAD.items() if key != "version"}
    found = only(jsonl(tmp_path, head, message("user", "one"), message("user", "two"), compaction))
    assert [e.kept for e in found.entries if isinstance(e, Compaction)] == [1]


def test_a_shell_command_of_the_user_is_told_in_pis_words(tmp_path: Path) -> None:
    """Unless the user kept it from the model."""
    ran = {"role": "bashExecution", "command": "ls", "output": "a\n", "exitCode": 1}
    lines = [{"type": "message", "message": ran}, {"type": "message", "message": {**ran, "excludeFromContext": True}}]
    found = only(jsonl(tmp_path, HEAD, *lines))
    assert [m.content for m in messages(found)] == ["Ran `ls`\n```\na\n\n```\n\nCommand exited with code 1"]


def test_damage_is_counted_and_named_and_nothing_else_is_lost(tmp_path: Path) -> None:
    """A cut line, another value, an entry from the future, a message without role."""
    entries = chained([message("user", "one"), message("user", "two"), message("user", "three")])
    lines = [entries[0], '{"type": "mess', "[1]", {"type": "dream"}, {"type": "message"}, *entries[1:]]
    found = only(jsonl(tmp_path, HEAD, *lines))
    assert [m.content for m in messages(found)] == ["one", "two", "three"]
    assert oddities(found) == {"not JSON": 1, "no JSON object": 1, "entry dream": 1, "message role None": 1}
    assert {count.first_place for count in found.oddities} == {"line 3", "line 4", "line 5", "line 6"}


def test_poisoned_arguments_are_kept_and_marked(tmp_path: Path) -> None:
    """Arguments that are no object stay verbatim, apart from the well-formed calls."""
    calls = [
        {"type": "toolCall", "id": "c1", "name": "run", "arguments": '{"command": "ls'},
        {"type": "toolCall", "id": "c2", "name": "run", "arguments": {"command": "ls"}},
    ]
    found = only(jsonl(tmp_path, HEAD, message("user", "go"), message("assistant", calls)))
    turn = said(found)[1]
    assert [call.id for call in turn.message.tool_calls] == ["c2"]
    assert [(bad.index, bad.id, bad.arguments) for bad in turn.poisoned] == [(0, "c1", '{"command": "ls')]


def test_system_messages_change_prompt_and_tools_and_a_compaction_states_them_anew(tmp_path: Path) -> None:
    """Of pi 1.6: sections by name, None removes one; a compaction's checkpoint replaces all that was said before."""
    read, write = ({"name": name, "description": "", "parameters": {"type": "object"}} for name in ("read", "write"))
    first = message("system", "Base.", sections={"tools": "T1", "cwd": "/w"}, toolsAdded=[read, write])
    change = message("system", "", sections={"tools": None, "skills": "S"}, toolsRemoved=[{"name": "write"}])
    entries = chained([first, message("user", "one"), change])
    found = only(jsonl(tmp_path, HEAD, *entries))
    assert (found.system, [tool.name for tool in found.tools or ()]) == ("Base.\n\n/w\n\nS", ["read"])
    checkpoint = {"role": "system", "content": "New.", "toolsAdded": [write]}
    compaction = {"type": "compaction", "summary": "short", "firstKeptEntryId": "e3", "systemMessage": checkpoint}
    entries = chained([first, message("user", "one"), change, compaction, {"type": "usage", "kind": "cache_warm"}])
    found = only(jsonl(tmp_path, HEAD, *entries))
    assert (found.system, [tool.name for tool in found.tools or ()]) == ("New.", ["write"])
    assert [m.content for m in messages(found)] == ["one"]
    assert [entry.kept for entry in found.entries if isinstance(entry, Compaction)] == [0]
    assert not found.oddities


def test_a_later_edit_of_an_entry_is_told_to_be_left_out(tmp_path: Path) -> None:
    entries = chained([message("user", "one"), {"type": "context_edit", "targetId": "e0", "replacement": None}])
    assert oddities(only(jsonl(tmp_path, HEAD, *entries))) == {"later edit of an entry": 1}
