"""The store keeps what it is given, through crashes, second writers and foreign files."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from assay import values
from kvassay.assay.records import FORMAT_VERSION, EpisodeRow
from kvassay.assay.store import Store, Usage
from kvassay.errors import StoreBusy, StoreError, StoreFormat
from kvassay.types import BootFacts, Call, Channel, Outcome, OutcomeClass


def filled(path: Path) -> Store:
    store = Store(path, write=True)
    run = store.begin(values.manifest(), values.session(), values.probes("recall/0", "recall/1"))
    boot = store.add_boot(run, "f16/f16", BootFacts("embedded", k_type="f16", devices=("CPU",), warnings=("w",)))
    store.add_trial(run, values.trial(boot=boot), Usage(110, 100, 1.5))
    return store


def test_a_trial_comes_back_as_it_went_in(tmp_path: Path) -> None:
    """Every field of a trial survives, unicode, surrogates and log-probabilities included."""
    with filled(tmp_path / "s.sqlite") as store:
        run = store.run()
        assert run.trial(values.trial().key) == values.trial()
        assert list(run.trials()) == [replace(values.trial(), positions=())]


def test_a_closed_store_is_one_file(tmp_path: Path) -> None:
    """It can be copied or read from a place that can't be written; reading leaves nothing beside it."""
    filled(tmp_path / "s.sqlite").close()
    with Store(tmp_path / "s.sqlite") as store:
        assert len(store.run().done()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"s.sqlite", "s.sqlite.lock"}


def test_session_probes_and_boots_come_back_as_they_went_in(tmp_path: Path) -> None:
    """What is fixed before trial 1 can be read back to start the run again."""
    with filled(tmp_path / "s.sqlite") as store:
        run = store.run()
        assert run.session() == values.session()
        assert list(run.probes()) == values.probes("recall/0", "recall/1")
        (boot,) = run.boots()
        assert (boot.facts.devices, boot.processed_tokens, boot.bound_tokens, boot.server_s) == (
            ("CPU",),
            110,
            100,
            1.5,
        )


def test_the_same_trial_is_never_stored_twice(tmp_path: Path) -> None:
    """A second trial of one key is refused, the first one kept."""
    with filled(tmp_path / "s.sqlite") as store:
        run = store.run()
        with pytest.raises(StoreError, match="UNIQUE"):
            store.add_trial(run, values.trial(), Usage())
        assert len(run.done()) == 1


def test_outcomes_are_those_of_one_channel(tmp_path: Path) -> None:
    """The verdict reads outcomes of its channel only."""
    with filled(tmp_path / "s.sqlite") as store:
        assert list(store.run().outcomes(Channel.RAW)) == []
        assert list(store.run().outcomes(Channel.PLAIN)) == [(values.trial().key, OutcomeClass.VERBATIM_MISS)]


def test_an_arms_right_and_asked_trials_are_counted(tmp_path: Path) -> None:
    """Of probes the right answers, of closed loops those done; an arm that was asked nothing is not there."""
    right = replace(values.trial(), key=replace(values.trial().key, probe="recall/1"))
    with filled(tmp_path / "s.sqlite") as store:
        run = store.run()
        store.add_trial(run, replace(right, outcome=Outcome(OutcomeClass.CORRECT)), Usage())
        for task, done in (("a", True), ("b", False), ("c", None)):
            store.add_episode(run, EpisodeRow("q8_0/f16", 2048, task, 1, done, "finished", "{}"), Usage())
        assert run.counts() == {"f16/f16": (1, 2), "q8_0/f16": (1, 3)}


def test_a_second_writer_is_refused_while_the_first_one_writes(tmp_path: Path) -> None:
    """Two processes never write one store; readers are welcome."""
    path = tmp_path / "s.sqlite"
    with filled(path):
        code = (
            f"from kvassay.assay.store import Store; from pathlib import Path; Store(Path({str(path)!r}), write=True)"
        )
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert StoreBusy.__name__ in second.stderr
        with Store(path) as reader:
            assert len(reader.run().done()) == 1
    with Store(path, write=True) as store:
        assert len(store.runs()) == 1


def test_kill_9_loses_no_finished_trial(tmp_path: Path) -> None:
    """After SIGKILL in the middle of writing, every trial reported as stored is there and the file is sound."""
    path = tmp_path / "s.sqlite"
    code = f"""
        import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        from pathlib import Path
        from assay import values
        from assay.test_store import filled
        from kvassay.assay.store import Usage
        store = filled(Path({str(path)!r}))
        for n in range(100000):
            store.add_trial(store.run(), values.trial(f"recall/{{n + 1}}"), Usage())
            print(n + 1, flush=True)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    last = [child.stdout.readline() for _ in range(20)][-1]
    os.kill(child.pid, signal.SIGKILL)
    last = (child.stdout.read().split() or [last.strip()])[-1]
    child.wait()
    with Store(path, write=True) as store:
        assert len(store.run().done()) >= int(last)
    assert sqlite3.connect(path).execute("pragma integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize(
    ("prepare", "error", "words"),
    [
        (lambda p: p.write_bytes(b"no database at all" * 100), StoreError, "not a database"),
        (lambda p: sqlite3.connect(p).execute("create table t (x)").connection.commit(), StoreFormat, "not a kvassay"),
        (lambda p: filled(p).close() or sqlite3.connect(p).execute("pragma user_version=99"), StoreFormat, "format 99"),
        (lambda p: p.mkdir(), StoreError, "can't be used"),
    ],
)
def test_files_that_are_no_store_of_ours_are_refused(
    tmp_path: Path, prepare: object, error: type[StoreError], words: str
) -> None:
    """Foreign files, foreign databases and other formats are named and never written to."""
    path = tmp_path / "s.sqlite"
    prepare(path)  # type: ignore[operator]
    with pytest.raises(error, match=words):
        Store(path, write=True)


def test_a_missing_store_and_a_missing_run_are_named(tmp_path: Path) -> None:
    """Reading what isn't there says so."""
    with pytest.raises(StoreError, match="there is no store"):
        Store(tmp_path / "none.sqlite")
    with filled(tmp_path / "s.sqlite") as store, pytest.raises(StoreError, match="no run 7"):
        store.run(7)
    with filled(tmp_path / "t.sqlite") as store, pytest.raises(StoreError, match="no run 0"):
        store.run(0)


def test_the_newest_unfinished_run_is_the_one_to_resume(tmp_path: Path) -> None:
    """A finished run on top of it does not hide it."""
    with filled(tmp_path / "s.sqlite") as store:
        first = store.run()
        second = store.begin(values.manifest(seed=1), values.session(), ())
        assert (unfinished := store.unfinished())
        assert unfinished.record.id == second.record.id
        store.finish(second)
        assert (unfinished := store.unfinished())
        assert unfinished.record.id == first.record.id
        store.finish(first)
        assert store.unfinished() is None


def test_text_that_no_utf8_can_hold_is_stored(tmp_path: Path) -> None:
    r"""A model that writes \ud83d into a string must not end the run."""
    odd = {"path": "\ud83d"}
    with filled(tmp_path / "s.sqlite") as store:
        trial = values.trial("recall/1")
        turn = replace(trial.turn, text="\ud83d", calls=(Call("read_file", odd),))
        outcome = Outcome(OutcomeClass.WRONG_VALUE, "path is '\ud83d'")
        store.add_trial(store.run(), replace(trial, turn=turn, outcome=outcome), Usage())
        store.end_boot(1, Usage(), "said \ud83d")
        back = store.run().trial(trial.key)
    assert back
    assert back.turn == turn
    assert back.outcome.detail == r"path is '\ud83d'"


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    """A store under a path that can't be a folder gives one clear error."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="can't be written"):
        Store(tmp_path / "file" / "s.sqlite", write=True)


def _fill(store: Store) -> None:
    for n in range(1, 1000):
        store.add_trial(store.run(), values.trial(f"recall/{n}"), Usage())


def test_a_full_disk_keeps_what_was_stored(tmp_path: Path) -> None:
    """When no page can be added any more, the error says what to do and finished trials stay."""
    with filled(tmp_path / "s.sqlite") as store:
        pages = store._db.execute("pragma page_count").fetchone()[0]
        store._db.execute(f"pragma max_page_count={pages + 1}")
        with pytest.raises(StoreError, match="full") as caught:
            _fill(store)
        assert "--resume" in str(caught.value)
        assert len(store.run().done()) >= 1


def test_a_commit_that_fails_leaves_the_store_usable(tmp_path: Path) -> None:
    """Where the file system has no WAL a reader can hold a commit up: the error says so, and the next write finds no
    transaction left open.
    """
    with filled(tmp_path / "s.sqlite") as store:
        run = store.run()
        store._db.execute("pragma journal_mode=delete")
        store._db.execute("pragma busy_timeout=10")
        reader = sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)
        reader.execute("begin")
        assert reader.execute("select count(*) from trials").fetchone() == (1,)
        with pytest.raises(StoreError, match="locked"):
            store.end_boot(1, Usage(), "first")
        reader.execute("rollback")
        store.end_boot(1, Usage(), "second")
        assert [boot.error for boot in run.boots()] == ["second"]
        reader.close()


def test_a_store_of_format_1_is_read_as_it_is_and_migrated_when_written(tmp_path: Path) -> None:
    """A reader changes nothing on disk; a writer brings the file up to date; both see the same trials."""
    path = tmp_path / "s.sqlite"
    with filled(path) as store:
        trials = list(store.run().trials())
    with sqlite3.connect(path) as db:
        db.executescript(
            "drop table episodes; alter table trials drop column tokens; alter table boots drop column evidence_s; "
            "drop table evidence; drop table readings; pragma user_version=1;"
        )
    db.close()
    before = path.read_bytes()
    older = [replace(trial, tokens=()) for trial in trials]
    with Store(path) as store:
        assert list(store.run().trials()) == older
    assert path.read_bytes() == before
    with Store(path, write=True) as store:
        assert list(store.run().trials()) == older
    with sqlite3.connect(path) as db:
        assert db.execute("pragma user_version").fetchone()[0] == FORMAT_VERSION
    db.close()


def test_a_store_of_format_2_keeps_all_it_holds_and_learns_closed_loops(tmp_path: Path) -> None:
    """Read as it is by readers, brought up to date by a writer, which can then add an episode."""
    path = tmp_path / "s.sqlite"
    with filled(path) as store:
        trials = list(store.run().trials())
    with sqlite3.connect(path) as db:
        db.executescript("drop table episodes; pragma user_version=2;")
    db.close()
    before = path.read_bytes()
    with Store(path) as store:
        assert list(store.run().trials()) == trials
        assert list(store.run().episodes()) == []
    assert path.read_bytes() == before
    with Store(path, write=True) as store:
        store.add_episode(store.run(), EPISODE, Usage())
        assert list(store.run().trials()) == trials
        assert list(store.run().episodes()) == [EPISODE]


EPISODE = EpisodeRow("f16/f16", 100, "bug/1", 1, done=None, ending="infrastructure", body='{"steps": []}')


def test_an_episode_is_kept_once_with_what_its_boot_has_cost(tmp_path: Path) -> None:
    """The same task twice on an arm is refused; the counters are committed with the episode."""
    with filled(tmp_path / "s.sqlite") as store:
        store.add_episode(store.run(), EPISODE, Usage(70, 60, 2.5))
        with pytest.raises(StoreError, match="UNIQUE"):
            store.add_episode(store.run(), EPISODE, Usage(90, 60, 2.5))
        assert store.run().played() == {("f16/f16", 100, "bug/1")}
        assert store.run().boots()[0].processed_tokens == 70


def test_runs_of_probes_and_of_closed_loops_are_resumed_apart(tmp_path: Path) -> None:
    """Each command finds its own unfinished run in a store that holds both."""
    with Store(tmp_path / "s.sqlite", write=True) as store:
        probes = store.begin(values.manifest(), values.session(), values.probes("recall/0"))
        loops = store.begin(values.manifest(turns=5, agent="pi"), values.session(), values.probes("bug/0"))
        found, other = store.unfinished(), store.unfinished(in_loops=True)
        assert (found and found.record.id, other and other.record.id) == (probes.record.id, loops.record.id)


@pytest.mark.skipif(sys.platform == "win32", reason="links of POSIX")
def test_a_killed_writers_store_that_cannot_be_opened_where_it_lies_says_what_to_do(tmp_path: Path) -> None:
    """In a folder that can't be written, SQLite reads no store at whose end a write-ahead log was in use."""
    path = tmp_path / "s.sqlite"
    with Store(path, write=True):
        (tmp_path / "copy.sqlite").write_bytes(path.read_bytes())
    (tmp_path / "copy.sqlite-shm").symlink_to(tmp_path / "nowhere" / "shm")  # as where it can't be made
    with pytest.raises(StoreError, match="with the -wal file beside it") as caught:
        Store(tmp_path / "copy.sqlite")
    assert "unable to open" in str(caught.value)
