"""Cline's tasks, with calls as XML and with native ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvassay.session.transcript import Usage
from kvassay.types import JsonValue, Message, ToolCall
from session.importers.files import document, messages, only, said


def says(role: str, *texts: str) -> JsonValue:
    return {"role": role, "content": [{"type": "text", "text": text} for text in texts]}


def test_calls_in_the_text_and_results_in_the_next_message(tmp_path: Path) -> None:
    """The result has its heading in the same part or in the part before; what follows is the user's."""
    diff = "------- SEARCH\n<b>\n=======\n<i>\n+++++++ REPLACE"
    call = f"<replace_in_file>\n<path>a.html</path>\n<diff>\n{diff}\n</diff>\n</replace_in_file>"
    history: JsonValue = [
        says("user", "<task>\nFix it.\n</task>", "<environment_details>\nx\n</environment_details>"),
        says("assistant", "<thinking>hm</thinking>\n<read_file>\n<path>a.html</path>\n</read_file>"),
        says("user", "[read_file for 'a.html'] Result:", "<b>", "<environment_details>\ny\n</environment_details>"),
        says("assistant", call),
        says("user", "[replace_in_file for 'a.html'] Result:\nThe tool execution failed with the following error:\nno"),
        says("assistant", "Done. Is `<read_file>` a tool?"),
    ]
    found = only(document(tmp_path, history))
    assert found.agent == "cline"
    assert messages(found)[1:3] == [
        Message("assistant", "<thinking>hm</thinking>", (ToolCall("", "read_file", {"path": "a.html"}),)),
        Message("tool", "<b>"),
    ]
    assert "environment_details" in messages(found)[3].content
    assert messages(found)[4].tool_calls == (ToolCall("", "replace_in_file", {"path": "a.html", "diff": diff}),)
    assert [entry.failed for entry in said(found) if entry.message.role == "tool"] == [False, True]
    assert messages(found)[-1] == Message("assistant", "Done. Is `<read_file>` a tool?")


def test_the_newer_core_has_native_calls_and_tokens(tmp_path: Path) -> None:
    """Its document says who it is."""
    use: JsonValue = {"type": "tool_use", "id": "c1", "name": "read_files", "input": {"paths": ["a"]}}
    answer: JsonValue = {"type": "tool_result", "tool_use_id": "c1", "content": "A", "is_error": False}
    metrics = {"inputTokens": 10, "outputTokens": 3, "cacheReadTokens": 90}
    task: JsonValue = {
        "version": 1,
        "updated_at": "2026-01-02T03:04:05Z",
        "sessionId": "s-1",
        "system_prompt": "Code.",
        "messages": [
            {"role": "user", "ts": 1.7e12, "content": [{"type": "text", "text": "Fix it."}]},
            {"role": "assistant", "ts": 1.7e12, "content": [use], "metrics": metrics, "modelInfo": {"id": "m-1"}},  # type: ignore[dict-item]
            {"role": "user", "ts": 1.7e12, "content": [answer]},
        ],
    }
    found = only(document(tmp_path, task))
    assert (found.agent, found.id, found.system, found.model) == ("cline", "s-1", "Code.", "m-1")
    assert messages(found)[1].tool_calls == (ToolCall("c1", "read_files", {"paths": ["a"]}),)
    assert said(found)[1].usage == Usage(100, 3)
    assert said(found)[2].failed is False


@pytest.mark.parametrize(
    ("words", "failed"),
    [("The tool execution failed with the following error:\n<error>no</error>", True), ("A", False)],
)
def test_native_calls_of_the_extension(tmp_path: Path, words: str, failed: bool) -> None:  # noqa: FBT001
    """Its results have no flag, but Cline's wording; its metrics count cached tokens among the prompt's."""
    use: JsonValue = {"type": "tool_use", "id": "c1", "name": "read_file", "input": {"path": "a"}}
    told = [{"type": "text", "text": part} for part in ("[read_file for 'a'] Result:", words)]
    metrics = {"tokens": {"prompt": 100, "completion": 3, "cached": 90}, "cost": 0}
    task: JsonValue = [
        {"role": "user", "content": [{"type": "text", "text": "<task>Fix it.</task>"}]},
        {"role": "assistant", "content": [use], "metrics": metrics},  # type: ignore[dict-item]
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": told}]},  # type: ignore[dict-item]
    ]
    found = said(only(document(tmp_path, task)))
    assert (found[1].usage, found[2].failed) == (Usage(100, 3), failed)


def test_a_message_may_be_one_string(tmp_path: Path) -> None:
    """Its title is the task, not the newest remark without a tag."""
    history: JsonValue = [
        {"role": "user", "content": "<task>\nFix it.\n</task>\n<environment_details>\nx\n</environment_details>"},
        {"role": "assistant", "content": "<execute_command>\n<command>ls</command>\n</execute_command>"},
        {"role": "user", "content": "[execute_command for 'ls'] Result:\nCommand executed.\nOutput:\na.py"},
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": "[ERROR] You did not use a tool in your previous response!"},
    ]
    found = only(document(tmp_path, history))
    assert (found.agent, found.title) == ("cline", "Fix it.")
    assert messages(found)[1].tool_calls == (ToolCall("", "execute_command", {"command": "ls"}),)
    assert messages(found)[2] == Message("tool", "Command executed.\nOutput:\na.py")
