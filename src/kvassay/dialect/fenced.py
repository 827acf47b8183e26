"""Calls in Markdown fences: ```` ```json ```` or ```` ```tool_call ```` around an object or a list of them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from kvassay.dialect import bare, reader
from kvassay.dialect.base import Declared, Outcome, Piece, Reading
from kvassay.dialect.bodies import Ends, call_object, read_body
from kvassay.types import Call, JsonValue

name = "fenced"
markers: tuple[str, ...] = ()
signs = ("```",)
fingerprints: tuple[str, ...] = ()

_CALL_WORDS = {"tool_call", "tool_calls", "tool", "function", "function_call", "function_calls", "tool_code"}
_DATA_WORDS = {"", "json"}
_OPEN = re.compile(r"```(?P<word>[\w+.-]*)\s*(?=[{\[])")
_ENDS = Ends(close=re.compile("```"), tag="```", boundary=re.compile(r"^[ \t]*(?P<close>```)", re.MULTILINE))


def parse(text: str, tools: Declared) -> Reading:
    """See Dialect. The closing fence may be missing at the very end; other JSON in fences is text."""
    return reader.read(text, tools, _find)


def render(calls: Sequence[Call], content: str = "") -> str:
    """See Dialect; one fence for each call."""
    bodies = [json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False) for call in calls]
    return "\n".join([*([content] if content else []), *(f"```json\n{body}\n```" for body in bodies)])


def _find(text: str, position: int, tools: Declared) -> Piece | None:
    while opening := _OPEN.search(text, position):
        for_calls = opening["word"] in _CALL_WORDS
        if not for_calls and opening["word"] not in _DATA_WORDS:
            position = opening.end()
            continue

        def make(value: JsonValue, source: str, *, for_calls: bool = for_calls) -> tuple[Outcome, ...]:
            judged = bare.judge(value, source, tools)
            return judged or ((call_object(value, source, bare.ARGUMENT_KEYS),) if for_calls else ())

        found = read_body(text, opening.start(), opening.end(), _ENDS, make)
        if found.calls or (found.faults and (for_calls or bare.meant(text, opening.end(), tools))):
            return found
        position = found.end
    return None
