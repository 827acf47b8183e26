"""Walk a raw output: calls where a dialect finds them, thinking aside, the rest is content."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from kvassay.dialect.base import Declared, Piece, Reading, first_span
from kvassay.dialect.faults import IN_THINKING
from kvassay.types import ParseFault

Find: TypeAlias = Callable[[str, int, Declared], Piece | None]
"""The first piece that begins at or behind a position, or None."""

MARKERS = ("<think>", "</think>", "[THINK]", "[/THINK]")

_OPEN = re.compile(r"<think>|\[THINK\]")
_CLOSE = re.compile(r"</think>|\[/THINK\]")
_CLOSE_OF = {"<think>": "</think>", "[THINK]": "[/THINK]"}
END_OF_TURN = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|observation|>",
    "<|user|>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
    "</s>",
)


@dataclass(frozen=True, slots=True)
class _Thought:
    start: int
    end: int
    inner: str
    closed: bool


def read(text: str, tools: Declared, find: Find, *, breaks: re.Pattern[str] | None = None) -> Reading:
    """Read a whole output. Calls inside thinking do not count; thinking that never ends but holds a call leaks it,
    unless what ``breaks`` thinking off stands before the call.
    """
    text = without_end_of_turn(text)
    position = _forced_thinking_end(text, tools, find)
    content, reasoning = [], [_CLOSE.sub("", text[:position])]
    pieces: list[Piece] = []
    for segment in _walk(text, position, tools, find, breaks):
        content.append(text[position : segment.start])
        position = segment.end
        if isinstance(segment, Piece):
            pieces.append(segment)
        else:
            reasoning.append(segment.inner)
            pieces += _unclosed(segment, tools, find)
    content.append(text[position:])
    return Reading(
        content="".join(content).strip(),
        reasoning="\n".join(part.strip() for part in reasoning if part.strip()),
        calls=tuple(call for piece in pieces for call in piece.calls),
        faults=tuple(fault for piece in pieces for fault in piece.faults),
        span=first_span(pieces),
    )


def without_end_of_turn(text: str) -> str:
    """The text without the end-of-turn tokens that some servers leave at its end."""
    end = len(text)
    while True:
        while end and text[end - 1].isspace():
            end -= 1
        tail = next((token for token in END_OF_TURN if text.endswith(token, 0, end)), None)
        if tail is None:
            return text[:end]
        end -= len(tail)


def _walk(
    text: str, position: int, tools: Declared, find: Find, breaks: re.Pattern[str] | None
) -> Iterator[Piece | _Thought]:
    found, thought = find(text, position, tools), _next_thought(text, position, breaks)
    while segment := thought if found is None or (thought and thought.start < found.start) else found:
        position = segment.end
        yield segment
        if found and found.start < position:
            found = find(text, position, tools)
        if thought and thought.start < position:
            thought = _next_thought(text, position, breaks)


def _next_thought(text: str, position: int, breaks: re.Pattern[str] | None) -> _Thought | None:
    opening = _OPEN.search(text, position)
    if opening is None:
        return None
    closing = _CLOSE_OF[opening.group()]
    end = text.find(closing, opening.end())
    if end < 0 and breaks and (broken := breaks.search(text, opening.end())):
        return _Thought(opening.start(), broken.start(), text[opening.end() : broken.start()], closed=True)
    if end < 0:
        return _Thought(opening.start(), len(text), text[opening.end() :], closed=False)
    return _Thought(opening.start(), end + len(closing), text[opening.end() : end], closed=True)


def _forced_thinking_end(text: str, tools: Declared, find: Find) -> int:
    """Where thinking ends that the prompt began: behind the first closing tag that nothing opened; 0 if none.

    A closing tag inside a call is a string's text. So it is inside a broken call, if the JSON was cut or if the turn
    begins with it; a broken call behind prose is taken for thinking about the format.
    """
    closing, position, prose = _CLOSE.search(text), 0, False
    for segment in _walk(text, 0, tools, find, None):
        if closing is None or closing.start() < segment.start:
            break
        if isinstance(segment, _Thought):
            return 0
        prose = prose or bool(text[position : segment.start].strip())
        position = segment.end
        if closing.start() < segment.end:
            if prose and not segment.calls and not segment.quoted:
                break
            closing = _CLOSE.search(text, segment.end)
    return closing.end() if closing else 0


def _unclosed(thought: _Thought, tools: Declared, find: Find) -> Iterator[Piece]:
    position = 0
    while not thought.closed and (found := find(thought.inner, position, tools)):
        position = found.end
        if found.calls:
            detail = "the call stands in thinking that never ends"
            fault = ParseFault(IN_THINKING, detail, thought.inner[found.start : found.end])
            yield Piece(thought.start, thought.end, faults=(fault,))
