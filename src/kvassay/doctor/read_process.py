"""Running processes as a source of facts: their arguments and variables, as far as the system lets us read them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from kvassay.doctor.command import Command, recognise
from kvassay.doctor.read_command import setup_of
from kvassay.doctor.read_model import with_model
from kvassay.doctor.setup import Setup
from kvassay.errors import ConfigError


def setup_of_pid(pid: int) -> Setup:
    """The set-up of a process. Raises ConfigError where there is no such process, it may not be looked at, or it is
    no back end that kvassay knows.
    """
    try:
        process = psutil.Process(pid)
        words = process.cmdline()
    except (psutil.NoSuchProcess, ValueError, OverflowError) as error:
        raise ConfigError(
            f"there is no process {pid}", hint="Without --pid kvassay looks for back ends itself."
        ) from error
    except psutil.AccessDenied as error:
        raise ConfigError(f"process {pid} may not be looked at", hint="Run kvassay as the same user.") from error
    found = _setup(process, words)
    if found is None:
        shown = words[0] if words else "no command"
        raise ConfigError(
            f"process {pid} ({shown!r}) is no back end that kvassay knows",
            hint="Without --pid kvassay looks for back ends itself.",
        )
    return found


def running() -> tuple[Setup, ...]:
    """The set-ups of all back ends that run on this machine and may be looked at."""
    return tuple(_running())


def _running() -> Iterator[Setup]:
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if process.pid != os.getpid() and (found := _setup(process, words)):
            yield found


def _setup(process: psutil.Process, words: list[str]) -> Setup | None:
    """None unless the process itself is the program: an editor or shell that only names one is none."""
    command = recognise(words)
    if command is None or len(command.words) != len(words):
        return None
    try:
        env: dict[str, str] | None = process.environ()
        folder: Path | None = Path(process.cwd())
    except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
        env, folder = None, None
    full = Command(command.engine, env or {}, command.words)
    label = f"process {process.pid}"
    return with_model(setup_of(full, label=label, has_env=env is not None), folder)
