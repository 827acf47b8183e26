"""OpenClaw's database: pi's entries in rows, some compressed."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
import zstandard

from kvassay.errors import UsageError
from kvassay.session.importers import load, sessions_in
from kvassay.session.transcript import Branch
from kvassay.types import JsonObject
from session.importers.files import chained, jsonl, messages, oddities, only

HEAD: JsonObject = {"type": "session", "version": 3, "id": "s-1", "timestamp": "2026-01-02T03:04:05Z", "cwd": "/w"}


def said(text: str) -> JsonObject:
    return {"type": "message", "message": {"role": "user", "content": text}}


def database(folder: Path, rows: Sequence[tuple[str, int, str | None, bytes | None, int | None]]) -> Path:
    path = folder / "some-file"
    with closing(sqlite3.connect(path)) as store, store:
        store.execute(
            "CREATE TABLE transcript_events (session_id TEXT NOT NULL, seq INTEGER NOT NULL, event_json TEXT,"
            " created_at INTEGER NOT NULL, event_zstd BLOB, event_utf8_bytes INTEGER, PRIMARY KEY (session_id, seq))"
        )
        query = "INSERT INTO transcript_events VALUES (?, ?, ?, 0, ?, ?)"
        store.executemany(query, rows)
    return path


def packed(entry: JsonObject) -> tuple[None, bytes, int]:
    raw = json.dumps(entry).encode()
    return None, zstandard.ZstdCompressor().compress(raw), len(raw)


def test_plain_and_compressed_rows_are_one_session(tmp_path: Path) -> None:
    """In the order of ``seq``, each session of the store for itself."""
    one, two = chained([said("one"), said("two")])
    rows = [
        ("s-1", 2, *packed(two)),
        ("s-1", 0, json.dumps(HEAD), None, None),
        ("s-1", 1, json.dumps(one), None, None),
        ("s-2", 0, json.dumps(HEAD), None, None),
    ]
    first, second = sessions_in(database(tmp_path, rows))
    found = load(first)
    assert (found.agent, found.id, found.cwd) == ("openclaw", "s-1", "/w")
    assert [m.content for m in messages(found)] == ["one", "two"]
    assert messages(load(second)) == []


def test_a_damaged_row_is_counted(tmp_path: Path) -> None:
    """Neither broken JSON nor broken compression ends the reading."""
    rows = [
        ("s-1", 0, json.dumps(HEAD), None, None),
        ("s-1", 1, "{", None, None),
        ("s-1", 2, None, b"no zstd", 9),
        ("s-1", 3, json.dumps(said("one")), None, None),
    ]
    found = only(database(tmp_path, rows))
    assert [m.content for m in messages(found)] == ["one"]
    assert oddities(found) == {"not JSON": 1, "not Zstandard": 1}


def test_without_a_decompressor_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where an event is compressed."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    rows = [("s-1", 0, json.dumps(HEAD), None, None), ("s-2", 0, *packed(HEAD))]
    plain, compressed = sessions_in(database(tmp_path, rows))
    assert load(plain).cwd == "/w"
    with pytest.raises(UsageError, match=r"pip install .*\[zstd\]"):
        load(compressed)


def test_an_older_file_is_told_from_pis_by_openclaws_entries(tmp_path: Path) -> None:
    """Both are pi's format."""
    own: JsonObject = {"type": "custom", "customType": "model-snapshot", "data": {}}
    assert only(jsonl(tmp_path, HEAD, own, said("one"))).agent == "openclaw"
    assert only(jsonl(tmp_path, HEAD, said("one"))).agent == "pi"


def test_a_leaf_leads_back(tmp_path: Path) -> None:
    """OpenClaw records where the user went back to as an entry of its own."""
    entries = chained([said("one"), said("two"), {"type": "leaf", "targetId": "e0"}, said("three")])
    found = only(jsonl(tmp_path, HEAD, *entries))
    assert [m.content for m in messages(found)] == ["one", "three"]
    assert Branch(1, "line 4") in found.entries


def test_a_store_in_use_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    """What stands in the journal counts, and no file is written beside a store at rest."""
    path = database(tmp_path, [("s-1", 0, json.dumps(HEAD), None, None)])
    with closing(sqlite3.connect(path)) as store:
        store.execute("PRAGMA journal_mode=WAL")
        store.execute("INSERT INTO transcript_events VALUES ('s-1', 1, ?, 0, NULL, NULL)", (json.dumps(said("one")),))
        store.commit()
        assert [m.content for m in messages(only(path))] == ["one"]
    before = sorted(file.name for file in tmp_path.iterdir())
    assert [m.content for m in messages(only(path))] == ["one"]
    assert sorted(file.name for file in tmp_path.iterdir()) == before


def test_a_row_of_another_type_is_damage_to_itself(tmp_path: Path) -> None:
    """SQLite keeps whatever is written: numbers, bytes, half a character; sizes of frames may lie."""
    one, two, three = chained([said("one"), said("two"), said("three")])
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(json.dumps(two).encode())
    rows = [
        ("s-1", 0, json.dumps(one), None, None),
        ("s-1", 1, 42, None, None),
        ("s-1", 2, b"\xff{", None, None),
        ("s-1", 3, None, 12, 3),
        ("s-1", 4, None, frame, None),
        ("s-1", 5, None, None, None),
        ("s-1", 6, None, zstandard.compress(b"0" * 1_000_000), 1 << 62),
        ("s-1", 7, json.dumps(three), None, None),
    ]
    path = database(tmp_path, rows)  # type: ignore[arg-type]
    with closing(sqlite3.connect(path)) as store, store:
        broken = json.dumps({**three, "id": "e9", "parentId": "e2"}).encode().replace(b"three", b"thr\xffe")
        store.execute("INSERT INTO transcript_events VALUES ('s-1', 8, CAST(? AS TEXT), 0, NULL, NULL)", (broken,))
    found = only(path)
    assert [m.content for m in messages(found)] == ["one", "two", "three", "thr\ufffde"]
    assert oddities(found) == {"no JSON object": 1, "not JSON": 3, "not Zstandard": 1}
