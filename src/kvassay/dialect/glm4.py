"""GLM-4.5 to 4.7: ``<tool_call>name<arg_key>k</arg_key><arg_value>v</arg_value>…``; GLM-4-0414: name, line, JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from kvassay.dialect import reader
from kvassay.dialect.base import Declared, Outcome, Piece, Reading
from kvassay.dialect.bodies import Ends, arguments, read_body
from kvassay.dialect.markup import Markup, find
from kvassay.dialect.values import as_json_or_text, typed, written
from kvassay.types import Call, JsonObject, JsonValue

name = "glm4"
markers = ("<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", *reader.MARKERS[:2])
signs = ("<tool_call>",)
# the second is GLM-4-0414's: "when calling these functions, state the arguments as JSON"
fingerprints = ("<arg_key>", "请使用 Json 格式表示调用的参数")


def _value(_: re.Match[str], raw: str, schema: JsonObject | None) -> JsonValue:
    return as_json_or_text(raw) if schema is None else typed(raw, schema, untyped=as_json_or_text)


_MARKUP = Markup(
    opening=re.compile(r"<tool_call>(?!\s*(?:[{\[\"]|<function=))"),  # those are hermes' and qwen3-coder's
    wrapper_ends=(),
    ahead=re.compile(r"[^\s<]"),
    head=re.compile(r"(?P<name>[^\s<>]+)"),
    parameter=re.compile(r"<arg_key>(?P<key>[^<]*)</arg_key>\s*<arg_value>"),
    end="</tool_call>",
    tokens=re.compile(
        r"(?P<open><arg_key>[^<]*</arg_key>\s*<arg_value>)"
        r"|(?P<last></arg_value>(?=\s*(?:<arg_key>|</tool_call>)))|(?P<close></arg_value>)"
        r"|(?P<head><tool_call>\s*[^\s<>]+\s*<arg_key>)|(?P<end></tool_call>)"
    ),
    boundary=re.compile(r"(?P<close></tool_call>)|<tool_call>"),
    value=_value,
)
_PLAIN = re.compile(r"\s*(?P<name>[A-Za-z_][\w.-]*)\n\s*(?=\{)")
_PLAIN_NEXT = re.compile(r"<\|assistant\|>|^[A-Za-z_][\w.-]*\n(?=\{)", re.MULTILINE)
_PLAIN_ENDS = Ends(close=re.compile(r"<\|assistant\|>"), tag="<|assistant|>", boundary=_PLAIN_NEXT, follow=_PLAIN)


def parse(text: str, tools: Declared) -> Reading:
    """See Dialect. Without ``<tool_call>``, a text that is nothing but calls in GLM-4-0414's form."""
    return reader.read(text, tools, partial(find, _MARKUP) if "<tool_call>" in text else _find_plain)


def render(calls: Sequence[Call], content: str = "") -> str:
    """See Dialect; the tagged form."""
    return "\n".join([*([content] if content else []), *(_render(call) for call in calls)])


def _render(call: Call) -> str:
    pairs = "".join(
        f"<arg_key>{key}</arg_key>\n<arg_value>{written(value)}</arg_value>\n" for key, value in call.arguments.items()
    )
    return f"<tool_call>{call.name}\n{pairs}</tool_call>"


def _find_plain(text: str, position: int, _: Declared) -> Piece | None:
    head = _PLAIN.match(text, position)
    if head is None:
        return None

    def make(value: JsonValue, source: str) -> tuple[Outcome, ...]:
        return (arguments(head["name"], value, source),)

    return read_body(text, head.start(), head.end(), _PLAIN_ENDS, make)
