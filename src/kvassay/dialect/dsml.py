"""DSML, the markup of DeepSeek V3.2 and V4: parameters say themselves whether they are strings."""

from __future__ import annotations

import re
from functools import partial

from kvassay.dialect import reader
from kvassay.dialect.base import Declared, Reading
from kvassay.dialect.markup import Markup, find
from kvassay.dialect.strict_json import Broken, read
from kvassay.types import JsonObject, JsonValue

markers = ("｜DSML｜",)
signs = ("<｜DSML｜",)


def _value(parameter: re.Match[str], raw: str, _: JsonObject | None) -> JsonValue | Broken:
    if parameter["string"] == "true":
        return raw
    outcome = read(raw)
    return outcome if isinstance(outcome, Broken) else outcome.value


_PARAMETER = r'<｜DSML｜parameter\s+name="(?P<key>[^<>"\n]*)"\s+string="(?P<string>true|false)"\s*>'
_MARKUP = Markup(
    opening=re.compile(r"<｜DSML｜(?:function_calls|tool_calls)>"),
    wrapper_ends=("</｜DSML｜function_calls>", "</｜DSML｜tool_calls>"),
    ahead=re.compile("<｜DSML｜invoke"),
    head=re.compile(r'<｜DSML｜invoke\s+name="(?P<name>[^<>"\n]*)"\s*>'),
    parameter=re.compile(_PARAMETER),
    end="</｜DSML｜invoke>",
    tokens=re.compile(
        r"(?P<open><｜DSML｜parameter\s)"
        r"|(?P<last></｜DSML｜parameter>(?=\s*(?:<｜DSML｜parameter\s|</｜DSML｜invoke>)))|(?P<close></｜DSML｜parameter>)"
        r"|(?P<head><｜DSML｜invoke\s)|(?P<end></｜DSML｜invoke>)"
    ),
    boundary=re.compile(
        r"(?P<close></｜DSML｜(?:invoke|function_calls|tool_calls)>)|<｜DSML｜(?:invoke\s|(?:function_calls|tool_calls)>)"
    ),
    value=_value,
)


def parse(text: str, tools: Declared) -> Reading:
    """Read a whole output. The section's end marker may be missing at the end (vLLM's streaming parser)."""
    return reader.read(text, tools, partial(find, _MARKUP))
