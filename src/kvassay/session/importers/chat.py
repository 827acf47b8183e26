"""Plain chat JSON in OpenAI's form: a list of messages, ``{"messages": […], "tools": […]}``, or messages as JSONL.

Read by: the Chat Completions reference. JSONL of whole conversations (one ``{"messages": […]}`` a line, as fine-tuning
takes them) holds one session a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from kvassay.session.importers.dialogue import Stamp, read_message
from kvassay.session.importers.documents import read_pieces
from kvassay.session.importers.fields import list_at, text_at
from kvassay.session.importers.opening import with_system_apart
from kvassay.session.importers.request import bodies, read_body
from kvassay.session.importers.source import Importer, Sample, Source, sample
from kvassay.session.json_text import read_lines
from kvassay.session.transcript import Item, Oddity
from kvassay.types import JsonObject, JsonValue

AGENT = "chat"
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_MARKS = frozenset({"content", "tool_calls", "function_call"})


def _recognises(sample: Sample) -> bool:
    if len(sample.lines) > 1:
        return _is_message(sample.lines[0]) or _is_conversation(sample.lines[0])
    first = sample.first("messages") or sample.first("")
    return first is not None and _is_message(first.value)


def _is_message(value: JsonValue) -> bool:
    return isinstance(value, dict) and text_at(value, "role") in _ROLES and bool(_MARKS & value.keys())


def _is_conversation(value: JsonObject) -> bool:
    return any(_is_message(message) for message in list_at(value, "messages")[:1])


def _sessions(path: Path) -> Iterator[Source]:
    lines = sample(path).lines
    if len(lines) < 2:  # noqa: PLR2004 - one line of JSON is a document
        yield Source(AGENT, path, partial(_apart, _document, path))
    elif _is_message(lines[0]):
        yield Source(AGENT, path, partial(_apart, _message_lines, path))
    else:
        yield from bodies(AGENT, path)


def _apart(read: Callable[[Path], Iterator[Item]], path: Path) -> Iterator[Item]:
    yield from with_system_apart(read(path))


def _document(path: Path) -> Iterator[Item]:
    if sample(path).first("") is None:
        yield from read_body(path)
        return
    for piece in read_pieces(path):
        yield from [piece] if isinstance(piece, Oddity) else read_message(piece.value, Stamp(piece.place))


def _message_lines(path: Path) -> Iterator[Item]:
    for line in read_lines(path):
        if line.value is None:
            yield Oddity("damaged", line.fault, line.place)
        else:
            yield from read_message(line.value, Stamp(line.place))


IMPORTER = Importer(AGENT, _recognises, _sessions)
