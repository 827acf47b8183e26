"""A server's process on its leash: start it, follow its log, say how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from kvassay.backend import leash
from kvassay.backend.llama_log import decisive

_HEAD_BYTES = 1024 * 1024
_TAIL_BYTES = 64 * 1024
_CLOSE_S = 15.0


class ServerProcess:
    """One server under ``backend/leash.py``, its output in one log file.

    ``log_dir`` keeps the log; without it the log is a temporary file, removed on close.
    """

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], log_dir: Path | None, name: str) -> None:
        if log_dir:
            log_dir.mkdir(parents=True, exist_ok=True)
        handle, path = tempfile.mkstemp(prefix=f"{name}-", suffix=".log", dir=log_dir)
        self.log_path = Path(path)
        self._keep_log = log_dir is not None
        try:
            self._leash = subprocess.Popen(  # noqa: S603 - our own leash, the caller's own command line
                [*python_file(leash.__file__), *command],
                stdin=subprocess.PIPE,
                stdout=handle,
                stderr=subprocess.STDOUT,
                env={**os.environ, **env},
                start_new_session=True,  # Ctrl-C at the terminal is ours to handle, not the server's
            )
        finally:
            os.close(handle)

    def running(self) -> bool:
        return self._leash.poll() is None

    def log(self) -> str:
        """The log's first megabyte: the start and the first requests. A long run writes much more of no interest."""
        with self.log_path.open("rb") as file:
            return file.read(_HEAD_BYTES).decode("utf-8", "replace")

    def last_words(self) -> tuple[str, ...]:
        """The decisive lines of the log's end."""
        with suppress(FileNotFoundError), self.log_path.open("rb") as file:
            file.seek(max(0, self.log_path.stat().st_size - _TAIL_BYTES))
            return decisive("\n".join(file.read().decode("utf-8", "replace").splitlines()[-20:]))
        return ()

    def pulse(self) -> tuple[int, float]:
        """A value that changes as long as the process does anything: bytes logged and CPU seconds spent."""
        with suppress(psutil.Error, FileNotFoundError):
            below = psutil.Process(self._leash.pid).children(recursive=True)
            spent = sum(sum(child.cpu_times()[:2]) for child in below)
            return self.log_path.stat().st_size, round(spent, 1)
        return 0, 0.0

    def exit_reason(self) -> str:
        """How the server ended, in words; waits a moment for an end that is under way."""
        deadline = time.monotonic() + 2.0
        while self.running() and time.monotonic() < deadline:
            time.sleep(0.02)
        return describe_exit(self._leash.poll())

    def killed(self) -> bool:
        """Whether the server was ended by SIGKILL."""
        return self._leash.poll() in (137, -9)

    def close(self) -> None:
        """End the server and wait for it; does nothing the second time."""
        if self._leash.stdin and not self._leash.stdin.closed:
            with suppress(BrokenPipeError):
                self._leash.stdin.close()
        try:
            self._leash.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._leash.kill()
            self._leash.wait()
        if not self._keep_log:
            self.log_path.unlink(missing_ok=True)


def python_file(path: str) -> list[str]:
    """The command that runs one of our files by itself, without importing the package around it."""
    return [sys.executable, "-P", path]


def describe_exit(code: int | None) -> str:
    """An exit code of the leash in words: 128 + n is signal n."""
    if code is None:
        return "does not answer, although its process runs"
    number = code - 128 if code > 128 else -code  # noqa: PLR2004 - the shell's convention
    if number <= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"ended with exit code {code}"
    why = ", often by the system for want of memory" if name == "SIGKILL" else ""
    return f"was killed by {name}{why}"
