"""Plain chat JSON and recorded request bodies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kvassay.errors import UsageError
from kvassay.session.importers import choose, load, sessions_in
from kvassay.types import JsonObject, JsonValue, Message, ToolCall
from session.importers.files import document, jsonl, messages, oddities, only, said

TOOL: JsonObject = {"type": "function", "function": {"name": "run", "description": "Runs.", "parameters": {}}}
CALL: JsonObject = {"id": "c1", "type": "function", "function": {"name": "run", "arguments": '{"command": "ls"}'}}
CHAT: list[JsonValue] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "List"}, {"type": "image_url", "image_url": {}}]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "a.py"},
]
ANTHROPIC: list[JsonValue] = [
    {"role": "user", "content": "List"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "run", "input": {"command": "ls"}}]},
    {
        "role": "user",
        "content": [
            {
                "type": "tool_result",
                "tool_use_id": "c1",
                "content": [{"type": "text", "text": "a.py"}],
                "is_error": True,
            },
            {"type": "text", "text": "And now?"},
        ],
    },
]
RESPONSES: list[JsonValue] = [
    {"role": "developer", "content": "Be brief."},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "List"}]},
    {"type": "reasoning", "encrypted_content": "x"},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Listing."}]},
    {"type": "function_call", "call_id": "c1", "name": "run", "arguments": '{"command": "ls"}'},
    {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "*** Begin"},
    {"type": "function_call_output", "call_id": "c1", "output": "a.py"},
    {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "done"}]},
]
ASKED = [
    Message("user", "List"),
    Message("assistant", "", (ToolCall("c1", "run", {"command": "ls"}),)),
    Message("tool", "a.py", tool_call_id="c1"),
]


@pytest.mark.parametrize("wrapped", [CHAT, {"messages": CHAT}, {"tools": [TOOL], "messages": CHAT}])
def test_a_list_of_messages_in_every_wrapping(tmp_path: Path, wrapped: JsonValue) -> None:
    """The system prompt stands apart, an image is counted, no result says whether it failed."""
    found = only(document(tmp_path, wrapped))
    assert (found.agent, found.system) == ("chat", "Be brief.")
    assert messages(found) == ASKED
    assert said(found)[-1].failed is None
    assert oddities(found) == {"content image_url": 1}
    assert [tool.name for tool in found.tools or ()] == (["run"] if "tools" in wrapped else [])


def test_members_behind_a_long_list_of_messages_are_read(tmp_path: Path) -> None:
    """Whatever comes first: the model, the tools and the system prompt of a body may come last."""
    body: JsonObject = {"messages": CHAT[1:2] * 80, "tools": [TOOL], "system": "Be brief.", "model": "m"}
    found = only(document(tmp_path, body))
    assert (found.model, [tool.name for tool in found.tools or ()]) == ("m", ["run"])
    assert (found.system, {m.role for m in messages(found)}) == ("Be brief.", {"user"})


def test_messages_line_by_line(tmp_path: Path) -> None:
    """JSONL of messages is one session."""
    assert messages(only(jsonl(tmp_path, *CHAT))) == ASKED


def test_conversations_line_by_line(tmp_path: Path) -> None:
    """JSONL of conversations is a session a line."""
    sources = list(sessions_in(jsonl(tmp_path, {"messages": CHAT, "tools": [TOOL]}, "{broken", {"messages": CHAT})))
    assert [source.id for source in sources] == ["line 1", "line 2", "line 3"]
    first, broken, last = map(load, sources)
    assert messages(first) == messages(last) == ASKED
    assert oddities(broken) == {"not JSON": 1}


@pytest.mark.parametrize("arguments", ["", "[1]", "null", '{"a": NaN}', '{"a": 1}{"a": 2}', '{"a": "'])
def test_arguments_that_are_no_object_are_kept_verbatim(tmp_path: Path, arguments: str) -> None:
    """The history is poisoned there; nothing is repaired."""
    call = {"id": "c1", "function": {"name": "run", "arguments": arguments}}
    found = only(document(tmp_path, [CHAT[1], {"role": "assistant", "content": "", "tool_calls": [call]}]))
    assert said(found)[-1].poisoned[0].arguments == arguments
    assert said(found)[-1].message.tool_calls == ()


def test_a_chat_body_is_a_request(tmp_path: Path) -> None:
    """With the model's name it is what an agent sent."""
    found = only(document(tmp_path, {"model": "m", "stream": True, "messages": CHAT, "tools": [TOOL]}))
    assert (found.agent, found.model, found.system) == ("request", "m", "Be brief.")
    assert messages(found) == ASKED
    assert [tool.name for tool in found.tools or ()] == ["run"]


def test_an_anthropic_body(tmp_path: Path) -> None:
    """System in blocks, results inside a user's message, tools with ``input_schema``."""
    tool: JsonObject = {"name": "run", "input_schema": {"type": "object"}}
    body: JsonObject = {"model": "m", "system": [{"type": "text", "text": "Be brief."}], "messages": ANTHROPIC}
    found = only(document(tmp_path, {**body, "tools": [tool, {"type": "web_search_20250305", "name": "web_search"}]}))
    assert found.system == "Be brief."
    assert messages(found) == [*ASKED, Message("user", "And now?")]
    assert said(found)[2].failed is True
    assert oddities(found) == {"tool of type 'web_search_20250305'": 1}


def test_a_responses_body(tmp_path: Path) -> None:
    """Items of one turn are put together; a tool that takes free text has the argument ``input``."""
    tools: list[JsonValue] = [{"type": "custom", "name": "apply_patch"}, {"type": "function", "name": "run"}]
    found = only(document(tmp_path, {"model": "m", "instructions": "Code.", "input": RESPONSES, "tools": tools}))
    calls = (*ASKED[1].tool_calls, ToolCall("c2", "apply_patch", {"input": "*** Begin"}))
    assert found.system == "Code.\n\nBe brief."
    assert messages(found) == [
        ASKED[0],
        Message("assistant", "Listing.", calls),
        ASKED[2],
        Message("tool", "done", tool_call_id="c2"),
    ]
    assert [tool.name for tool in found.tools or ()] == ["apply_patch", "run"]


@pytest.mark.parametrize("as_text", [True, False])
def test_a_body_in_a_proxys_envelope(tmp_path: Path, as_text: bool) -> None:  # noqa: FBT001
    """The body may be an object or its text."""
    body: JsonObject = {"model": "m", "messages": CHAT}
    envelope: JsonObject = {"url": "/v1/chat/completions", "body": json.dumps(body) if as_text else body}
    assert messages(only(document(tmp_path, envelope))) == ASKED


@pytest.mark.parametrize(
    "envelope", [lambda body: body, lambda body: {"ts": 1, "request": {"method": "POST", "body": body}}]
)
def test_bodies_line_by_line(tmp_path: Path, envelope: Callable[[JsonObject], JsonObject]) -> None:
    """Each is a session, with what stands beside its messages; a damaged one is counted."""
    one: JsonObject = {"model": "m-1", "system": "Be brief.", "tools": [TOOL], "messages": ANTHROPIC}
    two: JsonObject = {"model": "m-2", "instructions": "Be brief.", "input": RESPONSES}
    path = jsonl(tmp_path, envelope(one), "", "{", envelope(two))
    found = [load(source) for source in sessions_in(path)]
    assert [(one.agent, one.id, one.model) for one in found] == [
        ("request", "line 1", "m-1"), ("request", "line 3", None), ("request", "line 4", "m-2"),
    ]  # fmt: skip
    assert found[0].system == "Be brief."
    assert found[0].tools is not None
    assert oddities(found[1]) == {"not JSON": 1}
    assert messages(found[2])[-1] == Message("tool", "done", tool_call_id="c2")
    assert load(choose(path, "line 4")).model == "m-2"


@pytest.mark.parametrize("envelope", [lambda body: body, lambda body: {"request": body}])
@pytest.mark.parametrize("lines", [1, 2])
def test_a_logged_response_is_counted(tmp_path: Path, lines: int, envelope: Callable[[JsonObject], JsonObject]) -> None:
    """Only what was asked is told."""
    log = {**envelope({"model": "m", "messages": CHAT}), "response": {"choices": []}}
    for source in sessions_in(jsonl(tmp_path, *[log] * lines)):
        assert messages(load(source)) == ASKED
        assert oddities(load(source))["response"] == 1


@pytest.mark.parametrize("value", [{}, [], {"a": 1}, [1, 2], {"messages": []}, {"messages": "x"}, {"role": "user"}])
def test_other_documents_are_no_sessions(tmp_path: Path, value: JsonValue) -> None:
    """Not every JSON file is a conversation."""
    assert list(sessions_in(document(tmp_path, value))) == []


def test_a_document_that_breaks_off_is_read_up_to_there(tmp_path: Path) -> None:
    """What stands in front of the damage is told, the damage is named with its place."""
    path = document(tmp_path, CHAT)
    path.write_text(path.read_text()[:-40])
    found = only(path)
    assert messages(found) == ASKED[:2]
    assert [(count.kind, count.first_place) for count in found.oddities if count.kind == "damaged"] == [
        ("damaged", "after [2]")
    ]


def test_one_session_is_chosen_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    """Several that could be meant, or none, are the user's mistake, with what to do next."""
    path = jsonl(tmp_path, {"messages": CHAT}, {"messages": CHAT})
    assert choose(path, "line 2").id == "line 2"
    with pytest.raises(UsageError, match=r"(?s)2 sessions.*line 1, line 2"):
        choose(path)
    with pytest.raises(UsageError, match="No session 'x'"):
        choose(path, "x")
    with pytest.raises(UsageError, match="can't be read"):
        choose(tmp_path / "missing")
    with pytest.raises(UsageError, match="no session we can read"):
        choose(document(tmp_path, {"a": 1}))


def test_a_whole_id_is_chosen_before_longer_ones(tmp_path: Path) -> None:
    """Line 1 of ten is not ambiguous."""
    path = jsonl(tmp_path, *[{"messages": CHAT}] * 11)
    assert choose(path, "line 1").id == "line 1"
    with pytest.raises(UsageError, match="11 sessions"):
        choose(path, "line")


def test_the_users_words_are_the_title_not_the_agents_tags(tmp_path: Path) -> None:
    """Agents put their environment in front, as a user's message."""
    tag, words = {"role": "user", "content": "<environment>x</environment>"}, {"role": "user", "content": "Fix\nit."}
    assert only(document(tmp_path, [tag, words, {"role": "user", "content": "More."}])).title == "Fix it."
    assert only(document(tmp_path, [tag])).title == "<environment>x</environment>"
