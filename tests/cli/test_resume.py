"""A run that was killed or stopped goes on where it was; one that can't be is refused by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cli.scripted_runs import TRIALS, finish, new_run, query, rows, start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A folder whose run was killed with -9 in the middle."""
    with start(tmp_path, *new_run(tmp_path)) as child:
        os.kill(child.pid, signal.SIGKILL)
    assert 3 <= len(rows(tmp_path)) < TRIALS
    return tmp_path


def test_after_kill_9_resume_alone_repeats_nothing_and_loses_nothing(killed: Path) -> None:
    """With no other flag the stored settings hold; rows from before are untouched and the rest is added."""
    before = rows(killed)
    done = finish(killed, "run", "--resume")
    assert done.returncode == 0, done.stderr
    assert before < rows(killed)
    assert len(rows(killed)) == TRIALS
    assert f"{len(before)} of them already stored" in done.stderr
    assert query(killed, "select count(*), count(finished_at) from runs") == [(1, 1)]
    assert "q8_0/q8_0" in done.stdout
    assert (killed / "report.html").exists()


def test_resume_under_another_setting_is_refused_naming_it(killed: Path) -> None:
    """Nothing is run, and every differing field stands with both values."""
    before = rows(killed)
    done = finish(killed, "run", "--resume", "--seed", 7, "--max-tokens", 99)
    assert done.returncode == 5
    assert "seed: 0 in the store, 7 now" in done.stderr
    assert "max_tokens: 256 in the store, 99 now" in done.stderr
    assert rows(killed) == before


def test_without_resume_an_unfinished_run_is_announced_and_a_new_one_begun(killed: Path) -> None:
    """The old run stays and can still be resumed afterwards."""
    before = rows(killed)
    done = finish(killed, *new_run(killed))
    assert done.returncode == 0, done.stderr
    assert "Run 1 in this store is unfinished; --resume" in done.stderr
    assert len(rows(killed)) == len(before) + TRIALS
    assert finish(killed, "run", "--resume").returncode == 0
    assert query(killed, "select run, count(*) from trials group by run") == [(1, TRIALS), (2, TRIALS)]


def test_a_finished_store_has_nothing_to_resume(tmp_path: Path) -> None:
    """It is said, with a non-zero exit code, and nothing is run."""
    assert finish(tmp_path, *new_run(tmp_path)).returncode == 0
    before = rows(tmp_path)
    done = finish(tmp_path, "run", "--resume")
    assert done.returncode == 2
    assert "nothing to resume" in done.stderr
    assert rows(tmp_path) == before


def test_the_demo_goes_on_by_itself(tmp_path: Path) -> None:
    """A demo that was killed is finished by typing it again."""
    with start(tmp_path, "demo") as child:
        os.kill(child.pid, signal.SIGKILL)
    before = rows(tmp_path)
    assert finish(tmp_path, "demo").returncode == 0
    assert before < rows(tmp_path)
    assert query(tmp_path, "select count(*) from runs") == [(1,)]


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_keeps_every_finished_trial(tmp_path: Path, times: int) -> None:
    """At the terminal, Ctrl-C once finishes the trial under way, twice stops at once; both end with 130 and the
    command that goes on, which works as printed.
    """
    with start(tmp_path, *new_run(tmp_path), delay_s=1.0) as child:
        before = len(rows(tmp_path))
        os.killpg(child.pid, signal.SIGINT)
        if times > 1:
            _read_until(child, "press Ctrl-C again")
            os.killpg(child.pid, signal.SIGINT)
        output = child.communicate(timeout=30)[0]
    assert child.returncode == 130, output
    assert "Traceback" not in output
    kept = len(rows(tmp_path))
    assert kept == before if times > 1 else kept == before + 1
    assert f"{kept} finished trials are kept. Go on with: kvassay run --resume --out {tmp_path}" in output
    assert finish(tmp_path, "run", "--resume").returncode == 0
    assert len(rows(tmp_path)) == TRIALS


def _read_until(child: subprocess.Popen[str], words: str) -> None:
    assert child.stdout is not None
    assert any(words in line for line in child.stdout)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MiB; needs the right to mount."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp_path)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root on Linux")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_full_disk_is_named_and_what_was_stored_stays(small_disk: Path) -> None:
    """One message says that the disk is full; with room again the run goes on."""
    filler = small_disk / "filler"
    with start(small_disk, *new_run(small_disk)) as child:
        _fill(filler)
        output = child.communicate(timeout=30)[0]
    assert child.returncode == 5, output
    assert "disk is full" in output
    assert "--resume" in output
    assert "Traceback" not in output
    filler.unlink()
    kept = rows(small_disk)
    done = finish(small_disk, "run", "--resume")
    assert done.returncode == 0, done.stderr
    assert kept < rows(small_disk)
    assert len(rows(small_disk)) == TRIALS


def _fill(file: Path) -> None:
    with suppress(OSError), file.open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)


def test_a_new_run_is_announced_only_where_one_is_started(killed: Path) -> None:
    """A refused flag starts none, whatever unfinished run the store holds."""
    refused = finish(killed, *new_run(killed), "--context", "64")
    assert refused.returncode == 2, refused.stderr
    assert "Starting a new one" not in refused.stderr
    assert "Starting a new one" in finish(killed, *new_run(killed)).stderr
