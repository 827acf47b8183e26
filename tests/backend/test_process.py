"""Servers on their leash: none outlives us. Plain programs stand in for servers here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from kvassay.backend.process import ServerProcess, describe_exit

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(100)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(100)",
]
PARENT = """
import sys, time
from pathlib import Path
from kvassay.backend.process import ServerProcess
process = ServerProcess(sys.argv[2:], env={}, log_dir=Path(sys.argv[1]), name="test")
while "up" not in process.log():
    time.sleep(0.01)
print("ready", flush=True)
time.sleep(100)
"""


def started(command: list[str], folder: Path) -> ServerProcess:
    """A process that has said that it is up."""
    process = ServerProcess(command, env={}, log_dir=folder, name="test")
    wait_until(lambda: "up" in process.log())
    return process


def wait_until(condition: object, seconds: float = 10.0) -> None:
    """Wait for a condition; fail if it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def descendants(pid: int | None = None) -> list[psutil.Process]:
    """All processes below one (ours), but Python's own tracker of multiprocessing, which any test may have started."""
    return [one for one in psutil.Process(pid).children(recursive=True) if "resource_tracker" not in told(one)]


def told(process: psutil.Process) -> str:
    """A process's command line; nothing of one that has ended."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def gone(process: psutil.Process) -> bool:
    """Whether a process has ended (a zombie has)."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def parent(tmp_path: Path) -> subprocess.Popen[str]:
    """Another Python that has started a server, ready to be killed."""
    command = [sys.executable, "-c", PARENT, str(tmp_path), *SLEEPER]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_server_outlives_us(parent: subprocess.Popen[str], number: int) -> None:
    """However we are ended, kill -9 included, leash and server end too."""
    below = descendants(parent.pid)
    assert len(below) == 2
    parent.send_signal(number)
    parent.wait(10)
    wait_until(lambda: all(map(gone, below)))


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_no_server_outlives_its_leash(tmp_path: Path) -> None:
    """A leash that is killed with -9 takes its server along."""
    process = started(SLEEPER, tmp_path)
    leash, *below = descendants()
    assert below == leash.children()
    leash.kill()
    wait_until(lambda: all(map(gone, below)))
    process.close()


def test_close_ends_a_stubborn_server(tmp_path: Path) -> None:
    """A server that ignores SIGTERM is killed, and closing twice does nothing more."""
    process = started(STUBBORN, tmp_path)
    below = descendants()
    process.close()
    assert all(map(gone, below))
    process.close()


@pytest.mark.parametrize("then", ["wait", "exit 3"])
@pytest.mark.parametrize("worker", ["sleep 300", "trap '' TERM; exec sleep 300"])
def test_what_a_server_started_ends_with_it(tmp_path: Path, worker: str, then: str) -> None:
    """Workers are ended and waited for, though the process that started them is gone before they are."""
    process = started(["bash", "-c", f"({worker}) & echo up $!; {then}"], tmp_path)
    pid = int(process.log().split()[1])
    process.close()
    assert not psutil.pid_exists(pid)


def test_a_server_does_not_get_our_interrupt(tmp_path: Path) -> None:
    """Leash and server are in sessions of their own, so Ctrl-C at the terminal leaves them to us."""
    process = started(SLEEPER, tmp_path)
    groups = [os.getpgid(child.pid) for child in descendants()]
    assert os.getpgid(0) not in groups
    assert len(set(groups)) == 2
    process.close()


def test_the_log_is_kept_only_where_asked(tmp_path: Path) -> None:
    """A log in a folder stays; a temporary one goes with the process."""
    kept, temporary = started(SLEEPER, tmp_path), ServerProcess(SLEEPER, env={}, log_dir=None, name="test")
    for process in (kept, temporary):
        process.close()
    assert kept.log_path.read_text() == "up\n"
    assert not temporary.log_path.exists()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import sys; sys.exit(3)", "ended with exit code 3"),
        (
            "import os; os.kill(os.getpid(), 9)",
            "was killed by SIGKILL, often by the system for want of memory",
        ),
        ("import os; os.abort()", "was killed by SIGABRT"),
    ],
)
def test_the_end_is_told_in_words(tmp_path: Path, script: str, words: str) -> None:
    """Exit codes and signals pass through the leash."""
    process = ServerProcess([sys.executable, "-c", script], env={}, log_dir=tmp_path, name="test")
    wait_until(lambda: not process.running())
    assert process.exit_reason() == words
    assert process.killed() is ("SIGKILL" in words)
    process.close()


def test_an_unknown_code_is_given_as_it_is() -> None:
    """A code above 128 that is no signal stays a code."""
    assert describe_exit(255) == "ended with exit code 255"
    assert describe_exit(None) == "does not answer, although its process runs"


def test_the_environment_reaches_the_server(tmp_path: Path) -> None:
    """Variables given are set for the server, beside our own."""
    script = "import os; print(os.environ['KVASSAY_TEST'], 'PATH' in os.environ, 'up', flush=True)"
    process = ServerProcess([sys.executable, "-c", script], env={"KVASSAY_TEST": "7"}, log_dir=tmp_path, name="test")
    wait_until(lambda: "7 True up" in process.log())
    process.close()


def test_a_working_process_has_a_pulse(tmp_path: Path) -> None:
    """CPU time and log lines change the pulse; a sleeping process has none."""
    busy = started([sys.executable, "-c", "print('up', flush=True)\nwhile True: pass"], tmp_path)
    before = busy.pulse()
    wait_until(lambda: busy.pulse() != before)
    busy.close()
