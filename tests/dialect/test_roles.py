"""Which role each character and each token of a turn has, in every format, whole, cut off and broken."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialect.test_properties import raw_texts
from kvassay.dialect import names
from kvassay.dialect.base import Declared, Dialect
from kvassay.dialect.catalog import DIALECTS
from kvassay.dialect.roles import TokenRole, roles_of_tokens, spans
from kvassay.types import Call

TOOLS: Declared = {
    "edit": {
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "line": {"type": "integer"},
            "mode": {"anyOf": [{"$ref": "#/$defs/Mode"}, {"type": "null"}]},
            "hunks": {"type": "array", "items": {"type": "object", "properties": {"kind": {"enum": ["add", "del"]}}}},
            "dry": {"type": "boolean"},
        },
        "$defs": {"Mode": {"type": "string", "enum": ["fast", "safe"]}},
    }
}
CALL = Call("edit", {"path": "a.py", "line": 12, "mode": "fast", "hunks": [{"kind": "add", "text": "x"}], "dry": True})
EXPECTED = {
    TokenRole.TOOL: ["edit"],
    TokenRole.PARAMETER: ["path", "line", "mode", "hunks", "kind", "text", "dry"],
    TokenRole.STRING: ["a.py", "x"],
    TokenRole.NUMBER: ["12"],
    TokenRole.ENUM: ["fast", "add", "true"],
}


def told(text: str, tools: Declared = TOOLS) -> dict[TokenRole, list[str]]:
    """The stretches of each role, punctuation left out."""
    found: dict[TokenRole, list[str]] = {}
    for start, end, role in spans(text, tools):
        if role is not TokenRole.PUNCTUATION:
            found.setdefault(role, []).append(text[start:end])
    return found


@pytest.mark.parametrize("dialect", DIALECTS, ids=names())
def test_a_rendered_call_has_its_parts_told_apart(dialect: Dialect) -> None:
    assert told(dialect.render([CALL])) == EXPECTED


@pytest.mark.parametrize("dialect", DIALECTS, ids=names())
def test_what_is_said_before_a_call_is_prose(dialect: Dialect) -> None:
    found = told(dialect.render([CALL], "I see."))
    assert [text.strip() for text in found.pop(TokenRole.PROSE)] == ["I see."]
    assert found == EXPECTED


@pytest.mark.parametrize("dialect", DIALECTS, ids=names())
def test_several_calls_each_have_their_parts(dialect: Dialect) -> None:
    text = dialect.render([CALL, Call("read", {"file": "b"})])
    found = told(text)
    assert found[TokenRole.TOOL] == ["edit", "read"]
    assert found[TokenRole.PARAMETER][-1] == "file"
    assert found[TokenRole.STRING][-1] == "b"
    assert TokenRole.PROSE not in found


@pytest.mark.parametrize("dialect", DIALECTS, ids=names())
def test_wherever_a_call_is_cut_off_its_beginning_keeps_its_roles(dialect: Dialect) -> None:
    """But for the last word, whose meaning may hang on what would have followed."""
    whole = dialect.render([CALL])
    at = whole.index("a.py") + 2
    found = told(whole[:at])
    assert found[TokenRole.TOOL] == ["edit"]
    assert found[TokenRole.PARAMETER] == ["path"]
    assert found[TokenRole.STRING] == ["a."]


HAND_WRITTEN = {
    "python tag, JSON": '<|python_tag|>{"name": "edit", "parameters": {"path": "a", "mode": "safe"}}<|eom_id|>',
    "python tag, call": '<|python_tag|>edit.call(path="a", mode="safe")<|eom_id|>',
    "mistral, list": '[TOOL_CALLS][{"name": "edit", "arguments": {"path": "a", "mode": "safe"}}]</s>',
    "mistral, id": '[TOOL_CALLS]edit[CALL_ID]abc[ARGS]{"path": "a", "mode": "safe"}',
    "deepseek v3": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>edit\n```json\n"
    '{"path": "a", "mode": "safe"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    "dsml": '<｜DSML｜function_calls>\n<｜DSML｜invoke name="edit">\n<｜DSML｜parameter name="path" string="true">a'
    '</｜DSML｜parameter>\n<｜DSML｜parameter name="mode" string="true">safe</｜DSML｜parameter>\n</｜DSML｜invoke>\n'
    "</｜DSML｜function_calls>",
    "harmony, role header": "<|start|>assistant to=functions.edit<|channel|>commentary json<|message|>"
    '{"path": "a", "mode": "safe"}<|call|>',
    "kimi without section": "<|tool_call_begin|>functions.edit:3<|tool_call_argument_begin|>"
    '{"path": "a", "mode": "safe"}<|tool_call_end|>',
    "glm 4 0414": 'edit\n{"path": "a", "mode": "safe"}',
    "glm 4.5": "<tool_call>edit\n<arg_key>path</arg_key>\n<arg_value>a</arg_value>\n<arg_key>mode</arg_key>\n"
    "<arg_value>safe</arg_value>\n</tool_call>",
    "qwen3-coder": "<tool_call>\n<function=edit>\n<parameter=path>\na\n</parameter>\n<parameter=mode>\nsafe\n"
    "</parameter>\n</function>\n</tool_call><|im_end|>",
    "arguments first": '{"arguments": {"path": "a", "mode": "safe"}, "name": "edit"}',
    "fence for calls": '```tool_call\n{"name": "edit", "arguments": {"path": "a", "mode": "safe"}}\n```',
}


@pytest.mark.parametrize("text", HAND_WRITTEN.values(), ids=HAND_WRITTEN)
def test_calls_as_models_write_them_have_their_parts_told_apart(text: str) -> None:
    assert told(text) == {
        TokenRole.TOOL: ["edit"],
        TokenRole.PARAMETER: ["path", "mode"],
        TokenRole.STRING: ["a"],
        TokenRole.ENUM: ["safe"],
    }


def test_arguments_in_a_string_are_one_string() -> None:
    found = told('{"type": "function", "function": {"name": "edit", "arguments": "{\\"path\\": 1}"}}')
    assert found == {TokenRole.TOOL: ["edit"], TokenRole.STRING: ['{\\"path\\": 1}']}


def test_code_behind_the_python_tag_is_one_string() -> None:
    assert told("<|python_tag|>import os\nprint({1: 2})") == {TokenRole.STRING: ["import os\nprint({1: 2})"]}


@pytest.mark.parametrize(
    "text",
    ["The answer is 42.", 'It is {"a": 1} here, [x] there.', '```json\n{"key": 2}\n```', "edits\n{no}", "", "  \n"],
)
def test_text_without_a_call_is_prose(text: str) -> None:
    assert {role for _, _, role in spans(text, TOOLS)} <= {TokenRole.PROSE}


def test_thinking_is_prose_whatever_stands_in_it() -> None:
    found = told('<think>{"name": "edit", "arguments": {}}</think>Done.')
    assert found == {TokenRole.PROSE: ['{"name": "edit", "arguments": {}}', "Done."]}


def test_without_schemas_only_literals_are_enums() -> None:
    found = told('<tool_call>{"name": "f", "arguments": {"a": "fast", "b": null}}</tool_call>', {})
    assert found[TokenRole.STRING] == ["fast"]
    assert found[TokenRole.ENUM] == ["null"]


def test_a_string_that_looks_like_json_stays_one_where_the_schema_says_string() -> None:
    text = "<function=edit>\n<parameter=path>\n[1, 2]\n</parameter>\n</function>"
    assert told(text)[TokenRole.STRING] == ["[1, 2]"]


@settings(max_examples=300, deadline=None)
@given(raw_texts | st.text())
def test_the_spans_partition_any_text(text: str) -> None:
    found = spans(text, TOOLS)
    assert "".join(text[start:end] for start, end, _ in found) == text
    assert all(start < end for start, end, _ in found)
    assert all(one.end == other.start and one.role != other.role for one, other in pairwise(found))


@settings(max_examples=100, deadline=None)
@given(st.lists(raw_texts | st.just(""), max_size=8))
def test_every_token_of_any_text_has_a_role(pieces: list[str]) -> None:
    assert len(roles_of_tokens(pieces, TOOLS)) == len(pieces)


def test_a_token_over_several_roles_has_that_of_the_name_or_value() -> None:
    pieces = ["<tool_call>", '{"', "name", '": "', "edit", '", "', "arguments", '":', ' {"path', '":', ' "a.py', '"}}']
    assert roles_of_tokens([*pieces, "</tool_call>", ""], TOOLS) == (
        *[TokenRole.PUNCTUATION] * 4,
        TokenRole.TOOL,
        *[TokenRole.PUNCTUATION] * 3,
        TokenRole.PARAMETER,
        TokenRole.PUNCTUATION,
        TokenRole.STRING,
        *[TokenRole.PUNCTUATION] * 3,  # the end of the turn goes with the tag before it
    )


def test_a_token_of_no_text_at_all_is_prose() -> None:
    assert roles_of_tokens(["", ""], TOOLS) == (TokenRole.PROSE, TokenRole.PROSE)


def test_circular_schemas_end() -> None:
    node = {"$ref": "#/$defs/node"}
    tools: Declared = {"f": {"properties": {"a": node}, "$defs": {"node": {"anyOf": [node, node]}}}}
    assert told('<tool_call>{"name": "f", "arguments": {"a": "x"}}</tool_call>', tools)[TokenRole.STRING] == ["x"]
