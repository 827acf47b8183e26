"""Processes: arguments and variables of real ones."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from kvassay.doctor.read_process import running, setup_of_pid
from kvassay.doctor.reading import pair
from kvassay.errors import ConfigError


@pytest.fixture
def server() -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like a llama-server: its first word says so, and it does nothing."""
    words = ["llama-server", "-c", "import time; time.sleep(60)", "-ctk", "q8_0", "--api-key", "hunter2"]
    env = {**os.environ, "LLAMA_ARG_CACHE_TYPE_V": "q4_0"}
    process = subprocess.Popen(words, executable=sys.executable, env=env)
    until = time.monotonic() + 10
    while psutil.Process(process.pid).cmdline()[:1] != ["llama-server"] and time.monotonic() < until:
        time.sleep(0.01)
    yield process
    process.kill()
    process.wait()


def test_a_process_tells_arguments_and_variables(server: subprocess.Popen[bytes]) -> None:
    """K from the command line, V from the environment, no secret."""
    setup = setup_of_pid(server.pid)
    assert str(pair(setup)) == "q8_0/q4_0"
    assert setup.facts["v_type"].how == "environment: LLAMA_ARG_CACHE_TYPE_V"
    assert "hunter2" not in repr(setup)


def test_running_back_ends_are_found(server: subprocess.Popen[bytes]) -> None:
    """Without being told their numbers."""
    assert f"process {server.pid}" in [setup.label for setup in running()]


@pytest.mark.parametrize("pid", [2**30, -1])
def test_no_such_process_is_named(pid: int) -> None:
    """By its number."""
    with pytest.raises(ConfigError, match=str(pid)):
        setup_of_pid(pid)


def test_another_program_is_not_taken_for_a_back_end() -> None:
    """This very one; the message says what to do next."""
    with pytest.raises(ConfigError, match="no back end") as refused:
        setup_of_pid(os.getpid())
    assert "Without --pid" in refused.value.hint
