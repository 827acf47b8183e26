"""The store: one SQLite file that holds runs; each trial is committed as it ends, so nothing measured is lost."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from kvassay.assay import codec
from kvassay.assay.records import FORMAT_VERSION, EpisodeRow, Manifest, ProbeRecord, RunRecord, SessionRecord
from kvassay.assay.stored import StoredRun, told
from kvassay.errors import StoreBusy, StoreError, StoreFormat
from kvassay.types import (
    BootFacts,
    Trial,
)
from kvassay.wire import (
    message_to_json,
    probe_to_json,
    tool_to_json,
)

APPLICATION_ID = 0x6B766173  # "kvas": marks the file as ours
SCHEMA = """
create table runs (
  id integer primary key, created_at real not null, finished_at real, design_sha256 text not null,
  manifest text not null, messages text not null, tools text not null);
create table rungs (
  run integer not null references runs, depth integer not null, n_messages integer not null,
  prompt_tokens integer not null, prefix_text text not null, primary key (run, depth));
create table probes (
  run integer not null references runs, depth integer not null, id text not null, position integer not null,
  probe text not null, prompt_sha256 text not null, prompt_tokens integer not null, suffix_text text not null,
  prefix_chars integer, primary key (run, depth, id));
create table boots (
  id integer primary key, run integer not null references runs, arm text not null, facts text not null,
  started_at real not null, ended_at real, processed_tokens integer not null default 0,
  bound_tokens integer not null default 0, server_s real not null default 0, error text);
create table trials (
  run integer not null references runs, arm text not null, depth integer not null, probe text not null,
  channel text not null, boot integer not null references boots, outcome text not null, detail text not null,
  edit_distance integer, turn text not null, reply text, cached_tokens integer, processed_tokens integer,
  prompt_ms real, predicted_tokens integer, predicted_ms real, wall_s real not null, ended_at real not null,
  prompt_sha256 text not null, prompt_tokens integer not null, positions blob,
  primary key (run, arm, depth, probe, channel)) without rowid;
"""
SINCE_2 = """
alter table trials add column tokens blob;
alter table boots add column evidence_s real not null default 0;
create table evidence (
  run integer not null references runs, arm text not null, depth integer not null, probe text not null,
  rows blob not null, primary key (run, arm, depth, probe)) without rowid;
create table readings (
  boot integer primary key references boots, run integer not null references runs, reading text not null);
"""
SINCE_3 = """
create table episodes (
  run integer not null references runs, arm text not null, depth integer not null, task text not null,
  boot integer not null references boots, done integer, ending text not null, ended_at real not null,
  body text not null, primary key (run, arm, depth, task)) without rowid;
"""
MIGRATIONS = {1: SINCE_2, 2: SINCE_3}
"""What turns a store of each older format into one of the next."""


@dataclass(frozen=True, slots=True)
class Usage:
    """A boot's work so far: prompt tokens as counted by the server, the ladder's lower bound for them, and the
    seconds spent waiting for the server, those for token-level evidence apart (their tokens are not the ladder's).
    """

    processed_tokens: int = 0
    bound_tokens: int = 0
    server_s: float = 0.0
    evidence_s: float = 0.0


class Store:
    """A store opened for reading, or for writing by one process at a time.

    Raises StoreBusy, StoreFormat, or StoreError for a file that can't be opened or written.
    """

    def __init__(self, path: Path, *, write: bool = False) -> None:
        self.path = path
        self._lock = FileLock(f"{path}.lock") if write else None
        self._writing = False
        if write:
            self._acquire()
        try:
            with told(path):
                self._db = self._connect(write=write)
                self._prepare(write=write)
        except StoreError:
            self.close()
            raise

    def _acquire(self) -> None:
        assert self._lock is not None  # noqa: S101
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise StoreBusy(
                f"another kvassay process is writing to {str(self.path)!r}",
                hint="Wait for it to end, or choose another file with --store.",
            ) from None
        except OSError as error:
            raise StoreError(
                f"the store {str(self.path)!r} can't be written: {error.strerror}",
                hint="Choose another place with --store FILE.",
            ) from None

    def _connect(self, *, write: bool) -> sqlite3.Connection:
        if not write and not self.path.is_file():
            raise StoreError(f"there is no store {str(self.path)!r}", hint="'kvassay run' makes one.")
        mode = "rwc" if write else "ro"
        # arms that are asked at the same time write in turn: see executor/baton.py
        return sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
        )

    def _prepare(self, *, write: bool) -> None:
        (version,) = self._db.execute("pragma user_version").fetchone()
        (application,) = self._db.execute("pragma application_id").fetchone()
        if write and version == 0 and application == 0 and not self._db.execute("pragma schema_version").fetchone()[0]:
            self._db.executescript(
                f"begin immediate; {SCHEMA} {SINCE_2} {SINCE_3}"
                f"pragma user_version={FORMAT_VERSION}; pragma application_id={APPLICATION_ID}; commit;"
            )
        elif application != APPLICATION_ID:
            raise StoreFormat(f"{str(self.path)!r} is an SQLite file, but not a kvassay store")
        elif version in MIGRATIONS:
            self._migrate(version, write=write)
        elif version != FORMAT_VERSION:
            raise StoreFormat(
                f"{str(self.path)!r} has store format {version}; this kvassay reads format {FORMAT_VERSION}",
                hint="Use the kvassay version that wrote it, or start a new store with --store FILE.",
            )
        if write:
            self._db.execute("pragma journal_mode=wal")
            # kill -9 loses nothing; only with the power may the last seconds go, and they are asked again
            self._db.execute("pragma synchronous=normal")
            self._writing = True

    def _migrate(self, version: int, *, write: bool) -> None:
        """Bring a store of an older format up to date; for a reader, in a copy in memory."""
        if not write:
            older, self._db = self._db, sqlite3.connect(":memory:", isolation_level=None)
            older.backup(self._db)
            older.close()
        while version != FORMAT_VERSION:
            following = version + 1
            self._db.executescript(f"begin immediate; {MIGRATIONS[version]} pragma user_version={following}; commit;")
            version = following

    def close(self) -> None:
        """Close the file and give the lock back."""
        if self._writing:
            with suppress(sqlite3.Error):  # somebody reads just now; the next writer's close will do it
                self._db.execute("pragma busy_timeout=0")
                self._db.execute("pragma journal_mode=delete")  # a store at rest is one file, readable anywhere
        if hasattr(self, "_db"):
            self._db.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------ runs

    def runs(self) -> tuple[RunRecord, ...]:
        """All runs, oldest first."""
        with told(self.path):
            rows = self._db.execute("select id, manifest, finished_at from runs order by id").fetchall()
        return tuple(RunRecord(run, Manifest.model_validate_json(text), ended) for run, text, ended in rows)

    def run(self, run: int | None = None) -> StoredRun:
        """One run by number, or the newest. Raises StoreError where there is none."""
        records = self.runs()
        for record in reversed(records):
            if run in (None, record.id):
                return StoredRun(self._db, self.path, record)
        known = ", ".join(str(record.id) for record in records) or "none"
        which = "run" if run is None else f"run {run}"
        raise StoreError(f"{str(self.path)!r} holds no {which}", hint=f"Runs: {known}.")

    def unfinished(self, *, in_loops: bool = False) -> StoredRun | None:
        """The newest run of probes, or of closed loops, that can be resumed."""
        opened = [r for r in self.runs() if r.finished_at is None and r.manifest.design.in_loops is in_loops]
        return StoredRun(self._db, self.path, opened[-1]) if opened else None

    def begin(self, manifest: Manifest, session: SessionRecord, probes: Sequence[ProbeRecord]) -> StoredRun:
        """Add a run with everything that is fixed before trial 1."""
        messages = codec.dump([message_to_json(message) for message in session.messages])
        tools = codec.dump([tool_to_json(tool) for tool in session.tools])
        with self._transaction():
            cursor = self._db.execute(
                "insert into runs (created_at, design_sha256, manifest, messages, tools) values (?, ?, ?, ?, ?)",
                (manifest.created_at, manifest.design_sha256, manifest.model_dump_json(), messages, tools),
            )
            run = cursor.lastrowid
            self._db.executemany(
                "insert into rungs values (?, ?, ?, ?, ?)",
                [(run, rung.depth, rung.n_messages, rung.prompt_tokens, rung.prefix_text) for rung in session.rungs],
            )
            self._db.executemany(
                "insert into probes values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        run,
                        p.depth,
                        p.probe.id,
                        at,
                        codec.dump(probe_to_json(p.probe)),
                        p.prompt_sha256,
                        p.prompt_tokens,
                        p.suffix_text,
                        p.prefix_chars,
                    )
                    for at, p in enumerate(probes)
                ],
            )
        return self.run(run)

    def finish(self, run: StoredRun) -> None:
        """Mark a run as complete."""
        with self._transaction():
            self._db.execute("update runs set finished_at = ? where id = ?", (time.time(), run.record.id))

    # ------------------------------------------------------------------ boots and trials

    def add_boot(self, run: StoredRun, arm: str, facts: BootFacts) -> int:
        """Record the start of a boot; its number."""
        with self._transaction():
            cursor = self._db.execute(
                "insert into boots (run, arm, facts, started_at) values (?, ?, ?, ?)",
                (run.record.id, arm, codec.facts_to_json(facts), time.time()),
            )
        return int(cursor.lastrowid or 0)

    def end_boot(self, boot: int, usage: Usage, error: str | None = None) -> None:
        """Bring a boot's counters up to date and record how it ended."""
        with self._transaction():
            self._count(boot, usage)
            self._db.execute("update boots set error = ? where id = ?", (error and codec.storable(error), boot))

    def _count(self, boot: int, usage: Usage) -> None:
        self._db.execute(
            "update boots set ended_at=?, processed_tokens=?, bound_tokens=?, server_s=?, evidence_s=? where id=?",
            (time.time(), usage.processed_tokens, usage.bound_tokens, usage.server_s, usage.evidence_s, boot),
        )

    def add_trial(self, run: StoredRun, trial: Trial, usage: Usage, evidence: bytes | None = None) -> None:
        """Commit one trial, its packed evidence and its boot's counters together. The same key twice is refused."""
        key, t, reply = trial.key, trial.timings, trial.reply
        row = (
            run.record.id, key.arm, key.depth, key.probe, key.channel, trial.boot, trial.outcome.kind,
            codec.storable(trial.outcome.detail), trial.outcome.edit_distance, codec.turn_to_json(trial.turn),
            codec.reply_to_json(reply) if reply else None,
            *((t.cached_tokens, t.processed_tokens, t.prompt_ms, t.predicted_tokens, t.predicted_ms) if t
              else (None,) * 5),
            trial.wall_s, time.time(), trial.prompt_sha256, trial.prompt_tokens,
            codec.pack_positions(trial.positions) if trial.positions else None,
            codec.pack_tokens(trial.tokens) if trial.tokens else None,
        )  # fmt: skip
        with self._transaction():
            self._db.execute(f"insert into trials values ({', '.join('?' * len(row))})", row)  # noqa: S608  only marks
            if evidence:
                place = (run.record.id, key.arm, key.depth, key.probe, evidence)
                self._db.execute("insert into evidence values (?, ?, ?, ?, ?)", place)
            self._count(trial.boot, usage)

    def add_episode(self, run: StoredRun, episode: EpisodeRow, usage: Usage) -> None:
        """Commit one closed loop and its boot's counters together. The same task twice is refused."""
        row = (
            run.record.id, episode.arm, episode.depth, episode.task, episode.boot, episode.done, episode.ending,
            time.time(), codec.storable(episode.body),
        )  # fmt: skip
        with self._transaction():
            self._db.execute(f"insert into episodes values ({', '.join('?' * len(row))})", row)  # noqa: S608  only marks
            self._count(episode.boot, usage)

    def add_reading(self, run: StoredRun, boot: int, reading: str) -> None:
        """Keep what a boot told beside its trials, as JSON."""
        with self._transaction():
            self._db.execute("insert into readings values (?, ?, ?)", (boot, run.record.id, reading))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with told(self.path):
            self._db.execute("begin immediate")
            try:
                yield
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise
