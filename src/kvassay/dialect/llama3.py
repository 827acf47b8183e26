"""Llama 3.x: ``{"name": …, "parameters": {…}}``, several with ``;`` between; ``<|python_tag|>`` for JSON and code."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from kvassay.dialect import bare, reader
from kvassay.dialect.base import Declared, Outcome, Piece, Reading, piece
from kvassay.dialect.bodies import Ends, call_object, read_body
from kvassay.dialect.strict_json import Broken, scan, skip_blank
from kvassay.types import Call, JsonObject, JsonValue, ParseFault

name = "llama3"
markers = ("<|python_tag|>",)
signs = ("<|python_tag|>",)
fingerprints = ("<|python_tag|>", '"parameters": dictionary of argument name and its value}')

_CODE_TOOLS = (
    "code_interpreter",
    "python",
    "ipython",
)  # the name that a declared code tool may have; the first is Meta's
_ANY = re.compile(rf"<\|python_tag\|>|{bare.START}")
_BETWEEN = re.compile(r"\s*;\s*(?=\{)|\s*;\s*\Z")
_DOTTED = re.compile(r"[A-Za-z_][\w.]*")
_CALL = re.compile(r"(?P<name>[A-Za-z_]\w*)\.call\(\s*")
_KEY = re.compile(r"(?P<key>[A-Za-z_]\w*)\s*=\s*")
_JSON_ENDS = Ends(
    close=re.compile(r";|(?=<\|python_tag\|>)"),
    tag=";",
    boundary=re.compile(r";\s{0,8}(?=\{)|<\|python_tag\|>"),
)


def parse(text: str, tools: Declared) -> Reading:
    """See Dialect. Objects may stand anywhere in the text (vLLM's llama3_json parser); ``arguments`` will do for
    ``parameters``. Code behind the tag is a call of the code tool, the text of which can't tell that it was cut.
    """
    return reader.read(text, tools, _find)


def render(calls: Sequence[Call], content: str = "") -> str:
    """See Dialect."""
    bodies = [json.dumps({"name": call.name, "parameters": call.arguments}, ensure_ascii=False) for call in calls]
    return "\n".join([*([content] if content else []), *(["; ".join(bodies)] if calls else [])])


def _find(text: str, position: int, tools: Declared) -> Piece | None:
    while start := _ANY.search(text, position):
        if start.group() == "<|python_tag|>":
            return _tagged(text, start, tools)
        found = bare.value_at(text, start.start(), tools)
        if isinstance(found, Piece):
            between = _BETWEEN.match(text, found.end)
            return Piece(found.start, between.end() if between else found.end, found.calls, found.faults)
        position = found
    return None


def _tagged(text: str, tag: re.Match[str], tools: Declared) -> Piece:
    body = skip_blank(text, tag.end())
    if text.startswith(("{", "["), body):
        return read_body(text, tag.start(), body, _JSON_ENDS, _objects)
    return piece(tag.start(), len(text), _code(text[body:].strip(), tools))


def _objects(value: JsonValue, source: str) -> tuple[Outcome, ...]:
    items = value if isinstance(value, list) and value else [value]
    return tuple(call_object(item, source, bare.ARGUMENT_KEYS) for item in items)


def _code(code: str, tools: Declared) -> Outcome:
    """``tool.call(key="value")`` is a call of that built-in tool; any other code is for the code tool."""
    if not code or _DOTTED.fullmatch(code):
        return ParseFault("truncated", "the text ends before the call is complete", code)
    if head := _CALL.match(code):
        return _builtin(code, head)
    tool = next((name for name in _CODE_TOOLS if name in tools), _CODE_TOOLS[0])
    return Call(tool, {"code": code})


def _builtin(code: str, head: re.Match[str]) -> Outcome:
    arguments: JsonObject = {}
    position = head.end()
    while key := _KEY.match(code, position):
        outcome = scan(code, key.end())
        if isinstance(outcome, Broken):
            return ParseFault(outcome.kind, outcome.detail, code)
        arguments[key["key"]] = outcome.value
        position = skip_blank(code, outcome.end)
        if not code.startswith(",", position):
            break
        position = skip_blank(code, position + 1)
    if not code.startswith(")", position):
        kind = "truncated" if position == len(code) else "json_invalid"
        return ParseFault(kind, "the call's arguments are not closed", code)
    if code[position + 1 :].strip():
        return ParseFault("stray_tail", "text follows the call", code)
    return Call(head["name"], arguments)
