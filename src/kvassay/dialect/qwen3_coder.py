"""Qwen3-Coder, Qwen3.5, Nemotron 3, StepFun 3.5: ``<tool_call><function=name><parameter=key>value</parameter>…``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from kvassay.dialect import reader
from kvassay.dialect.base import Declared, Reading
from kvassay.dialect.markup import Markup, find
from kvassay.dialect.values import as_text_or_null, typed, written
from kvassay.types import Call, JsonObject, JsonValue

name = "qwen3-coder"
markers = ("<tool_call>", "</tool_call>", *reader.MARKERS[:2])
signs = ("<function=", "<tool_call>")
fingerprints = ("<parameter=",)


def _value(_: re.Match[str], raw: str, schema: JsonObject | None) -> JsonValue:
    """One line break on each side belongs to the format."""
    raw = raw.removeprefix("\n").removesuffix("\n")
    return as_text_or_null(raw) if schema is None else typed(raw, schema, untyped=as_text_or_null)


_HEAD = r"<function=(?P<name>[^<>\n]*)>"
_MARKUP = Markup(
    # a JSON object (hermes) or glm4's tags between the same tags are theirs to judge; the wrapper may be missing
    opening=re.compile(r"<tool_call>(?!\s*[{\[\"]|\s*[^\s<]+\s*<arg_key>)|(?=<function=)"),
    wrapper_ends=("</tool_call>",),
    ahead=re.compile("<function="),
    head=re.compile(_HEAD),
    parameter=re.compile(r"<parameter=(?P<key>[^<>\n]*)>"),
    end="</function>",
    tokens=re.compile(
        r"(?P<open><parameter=[^<>\n]*>)"
        r"|(?P<last></parameter>(?=\s*(?:<parameter=|</function>)))|(?P<close></parameter>)"
        r"|(?P<head><tool_call>\s*<function=)|(?P<end></function>\s*</tool_call>)"
    ),
    boundary=re.compile(r"(?P<close>(?:</function>\s*)?</tool_call>|</function>)|<tool_call>|<function="),
    value=_value,
)


def parse(text: str, tools: Declared) -> Reading:
    """See Dialect. ``<tool_call>`` may be missing on either side (the vendor's, vLLM's and llama.cpp's parsers)."""
    return reader.read(text, tools, partial(find, _MARKUP))


def render(calls: Sequence[Call], content: str = "") -> str:
    """See Dialect."""
    return "\n".join([*([content] if content else []), *(_render(call) for call in calls)])


def _render(call: Call) -> str:
    parameters = "".join(
        f"<parameter={key}>\n{written(value)}\n</parameter>\n" for key, value in call.arguments.items()
    )
    return f"<tool_call>\n<function={call.name}>\n{parameters}</function>\n</tool_call>"
