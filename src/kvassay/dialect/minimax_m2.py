"""MiniMax-M2: ``<minimax:tool_call><invoke name="…"><parameter name="…">value</parameter></invoke>…``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from kvassay.dialect import reader
from kvassay.dialect.base import Declared, Reading
from kvassay.dialect.markup import Markup, find
from kvassay.dialect.values import as_text_or_null, typed, written
from kvassay.types import Call, JsonObject, JsonValue

name = "minimax-m2"
markers = ("<minimax:tool_call>", "</minimax:tool_call>", *reader.MARKERS[:2])
signs = ("<minimax:tool_call>",)
fingerprints = ("<minimax:tool_call>",)


def _value(_: re.Match[str], raw: str, schema: JsonObject | None) -> JsonValue:
    """Verbatim, but for a line break on both sides: some write the value on lines of its own."""
    if len(raw) > 1 and raw.startswith("\n") and raw.endswith("\n"):
        raw = raw[1:-1]
    return as_text_or_null(raw) if schema is None else typed(raw, schema, untyped=as_text_or_null)


_MARKUP = Markup(
    opening=re.compile("<minimax:tool_call>"),
    wrapper_ends=("</minimax:tool_call>",),
    ahead=re.compile("<invoke"),
    head=re.compile(r"<invoke\s+name=[\"']?(?P<name>[^<>\"'\n]*)[\"']?>"),
    parameter=re.compile(r"<parameter\s+name=[\"']?(?P<key>[^<>\"'\n]*)[\"']?>"),
    end="</invoke>",
    tokens=re.compile(
        r"(?P<open><parameter\s+name=[^<>\n]*>)"
        r"|(?P<last></parameter>(?=\s*(?:<parameter\s|</invoke>)))|(?P<close></parameter>)"
        r"|(?P<head><invoke\s+name=[^<>\n]*>)|(?P<end></invoke>)"
    ),
    boundary=re.compile(r"(?P<close></invoke>|</minimax:tool_call>)|<invoke\s|<minimax:tool_call>"),
    value=_value,
)


def parse(text: str, tools: Declared) -> Reading:
    """See Dialect. The section's end marker may be missing at the end (SGLang's parser takes that)."""
    return reader.read(text, tools, partial(find, _MARKUP))


def render(calls: Sequence[Call], content: str = "") -> str:
    """See Dialect."""
    bodies = "".join(f'<invoke name="{call.name}">\n{_parameters(call)}</invoke>\n' for call in calls)
    section = f"<minimax:tool_call>\n{bodies}</minimax:tool_call>"
    return "\n".join([*([content] if content else []), *([section] if calls else [])])


def _parameters(call: Call) -> str:
    return "".join(f'<parameter name="{key}">{_text(value)}</parameter>\n' for key, value in call.arguments.items())


def _text(value: JsonValue) -> str:
    text = written(value)
    return f"\n{text}\n" if text.startswith("\n") and text.endswith("\n") else text
