"""Messages, tools and probes survive the wire and the store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.errors import ConfigError
from kvassay.types import ExpectedCall, JsonObject, JsonValue, Message, Probe, Tool, ToolCall
from kvassay.wire import (
    load_tools,
    message_from_json,
    message_from_openai,
    message_to_json,
    message_to_openai,
    probe_from_json,
    probe_to_json,
    tool_from_openai,
    tool_to_openai,
)

texts = st.text(max_size=20)
values: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects: st.SearchStrategy[JsonObject] = st.dictionaries(texts, values, max_size=3)
names = st.text(min_size=1, max_size=12)
calls = st.builds(ToolCall, id=texts, name=names, arguments=objects)
messages = st.builds(
    Message,
    role=st.sampled_from(("system", "user", "assistant", "tool")),
    content=texts,
    tool_calls=st.lists(calls, max_size=2).map(tuple),
    tool_call_id=st.none() | texts,
)
tools = st.builds(
    Tool, name=names, description=texts, parameters=st.dictionaries(texts, values, min_size=1, max_size=3)
)
expected = st.builds(
    ExpectedCall,
    name=names,
    arguments=st.dictionaries(texts, st.lists(values, max_size=2).map(tuple), max_size=3),
    optional=st.frozensets(texts, max_size=2),
)
probes = st.builds(
    Probe,
    id=texts,
    family=texts,
    seed=st.integers(),
    messages=st.lists(messages, max_size=3).map(tuple),
    expected=st.lists(st.lists(expected, max_size=2).map(tuple), max_size=2).map(tuple),
    level=st.integers(1, 3),
    key=objects,
    tools=st.none() | st.lists(tools, max_size=2).map(tuple),
    stands_alone=st.booleans(),
    tags=st.lists(texts, max_size=2).map(tuple),
)


def through_text(value: JsonObject) -> JsonObject:
    """Write and read as the store does."""
    read: JsonObject = json.loads(json.dumps(value, ensure_ascii=False))
    return read


@given(messages)
def test_a_message_survives_openai_s_form(message: Message) -> None:
    """What is put on the wire is read back as it was, whatever the arguments hold."""
    assert message_from_openai(through_text(message_to_openai(message))) == message


@given(messages)
def test_a_message_survives_the_store(message: Message) -> None:
    """The store's form of a message loses nothing."""
    assert message_from_json(through_text(message_to_json(message))) == message


@given(probes)
def test_a_probe_survives_the_store(probe: Probe) -> None:
    """The store's form of a probe loses nothing, the sets and tuples included."""
    assert probe_from_json(through_text(probe_to_json(probe))) == probe


@given(tools)
def test_a_tool_survives_openai_s_form(tool: Tool) -> None:
    """What is declared on the wire is read back as it was."""
    assert tool_from_openai(through_text(tool_to_openai(tool))) == tool


def test_arguments_travel_as_readable_json_strings() -> None:
    """Non-ASCII characters are not escaped: the model reads the text that the tool got."""
    call = ToolCall("c1", "write", {"text": "Grüße"})
    wire = message_to_openai(Message("assistant", tool_calls=(call,)))
    assert wire["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "write", "arguments": '{"text": "Grüße"}'}}
    ]


@pytest.mark.parametrize(
    ("content", "text"),
    [(None, ""), ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"), (["x"], "x")],
)
def test_content_may_be_null_or_parts(content: JsonValue, text: str) -> None:
    """Null and lists of text parts, as agents send them, are read as text."""
    assert message_from_openai({"role": "user", "content": content}).content == text


def test_the_developer_role_is_a_system_message() -> None:
    """OpenAI's newer name of the system role is understood."""
    assert message_from_openai({"role": "developer", "content": "x"}).role == "system"


@pytest.mark.parametrize("arguments", ['{"a": 1', "[1]", "", '{"a": NaN}', '{"a": 1} {"b": 2}', None, "[" * 100_000])
def test_arguments_that_are_no_object_poison_the_history(arguments: str | None) -> None:
    """A replayed call with anything but a JSON object is refused as P3 before a server sees it."""
    call: JsonObject = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    with pytest.raises(ConfigError, match=r"tool_calls\[0\]\.function\.arguments.*P3"):
        message_from_openai({"role": "assistant", "tool_calls": [call]})


@pytest.mark.parametrize(
    ("wire", "says"),
    [
        ("hi", "a message is a string"),
        ({"role": "robot"}, "role is 'robot'"),
        ({"role": "user", "content": 3}, "content is a number"),
        ({"role": "user", "content": [{"type": "image_url"}]}, r"content\[0\] is 'image_url'"),
        ({"role": "assistant", "tool_calls": "x"}, "tool_calls is a string"),
        ({"role": "assistant", "tool_calls": [3]}, r"tool_calls\[0\] is not an object"),
        ({"role": "assistant", "tool_calls": [{"function": {"name": ""}}]}, "name is ''"),
        ({"role": "assistant", "tool_calls": [{"id": 3, "function": {"name": "f"}}]}, "id is a number"),
        ({"role": "tool", "tool_call_id": 7}, "tool_call_id is a number"),
    ],
)
def test_a_wrong_message_is_named_by_field(wire: JsonValue, says: str) -> None:
    """The error says which field is wrong and what stood there."""
    with pytest.raises(ConfigError, match=says):
        message_from_openai(wire)


def test_three_ways_of_declaring_a_tool_are_read_alike() -> None:
    """OpenAI's, the bare function's and Anthropic's forms give the same tool."""
    schema: JsonObject = {"type": "object", "properties": {"a": {}}}
    bare: JsonObject = {"name": "f", "description": "d", "parameters": schema}
    forms: list[JsonObject] = [
        {"type": "function", "function": bare},
        {"type": "function", **bare},
        {"name": "f", "description": "d", "input_schema": schema},
    ]
    assert {id(schema)} == {id(tool_from_openai(form).parameters) for form in forms}
    assert [tool_from_openai(form) for form in forms] == [Tool("f", "d", schema)] * 3


def test_a_tool_without_a_schema_takes_no_arguments() -> None:
    """A missing schema is the empty object's."""
    assert tool_from_openai({"name": "now"}).parameters == {"type": "object", "properties": {}}


def test_tools_are_loaded_from_a_list_or_a_recorded_request(tmp_path: Path) -> None:
    """``--tools`` takes a bare list as well as a captured request body, with or without a BOM."""
    tool = tool_to_openai(Tool("f", "d", {"type": "object"}))
    bare, request = tmp_path / "bare.json", tmp_path / "request.json"
    bare.write_text(json.dumps([tool]), encoding="utf-8-sig")
    request.write_text(json.dumps({"model": "m", "tools": [tool]}))
    assert load_tools(bare) == load_tools(request) == (Tool("f", "d", {"type": "object"}),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no list of tools"),
        ('{"messages": []}', "holds no list of tools"),
        ('[{"name": "a"}, 3]', r"tools\[1\]: a tool is a number"),
        ('[{"name": ""}]', r"tools\[0\]: name is ''"),
        ('[{"name": "a", "description": 1}]', r"tools\[0\]: description is a number"),
        ('[{"name": "a", "parameters": []}]', r"tools\[0\]: parameters is a list"),
        ('[{"type": "function", "function": 1}]', r"tools\[0\]: function is a number"),
        ('[{"type": "web_search"}]', r"tools\[0\]: type is 'web_search'"),
        ('[{"name": "a"}, {"name": "a"}]', r"tools\[1\]: name 'a' is declared twice"),
    ],
)
def test_a_wrong_tool_is_named_by_file_index_and_field(tmp_path: Path, text: str, says: str) -> None:
    """Every error of a tools file says where it is and what stood there."""
    path = tmp_path / "tools.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"tools\.json: .*{says}"):
        load_tools(path)


def test_a_missing_tools_file_is_one_clear_message(tmp_path: Path) -> None:
    """A path that isn't there, or not UTF-8, ends in a ConfigError."""
    with pytest.raises(ConfigError, match="No such file"):
        load_tools(tmp_path / "none.json")
    (tmp_path / "latin.json").write_bytes(b'["\xe9"]')
    with pytest.raises(ConfigError, match="is not JSON"):
        load_tools(tmp_path / "latin.json")


def test_half_a_character_in_a_tool_is_named(tmp_path: Path) -> None:
    """The store could not hold the prompts that are written with it."""
    path = tmp_path / "tools.json"
    path.write_text('[{"name": "a", "description": "\\ud83d"}]')
    with pytest.raises(ConfigError, match=r"tools\[0\]: \\ud83d is half a character"):
        load_tools(path)
