"""DeepSeek: V3 and R1 (fenced arguments), V3.1 (bare arguments), V3.2 and V4 (DSML)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from kvassay.dialect import dsml, reader
from kvassay.dialect.base import Declared, Outcome, Piece, Reading
from kvassay.dialect.bodies import Ends, arguments, headless, read_body
from kvassay.types import Call, JsonValue, ParseFault

name = "deepseek"
_BEGIN, _END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_ITEM, _SEP, _ITEM_END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"
markers = (_BEGIN, _END, _ITEM, _SEP, _ITEM_END, *dsml.markers, *reader.MARKERS[:2])
signs = (_BEGIN, _ITEM, *dsml.signs)
fingerprints = (_BEGIN, *dsml.markers)

_ANY = re.compile(f"{_BEGIN}|{_END}|{_ITEM}")
_FENCED = re.compile(rf"{_ITEM}[^<\n]*{_SEP}(?P<name>[^<\n]+)\n\s*```(?:json)?")
_PLAIN = re.compile(rf"{_ITEM}(?P<name>[^<\n]*){_SEP}")
_BOUNDARY = re.compile(rf"(?P<close>{_ITEM_END})|{_ITEM}|{_END}")
_FENCED_ENDS = Ends(re.compile(rf"```\s*{_ITEM_END}"), f"```{_ITEM_END}", _BOUNDARY, open_ended=False)
_PLAIN_ENDS = Ends(re.compile(_ITEM_END), _ITEM_END, _BOUNDARY, open_ended=False)


def parse(text: str, tools: Declared) -> Reading:
    """See Dialect. Each call must be closed; only the section's end marker may be missing (vLLM's parsers)."""
    if _BEGIN not in text and _ITEM not in text:
        return dsml.parse(text, tools)
    return reader.read(text, tools, _find if _BEGIN in text else _find_unannounced)


def render(calls: Sequence[Call], content: str = "") -> str:
    """See Dialect; the V3.1 form."""
    bodies = [f"{_ITEM}{call.name}{_SEP}{json.dumps(call.arguments, ensure_ascii=False)}{_ITEM_END}" for call in calls]
    return "".join([content, _BEGIN, *bodies, _END]) if calls else content


def _find(text: str, position: int, _: Declared) -> Piece | None:
    opening = _ANY.search(text, position)
    if opening is None or opening.group() != _ITEM:
        return Piece(*opening.span()) if opening else None
    fenced = _FENCED.match(text, opening.start())
    head = fenced or _PLAIN.match(text, opening.start())
    if head is None:
        return headless(text, opening, _PLAIN_ENDS)

    def make(value: JsonValue, source: str) -> tuple[Outcome, ...]:
        return (arguments(head["name"].strip(), value, source),)

    return read_body(text, opening.start(), head.end(), _FENCED_ENDS if fenced else _PLAIN_ENDS, make)


def _find_unannounced(text: str, position: int, tools: Declared) -> Piece | None:
    """Calls outside a section are text to every reference parser."""
    found = _find(text, position, tools)
    if found is None or not found.calls:
        return found
    fault = ParseFault("leaked", f"the call stands outside {_BEGIN}", text[found.start : found.end])
    return Piece(found.start, found.end, faults=(fault,))
