"""What an importer is, what it is shown of a file, and what it finds there."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from kvassay.session.json_text import load
from kvassay.session.pieces import Piece, pieces
from kvassay.session.transcript import Item
from kvassay.types import JsonObject

_SQLITE_MAGIC = b"SQLite format 3\0"
_SAMPLE_LINES = 100
_SAMPLE_PIECES = 60
_HEAD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """One session that was found. ``read`` streams it, anew at each call; ``id`` tells a store's sessions apart."""

    agent: str
    path: Path
    read: Callable[[], Iterator[Item]]
    id: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """The beginning of a file: what importers tell their own files by. ``lines`` are the JSON objects on the first
    lines of JSONL; ``pieces`` the first members or items of one JSON document; ``tables`` a SQLite database's tables.
    """

    path: Path
    lines: tuple[JsonObject, ...] = ()
    pieces: tuple[Piece, ...] = ()
    tables: frozenset[str] = frozenset()

    def first(self, key: str) -> Piece | None:
        """The first piece under a key."""
        return next((piece for piece in self.pieces if piece.key == key), None)

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(piece.key for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Importer:
    """One agent's format. ``recognises`` judges by content, never by name; ``sessions`` lists what a file holds."""

    agent: str
    recognises: Callable[[Sample], bool]
    sessions: Callable[[Path], Iterator[Source]]


def sample(path: Path) -> Sample:
    """Look at the beginning of a file. Raises OSError where it can't be read."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES).removeprefix(b"\xef\xbb\xbf")
    if head.startswith(_SQLITE_MAGIC):
        return Sample(path, tables=_tables(path))
    lines = _json_lines(head, whole=len(head) < _HEAD_BYTES)
    return Sample(path, lines=lines, pieces=() if len(lines) > 1 else _begun(path))


def one_file(agent: str, read: Callable[[Path], Iterator[Item]]) -> Callable[[Path], Iterator[Source]]:
    """The ``sessions`` of a format that keeps one session in each file."""

    def sessions(path: Path) -> Iterator[Source]:
        yield Source(agent, path, lambda: read(path))

    return sessions


def read_only(path: Path) -> sqlite3.Connection:
    """Open a database that may be in use, without ever writing to it. Raises sqlite3.Error.

    Where no journal lies beside it nobody writes now, and it is opened as a file that can't change: SQLite would
    otherwise put its shared-memory file beside it, and fail in a folder that can't be written.
    """
    resolved = path.resolve()
    mode = "mode=ro" if resolved.with_name(f"{resolved.name}-wal").exists() else "immutable=1"
    database = sqlite3.connect(f"file:{quote(resolved.as_posix())}?{mode}", uri=True, timeout=5)
    database.text_factory = lambda raw: raw.decode("utf-8", "replace")  # one scratched text is not a damaged store
    return database


def _tables(path: Path) -> frozenset[str]:
    try:
        with closing(read_only(path)) as database:
            return frozenset(name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'"))
    except sqlite3.Error:
        return frozenset()


def _json_lines(head: bytes, *, whole: bool) -> tuple[JsonObject, ...]:
    """The objects on the first lines; none where the first line only opens a document that goes on below it."""
    lines = head.lstrip().split(b"\n")
    if lines[0].strip() in (b"{", b"[") or lines[0].startswith(b"["):
        return ()
    found = (_object(line) for line in (lines if whole else lines[:-1]) if line.strip())
    return tuple(islice((value for value in found if value is not None), _SAMPLE_LINES))


def _object(line: bytes) -> JsonObject | None:
    try:
        value = load(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _begun(path: Path) -> tuple[Piece, ...]:
    found: list[Piece] = []
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as text:
            found.extend(islice(pieces(text), _SAMPLE_PIECES))
    except ValueError:
        pass
    return tuple(found)
