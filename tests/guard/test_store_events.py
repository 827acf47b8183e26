"""The guard's store: bounded, whole after kill -9, bodies only where asked for and without keys."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from guard.turns import event
from kvassay.errors import StoreError, StoreFormat
from kvassay.guard.store import Bodies, open_store, read_events, read_turn

BODIES = Bodies("user: go", "→ edit {}", "{}", "data: [DONE]")


def test_events_come_back_as_they_went_in(tmp_path: Path) -> None:
    store = open_store(tmp_path / "deep" / "g.sqlite", keep_days=1, keep_mb=1)
    stored = [store.add(event(at_s=time.time() + n, loops=("L1 x ×3: y",), tools=("a", "b"))) for n in range(3)]
    assert read_events(tmp_path / "deep" / "g.sqlite", newest=2) == stored[1:]
    assert [one.id for one in stored] == [1, 2, 3]


def test_one_event_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    store = open_store(tmp_path / "g.sqlite", keep_days=1, keep_mb=1)
    for _ in range(3):
        store.add(event(at_s=time.time()))
    with store.connection:
        store.connection.execute("update turns set event = '{' where id = 2")
    assert [one.id for one in read_events(tmp_path / "g.sqlite", newest=9)] == [1, 3]


def test_bodies_are_kept_beside_their_turn(tmp_path: Path) -> None:
    path = tmp_path / "g.sqlite"
    store = open_store(path, keep_days=1, keep_mb=1)
    store.add(event(at_s=time.time()), BODIES)
    store.add(event(at_s=time.time()))
    assert read_turn(path, 1) == (read_events(path, newest=2)[0], BODIES)
    found = read_turn(path, 2)
    assert found is not None
    assert found[1] is None
    assert read_turn(path, 3) is None


def test_old_events_and_their_bodies_go(tmp_path: Path) -> None:
    path = tmp_path / "g.sqlite"
    store = open_store(path, keep_days=2, keep_mb=1)
    for age_days in (5, 3, 1, 0):
        store.add(event(at_s=1e9 - age_days * 86400), BODIES)
    store.prune(1e9)
    assert [one.id for one in read_events(path, newest=9)] == [3, 4]
    assert store.connection.execute("select count(*) from bodies").fetchone() == (2,)


def test_the_file_stays_within_its_size(tmp_path: Path) -> None:
    """Three times as much as fits is written; the newest remain."""
    path = tmp_path / "g.sqlite"
    store = open_store(path, keep_days=1, keep_mb=1)
    noise = "".join(chr(33 + (n * n * 7919 + n // 3) % 90) for n in range(4000))
    for n in range(1000):
        store.add(event(at_s=time.time()), Bodies(noise[n:], noise[: 4000 - n], noise[::-1], "x"))
    store.prune(time.time())
    assert path.stat().st_size < 1.5 * 2**20
    kept = read_events(path, newest=1000)
    assert kept[-1].id == 1000
    assert 50 < len(kept) < 1000


def test_nothing_committed_is_lost_to_kill_minus_nine(tmp_path: Path) -> None:
    """The child says each number after it was stored, and is killed while it writes."""
    path = tmp_path / "g.sqlite"
    script = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\nfrom guard.turns import event\nfrom kvassay.guard.store import open_store\n"
        "store = open_store(Path(sys.argv[1]), keep_days=1, keep_mb=9)\nimport time\n"
        "while True: print(store.add(event(at_s=time.time())).id, flush=True)\n"
    )
    command = [sys.executable, "-c", script, str(path), str(Path(__file__).parents[1])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(50)]
        child.kill()
        told += [int(line) for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    assert [one.id for one in read_events(path, newest=10**6)][: len(told)] == told
    assert sqlite3.connect(path).execute("pragma integrity_check").fetchone() == ("ok",)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("create table t (x)")
    with pytest.raises(StoreFormat, match="not a guard's store"):
        open_store(other, keep_days=1, keep_mb=1)
    (tmp_path / "text").write_text("no database, by far" * 100)
    with pytest.raises(StoreError, match="can't be used"):
        open_store(tmp_path / "text", keep_days=1, keep_mb=1)
    with pytest.raises(StoreError, match="can't be used"):
        read_events(tmp_path / "missing", newest=1)
