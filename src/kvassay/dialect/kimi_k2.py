"""Kimi K2: ``<|tool_call_begin|>functions.name:0<|tool_call_argument_begin|>{…}<|tool_call_end|>`` in a section."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from kvassay.dialect import reader
from kvassay.dialect.base import Declared, Outcome, Piece, Reading
from kvassay.dialect.bodies import Ends, arguments, headless, read_body
from kvassay.types import Call, JsonValue

name = "kimi-k2"
_SECTION = ("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>")
_ITEM = ("<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>")
markers = (*_SECTION, *_ITEM, *reader.MARKERS[:2])
signs = ("<|tool_call_begin|>", "<|tool_calls_section_begin|>")
fingerprints = ("<|tool_calls_section_begin|>",)

_ANY = re.compile(r"<\|tool_calls_section_(?:begin|end)\|>|<\|tool_call_begin\|>")
_BREAKS = re.compile(r"<\|tool_calls_section_begin\|>|<\|tool_call_begin\|>")
_HEAD = re.compile(r"<\|tool_call_begin\|>(?P<id>[^<]*)<\|tool_call_argument_begin\|>")
_ID = re.compile(r"(?:functions\.)?(?P<name>[^\s:]+):\d+")
_NEXT = re.compile(r"<\|tool_call_begin\|>|<\|tool_calls_section_end\|>")
_ENDS = Ends(
    close=re.compile(r"<\|tool_call_end\|>"),
    tag="<|tool_call_end|>",
    boundary=re.compile(rf"(?P<close><\|tool_call_end\|>)|{_NEXT.pattern}"),
    follow=_NEXT,
)


def parse(text: str, tools: Declared) -> Reading:
    """See Dialect. Section markers and a last end marker may be missing (llama.cpp's parser takes that), and
    the first marker ends thinking that is still open (vLLM's and llama.cpp's parsers).
    """
    return reader.read(text, tools, _find, breaks=_BREAKS)


def render(calls: Sequence[Call], content: str = "") -> str:
    """See Dialect."""
    items = "".join(
        f"<|tool_call_begin|>functions.{call.name}:{index}<|tool_call_argument_begin|>"
        f"{json.dumps(call.arguments, ensure_ascii=False)}<|tool_call_end|>"
        for index, call in enumerate(calls)
    )
    return f"{content}{_SECTION[0]}{items}{_SECTION[1]}" if calls else content


def _find(text: str, position: int, _: Declared) -> Piece | None:
    opening = _ANY.search(text, position)
    if opening is None or opening.group() != _ITEM[0]:
        return Piece(*opening.span()) if opening else None
    head = _HEAD.match(text, opening.start())
    if head is None:
        return headless(text, opening, _ENDS)

    def make(value: JsonValue, source: str) -> tuple[Outcome, ...]:
        named = _ID.fullmatch(head["id"].strip())
        return (arguments(named["name"] if named else "", value, source),)

    return read_body(text, opening.start(), head.end(), _ENDS, make)
