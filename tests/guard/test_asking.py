"""Requests of six agents' shapes, and of nobody's."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.traffic import PATHS, Talk, answers, asked
from kvassay.guard.asking import read_request
from kvassay.guard.contract import Api
from kvassay.guard.monitor import Monitor
from kvassay.types import JsonObject, JsonValue, Message, ToolCall

APIS = tuple(Api)


@pytest.mark.parametrize("api", APIS)
def test_a_conversation_reads_the_same_in_every_api(api: Api) -> None:
    talk = Talk("Fix it", "Be brief").says("Looking.").calls("read", {"path": "a"}, "text").user("And now?")
    question = talk.asked(api, temperature=0)
    spoken = [(m.role, m.content) for m in question.messages if m.content]
    assert spoken == [
        ("system", "Be brief"), ("user", "Fix it"), ("assistant", "Looking."), ("tool", "text"), ("user", "And now?"),
    ]  # fmt: skip
    assert [call for m in question.messages for call in m.tool_calls] == [ToolCall("call_1", "read", {"path": "a"})]
    assert [tool.name for tool in question.tools] == ["read", "edit", "bash", "tool_call"]
    assert (question.model, question.stream, question.api) == ("m", True, api)


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/embeddings", "/health", "/v1/chat/completions/extra", "/v1/messages/count_tokens", "/"]
)
def test_other_paths_are_not_ours(path: str) -> None:
    assert read_request(path, {}, json.dumps(Talk().body(Api.CHAT)).encode()) is None


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions", "/api/v1/chat/completions/?beta=true"])
def test_a_path_is_known_behind_any_prefix(path: str) -> None:
    assert read_request(path, {}, json.dumps(Talk().body(Api.CHAT)).encode()) is not None


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b"\xff\xfe{", b'{"messages": 5}', b"[" * 100_000, b'{"messages":' * 5000]
)
def test_what_is_no_request_is_passed_on(body: bytes) -> None:
    assert read_request("/v1/chat/completions", {}, body) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "text", "tool_calls", "function", "name", "arguments", "id", "input"]
            ),
            inner | st.sampled_from(["assistant", "tool", "tool_use", "function_call", "tool_result", "namespace"]),
            max_size=5,
        )
    ),
    max_leaves=15,
)


@pytest.mark.parametrize("api", APIS)
@given(conversation=st.lists(JSON, max_size=4), tools=JSON, other=JSON)
def test_json_of_any_shape_never_raises(api: Api, conversation: list[object], tools: object, other: object) -> None:
    body = {"messages": conversation, "input": conversation, "tools": tools, "system": other, "metadata": other}
    assert read_request(PATHS[api], {}, json.dumps({**body, "stream": other}).encode()) is not None


@given(body=st.binary(max_size=200), path=st.text(max_size=30))
def test_bytes_of_any_kind_never_raise(body: bytes, path: str) -> None:
    read_request(path, {path: path}, body)
    read_request("/v1/responses", {}, body)


@pytest.mark.parametrize("api", APIS)
def test_arguments_too_deep_to_be_walked_harm_nobody(api: Api) -> None:
    deep: JsonValue = {}
    for _ in range(400):
        deep = {"a": deep}
    question = Talk().calls("read", deep, "ok").asked(api)
    seen = Monitor().observe(question, answers(question, "Done."), 0.0)
    assert seen.outcome is not None
    assert seen.outcome.correct
    assert question.poisoned == ()


def test_parallel_calls_of_responses_stand_in_one_turn() -> None:
    items: list[JsonObject] = [
        {"type": "function_call", "call_id": f"c{n}", "name": "read", "arguments": "{}"} for n in range(2)
    ]
    items += [{"type": "function_call_output", "call_id": f"c{n}", "output": f"r{n}"} for n in (1, 0)]
    question = asked(Api.RESPONSES, {"model": "m", "input": [*items]})
    assert [len(message.tool_calls) for message in question.messages] == [2, 0, 0]
    assert question.messages[1:] == (
        Message("tool", "r1", tool_call_id="c1"),
        Message("tool", "r0", tool_call_id="c0"),
    )


def test_a_freeform_call_in_the_history_is_no_poison() -> None:
    item = {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "*** Begin Patch"}
    assert asked(Api.RESPONSES, {"model": "m", "input": [item]}).poisoned == ()


def test_what_only_says_who_asks_makes_no_other_question() -> None:
    first, second = (Talk().asked(Api.RESPONSES, client_metadata={"turn_id": turn}) for turn in "ab")
    assert first.digest == second.digest
    assert first.digest != Talk("Else").asked(Api.RESPONSES, client_metadata={"turn_id": "a"}).digest


def test_a_history_that_the_server_holds_is_partial() -> None:
    assert Talk().asked(Api.RESPONSES, previous_response_id="resp_1").partial
    assert not Talk().asked(Api.RESPONSES).partial


def test_claude_codes_session_is_found_in_the_users_id() -> None:
    for user in ("user_1_account__session_0b6f2f3e-1c4d", '{"device_id": "d", "session_id": "0b6f2f3e-1c4d"}'):
        question = Talk().asked(Api.MESSAGES, metadata={"user_id": user})
        assert (question.session, question.session_by) == ("0b6f2f3e-1c4d", "body")
