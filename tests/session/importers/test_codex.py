"""Codex' rollouts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvassay.session.transcript import Compaction, Usage
from kvassay.types import JsonObject, Message, ToolCall
from session.importers.files import document, jsonl, messages, oddities, only, said


def line(kind: str, payload: JsonObject) -> JsonObject:
    return {"timestamp": "2026-01-02T03:04:05Z", "type": kind, "payload": payload}


def item(**fields: object) -> JsonObject:
    return line("response_item", fields)  # type: ignore[arg-type]


META = line(
    "session_meta",
    {"id": "s-1", "cwd": "/w", "timestamp": "2026-01-02T03:04:00Z", "base_instructions": {"text": "Code."}},
)
USER = item(type="message", role="user", content=[{"type": "input_text", "text": "List"}])
CALL = item(type="function_call", call_id="c1", name="exec_command", arguments='{"cmd": "ls"}')


def test_a_turn_with_calls_tokens_and_results(tmp_path: Path) -> None:
    """Items up to the token count are one turn; free text is the argument ``input``; the exit code says what failed."""
    counted = {"last_token_usage": {"input_tokens": 100, "cached_input_tokens": 60, "output_tokens": 9}}
    found = only(
        jsonl(
            tmp_path,
            META,
            line("turn_context", {"model": "m-1", "cwd": "/w"}),
            USER,
            item(type="reasoning", summary=[]),
            item(type="message", role="assistant", content=[{"type": "output_text", "text": "Listing."}]),
            CALL,
            item(type="custom_tool_call", call_id="c2", name="apply_patch", input="*** Begin"),
            line("event_msg", {"type": "token_count", "info": counted}),
            item(
                type="function_call_output", call_id="c1", output="Wall time: 1\nProcess exited with code 2\nOutput:\n"
            ),
            item(type="custom_tool_call_output", call_id="c2", output='{"output": "ok", "metadata": {"exit_code": 0}}'),
        )
    )
    assert (found.agent, found.id, found.system, found.model) == ("codex", "s-1", "Code.", "m-1")
    calls = (ToolCall("c1", "exec_command", {"cmd": "ls"}), ToolCall("c2", "apply_patch", {"input": "*** Begin"}))
    assert messages(found)[:2] == [Message("user", "List"), Message("assistant", "Listing.", calls)]
    assert said(found)[1].usage == Usage(100, 9)
    assert [entry.failed for entry in said(found)[2:]] == [True, False]
    assert oddities(found) == {"item reasoning": 1}


@pytest.mark.parametrize("history", [None, [{"type": "message", "role": "user", "content": "Summary."}]])
def test_a_compaction_says_what_the_model_saw_instead(tmp_path: Path, history: object) -> None:
    """The recorded replacement, or the summary where none was recorded."""
    payload: JsonObject = {"message": "Summary.", "replacement_history": history}  # type: ignore[dict-item]
    found = only(jsonl(tmp_path, META, USER, line("compacted", payload), USER))
    (marker,) = [entry for entry in found.entries if isinstance(entry, Compaction)]
    assert marker.kept == 0
    assert marker.replacement[-1].content.endswith("Summary.")


def test_a_compaction_without_its_history_keeps_the_users_messages(tmp_path: Path) -> None:
    """As Codex does: the context, the newest of the user's own messages, and the summary, introduced once."""

    def says(text: str) -> JsonObject:
        return item(type="message", role="user", content=[{"type": "input_text", "text": text}])

    context, aborted = "<environment_context>/w", "<turn_aborted>"
    summary = "Another language model started to solve this problem and produced a summary of its thinking process. X"
    users = [says(text) for text in (context, "x" * 80_001, "old", aborted, "new")]
    compacted = line("compacted", {"message": summary})
    found = only(jsonl(tmp_path, META, *users, CALL, compacted, says("newer"), compacted))
    one, two = (entry for entry in found.entries if isinstance(entry, Compaction))
    assert [m.content for m in one.replacement] == [context, "old", "new", summary]
    assert [m.content for m in two.replacement] == [context, "old", "new", "newer", summary]


def test_a_forked_rollout_is_itself(tmp_path: Path) -> None:
    """It repeats all of the rollout it came from, that one's head included."""
    fork = line("session_meta", {**META["payload"], "id": "s-2", "forked_from_id": "s-1"})  # type: ignore[dict-item]
    found = only(jsonl(tmp_path, fork, META, USER, CALL))
    assert (found.id, found.system) == ("s-2", "Code.")


def test_tokens_told_after_the_results_belong_to_the_turn_before_them(tmp_path: Path) -> None:
    """As 0.169 writes them; the next turn has its own."""
    used = [{"last_token_usage": {"input_tokens": n, "output_tokens": 1}} for n in (100, 200)]
    counts = [line("event_msg", {"type": "token_count", "info": info}) for info in used]
    done = item(type="message", role="assistant", content=[{"type": "output_text", "text": "Done."}])
    output = item(type="function_call_output", call_id="c1", output="a")
    found = only(jsonl(tmp_path, META, USER, CALL, output, counts[0], done, counts[1]))
    assert [m.role for m in messages(found)] == ["user", "assistant", "tool", "assistant"]
    assert [entry.usage for entry in said(found)] == [None, Usage(100, 1), None, Usage(200, 1)]


def test_the_first_releases_wrote_no_envelopes(tmp_path: Path) -> None:
    """The head and the items stand on lines of their own."""
    head: JsonObject = {"id": "s-1", "timestamp": "2026-01-02T03:04:00Z", "instructions": "Code."}
    bare = [value["payload"] for value in (USER, CALL)]
    found = only(jsonl(tmp_path, head, bare[0], {"record_type": "state"}, bare[1]))
    assert (found.id, found.system) == ("s-1", "Code.")
    assert [m.role for m in messages(found)] == ["user", "assistant"]


def test_what_is_not_known_is_counted(tmp_path: Path) -> None:
    """An entry and an item from the future, damage, poisoned arguments."""
    bad = item(type="function_call", call_id="c1", name="exec_command", arguments='{"cmd": ')
    found = only(jsonl(tmp_path, META, USER, line("dream", {}), item(type="wish"), json.dumps(CALL)[:-9], bad))
    assert oddities(found) == {"entry dream": 1, "item wish": 1, "not JSON": 1}
    assert said(found)[-1].poisoned[0].arguments == '{"cmd": '


def test_the_very_first_program_wrote_one_document(tmp_path: Path) -> None:
    """In TypeScript: the session and its items."""
    items = [USER["payload"], CALL["payload"], {"type": "function_call_output", "call_id": "c1", "output": "a.py"}]
    found = only(document(tmp_path, {"session": {"id": "s-0", "timestamp": "2025-04-16T20:00:00Z"}, "items": items}))
    assert (found.agent, found.id) == ("codex", "s-0")
    assert [m.role for m in messages(found)] == ["user", "assistant", "tool"]


def test_items_without_a_head_are_told_by_a_call(tmp_path: Path) -> None:
    """The first line was lost, or never written."""
    found = only(jsonl(tmp_path, USER["payload"], CALL["payload"]))
    assert found.agent == "codex"
    assert messages(found)[1].tool_calls == (ToolCall("c1", "exec_command", {"cmd": "ls"}),)


@pytest.mark.parametrize(
    ("output", "failed"),
    [
        ("apply_patch verification failed: Failed to find expected lines in a.py:\nx", True),
        ("failed to parse function arguments: missing field `cmd`", True),
        ("unsupported call: reed", True),
        ("Success. Updated the following files:\nM a.py", None),
        ("the log says: apply_patch verification failed", None),
    ],
)
def test_codex_own_words_say_that_a_call_failed(tmp_path: Path, output: str, failed: bool | None) -> None:  # noqa: FBT001
    """Where no exit code stands."""
    answer = item(type="function_call_output", call_id="c1", output=output)
    assert said(only(jsonl(tmp_path, META, USER, CALL, answer)))[-1].failed is failed
