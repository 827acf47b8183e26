"""One reader for the formats that write calls as markup: elements with a name, parameters of raw text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from kvassay.dialect.base import Declared, Outcome, Piece, piece
from kvassay.dialect.strict_json import Broken
from kvassay.dialect.values import parameter_schema
from kvassay.types import Call, JsonObject, JsonValue, ParseFault

_BLANK = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class Markup:
    """A markup format. White space between things is free.

    ``opening`` finds where a section begins and matches its wrapper, if any; ``wrapper_ends`` close it (none: a
    section is one call). ``head`` holds the group ``name``, ``parameter`` the group ``key``; ``ahead`` tells that a
    head begins. ``end`` closes a call. ``tokens`` tells apart, inside a value, parameters' groups ``open``, ``close``
    and ``last`` (a closing tag that a parameter or the call's end follows), and whole calls' ``head`` and ``end``.
    ``boundary`` is where a broken call ends, its group ``close`` included. ``value`` makes a parameter's value of its
    start tag, its text and its schema.
    """

    opening: re.Pattern[str]
    wrapper_ends: tuple[str, ...]
    ahead: re.Pattern[str]
    head: re.Pattern[str]
    parameter: re.Pattern[str]
    end: str
    tokens: re.Pattern[str]
    boundary: re.Pattern[str]
    value: Callable[[re.Match[str], str, JsonObject | None], JsonValue | Broken]


class _Span(NamedTuple):
    """A value's end and what follows its closing tag; not ``closed``: where the call ends that never closed it."""

    end: int
    behind: int
    closed: bool


def find(markup: Markup, text: str, position: int, tools: Declared) -> Piece | None:
    """The first section at or behind ``position``: one or more calls, or a fault."""
    opening = markup.opening.search(text, position)
    if opening is None:
        return None
    outcomes: list[Outcome] = []
    position = _skip(text, opening.end())
    while markup.ahead.match(text, position):
        outcome, position = _element(markup, text, position, tools)
        outcomes.append(outcome)
        if not markup.wrapper_ends:
            return piece(opening.start(), position, outcome)
        position = _skip(text, position)
    fault, end = _section_end(markup, text, opening, position, begun=bool(outcomes))
    return piece(opening.start(), end, *outcomes, *([fault] if fault else []))


def _section_end(
    markup: Markup, text: str, opening: re.Match[str], position: int, *, begun: bool
) -> tuple[ParseFault | None, int]:
    """What follows a section's last call. The text's end, or other text, may stand for the wrapper's end."""
    for wrapper_end in markup.wrapper_ends:
        if begun and text.startswith(wrapper_end, position):
            return None, position + len(wrapper_end)
        if begun and len(text) - position < len(wrapper_end) and wrapper_end.startswith(text[position:]):
            return None, len(text)
    alone = opening.start() == opening.end()  # a call without a wrapper: what follows is text, tags too
    if begun and (alone or not text.startswith("<", position) or markup.opening.match(text, position)):
        return None, position
    boundary = markup.boundary.search(text, position)
    if boundary is None:
        return ParseFault("truncated", "the text ends before a call is complete", text[opening.start() :]), len(text)
    kind = "empty" if boundary.start() == position else "malformed"
    end = _behind(boundary)
    return ParseFault(kind, "no call stands between the tags", text[opening.start() : end]), end


def _element(markup: Markup, text: str, start: int, tools: Declared) -> tuple[Outcome, int]:
    """One call, and where it ends."""
    head = markup.head.match(text, start)
    if head is None:
        return _broken(markup, text, start, start + 1, "the call has no proper head")
    name, position = head["name"].strip(), _skip(text, head.end())
    arguments: JsonObject = {}
    flaw = "" if name else "the call has no name"
    while not text.startswith(markup.end, position):
        parameter = markup.parameter.match(text, position)
        if parameter is None:
            return _broken(markup, text, start, position, "neither a parameter nor the call's end stands here")
        key, span = parameter["key"].strip(), _value_span(markup, text, parameter.end())
        if not span.closed:
            return _unclosed(text, start, key, span)
        raw = text[parameter.end() : span.end]
        value = markup.value(parameter, raw, parameter_schema(tools, name, key))
        if isinstance(value, Broken):
            flaw = flaw or f"the parameter {key!r}: {value.detail}"
        elif key in arguments:
            flaw = flaw or f"the parameter {key!r} stands twice"
        else:
            arguments[key] = value
        position = _skip(text, span.behind)
    end = position + len(markup.end)
    if flaw:
        return ParseFault("json_invalid" if name else "missing_name", flaw, text[start:end]), end
    return Call(name, arguments), end


def _value_span(markup: Markup, text: str, start: int) -> _Span:
    """Where a value ends. The format cannot quote its own tags: inside a value they count in pairs, a lone closing
    tag in the midst of text is text, and any other lone one is the mark of a missing end.
    """
    parameters, calls = 1, 0
    for token in markup.tokens.finditer(text, start):
        closes = token["last"] or (token["close"] and parameters > 1)
        parameters += bool(token["open"]) - bool(closes)
        calls += bool(token["head"]) - bool(token["end"])
        if calls < 0:
            return _Span(token.start(), token.end(), closed=False)
        if not parameters:
            return _Span(token.start(), token.end(), closed=True)
    return _Span(len(text), len(text), closed=False)


def _unclosed(text: str, start: int, key: str, span: _Span) -> tuple[ParseFault, int]:
    kind = "truncated" if span.end == len(text) else "malformed"
    return ParseFault(kind, f"the parameter {key!r} is not closed", text[start : span.behind]), span.behind


def _broken(markup: Markup, text: str, start: int, position: int, detail: str) -> tuple[ParseFault, int]:
    boundary = markup.boundary.search(text, position)
    end = _behind(boundary) if boundary else len(text)
    return ParseFault("malformed" if boundary else "truncated", detail, text[start:end]), end


def _behind(boundary: re.Match[str]) -> int:
    return max(boundary.start(), boundary.end("close"))


def _skip(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position
