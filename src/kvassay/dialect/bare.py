"""Calls as bare JSON: an object or a list of them anywhere in the text, in the shapes that agents and APIs use."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from kvassay.dialect import reader
from kvassay.dialect.base import Declared, Outcome, Piece, Reading, piece
from kvassay.dialect.bodies import arguments, call_object
from kvassay.dialect.strict_json import Scanned, read, scan, skip_blank
from kvassay.types import Call, JsonValue, ParseFault

name = "json"
markers: tuple[str, ...] = ()
signs: tuple[str, ...] = ()
fingerprints: tuple[str, ...] = ()

ARGUMENT_KEYS = ("arguments", "parameters")
_SHAPE = frozenset({"name", "type", "id", *ARGUMENT_KEYS})
START = r"\{(?=\s{0,64}[\"}])|\[(?=\s{0,64}\{\s{0,64}[\"}])"
"""Where an object, or a list of objects, may begin (regular expression)."""

_START = re.compile(START)
_NEXT = re.compile(r"\n(?=[{\[`])|;\s{0,8}(?=\{)")
_NAME = re.compile(r'"name"\s{0,8}:\s{0,8}"([^"\\\n]{1,128})"')
_ARGUMENTS = re.compile(r'"(?:arguments|parameters)"\s{0,8}:')
_SAME_LINE = re.compile(r"[ \t]*(?=\{)")
_HEAD_CHARS = 400  # how far into a broken object its name may stand
_BLANK_CHARS = 64  # how far before a call a stray brace may stand
_BEFORE_CHARS = 200  # how far before it prose is looked for


def parse(text: str, tools: Declared) -> Reading:
    """See Dialect. Objects that stand on lines of their own are several calls."""
    return reader.read(text, tools, find)


def render(calls: Sequence[Call], content: str = "") -> str:
    """See Dialect."""
    objects = [{"name": call.name, "arguments": call.arguments} for call in calls]
    body = json.dumps(objects[0] if len(objects) == 1 else objects, ensure_ascii=False)
    return "\n".join([*([content] if content else []), *([body] if calls else [])])


def find(text: str, position: int, tools: Declared) -> Piece | None:
    """The first JSON value at or behind ``position`` that is a call, a list of calls, or a broken one."""
    while start := _START.search(text, position):
        found = value_at(text, start.start(), tools)
        if isinstance(found, Piece):
            return found
        position = found
    return None


def value_at(text: str, start: int, tools: Declared) -> Piece | int:
    """The piece that begins here, or (no call, only JSON or a brace) where to look on."""
    outcome = scan(text, start)
    if isinstance(outcome, Scanned):
        outcomes = judge(outcome.value, text[start : outcome.end], tools)
        return _with_tail(text, start, outcome.end, outcomes) if outcomes else outcome.end
    behind = max(outcome.end, start + 1)
    if not meant(text, start, tools):
        return behind
    boundary = _NEXT.search(text, behind)
    end = boundary.start() if boundary else len(text)
    fault = _placed(text, start, ParseFault(outcome.kind, outcome.detail, text[start:end]))
    return Piece(start, end, faults=(fault,), quoted=outcome.kind == "truncated")


def judge(value: JsonValue, source: str, tools: Declared) -> tuple[Outcome, ...]:
    """What a JSON value says: calls (one, or a list's), faults of what is meant as one, or nothing.

    An object is a call if it has exactly a call's shape, or a call's parts and a declared name.
    """
    items = value if isinstance(value, list) else [value]
    outcomes = [_judge_object(item, source, tools) for item in items]
    if not any(outcomes):
        return ()
    stray = ParseFault("not_an_object", "an element of the list is no call", source)
    return tuple(outcome or stray for outcome in outcomes)


def meant(text: str, start: int, tools: Declared) -> bool:
    """Whether the broken JSON that begins here is meant as a call: it names a tool, or has a call's parts."""
    end = start + _HEAD_CHARS
    named = _NAME.search(text, start, end)
    return bool(named and (named[1] in tools or _ARGUMENTS.search(text, start, end)))


def _judge_object(value: JsonValue, source: str, tools: Declared) -> Outcome | None:
    if not isinstance(value, dict):
        return None
    inner = value.get("function")
    if value.get("type") == "function" and isinstance(inner, dict):
        return _openai(inner, source)
    called = value.get("name")
    if not isinstance(called, str) or not called or "description" in value:  # with a description: a tool's definition
        return None
    outcome = call_object(value, source, ARGUMENT_KEYS)
    if isinstance(outcome, ParseFault):
        return outcome if called in tools else None
    return outcome if called in tools or value.keys() <= _SHAPE else None


def _openai(function: dict[str, JsonValue], source: str) -> Outcome | None:
    """OpenAI's wire shape: the arguments are a string that holds JSON."""
    called, stated = function.get("name"), function.get("arguments")
    if not isinstance(called, str) or "arguments" not in function:
        return None
    if not isinstance(stated, str):
        return arguments(called, stated, source)
    outcome = read(stated)
    if isinstance(outcome, Scanned):
        return arguments(called, outcome.value, source)
    return ParseFault(outcome.kind, f"in the arguments: {outcome.detail}", source)


def _with_tail(text: str, start: int, end: int, outcomes: tuple[Outcome, ...]) -> Piece:
    """A call is well-formed only if no stray brace stands before it, and no stray bracket or further object on the
    same line follows it.
    """
    before = text[max(0, start - _BLANK_CHARS) : start].rstrip()
    if before.endswith("{"):
        head = start - _BLANK_CHARS + len(before) - 1 if start > _BLANK_CHARS else len(before) - 1
        return piece(head, end, ParseFault("json_invalid", "'{' stands before the call", text[head:end]))
    tail = skip_blank(text, end)
    if text.startswith(("}", "]"), tail):
        fault = ParseFault("stray_tail", f"{text[tail]!r} follows the call", text[start : tail + 1])
        return piece(start, tail + 1, fault)
    run = _run_end(text, end)
    if run == end:
        return piece(start, end, *outcomes)
    return piece(start, run, ParseFault("concatenated", "another object follows on the call's line", text[start:run]))


def _run_end(text: str, end: int) -> int:
    """Where the run of objects ends that follow one another on the same line."""
    while follower := _SAME_LINE.match(text, end):
        further = scan(text, follower.end())
        end = further.end if isinstance(further, Scanned) else max(further.end, follower.end() + 1)
    return end


def _placed(text: str, start: int, fault: ParseFault) -> ParseFault:
    """In the middle of prose, a broken object leaked; where a turn or a line of calls has it, it is a broken call."""
    before = text[max(0, start - _BEFORE_CHARS) : start].rpartition("</think>")[2].rstrip()
    if not before or before.endswith(("}", "]", ";")):
        return fault
    return ParseFault("leaked", f"in the text stands a call that can't be read: {fault.detail}", fault.text)
