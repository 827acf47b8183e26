"""OpenHands' conversations: events as one JSON list, as JSONL, or one file each in a directory of events.

Read by: openhands-sdk 1.58.2 (``event/llm_convertible``: events told apart by ``kind``) and openhands-ai 0.9.8
(``events/serialization``: ``action`` and ``observation``). ``tool_call_metadata`` of the releases between them and the
evaluation's ``{"history": […]}`` are read from memory of their sources, unverified.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path

from kvassay.session.importers.documents import read_pieces
from kvassay.session.importers.fields import at, object_at, text_at
from kvassay.session.importers.openhands_events import Events
from kvassay.session.importers.opening import with_system_apart
from kvassay.session.importers.source import Importer, Sample, Source, sample
from kvassay.session.json_text import load, read_lines
from kvassay.session.transcript import Facts, Item, Oddity
from kvassay.types import JsonObject, JsonValue

AGENT = "openhands"
_NUMBER = re.compile(r"\d{1,18}")


def _recognises(sample: Sample) -> bool:
    alone = {piece.key: piece.value for piece in sample.pieces if piece.nth is None}
    firsts = [piece.value for piece in (sample.first(""), sample.first("history")) if piece]
    return any(map(_is_event, [alone, *firsts, *sample.lines[:1]]))


def _is_event(value: JsonValue) -> bool:
    kind = text_at(value, "kind") or ""
    newer = kind.endswith(("Event", "Observation", "Condensation")) and text_at(value, "source") is not None
    named = text_at(value, "action") or text_at(value, "observation")
    return newer or (named is not None and (at(value, "args") is not None or at(value, "extras") is not None))


def _sessions(path: Path) -> Iterator[Source]:
    seen = sample(path)
    if len(seen.lines) > 1:
        yield Source(AGENT, path, partial(_read, partial(_lines, path)))
    elif any(piece.key in ("", "history") for piece in seen.pieces):
        yield Source(AGENT, path, partial(_read, partial(_document, path)))
    elif path == _first_readable(path):  # a directory of events is one session
        yield Source(AGENT, path, partial(_read, partial(_files, path)))


def _read(wires: partial[Iterator[tuple[str, JsonValue] | Item]]) -> Iterator[Item]:
    yield from with_system_apart(_told(wires))


def _told(wires: partial[Iterator[tuple[str, JsonValue] | Item]]) -> Iterator[Item]:
    events = Events()
    for wire in wires():
        if isinstance(wire, tuple):
            yield from events.take(object_at(wire[1]), wire[0])
        else:
            yield wire
    yield from events.end()


def _lines(path: Path) -> Iterator[tuple[str, JsonValue] | Item]:
    for line in read_lines(path):
        yield Oddity("damaged", line.fault, line.place) if line.value is None else (line.place, line.value)


def _document(path: Path) -> Iterator[tuple[str, JsonValue] | Item]:
    for piece in read_pieces(path):
        if isinstance(piece, Oddity):
            yield piece
        elif piece.key in ("", "history"):
            yield piece.place, piece.value
        elif piece.key == "instance_id":
            yield Facts(id=piece.value if isinstance(piece.value, str) else None)


def _files(path: Path) -> Iterator[tuple[str, JsonValue] | Item]:
    yield Facts(id=path.parent.parent.name)
    for file in _siblings(path):
        value = _object(file)
        yield Oddity("damaged", "event file", file.name) if value is None else (file.name, value)


def _first_readable(path: Path) -> Path:
    """The directory's first file that is an event: by it the session is found."""
    return next((file for file in _siblings(path) if file == path or _recognises(sample(file))), path)


def _siblings(path: Path) -> Sequence[Path]:
    """The event files of a directory, in the order of their numbers."""
    folder = path.parent
    return _numbered(folder, folder.stat().st_mtime_ns) or [path]


@lru_cache(maxsize=4)
def _numbered(folder: Path, _changed_ns: int) -> Sequence[Path]:
    """Every file of a folder asks for all of them: they are listed once, as long as none comes or goes."""
    numbered = [(int(found[0]), file) for file in folder.glob("*.json") if (found := _NUMBER.search(file.name))]
    return [file for _, file in sorted(numbered)]


def _object(path: Path) -> JsonObject | None:
    try:
        value = load(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


IMPORTER = Importer(AGENT, _recognises, _sessions)
