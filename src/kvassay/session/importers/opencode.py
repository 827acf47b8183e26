"""opencode's sessions: its storage directory of JSON files, newer releases' SQLite database, and its exports.

Read by: opencode-linux-x64 1.18.33 (table definitions, ``filterCompacted``, ``toModelMessages`` in the program's
bundle) a database that it wrote, and @opencode-ai/sdk 1.19.3 (the types of messages and parts). Not read: the table
``session_message``, in which its second generation will keep messages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

from kvassay.errors import UsageError
from kvassay.session.importers.documents import read_pieces
from kvassay.session.importers.fields import at, list_at, object_at, text_at, unix_s
from kvassay.session.importers.opencode_parts import Told, tell
from kvassay.session.importers.source import Importer, Sample, Source, read_only, sample
from kvassay.session.json_text import load
from kvassay.session.transcript import Branch, Facts, Item, Oddity
from kvassay.types import JsonObject

AGENT = "opencode"
_TABLES = frozenset({"session", "message", "part"})
_SESSION_KEYS = frozenset({"id", "title", "version", "time"})


class _Record(NamedTuple):
    """A message with its parts; ``data`` is None where it can't be read."""

    id: str
    place: str
    data: JsonObject | None
    parts: list[JsonObject]
    damaged: int = 0


_Records: TypeAlias = Iterator[_Record]
_Column: TypeAlias = str | bytes | int | float | None


def _recognises(sample: Sample) -> bool:
    if sample.tables:
        return sample.tables >= _TABLES
    if _is_export(sample):
        return True
    first = sample.first("id")
    return sample.keys >= _SESSION_KEYS and first is not None and str(first.value).startswith("ses")


def _is_export(sample: Sample) -> bool:
    """Whether this is what ``opencode export`` writes: ``{"info": …, "messages": [{"info": …, "parts": …}]}``."""
    info, message = sample.first("info"), sample.first("messages")
    session = info is not None and (text_at(info.value, "id") or "").startswith("ses")
    return session and (message is None or at(message.value, "info") is not None)


def _sessions(path: Path) -> Iterator[Source]:
    if _is_export(sample(path)):
        yield Source(AGENT, path, partial(_read_export, path))
        return
    try:
        with closing(read_only(path)) as database:
            ids = [str(id_) for (id_,) in database.execute("SELECT id FROM session ORDER BY time_created")]
    except sqlite3.DatabaseError:
        yield Source(AGENT, path, partial(_read_files, path))
        return
    for id_ in ids:
        yield Source(AGENT, path, partial(_read_rows, path, id_), id=id_)


def _told(records: _Records, reverted: str | None) -> Iterator[Item]:
    """Tell the messages in order, up to where the user took them back."""
    state, left_out = Told(), 0
    for record in records:
        if reverted and record.id >= reverted:
            left_out += 1
        elif record.data is None:
            yield Oddity("damaged", "message", record.place)
        else:
            yield from (Oddity("damaged", "part", record.place) for _ in range(record.damaged))
            yield from tell(record.data, record.parts, record.id, record.place, state)
    if left_out:
        yield Branch(left_out, "the end")


# --------------------------------------------------------------------------- files


def _read_files(path: Path) -> Iterator[Item]:
    session = _file(path)
    if session is None:
        yield Oddity("damaged", "session file", path.name)
        return
    id_ = text_at(session, "id") or path.stem
    yield _facts(session, id_)
    yield from _told(_message_files(path, id_), text_at(session, "revert", "messageID"))


def _facts(session: JsonObject, id_: str) -> Facts:
    return Facts(
        id=id_,
        title=text_at(session, "title"),
        cwd=text_at(session, "directory"),
        started_s=unix_s(at(session, "time", "created")),
    )


def _message_files(path: Path, id_: str) -> _Records:
    older = path.parent.name == "info"
    root = path.parent.parent if older else path.parent.parent.parent
    for file in sorted((root / "message" / id_).glob("*.json")):
        folder = root / "part" / id_ / file.stem if older else root / "part" / file.stem
        parts = [_file(part) for part in sorted(folder.glob("*.json"))]
        good = [part for part in parts if part is not None]
        yield _Record(file.stem, file.name, _file(file), good, len(parts) - len(good))


def _file(path: Path) -> JsonObject | None:
    try:
        value = load(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


# --------------------------------------------------------------------------- an export


def _read_export(path: Path) -> Iterator[Item]:
    info = sample(path).first("info")
    session = object_at(info.value if info else None)
    yield _facts(session, text_at(session, "id") or path.stem)
    damage: list[Oddity] = []
    yield from _told(_exported(path, damage), text_at(session, "revert", "messageID"))
    yield from damage


def _exported(path: Path, damage: list[Oddity]) -> _Records:
    for piece in read_pieces(path):
        if isinstance(piece, Oddity):
            damage.append(piece)
        elif piece.key == "messages":
            data = object_at(piece.value, "info")
            listed = list_at(piece.value, "parts")
            good = [part for part in listed if isinstance(part, dict)]
            yield _Record(text_at(data, "id") or "", piece.place, data or None, good, len(listed) - len(good))


# --------------------------------------------------------------------------- rows


def _read_rows(path: Path, id_: str) -> Iterator[Item]:
    """Raises UsageError where the database can't be read."""
    try:
        with closing(read_only(path)) as database:
            query = "SELECT title, directory, time_created, revert FROM session WHERE id = ?"
            title, cwd, created, revert = database.execute(query, (id_,)).fetchone()
            yield Facts(
                id=id_,
                title=_text(title),
                cwd=_text(cwd),
                started_s=unix_s(None if isinstance(created, bytes) else created),
            )
            yield from _told(_message_rows(database, id_), text_at(_object(revert), "messageID"))
    except sqlite3.Error as error:
        raise UsageError(
            f"{path}: can't be read: {error}", hint="Stop opencode, or copy the file, and retry."
        ) from error


def _message_rows(database: sqlite3.Connection, id_: str) -> _Records:
    query = "SELECT id, data FROM message WHERE session_id = ? ORDER BY time_created, id"
    for message_id, data in database.execute(query, (id_,)):
        rows = database.execute("SELECT data FROM part WHERE message_id = ? ORDER BY id", (message_id,))
        parts = [_object(text) for (text,) in rows]
        good = [part for part in parts if part is not None]
        yield _Record(message_id, message_id, _object(data), good, len(parts) - len(good))


def _object(column: _Column) -> JsonObject | None:
    """A column's JSON object. A column may hold a value of any type, whatever the table says."""
    try:
        return object_at(load(column)) or None if isinstance(column, str | bytes) else None
    except ValueError:
        return None


def _text(column: _Column) -> str | None:
    return column if isinstance(column, str) else None


IMPORTER = Importer(AGENT, _recognises, _sessions)
