"""Hermes 2/3, Qwen2.5, Qwen3, Granite 4 …: ``<tool_call>{"name": …, "arguments": {…}}</tool_call>``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from kvassay.dialect import reader
from kvassay.dialect.base import Declared, Outcome, Piece, Reading
from kvassay.dialect.bodies import Ends, call_object, read_body
from kvassay.types import Call, JsonValue

name = "hermes"
markers = ("<tool_call>", "</tool_call>", *reader.MARKERS[:2])
signs = ("<tool_call>",)
fingerprints = ("<tool_call>",)

# qwen3-coder and glm4 write other things between the same tags: those are theirs to judge
_OPEN = re.compile(r"<tool_call>(?!\s*(?:<function=|[^\s<{\[\"]+\s*<arg_key>))")
_ENDS = Ends(
    close=re.compile("</tool_call>"),
    tag="</tool_call>",
    boundary=re.compile("(?P<close></tool_call>)|<tool_call>"),
)


def parse(text: str, tools: Declared) -> Reading:
    """See Dialect. A closing tag may be missing at the very end (vLLM's hermes parser takes that)."""
    return reader.read(text, tools, _find)


def render(calls: Sequence[Call], content: str = "") -> str:
    """See Dialect."""
    bodies = [json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False) for call in calls]
    return "\n".join([*([content] if content else []), *(f"<tool_call>\n{body}\n</tool_call>" for body in bodies)])


def _find(text: str, position: int, _: Declared) -> Piece | None:
    opening = _OPEN.search(text, position)
    return read_body(text, opening.start(), opening.end(), _ENDS, _make) if opening else None


def _make(value: JsonValue, source: str) -> tuple[Outcome, ...]:
    return (call_object(value, source),)
