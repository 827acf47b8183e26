"""The guard's own SQLite file: one event a turn, bodies only where asked for, bounded in days and megabytes."""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from kvassay.errors import StoreError, StoreFormat
from kvassay.guard.turn_event import TurnEvent

APPLICATION_ID = 0x6B766764  # "kvgd"
FORMAT = 1
_SCHEMA = """
create table turns (id integer primary key autoincrement, at_s real not null, event text not null);
create index turns_at on turns (at_s);
create table bodies (
  turn integer primary key references turns on delete cascade,
  question blob not null, answer blob not null, request blob not null, reply blob not null);
"""
_PRUNE_EVERY = 100
_DAY_S = 86400.0
_SHARE_KEPT = 0.9
_EVENTS = TypeAdapter(TurnEvent)


class Bodies(NamedTuple):
    """What was asked and said: the last message and the answer as text, request and reply as they were sent."""

    question: str
    answer: str
    request: str
    reply: str


@dataclass(slots=True)
class EventStore:
    """The one writer, in any thread, one at a time. `open_store` makes it. Every event is a transaction of its own."""

    connection: sqlite3.Connection
    keep_days: float
    keep_bytes: float
    _since_pruned: int = 0

    def add(self, event: TurnEvent, bodies: Bodies | None = None) -> TurnEvent:
        """Store an event; it comes back with its number. Raises sqlite3.Error."""
        event = replace(event, has_bodies=bodies is not None)
        with self.connection:
            cursor = self.connection.execute(
                "insert into turns (at_s, event) values (?, ?)", (event.at_s, json.dumps(asdict(event)))
            )
            if bodies is not None:
                packed = [zlib.compress(text.encode("utf-8", "replace"), 3) for text in bodies]
                self.connection.execute("insert into bodies values (?, ?, ?, ?, ?)", (cursor.lastrowid, *packed))
        self._since_pruned += 1
        if self._since_pruned >= _PRUNE_EVERY:
            self.prune(time.time())
        return replace(event, id=cursor.lastrowid or 0)

    def prune(self, now_s: float) -> None:
        """Drop events that are too old, then the oldest tenth until the rest fits. Raises sqlite3.Error."""
        self._since_pruned = 0
        with self.connection:
            self.connection.execute("delete from turns where at_s < ?", (now_s - self.keep_days * _DAY_S,))
        while self._used_bytes() > self.keep_bytes and (number := self._count()):
            with self.connection:
                self.connection.execute(
                    "delete from turns where id in (select id from turns order by id limit ?)",
                    (max(1, int(number * (1 - _SHARE_KEPT))),),
                )
        self.connection.execute("pragma incremental_vacuum")
        self.connection.execute("pragma wal_checkpoint(truncate)")

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def _used_bytes(self) -> int:
        pages, free, size = (self._pragma(name) for name in ("page_count", "freelist_count", "page_size"))
        return (pages - free) * size

    def _pragma(self, name: str) -> int:
        return int(self.connection.execute(f"pragma {name}").fetchone()[0])

    def _count(self) -> int:
        return int(self.connection.execute("select count(*) from turns").fetchone()[0])


def open_store(path: Path, *, keep_days: float, keep_mb: float) -> EventStore:
    """Open or make a store for writing. Raises StoreError, StoreFormat."""
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=10, check_same_thread=False)
        connection.execute("pragma auto_vacuum = incremental")
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        connection.execute("pragma foreign_keys = on")
        with connection:
            _prepare(connection, path)
    return EventStore(connection, keep_days, keep_mb * 1024 * 1024)


def read_events(path: Path, *, newest: int) -> list[TurnEvent]:
    """The newest events, oldest first; one that can't be read is left out. Raises StoreError."""
    with _reading(path) as connection:
        rows = connection.execute("select id, event from turns order by id desc limit ?", (newest,)).fetchall()
    found: list[TurnEvent] = []
    for number, text in reversed(rows):
        with suppress(ValidationError):
            found.append(_event(number, text))
    return found


def read_turn(path: Path, number: int) -> tuple[TurnEvent, Bodies | None] | None:
    """One event with its bodies, None if there is none of this number. Raises StoreError."""
    with _reading(path) as connection:
        row = connection.execute("select event from turns where id = ?", (number,)).fetchone()
        packed = connection.execute("select question, answer, request, reply from bodies where turn = ?", (number,))
        body = packed.fetchone()
    if row is None:
        return None
    bodies = None if body is None else Bodies(*(zlib.decompress(blob).decode() for blob in body))
    return _event(number, row[0]), bodies


def _event(number: int, text: str) -> TurnEvent:
    return replace(_EVENTS.validate_json(text), id=number)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    owner = connection.execute("pragma application_id").fetchone()[0]
    version = connection.execute("pragma user_version").fetchone()[0]
    empty = connection.execute("select count(*) from sqlite_master").fetchone()[0] == 0
    if empty:
        connection.executescript(_SCHEMA)
        connection.execute(f"pragma application_id = {APPLICATION_ID}")
        connection.execute(f"pragma user_version = {FORMAT}")
    elif (owner, version) != (APPLICATION_ID, FORMAT):
        raise StoreFormat(f"{str(path)!r} is not a guard's store of format {FORMAT}", hint="Choose another --store.")


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with (
        _explained(path),
        closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection,
    ):
        yield connection


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError, ValidationError) as error:
        raise StoreError(
            f"the guard's store {str(path)!r} can't be used: {error}", hint="Choose another --store."
        ) from None
