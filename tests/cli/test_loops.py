"""`kvassay loops` as typed: killed and resumed, reported again, and wrong input."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.scripted_runs import ATTACH, HARNESS, query, suite
from kvassay import session
from kvassay.cli import app, main

CORPUS = str(Path(session.__file__).parent)
NEW = ["loops", *ATTACH, "--depth", "8k", "--families", "bug", "--tasks", "3", "--turns", "3", "--corpus", CORPUS]
EPISODES = 9
KEPT = "select arm, task, ending, body from episodes"


def command(folder: Path, *args: str, delay_s: float = 0.0) -> list[str]:
    return [sys.executable, str(HARNESS), str(suite(folder)), str(delay_s), *args, "--out", str(folder)]


def finish(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(folder, *args), capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_kill_9_loses_no_episode_and_resume_plays_only_what_is_missing(tmp_path: Path) -> None:
    """Rows from before stay as they are, the rest is added, and the reports name this command."""
    with subprocess.Popen(
        command(tmp_path, *NEW, delay_s=0.3), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        deadline = time.monotonic() + 240
        while len(query(tmp_path, KEPT)) < 2:
            assert child.poll() is None, child.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(child.pid, signal.SIGKILL)
    before = set(query(tmp_path, KEPT))
    assert 2 <= len(before) < EPISODES
    done = finish(tmp_path, "loops", "--resume")
    assert done.returncode == 0, done.stderr
    assert f"{EPISODES} closed loops over 3 boots, {len(before)} of them already stored" in done.stderr
    assert before < set(query(tmp_path, KEPT))
    assert len(query(tmp_path, KEPT)) == EPISODES
    assert "Neither K nor V: the model itself does 0 of 3 tasks at f16/f16." in done.stdout
    assert max(map(len, done.stdout.splitlines()[:-1])) <= 80
    assert (tmp_path / "loops.html").exists()
    again = finish(tmp_path, "loops", "--resume")
    assert again.returncode == 2
    assert "holds no unfinished run of closed loops" in again.stderr
    (tmp_path / "loops.json").unlink()
    assert _main("report", "--store", str(tmp_path / "kvassay.sqlite")) == 0
    assert (tmp_path / "loops.json").exists()
    assert not (tmp_path / "report.json").exists()


def _main(*args: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["kvassay", *args])
        with pytest.raises(SystemExit) as ended:
            main()
    return int(str(ended.value.code))


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--kv", "q4_0/q4_0", "--agent", "aider"), "unknown agent 'aider'"),
        (("--kv", "q4_0/q4_0", "--families", "recall"), "unknown task family 'recall'"),
        (("--kv", "q4_0/q4_0", "--turns", "0"), "turns = 0: give at least 1"),
        (("--kv", "q4_0/q4_0", "--turns", "1000"), "turns = 1000"),
        (("--kv", "q4_0/q4_0", "--tasks", "0"), "tasks = 0: give at least 1"),
        (("--kv", "q4_7/q4_0"), "q4_7"),
        ((), "no K/V pair to judge is named"),
        (("--kv", "q4_0/q4_0", "--depth", "many"), "many"),
    ],
)
def test_wrong_input_is_one_clear_message(
    args: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main("loops", "no-such-model.gguf", *args, "--out", str(tmp_path)) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_help_fits_80_columns_and_tells_the_agents() -> None:
    told = CliRunner().invoke(app, ["loops", "--help"]).output
    assert max(map(len, told.splitlines())) <= 80
    assert "openclaw" in told
    assert "--isolate" in told
