"""What holds for every dialect and every text."""

from __future__ import annotations

import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dialect.cases import calls, json_values, strings, words
from kvassay.dialect import names, parse
from kvassay.dialect.base import Dialect
from kvassay.dialect.catalog import DIALECTS, markers
from kvassay.types import Call, JsonObject

MARKUP = {"qwen3-coder", "glm4", "minimax-m2"}
_TAGS = ("<parameter", "</parameter", "<arg_", "</arg_", "function", "invoke", "tool_call")
_FRAGMENTS = [*markers(), "<function=f>", "<parameter=x>", "</parameter>", "</function>", "```json\n", "```", "{", "}"]
_FRAGMENTS += [
    '{"name": "f", "arguments": {}}',
    '"',
    "\\",
    "\n",
    " ",
    "[",
    "]",
    ";",
    "f",
    "functions.f:0",
    "to=functions.f ",
]
raw_texts = st.lists(st.sampled_from(_FRAGMENTS) | st.text(max_size=4), max_size=24).map("".join)
# a markup format can't quote its own tags, and its keys are bare words
markup_values = json_values.filter(lambda value: not any(tag in str(value) for tag in _TAGS))
markup_calls = st.builds(Call, words, st.dictionaries(words, markup_values, max_size=4))


def _type(value: object) -> str:
    types = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    return types.get(type(value), "null")


def _tools(made: list[Call]) -> list[JsonObject]:
    """Tools whose schemas type these calls' arguments."""
    tools: list[JsonObject] = []
    for call in made:
        properties: JsonObject = {key: {"type": _type(value)} for key, value in call.arguments.items()}
        tools.append({"name": call.name, "parameters": {"type": "object", "properties": properties}})
    return tools


@pytest.mark.parametrize("dialect", DIALECTS, ids=names())
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_is_rendered_is_read_back(dialect: Dialect, data: st.DataObject) -> None:
    """Any arguments the format can carry, markers in strings included, survive the round trip."""
    source = markup_calls if dialect.name in MARKUP else calls
    made = data.draw(st.lists(source, min_size=1, max_size=3, unique_by=lambda call: call.name))
    content = data.draw(st.sampled_from(["", "Let me see.", "Ünïcode 値 first:"]))
    parsed = parse(dialect.render(made, content), dialect.name, _tools(made))
    assert parsed["faults"] == []
    assert parsed["calls"] == [{"name": call.name, "arguments": call.arguments} for call in made]
    assert parsed["content"] == content


@pytest.mark.parametrize("dialect", DIALECTS, ids=names())
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_prefix_holds_a_call_that_was_not_complete(dialect: Dialect, data: st.DataObject) -> None:
    """Wherever generation is cut, the calls read are the first of those made, whole: nothing is ever completed."""
    source = markup_calls if dialect.name in MARKUP else calls
    made = data.draw(st.lists(source, min_size=1, max_size=2, unique_by=lambda call: call.name))
    whole = dialect.render(made)
    cut = data.draw(st.integers(0, len(whole) - 1))
    for name in (dialect.name, "auto"):
        read = parse(whole[:cut], name, _tools(made))["calls"]
        assert read == [{"name": call.name, "arguments": call.arguments} for call in made[: len(read)]]


@pytest.mark.parametrize("dialect", ["auto", *names()])
@settings(deadline=None)
@given(text=raw_texts)
def test_every_text_has_a_reading(dialect: str, text: str) -> None:
    """No text raises, every fault's text is a piece of it, and the result is plain data."""
    parsed = parse(text, dialect, [{"name": "f"}])
    assert all(fault["text"] in text for fault in parsed["faults"])
    assert all(isinstance(call["arguments"], dict) and call["name"] for call in parsed["calls"])


@settings(deadline=None)
@given(strings)
def test_prose_is_content(text: str) -> None:
    """A text without any marker or bracket comes back as it is."""
    assume(not any(sign in text for sign in "<>[]{}`｜"))
    assert parse(text)["content"] == text.strip() or text.strip().endswith("</s>")


_CALL = '{"name": "a", "arguments": {}}'
ADVERSARIAL = [
    "{",
    "[",
    "[{",
    '{"a":',
    '{"name": "a" ',
    _CALL,
    _CALL + "\n",
    '{"name": "a", "arguments": {bad}\n',
    "<tool_call>",
    f"<tool_call>{_CALL}",
    '<tool_call>{"name": "a", "arguments": {"x": "</think>"}}</tool_call>',
    "<tool_call>a<arg_key>a</arg_key><arg_value>",
    "<function=a><parameter=b>",
    "<parameter=",
    "<tool_call><function=a><parameter=",
    '<minimax:tool_call><invoke name="a"><parameter name="',
    '<｜DSML｜tool_calls><｜DSML｜invoke name="',
    "<think></think>",
    "<think>",
    "</think>",
    "```json\n{",
    "[TOOL_CALLS]",
    "[TOOL_CALLS]a[ARGS]{",
    "<|start|>",
    "<|channel|>to=functions.a<|message|>",
    "<|python_tag|>{",
    "<|tool_call_begin|>a",
    "<｜tool▁call▁begin｜>",
    "a\n{",
    'a\n{"a": 1}\n',
    "a",
    '"',
    "\\",
    " ",
    "<|im_end|> ",
]


@pytest.mark.parametrize("unit", ADVERSARIAL)
def test_adversarial_text_is_read_in_linear_time(unit: str) -> None:
    """Nothing over and over, nor any amount of white space, makes a dialect look at the same text again and again."""
    start = time.process_time()
    parse(unit * (200_000 // len(unit)), "auto", [{"name": "a"}])
    parse(unit + " " * 200_000 + unit, "auto", [{"name": "a"}])
    for name in names():
        parse(unit * (30_000 // len(unit)), name, [{"name": "a"}])
    assert time.process_time() - start < 12  # one to two seconds; quadratic time takes minutes
