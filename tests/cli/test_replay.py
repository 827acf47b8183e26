"""`kvassay replay` as a user types it, over the scripted back end."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from cli.scripted_runs import ATTACH, finish, query, rows, start
from session.recordings import recording

TRIALS = 3 * 13


def new_replay(folder: Path) -> list[str]:
    """The arguments of a replay of TRIALS trials."""
    session = recording(folder, lines=6)
    return ["replay", str(session), *ATTACH, "--channels", "raw", "--evidence", "0", "--context", "8k"]


def test_a_replay_ends_with_a_timeline_and_its_gate(tmp_path: Path) -> None:
    """The strip of each arm in the terminal, the section in the page; --fail-on as for `run`."""
    done = finish(tmp_path, *new_replay(tmp_path), "--fail-on", "degraded")
    assert done.returncode == 11, done.stderr
    assert f"f16/f16     {'✗' * 13}\n" in done.stdout
    assert "turns 1 to 13" in done.stdout
    assert "Schemas reconstructed from the calls seen: bash, edit, read" in done.stdout
    assert "Turn by turn" in (tmp_path / "report.html").read_text()
    assert len(rows(tmp_path)) == TRIALS


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_after_kill_9_resume_alone_goes_on(tmp_path: Path) -> None:
    """No session is named, and its file may be gone."""
    with start(tmp_path, *new_replay(tmp_path)) as child:
        os.kill(child.pid, signal.SIGKILL)
    before = rows(tmp_path)
    assert 3 <= len(before) < TRIALS
    (tmp_path / "shop.jsonl").unlink()
    done = finish(tmp_path, "replay", "--resume")
    assert done.returncode == 0, done.stderr
    assert before < rows(tmp_path)
    assert len(rows(tmp_path)) == TRIALS
    assert query(tmp_path, "select count(*), count(finished_at) from runs") == [(1, 1)]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    """With the command that does."""
    with start(tmp_path, *new_replay(tmp_path)) as child:
        os.killpg(child.pid, signal.SIGINT)
        said, _ = child.communicate(timeout=60)
    assert child.returncode == 130
    assert f"kvassay replay --resume --out {tmp_path}" in said


def test_the_list_of_turns_fits_80_columns_and_measures_nothing(tmp_path: Path) -> None:
    """Number, depth, result, calls: what is needed to choose a turn."""
    done = finish(tmp_path, "replay", recording(tmp_path), "--list")
    assert done.returncode == 0, done.stderr
    heading, *lines = done.stdout.splitlines()
    assert heading.split()[0] == "turn"
    assert [int(line.split()[0]) for line in lines] == list(range(1, 14))
    assert [line.split()[0] for line in lines if "failed" in line] == ["4", "13"]
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert not (tmp_path / "kvassay.sqlite").exists()


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [(["nosuch"], 2, "There is no session 'nosuch'"), ([], 2, "no session is named"),
     (["SESSION", "--turn", "99"], 2, "nearest that can: 8, 9, 10, 11, 12, 13"),
     (["SESSION", "--turn", "3", "--turns", "5"], 2, "give one of them"),
     (["SESSION", "--seeds", "5"], 2, "--seeds is for --turn N"),
     (["SESSION", "--temperature", "0.5"], 2, "--temperature is for --turn N"),
     (["SESSION", "--turn", "3", "--seeds", "0"], 2, "'--seeds': 0 is not in the range"),
     (["SESSION", "--turns", "0"], 2, "'--turns': 0 is not in the range"),
     (["SESSION", "--temperature", "0", "--turn", "3"], 2, "replay.temperature = 0.0"),
     (["SESSION", "--context", "600"], 2, "none of the 13 turns fits a context of 600 tokens"),
     (["--resume"], 5, "there is no store")],
)  # fmt: skip
def test_wrong_input_is_one_clear_message(tmp_path: Path, args: list[str], code: int, words: str) -> None:
    """With what to do next, and without a traceback."""
    session = str(recording(tmp_path))
    given = [session if arg == "SESSION" else arg for arg in args]
    done = finish(tmp_path, "replay", *given, *ATTACH)
    assert done.returncode == code, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_of_synthetic_sessions_are_refused(tmp_path: Path) -> None:
    """A settings file that names depths was not meant for a replay."""
    config = tmp_path / "run.toml"
    config.write_text('depths = "2k"\n')
    done = finish(tmp_path, "replay", recording(tmp_path), *ATTACH, "--config", config)
    assert done.returncode == 2
    assert "'depths' says what a synthetic session holds" in done.stderr
