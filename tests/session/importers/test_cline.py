"""Cline's tasks, with calls as XML and with native ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kvassay.session.importers import sessions_in
from kvassay.session.transcript import Compaction, Usage
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


ENVIRONMENT = "<environment_details>\nx\n</environment_details>"


def roo(role: str, *parts: JsonValue, **marks: JsonValue) -> JsonValue:
    """A message of Roo Code's: parts that are texts, and what it notes beside them."""
    texts: list[JsonValue] = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
    return {"role": role, "ts": 1_767_000_000_000, "content": texts, **marks}


def test_roo_code_says_what_failed_in_json(tmp_path: Path) -> None:
    """Its newest tasks: native calls, the task as the user's message, thoughts as parts and messages of their own."""
    use: JsonValue = {"type": "tool_use", "id": "c1", "name": "apply_diff", "input": {"path": "a", "diff": "d"}}
    failed = '{"status":"error","message":"The tool execution failed","error":"no match"}'
    history: JsonValue = [
        roo("user", "<user_message>\nFix it.\n</user_message>", ENVIRONMENT),
        {"type": "reasoning", "encrypted_content": "…", "summary": []},
        roo(
            "assistant", {"type": "reasoning", "text": "hm"}, use, {"type": "thoughtSignature", "thoughtSignature": "s"}
        ),
        roo("user", {"type": "tool_result", "tool_use_id": "c1", "content": failed}, ENVIRONMENT),
    ]
    found = only(document(tmp_path, history))
    assert (found.agent, found.title) == ("cline", "Fix it.")
    assert messages(found)[1].tool_calls == (ToolCall("c1", "apply_diff", {"path": "a", "diff": "d"}),)
    assert said(found)[2] == replace(said(found)[2], message=Message("tool", failed, tool_call_id="c1"), failed=True)
    assert {(count.kind, count.name) for count in found.oddities} == {
        ("left out", "content reasoning"), ("left out", "content thoughtSignature"),
    }  # fmt: skip


def test_roo_code_once_kept_the_ai_sdks_messages(tmp_path: Path) -> None:
    call: JsonValue = {"type": "tool-call", "toolCallId": "c1", "toolName": "read_file", "input": {"path": "a"}}
    output: JsonValue = {"type": "text", "value": "[ERROR] no such file"}
    answer: JsonValue = {"type": "tool-result", "toolCallId": "c1", "toolName": "read_file", "output": output}
    said_so: JsonValue = {"type": "error-json", "value": {"code": 2}}
    other: JsonValue = {"type": "tool-result", "toolCallId": "c2", "toolName": "read_file", "output": said_so}
    task: JsonValue = {
        "version": 2,
        "messages": [
            roo("user", "<user_message>Fix it.</user_message>", ENVIRONMENT),
            roo("assistant", call, {**call, "toolCallId": "c2"}),  # type: ignore[dict-item]
            roo("tool", answer, other),
        ],
    }
    found = only(document(tmp_path, task))
    assert found.agent == "cline"
    assert messages(found)[1].tool_calls == tuple(ToolCall(f"c{n}", "read_file", {"path": "a"}) for n in (1, 2))
    assert messages(found)[2:] == [
        Message("tool", "[ERROR] no such file", tool_call_id="c1"), Message("tool", '{"code": 2}', tool_call_id="c2"),
    ]  # fmt: skip
    assert [entry.failed for entry in said(found)[2:]] == [True, True]
    assert not found.oddities


@pytest.mark.parametrize(
    ("before", "mark", "kept"),
    [
        # All before it is hidden; the summary is the user's.
        ([{"condenseParent": "s"}] * 3, {"role": "user", "isSummary": True, "condenseId": "s"}, []),
        # Earlier releases kept the first message, and let the model say the summary.
        ([{}, *[{"condenseParent": "s"}] * 2], {"role": "assistant", "isSummary": True, "condenseId": "s"}, [0]),
        # A cut keeps the first message.
        (
            [{}, *[{"truncationParent": "t"}] * 2],
            {"role": "user", "isTruncationMarker": True, "truncationId": "t"},
            [0],
        ),
    ],
)
def test_what_roo_code_hides_from_its_model_is_a_compaction(
    tmp_path: Path, before: list[dict[str, JsonValue]], mark: dict[str, JsonValue], kept: list[int]
) -> None:
    told = [f"<task>1</task>{ENVIRONMENT}", "2", "3"]
    roles = ("user", "assistant", "user")
    history: JsonValue = [
        *(roo(role, text, **marks) for role, text, marks in zip(roles, told, before, strict=True)),
        {"content": "in short", **mark},
        roo("assistant", "4"),
    ]
    found = only(document(tmp_path, history))
    *_, compaction, last = found.entries
    assert isinstance(compaction, Compaction)
    assert compaction.kept == 0
    assert [message.content for message in compaction.replacement] == [*(told[at] for at in kept), "in short"]
    assert compaction.replacement[-1].role == mark["role"]
    assert last == said(found)[-1]
    assert [message.content for message in messages(found)] == [*told, "4"]


def test_an_earlier_summary_stays_unless_a_later_one_hides_it(tmp_path: Path) -> None:
    history: JsonValue = [
        roo("user", f"<task>1</task>{ENVIRONMENT}", condenseParent="s"),
        roo("user", "in short", isSummary=True, condenseId="s"),
        roo("assistant", "2", truncationParent="t"),
        roo("user", "cut", isTruncationMarker=True, truncationId="t"),
        roo("user", "3"),
    ]
    compactions = [entry for entry in only(document(tmp_path, history)).entries if isinstance(entry, Compaction)]
    assert [[message.content for message in one.replacement] for one in compactions] == [
        ["in short"], ["in short", "cut"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    "beside",
    [
        {"id": "1", "number": 1, "ts": 1, "task": "Fix it.", "tokensIn": 1, "tokensOut": 1, "totalCost": 0},
        {"version": 1, "updatedAt": 1, "entries": [{"id": "1", "ts": 1, "task": "Fix it."}]},
        {"files_in_context": []},
        [{"ts": 1, "type": "say", "say": "text", "text": "Fix it."}],
    ],
)
def test_what_roo_code_keeps_beside_a_task_is_no_session(tmp_path: Path, beside: JsonValue) -> None:
    assert not [*sessions_in(document(tmp_path, beside))]
