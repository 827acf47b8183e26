"""Runs a server that cannot outlive us: ``python leash.py COMMAND …``, one per server.

The leash holds the server; our process holds the leash by a pipe. When the pipe closes, because we closed it or were
killed with -9, the leash ends the server's whole process group, and likewise when the server ends and leaves others
behind: an engine's workers, or what a shell was told to start. Should the leash itself be killed, Linux ends the
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
import time
from contextlib import suppress

_GRACE_S = 5.0
_GONE_S = 1.0
_POLL_S = 0.02
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main(command: list[str]) -> None:
    """Run ``command`` until it ends, or until standard input closes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    server = subprocess.Popen(  # noqa: S603 - the caller's own command line
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no threads yet
    )
    threading.Thread(target=_end_when_told, args=(server,), daemon=True).start()
    code = server.wait()
    _end(server)  # what it started may live on, and hold its port and its memory
    os._exit(code if code >= 0 else 128 - code)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_when_told(server: subprocess.Popen[bytes]) -> None:
    sys.stdin.buffer.read()
    _end(server)


def _end(server: subprocess.Popen[bytes]) -> None:
    """End whoever of the group is left, kindly at first, and wait until they are gone."""
    for number, patience_s in ((signal.SIGTERM, _GRACE_S), (getattr(signal, "SIGKILL", signal.SIGTERM), _GONE_S)):
        _signal_group(server, number)
        deadline = time.monotonic() + patience_s
        while _left(server) and time.monotonic() < deadline:
            time.sleep(_POLL_S)


def _left(server: subprocess.Popen[bytes]) -> bool:
    """Whether anybody of the group is left. Orphans come to the leash, which buries them: not every container's first
    process does.
    """
    if sys.platform == "linux" and server.returncode is not None:
        with suppress(ChildProcessError):
            while os.waitpid(-server.pid, os.WNOHANG)[0]:
                pass
    return _signal_group(server, 0)


def _signal_group(server: subprocess.Popen[bytes], number: int) -> bool:
    """Whether there was anybody to take the signal; 0 only asks."""
    if sys.platform == "win32":
        if number:
            server.terminate()
        return server.poll() is None
    try:
        os.killpg(server.pid, number)
    except (ProcessLookupError, PermissionError):  # PermissionError: macOS, where all that is left are zombies
        return False
    return True


if __name__ == "__main__":
    main(sys.argv[1:])
