"""The dialects there are: by name, by chat template, and by what stands in a text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from rapidfuzz import process

from kvassay.dialect import (
    bare,
    deepseek,
    fenced,
    glm4,
    harmony,
    hermes,
    kimi_k2,
    llama3,
    minimax_m2,
    mistral,
    qwen3_coder,
    reader,
)
from kvassay.dialect.base import Declared, Dialect, Reading
from kvassay.dialect.faults import leak
from kvassay.errors import ConfigError
from kvassay.types import ParseFault

# In the order in which chat templates are tried: what is more specific stands further ahead.
DIALECTS: tuple[Dialect, ...] = (
    harmony,
    deepseek,
    kimi_k2,
    minimax_m2,
    mistral,
    qwen3_coder,
    glm4,
    hermes,
    llama3,
    fenced,
    bare,
)
_BY_NAME = {dialect.name: dialect for dialect in DIALECTS}

# Templates of formats that share a fingerprint with one of ours but are another language.
_FOREIGN_TEMPLATES = ("<seed:tool_call>", "]<]minimax[>[", "<function=example_function_name>{", "<tool_calls>")

# What cannot stand in plain prose: markers of ours that no dialect could use, and those of formats not read here.
_LEAK = re.compile(
    r"</?tool_calls?>|<function=|</function>|</?arg_(?:key|value)>|<minimax:tool_call|</?invoke\b|<\|tool_call"
    r"|<｜tool[▁_\\ ]|｜DSML｜|\[TOOL_CALLS\]|<\|python_tag\|>|<\|(?:channel|message|constrain)\|>|<\|?TOOLCALL>"
    r"|<\|START_ACTION\|>|<\|open\|>(?:tools|call)|<seed:tool_call>|functools\[|</?function_calls?>|<\|tool_calls_section"
    r"|<(?:/|\|)?tool_call\w*\Z|<(?:minimax|function)\w*\Z|\[TOOL_CALL\w*\Z"
)


class Choice(NamedTuple):
    """A reading and the dialect it was made in; "" where nothing of a call is in the text."""

    name: str
    reading: Reading


def names() -> tuple[str, ...]:
    """The dialects' names."""
    return tuple(_BY_NAME)


@cache
def markers() -> tuple[str, ...]:
    """Special-token strings of all dialects: a back end keeps them in raw text (llama.cpp ``preserved_tokens``)."""
    return tuple(dict.fromkeys(marker for dialect in DIALECTS for marker in dialect.markers))


def named(name: str) -> Dialect:
    """The dialect of that name.

    Raises ConfigError with all names and the nearest one.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    nearest = process.extractOne(name, names())
    hint = f"Did you mean {nearest[0]!r}? " if nearest and nearest[1] >= 50 else ""  # noqa: PLR2004 (per cent)
    raise ConfigError(f"There is no dialect {name!r}.", hint=f"{hint}Dialects: auto, {', '.join(names())}.")


def detect(chat_template: str) -> str | None:
    """The dialect a chat template (Jinja source) teaches its model, or None if it is none of ours."""
    if any(sign in chat_template for sign in _FOREIGN_TEMPLATES):
        return None
    spoken = (each for each in DIALECTS if any(print_ in chat_template for print_ in each.fingerprints))
    return next((dialect.name for dialect in spoken), None)


def choose(text: str, tools: Declared, *, apart: Choice | None = None) -> Choice:
    """Read a text in the dialect whose call or fault stands first in it; at the same place, a call before a fault.

    Formats without markers are tried last: fences, then bare JSON. What stands in no dialect but holds a marker is
    a leak. ``apart`` is a reading made already, which found nothing: its dialect is not tried again.
    """
    skip = {apart.name, fenced.name} if apart else {fenced.name}
    marked = [each for each in DIALECTS if each.name not in skip and any(sign in text for sign in each.signs)]
    choices = [Choice(dialect.name, dialect.parse(text, tools)) for dialect in marked]
    found = [choice for choice in choices if choice.reading.found]
    if found:
        return unquoted(min(found, key=_rank), text, tools)
    for attempt in _UNMARKED:
        choice = attempt(text, tools)
        if choice.reading.found and not (apart and choice.name == apart.name):
            return choice
    if apart:
        return Choice("", _with_leak(apart.reading))
    prose = next((choice for choice in choices if choice.name == harmony.name), None)
    return prose or Choice("", _with_leak(reader.read(text, tools, _nothing)))


def unquoted(choice: Choice, text: str, tools: Declared) -> Choice:
    """The choice, unless what it found only stands in a string of a call in fences or in bare JSON: then that one."""
    start = choice.reading.span.start
    for attempt in (_fenced, _bare) if start else ():
        outer = attempt(text, tools)
        if outer.reading.span.start < start < outer.reading.span.end:
            return outer
    return choice


def read_as(name: str, text: str, tools: Declared) -> Choice:
    """Read a text in one dialect. A call in another one is a leak, and so is a marker in plain text.

    Raises ConfigError for an unknown name.
    """
    dialect = named(name)
    own = Choice(dialect.name, dialect.parse(text, tools))
    other = unquoted(own, text, tools) if own.reading.found else choose(text, tools, apart=own)
    if other.name in {"", own.name}:
        return Choice(own.name, other.reading)
    fault = leak(f"a call in the {other.name} format stands in the text", text, other.reading.span.start)
    return Choice(own.name, replace(own.reading, calls=(), faults=(fault,), span=other.reading.span))


def _rank(choice: Choice) -> tuple[int, bool, bool]:
    """The earliest first; of those that share ``<tool_call>``, the one that can read it, or else its first owner."""
    return choice.reading.span.start, not choice.reading.calls, choice.name != hermes.name


def _with_leak(reading: Reading) -> Reading:
    """A reading that found nothing, with a fault if a marker stands in its content."""
    mark = _LEAK.search(reading.content)
    if mark is None:
        return reading
    fault = ParseFault("leaked", f"the marker {mark.group()!r} stands in the text", mark.group())
    return replace(reading, faults=(fault,))


def _fenced(text: str, tools: Declared) -> Choice:
    return Choice(fenced.name, fenced.parse(text, tools))


def _bare(text: str, tools: Declared) -> Choice:
    """Bare JSON with ``parameters`` is what Llama writes."""
    spoken: Dialect = llama3 if text.lstrip().startswith("{") and '"parameters"' in text else bare
    return Choice(spoken.name, spoken.parse(text, tools))


def _plain(text: str, tools: Declared) -> Choice:
    """GLM-4-0414's form has no marker at all: only a declared name tells it from a headline."""
    reading = glm4.parse(text, tools)
    title = text[reading.span.start :].strip().partition("\n")[0]
    return Choice(glm4.name, reading if title in tools else Reading(""))


_UNMARKED: tuple[Callable[[str, Declared], Choice], ...] = (_fenced, _bare, _plain)


def _nothing(_text: str, _position: int, _tools: Declared) -> None:
    return None
