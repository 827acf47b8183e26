"""OpenClaw's agents (``~/.openclaw/agents/<id>/agent/openclaw-agent.sqlite``): pi's entries, one a row.

Read by: openclaw 2026.9.6, the schema of ``transcript_events`` and ``transcript-payload``: an event is ``event_json``,
or ``event_zstd`` with ``event_utf8_bytes``. Its older JSONL files are pi's format, told apart by
OpenClaw's own entries.
"""

from __future__ import annotations

import importlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kvassay.errors import UsageError
from kvassay.extras import install_line
from kvassay.session.importers.fields import text_at
from kvassay.session.importers.pi import looks_like_pi, read_entries
from kvassay.session.importers.source import Importer, Sample, Source, read_only
from kvassay.session.json_text import MAX_LINE_BYTES, Line, line_of, read_lines
from kvassay.session.transcript import Facts, Item
from kvassay.types import JsonObject

if TYPE_CHECKING:
    from zstandard import ZstdDecompressor

AGENT = "openclaw"
_TABLE = "transcript_events"
_OWN_ENTRIES = ("openclaw", "model-snapshot", "clawdbot", "moltbot")


class _Zstd(NamedTuple):
    """A decompressor (packed bytes → bytes, so many at most), and what it raises."""

    decompress: Callable[[bytes, int], bytes]
    error: type[Exception]


def _recognises(sample: Sample) -> bool:
    return _TABLE in sample.tables or (looks_like_pi(sample) and any(map(_is_own, sample.lines)))


def _is_own(entry: JsonObject) -> bool:
    return (text_at(entry, "customType") or text_at(entry, "message", "provider") or "").startswith(_OWN_ENTRIES)


def _sessions(path: Path) -> Iterator[Source]:
    try:
        with closing(read_only(path)) as database:
            ids = [id_ for (id_,) in database.execute("SELECT DISTINCT session_id FROM transcript_events ORDER BY 1")]
    except sqlite3.DatabaseError:
        yield Source(AGENT, path, lambda: read_entries(partial(read_lines, path)))
        return
    for id_ in ids:
        yield Source(AGENT, path, partial(_read, path, str(id_)), id=str(id_))


def _read(path: Path, id_: str) -> Iterator[Item]:
    yield Facts(id=id_)
    yield from read_entries(partial(_rows, path, id_))


def _rows(path: Path, id_: str) -> Iterator[Line]:
    """The session's rows as lines, numbered by ``seq``. Raises UsageError where the database can't be read.

    Columns are read as the bytes they hold, whatever type was written: a single odd value is damage to its row.
    """
    zstd: _Zstd | None = None
    try:
        with closing(read_only(path)) as database:
            compressed = "event_zstd" in {row[1] for row in database.execute(f"PRAGMA table_info({_TABLE})")}
            columns = "seq, CAST(event_json AS BLOB), " + ("CAST(event_zstd AS BLOB)" if compressed else "NULL")
            query = f"SELECT {columns} FROM {_TABLE} WHERE session_id = ? ORDER BY seq"  # noqa: S608  names are ours
            for seq, text, packed in database.execute(query, (id_,)):
                if text is None and packed is not None:
                    zstd = zstd or _zstd(path)
                    yield _unpacked(seq, packed, zstd)
                else:
                    yield line_of(seq, text or "")
    except sqlite3.Error as error:
        raise UsageError(
            f"{path}: can't be read: {error}", hint="Stop OpenClaw, or copy the file, and retry."
        ) from error


def _unpacked(seq: int, packed: bytes, zstd: _Zstd) -> Line:
    try:
        unpacked = zstd.decompress(packed, MAX_LINE_BYTES)
    except zstd.error:
        return Line(seq, None, "not Zstandard")
    return line_of(seq, unpacked) if len(unpacked) < MAX_LINE_BYTES else Line(seq, None, "line too long")


def _zstd(path: Path) -> _Zstd:
    """Zstandard of Python 3.14, or of the package ``zstandard``. Raises UsageError where there is neither."""
    try:
        standard = importlib.import_module("compression.zstd")
    except ImportError:
        try:
            package = importlib.import_module("zstandard")
        except ImportError:
            raise UsageError(
                f"{path}: some events are compressed with Zstandard, which this Python can't read.",
                hint=f"Install it: {install_line('zstd')} (not needed from Python 3.14 on).",
            ) from None
        return _Zstd(_unpacking(package.ZstdDecompressor), package.ZstdError)
    return _Zstd(lambda packed, most: standard.ZstdDecompressor().decompress(packed, most), standard.ZstdError)


def _unpacking(decompressor: Callable[[], ZstdDecompressor]) -> Callable[[bytes, int], bytes]:
    """The size that a frame claims is no limit, and may be a lie: it is read as a stream."""

    def unpack(packed: bytes, most: int) -> bytes:
        with decompressor().stream_reader(packed) as reader:
            return reader.read(most)

    return unpack


IMPORTER = Importer(AGENT, _recognises, _sessions)
