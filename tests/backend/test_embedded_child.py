"""The embedded server's own line in the log."""

from __future__ import annotations

import socket
import sys

import pytest

from kvassay.backend.embedded_child import announce
from kvassay.backend.llama_log import address


@pytest.mark.skipif(sys.platform == "win32", reason="needs Unix datagram sockets, which keep writes apart")
def test_the_address_is_one_write() -> None:
    """A datagram is one write: nothing that another thread logs can come between the port and the line's end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        announce(ours.fileno(), "http://127.0.0.1:45583")
        line = theirs.recv(4096).decode()
    assert line.endswith(":45583\n")
    assert address("half a line of another thread" + line + "0.00.123 I srv") == "http://127.0.0.1:45583"
