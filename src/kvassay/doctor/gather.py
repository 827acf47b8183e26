"""From what the user has — a command, an address, a path, a process — to the set-ups in it."""

from __future__ import annotations

import os.path
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kvassay.doctor.command import base, recognise, split
from kvassay.doctor.read_command import setup_of, without_secrets
from kvassay.doctor.read_file import read_file, read_text, read_variables
from kvassay.doctor.read_log import stated, with_log
from kvassay.doctor.read_model import with_model
from kvassay.doctor.read_process import running, setup_of_pid
from kvassay.doctor.read_url import setups_of_url
from kvassay.doctor.rules import examine
from kvassay.doctor.setup import Setup
from kvassay.doctor.show import Diagnosis
from kvassay.errors import ConfigError

_FORMS = "Give a command (after --), an address, a file, or --pid N."
_EXEC_START = re.compile(r"\A\s*ExecStart=[-@:+!]*")
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=")
_COMPOSED = "What runs stands in the compose file: kvassay doctor compose.yaml"
_ELSEWHERE = {
    "docker": f"Give the whole 'docker run' command. {_COMPOSED}",
    "podman": f"Give the whole 'podman run' command. {_COMPOSED}",
    "docker-compose": _COMPOSED,
    "podman-compose": _COMPOSED,
    "exec": "Exec= is what follows a quadlet's image: give the whole .container file.",
    "systemctl": "What runs stands in the unit: systemctl cat NAME > unit.txt; kvassay doctor unit.txt",
}
"""Where to look for a back end that another program starts."""


def gather(words: Sequence[str], *, pid: int | None = None) -> tuple[Setup, ...]:
    """The set-ups in ``words`` (one address, one path, or a command), of a process, or, with neither, of all back ends
    that run here. Raises ConfigError or BackendError saying what was not found.
    """
    if pid is not None:
        return (setup_of_pid(pid),)
    if not words:
        if found := running():
            return found
        raise ConfigError("no running back end was found on this machine", hint=_FORMS)
    if len(words) == 1 and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", words[0]):
        return setups_of_url(words[0])
    if len(words) == 1 and re.fullmatch(r"[\w.-]+:\d+(/\S*)?", words[0]):
        return setups_of_url(f"http://{words[0]}")
    if len(words) == 1 and os.path.isfile(words[0]) and recognise(words) is None:  # noqa: PTH113 - no OSError for long ones
        folder = Path(words[0]).parent
        return tuple(with_model(setup, folder) for setup in read_file(Path(words[0])).setups)
    return _of_command(words)


def _of_command(words: Sequence[str]) -> tuple[Setup, ...]:
    words = (_EXEC_START.sub("", words[0]), *words[1:])
    text = words[0]
    parts = split(text) if len(words) == 1 and any(c.isspace() for c in text) else list(words)
    command = recognise(parts)
    if command is not None:
        return (with_model(setup_of(command, label="command", has_env=False), Path.cwd()),)
    if alone := read_variables(_lines(text if len(words) == 1 else " ".join(words), parts), "variables"):
        return tuple(alone)
    shown = without_secrets(parts)
    if len(words) == 1 and len(parts) == 1:
        raise ConfigError(f"there is no file {shown[0]!r}, and it is no back end's name", hint=_FORMS)
    started = next((word for word in shown if not _ASSIGNED.match(word)), shown[0])
    raise ConfigError(
        f"no back end that kvassay knows is started by {started!r}",
        hint=next(
            (_ELSEWHERE[name] for word in parts if (name := base(word).partition("=")[0]) in _ELSEWHERE),
            "It knows llama-server, ollama, koboldcpp, vllm, sglang, llama_cpp.server and TabbyAPI's main.py.",
        ),
    )


def _lines(text: str, parts: Sequence[str]) -> str:
    """What may be variables alone, one a line: a shell takes several in one, and a command behind them is none."""
    stated = [word for word in parts if word != "export"]
    if not stated or not _ASSIGNED.match(stated[0]):
        return text
    return "\n".join(stated) if all(map(_ASSIGNED.match, stated)) else ""


def diagnose(
    setups: Sequence[Setup], *, log: Path | None = None, build: int | None = None, device: str | None = None
) -> tuple[Diagnosis, ...]:
    """The findings of each set-up, completed by its ``log`` and by what the user states. Raises ConfigError where a
    log is given for more than one set-up, or can't be read.
    """
    if log is not None and len(setups) != 1:
        raise ConfigError(f"--log belongs to one set-up, and {len(setups)} were found", hint="Name one with --pid.")
    said = {"build": f"b{build}" if build is not None else None, "device": device}
    given = {name: value for name, value in said.items() if value is not None}
    found = []
    for setup in setups:
        full = with_log(setup, read_text(log)) if log else setup
        full = replace(stated(full, given), label=setup.label)
        found.append(Diagnosis(full, examine(full)))
    return tuple(found)
