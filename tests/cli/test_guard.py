"""`kvassay guard` as a process: what it says, how it ends, what it refuses."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from guard.turns import event
from kvassay.cli.guard import _tell, _Terminal
from kvassay.guard.options import Options

COMMAND = (sys.executable, "-m", "kvassay", "guard")


def refused(*flags: str, **env: str) -> tuple[int, str]:
    """Exit code and message of a guard that does not start."""
    done = subprocess.run(
        [*COMMAND, *flags], capture_output=True, text=True, timeout=60, env={**os.environ, **env}, check=False
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


UP = ("--upstream", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        ((), 2, "Usage"),
        (("--kv", "q8_0/q4_0"), 2, "no server is named"),
        (("--upstream", "127.0.0.1:8080"), 2, "'127.0.0.1:8080' is no server's address"),
        ((*UP, "--listen", "here"), 2, "'here' is no address to listen on"),
        ((*UP, "--listen", "0.0.0.0:8484"), 2, "--token"),
        ((*UP, "--token", "short"), 2, "fewer than 16"),
        ((*UP, "--kv", "q8_0\nq4_0"), 2, "is no name of a pair"),
        ((*UP, "--no-store", "--keep-bodies"), 2, "contradict"),
        ((*UP, "--allow-origin", "here"), 2, "'here' is no web origin"),
        ((*UP, "--keep-days", "0"), 2, "keep-days"),
        ((*UP, "--fall-back", "x"), 2, "'x' is no server's address"),
    ],
)
def test_wrong_input_is_one_clear_message(flags: tuple[str, ...], code: int, said: str) -> None:
    got, message = refused(*flags)
    assert (got, said in message) == (code, True), message


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        place = f"127.0.0.1:{sock.getsockname()[1]}"
        code, message = refused(*UP, "--listen", place, "--no-store")
    assert (code, f"'{place}' can't be listened on" in message) == (4, True)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_starts_without_a_server_says_so_and_ends_with_its_child(tmp_path: Path, number: signal.Signals) -> None:
    port = free_port()
    flags = (*UP, "--listen", str(port), "--store", str(tmp_path / "g.sqlite"))
    with subprocess.Popen([*COMMAND, *flags], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        assert lines[0] == f"guarding http://127.0.0.1:1 at http://127.0.0.1:{port}\n"
        assert lines[1] == f"page     http://127.0.0.1:{port}/__kvassay/\n"
        assert lines[2].startswith("note     no server answers there yet")
        asked = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        answered = httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=asked)
        assert answered.status_code == 502
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        said = process.stdout.read()
    assert process.returncode == (-signal.SIGKILL if number is signal.SIGKILL else 0)
    assert number is signal.SIGKILL or "seen" in said
    assert children
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def test_no_models_name_rearranges_the_terminal() -> None:
    """A client chooses the name; what can't be printed, or written in the terminal's encoding, is replaced."""
    written = io.BytesIO()
    console = _Terminal(file=io.TextIOWrapper(written, "latin-1"), highlight=False)
    told = event(model="qwen–coder\rGOOD\x1b[2J", depth_tokens=None, outcome="M1", detail="no JSON")
    _tell(told, Options(upstream=UP[1]), console)
    assert written.getvalue().endswith(b" qwen?coder?GOOD?[2J: M1 no JSON\n")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes")
def test_a_turn_told_to_nobody_is_no_failure() -> None:
    script = (
        "import sys\nfrom kvassay.cli.guard import _Terminal\nterminal = _Terminal(highlight=False)\n"
        "sys.stdin.read()\nfor _ in range(2): terminal.print_plain('12:00:00 m: M1 [b]not a tag[/b]')\n"
        "terminal.print('1 turns seen')\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
    told = subprocess.run(command, input=b"", capture_output=True, check=True).stdout
    assert told.splitlines() == [b"12:00:00 m: M1 [b]not a tag[/b]"] * 2 + [b"1 turns seen"]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes")
def test_it_goes_on_when_nobody_reads_what_it_says(tmp_path: Path) -> None:
    port = free_port()
    flags = (*UP, "--listen", str(port), "--store", str(tmp_path / "g.sqlite"))
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen([*COMMAND, *flags], stdout=subprocess.PIPE, text=True, env=buffered) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        asked = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        for _ in range(3):
            assert httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=asked).status_code == 502
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
