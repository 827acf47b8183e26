"""Dialects by name and by chat template."""

from __future__ import annotations

import pytest

from kvassay.dialect import detect, markers, named, names, parse
from kvassay.errors import ConfigError

# decisive excerpts of the templates that ship with llama.cpp (models/templates)
TEMPLATES = [
    ('{{- \'\\n<tool_call>\\n{"name": "\' }}', "hermes"),  # Qwen2.5, Qwen3, Hermes 2 Pro, Granite 4
    ("{{- '\\n<tool_call>\\n<function=' + tool_call.name + '>\\n' }}<parameter=", "qwen3-coder"),  # Qwen3.5, Nemotron 3
    ("{{ '\\n<tool_call>' + tc.name }}<arg_key>{{ k }}</arg_key>", "glm4"),  # GLM 4.5 to 4.7, Laguna, Ling
    ("{{- '<|python_tag|>' + tool_call.name + \".call(\" }}", "llama3"),  # Llama 3.1, 3.3
    ('{"name": function name, "parameters": dictionary of argument name and its value}.', "llama3"),  # Llama 3.2
    ("{{- '[TOOL_CALLS]' + tool_call.function.name + '[ARGS]' }}", "mistral"),
    ("<|start|>assistant<|channel|>commentary to=functions.", "harmony"),
    ("{{'<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>'}}", "deepseek"),
    ("{%- set dsml_token = '｜DSML｜' -%}", "deepseek"),
    ("{{render_content(message)}}<|tool_calls_section_begin|>", "kimi-k2"),
    ("{%- set toolcall_begin_token = '<minimax:tool_call>' -%}<invoke name=", "minimax-m2"),
    ("{{ '<seed:tool_call>\\n<function=' }}<parameter=", None),  # ByteDance Seed-OSS
    ("]<]minimax[>[<tool_call>", None),  # MiniMax-M3
    ("<tool_calls>[{'name': ...}]</tool_calls> <tool_call>", None),  # Apriel
    ("{{ 'functools[' }}", None),
    ("{{ bos_token }}{{ message['content'] }}", None),
]


@pytest.mark.parametrize(("template", "name"), TEMPLATES)
def test_a_chat_template_tells_the_native_dialect(template: str, name: str | None) -> None:
    """The format a template teaches is found; one that is another language is not mistaken for ours."""
    assert detect(template) == name


def test_an_unknown_dialect_is_refused_with_the_nearest_name() -> None:
    """The error lists all names and suggests the one meant."""
    with pytest.raises(ConfigError) as caught:
        parse("x", "qwen-coder")
    assert "'qwen-coder'" in str(caught.value)
    assert "'qwen3-coder'?" in str(caught.value)
    assert all(name in caught.value.hint for name in names())


def test_a_tool_without_a_name_is_refused() -> None:
    """Tools of a wrong shape are the user's error, not silently dropped."""
    with pytest.raises(ConfigError, match="has no name"):
        parse("x", tools=[{"type": "function"}])


def test_markers_are_all_dialects_special_tokens_once() -> None:
    """What a back end must preserve holds each dialect's markers, without repetition."""
    assert len(set(markers())) == len(markers())
    assert all(marker in markers() for name in names() for marker in named(name).markers)
    assert {"<tool_call>", "[TOOL_CALLS]", "<|python_tag|>", "<|channel|>", "</think>"} <= set(markers())
