"""Mistral: ``[TOOL_CALLS][{…}]`` up to tokenizer v7, ``[TOOL_CALLS]name[ARGS]{…}`` from v11 on."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from kvassay.dialect import reader
from kvassay.dialect.base import Declared, Outcome, Piece, Reading
from kvassay.dialect.bodies import Ends, arguments, call_object, headless, read_body
from kvassay.types import Call, JsonValue

name = "mistral"
markers = ("[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", *reader.MARKERS[2:])
signs = ("[TOOL_CALLS]",)
fingerprints = ("[TOOL_CALLS]",)

_OPEN = re.compile(r"\[TOOL_CALLS\]")
_LIST = re.compile(r"\s*(?=\[\s*[{\]])")
# the name may go up to the first brace: tokenizers that hide special tokens leave [ARGS] out (vLLM takes that)
_HEAD = re.compile(r"(?P<name>[^\[\]{]*)(?:\[CALL_ID\][^\[\]{]*)?(?:\[ARGS\]|(?=\{))")
_LIST_ENDS = Ends(close=re.compile(r"(?![{}\[\],;])"), tag="[TOOL_CALLS]", boundary=_OPEN, follow=_OPEN)
_NAMED_ENDS = Ends(close=re.compile(r"(?!)"), tag="[TOOL_CALLS]", boundary=_OPEN, follow=_OPEN)


def parse(text: str, tools: Declared) -> Reading:
    """See Dialect. Text may follow a list of calls (vLLM reads the first JSON value only), but not v11 arguments."""
    return reader.read(text, tools, _find)


def render(calls: Sequence[Call], content: str = "") -> str:
    """See Dialect; the v11 form."""
    bodies = [f"[TOOL_CALLS]{call.name}[ARGS]{json.dumps(call.arguments, ensure_ascii=False)}" for call in calls]
    return "".join([content, *bodies])


def _find(text: str, position: int, _: Declared) -> Piece | None:
    opening = _OPEN.search(text, position)
    if opening is None:
        return None
    if listed := _LIST.match(text, opening.end()):
        return read_body(text, opening.start(), listed.end(), _LIST_ENDS, _list)
    head = _HEAD.match(text, opening.end())
    if head is None:
        return headless(text, opening, _NAMED_ENDS)
    called = head["name"].strip()

    def make(value: JsonValue, source: str) -> tuple[Outcome, ...]:
        return (arguments(called, value, source),)

    return read_body(text, opening.start(), head.end(), _NAMED_ENDS, make)


def _list(value: JsonValue, source: str) -> tuple[Outcome, ...]:
    items = value if isinstance(value, list) else [value]
    return tuple(call_object(item, source) for item in items)
