"""Trajectories of SWE-agent and mini-swe-agent, with native calls and with commands as text."""

from __future__ import annotations

from pathlib import Path

from kvassay.types import JsonObject, JsonValue, Message, ToolCall
from session.importers.files import document, messages, only, said

FUNCTION: JsonObject = {"name": "bash", "arguments": '{"command": "ls"}'}
CALL: JsonObject = {"id": "c1", "type": "function", "function": FUNCTION}
TURN = Message("assistant", "Listing.", (ToolCall("c1", "bash", {"command": "ls"}),))
WRITTEN = Message("assistant", "Listing.", (ToolCall("", "bash", {"command": "ls"}),))


def trajectory(*history: JsonObject) -> JsonValue:
    told = [{"agent": "main", **entry} for entry in history]
    step = {"action": "ls", "observation": "a.py", "response": "Listing.", "thought": "Listing."}
    return {"environment": "task-1", "trajectory": [step], "history": told, "info": {}}  # type: ignore[dict-item, list-item]


def mini(*told: JsonObject) -> JsonValue:
    info = {"mini_version": "2.4.6", "config": {"model": {"model_name": "m-1"}}}
    return {"info": info, "messages": list(told), "trajectory_format": "mini-swe-agent-1.1"}  # type: ignore[dict-item]


SYSTEM: JsonObject = {"role": "system", "content": "Code.", "message_type": "system_prompt"}
USER: JsonObject = {"role": "user", "content": "Fix it."}


def test_native_calls_of_swe_agent(tmp_path: Path) -> None:
    """The result names its call in ``tool_call_ids``."""
    turn: JsonObject = {"role": "assistant", "content": "Listing.", "action": "ls", "tool_calls": [CALL]}
    seen: JsonObject = {
        "role": "tool", "content": [{"type": "text", "text": "a.py"}], "tool_call_ids": ["c1"],
        "message_type": "observation",
    }  # fmt: skip
    found = only(document(tmp_path, trajectory(SYSTEM, USER, turn, seen)))
    assert (found.agent, found.system, found.title) == ("swe-agent", "Code.", "task-1")
    assert messages(found) == [Message("user", "Fix it."), TURN, Message("tool", "a.py", tool_call_id="c1")]


def test_actions_as_text_of_swe_agent(tmp_path: Path) -> None:
    """The thought is the text, the action a call, the next observation its result."""
    turn: JsonObject = {
        "role": "assistant",
        "content": "Listing.\n```\nls\n```",
        "thought": "Listing.",
        "action": "ls\n",
    }
    found = only(document(tmp_path, trajectory(SYSTEM, USER, turn, {"role": "user", "content": "a.py"}, USER)))
    assert messages(found) == [Message("user", "Fix it."), WRITTEN, Message("tool", "a.py"), Message("user", "Fix it.")]


def test_native_calls_of_mini(tmp_path: Path) -> None:
    """The exit code says what failed; the end is no message; the one tool is known."""
    turn: JsonObject = {"role": "assistant", "content": "Listing.", "tool_calls": [CALL], "extra": {"timestamp": 1.7e9}}
    seen: JsonObject = {"role": "tool", "tool_call_id": "c1", "content": "no", "extra": {"returncode": 2}}
    found = only(document(tmp_path, mini(SYSTEM, USER, turn, seen, {"role": "exit", "content": ""})))
    assert (found.agent, found.model, found.ended_s) == ("mini-swe-agent", "m-1", 1.7e9)
    assert messages(found) == [Message("user", "Fix it."), TURN, Message("tool", "no", tool_call_id="c1")]
    assert said(found)[-1].failed is True
    assert [tool.name for tool in found.tools or ()] == ["bash"]


def test_commands_as_text_of_mini(tmp_path: Path) -> None:
    """One fenced command is a call; two are none."""
    turn: JsonObject = {"role": "assistant", "content": "Listing.\n\n```bash\nls\n```"}
    wrong: JsonObject = {"role": "assistant", "content": "```bash\nls\n```\n```bash\nls\n```"}
    seen: JsonObject = {"role": "user", "content": "a.py", "extra": {"returncode": 0}}
    found = only(document(tmp_path, mini(SYSTEM, USER, turn, seen, wrong, USER)))
    assert messages(found)[1:3] == [WRITTEN, Message("tool", "a.py")]
    assert messages(found)[3].tool_calls == ()
    assert messages(found)[4] == Message("user", "Fix it.")
    assert said(found)[2].failed is False


def test_responses_of_mini(tmp_path: Path) -> None:
    """A whole response is one turn; its outputs are items of their own."""
    output: list[JsonValue] = [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Listing."}]},
        {"type": "function_call", "call_id": "c1", **FUNCTION},
    ]
    response: JsonObject = {"object": "response", "output": output, "model": "m-2"}
    seen: JsonObject = {"type": "function_call_output", "call_id": "c1", "output": "a", "extra": {"returncode": 0}}
    found = only(document(tmp_path, mini(SYSTEM, USER, response, seen)))
    assert messages(found)[1:] == [TURN, Message("tool", "a", tool_call_id="c1")]
    assert said(found)[-1].failed is False


def test_minis_words_to_the_model_say_what_failed(tmp_path: Path) -> None:
    """Version 1 records the return code nowhere else."""
    turn: JsonObject = {"role": "assistant", "content": "Listing.\n```bash\nls\n```"}
    seen = [{"role": "user", "content": f"<returncode>{code}</returncode>\n<output>\n</output>"} for code in (0, 2)]
    found = only(document(tmp_path, mini(SYSTEM, USER, turn, seen[0], turn, seen[1])))
    assert [entry.failed for entry in said(found) if entry.message.role == "tool"] == [False, True]
