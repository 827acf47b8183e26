"""A recorded HTTP request body: chat completions, Responses, or Anthropic Messages.

Read by: the API references, and the bodies that OpenClaw, opencode, Qwen Code and pi (chat) and Codex (Responses) send.
A proxy's envelope with the body under ``body`` or ``request`` is read too, whether as an object or as a string.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kvassay.session.importers.dialogue import Stamp, read_message, read_tools, take_apart
from kvassay.session.importers.documents import read_pieces
from kvassay.session.importers.fields import text_at
from kvassay.session.importers.opening import with_system_apart
from kvassay.session.importers.responses import Turns
from kvassay.session.importers.source import Importer, Sample, one_file
from kvassay.session.json_text import load
from kvassay.session.pieces import Piece
from kvassay.session.transcript import Facts, Item, Oddity, Said
from kvassay.types import JsonValue, Message

AGENT = "request"
_ENVELOPES = ("body", "request")


def _recognises(sample: Sample) -> bool:
    keys = sample.keys
    if "model" in keys and (_talks(sample.first("messages")) or "input" in keys):
        return True
    return any(_unwrapped(piece) for piece in sample.pieces)


def _talks(piece: Piece | None) -> bool:
    return piece is not None and text_at(piece.value, "role") is not None


def _read(path: Path) -> Iterator[Item]:
    yield from with_system_apart(read_body(path))


def read_body(path: Path) -> Iterator[Item]:
    """Read a body member by member, its system prompt among the messages."""
    body = _Body()
    for piece in read_pieces(path):
        if isinstance(piece, Oddity):
            yield piece
        else:
            for inner in _unwrapped(piece) or [piece]:
                yield from body.take(inner)
    yield from body.end()


def _unwrapped(piece: Piece) -> list[Piece]:
    """The pieces of a body inside an envelope."""
    if piece.key not in _ENVELOPES:
        return []
    try:
        body = load(piece.value) if isinstance(piece.value, str) else piece.value
    except ValueError:
        return []
    if not isinstance(body, dict) or not {"messages", "input"} & body.keys():
        return []
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

    def end(self) -> Iterator[Item]:
        yield from self._turns.end()
        tools, oddities = read_tools(self._tools, "tools")
        yield from oddities
        yield Facts(tools=tools or None, system="\n".join(self._system) if self._system else None)


def _listed(piece: Piece) -> JsonValue:
    return piece.value if piece.nth is None else [piece.value]


IMPORTER = Importer(AGENT, _recognises, one_file(AGENT, _read))
