"""Runs a server that cannot outlive us: ``python leash.py COMMAND …``, one per server.

The leash holds the server; our process holds the leash by a pipe. When the pipe closes, because we closed it or were
killed with -9, the leash ends the server's whole process group. Should the leash itself be killed, Linux ends the
server (PR_SET_PDEATHSIG). Its exit code is the server's; 128 + n where signal n ended it.

It imports the standard library only, so that it is small and starts at once.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

_GRACE_S = 5.0
_PR_SET_PDEATHSIG = 1


def main(command: list[str]) -> None:
    """Run ``command`` until it ends, or until standard input closes."""
    server = subprocess.Popen(  # noqa: S603 - the caller's own command line
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no threads yet
    )
    threading.Thread(target=_wait_and_exit, args=(server,), daemon=True).start()
    sys.stdin.buffer.read()
    _end(server)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_and_exit(server: subprocess.Popen[bytes]) -> None:
    code = server.wait()
    os._exit(code if code >= 0 else 128 - code)


def _end(server: subprocess.Popen[bytes]) -> None:
    _signal_group(server, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        server.wait(_GRACE_S)
    _signal_group(server, getattr(signal, "SIGKILL", signal.SIGTERM))


def _signal_group(server: subprocess.Popen[bytes], number: int) -> None:
    if sys.platform == "win32":
        server.terminate()
        return
    with suppress(ProcessLookupError):
        os.killpg(server.pid, number)


if __name__ == "__main__":
    main(sys.argv[1:])
