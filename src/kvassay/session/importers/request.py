"""A recorded HTTP request body: chat completions, Responses, or Anthropic Messages.

Read by: the API references, and the bodies that OpenClaw, opencode, Qwen Code and pi (chat) and Codex (Responses) send.
A proxy's envelope with the body under ``body`` or ``request`` is read too, whether as an object or as a string, and
JSONL of bodies: each is a session.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from kvassay.session.importers.dialogue import Stamp, read_message, read_tools, take_apart
from kvassay.session.importers.documents import read_pieces
from kvassay.session.importers.fields import text_at
from kvassay.session.importers.opening import with_system_apart
from kvassay.session.importers.responses import Turns
from kvassay.session.importers.source import Importer, Sample, Source, sample
from kvassay.session.json_text import Start, line_starts, load, read_line
from kvassay.session.pieces import Piece
from kvassay.session.transcript import Facts, Item, Oddity, Said
from kvassay.types import JsonObject, JsonValue, Message

AGENT = "request"
_ENVELOPES = ("body", "request", "request_body", "requestBody")


def _recognises(sample: Sample) -> bool:
    if len(sample.lines) > 1:
        body = _body_in(sample.lines[0])
        return body is not None and (body is not sample.lines[0] or "model" in body)
    keys = sample.keys
    if "model" in keys and (_talks(sample.first("messages")) or "input" in keys):
        return True
    return any(_unwrapped(piece) for piece in sample.pieces)


def _talks(piece: Piece | None) -> bool:
    return piece is not None and text_at(piece.value, "role") is not None


def _sessions(path: Path) -> Iterator[Source]:
    if len(sample(path).lines) > 1:
        yield from bodies(AGENT, path)
    else:
        yield Source(AGENT, path, partial(_read, path))


def bodies(agent: str, path: Path) -> Iterator[Source]:
    """The bodies of JSONL, each a session of its own."""
    for start in line_starts(path):
        yield Source(agent, path, partial(_line, path, start), id=f"line {start.number}")


def _line(path: Path, start: Start) -> Iterator[Item]:
    line = read_line(path, start)
    yield Facts(id=line.place)
    if line.value is None:
        yield Oddity("damaged", line.fault, line.place)
    else:
        body = _body_in(line.value)
        if body is not None and body is not line.value and line.value.get("response"):
            yield Oddity("left out", "response", line.place)
        yield from with_system_apart(_told(_pieces_of(line.value if body is None else body)))


def _read(path: Path) -> Iterator[Item]:
    yield from with_system_apart(read_body(path))


def read_body(path: Path) -> Iterator[Item]:
    """Read a body member by member, its system prompt among the messages."""
    yield from _told(inner for piece in read_pieces(path) for inner in _inside(piece))


def _inside(piece: Piece | Oddity) -> list[Piece] | list[Oddity]:
    return [piece] if isinstance(piece, Oddity) else _unwrapped(piece) or [piece]


def _told(pieces: Iterable[Piece | Oddity]) -> Iterator[Item]:
    body = _Body()
    for piece in pieces:
        if isinstance(piece, Oddity):
            yield piece
        else:
            yield from body.take(piece)
    yield from body.end()


def _unwrapped(piece: Piece) -> list[Piece]:
    """The pieces of a body inside an envelope."""
    body = _body_in(piece.value) if piece.key in _ENVELOPES else None
    return [] if body is None else _pieces_of(body)


def _body_in(value: JsonValue) -> JsonObject | None:
    """The body in a value: the value itself, or what its envelopes hold, as an object or as its text."""
    try:
        found = load(value) if isinstance(value, str) else value
    except ValueError:
        return None
    if not isinstance(found, dict) or {"messages", "input"} & found.keys():
        return found if isinstance(found, dict) else None
    inner = (_body_in(found[key]) for key in _ENVELOPES if key in found)
    return next((body for body in inner if body is not None), None)


def _pieces_of(body: JsonObject) -> list[Piece]:
    return [inner for key, value in body.items() for inner in _pieces(key, value)]


def _pieces(key: str, value: JsonValue) -> list[Piece]:
    return (
        [Piece(key, i, item) for i, item in enumerate(value)] if isinstance(value, list) else [Piece(key, None, value)]
    )


class _Body:
    """The members of a body as they come, in whatever order."""

    def __init__(self) -> None:
        self._tools: list[JsonValue] = []
        self._turns = Turns()
        self._system: list[str] = []

    def take(self, piece: Piece) -> Iterator[Item]:
        stamp = Stamp(piece.place)
        match piece.key:
            case "model":
                yield Facts(model=piece.value if isinstance(piece.value, str) else None)
            case "messages":
                yield from read_message(piece.value, stamp)
            case "input" if isinstance(piece.value, str):
                yield Said(Message("user", piece.value), piece.place)
            case "input":
                yield from self._turns.take(piece.value, stamp)
            case "system" | "instructions":
                parts = take_apart(_listed(piece), stamp)
                yield from parts.oddities
                self._system.append(parts.text)
            case "tools" | "functions":
                self._tools.append(piece.value)
            case "response" if piece.value:
                yield Oddity("left out", "response", piece.place)

    def end(self) -> Iterator[Item]:
        yield from self._turns.end()
        tools, oddities = read_tools(self._tools, "tools")
        yield from oddities
        yield Facts(tools=tools or None, system="\n".join(self._system) if self._system else None)


def _listed(piece: Piece) -> JsonValue:
    return piece.value if piece.nth is None else [piece.value]


IMPORTER = Importer(AGENT, _recognises, _sessions)
