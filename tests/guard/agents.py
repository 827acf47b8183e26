"""Real coding agents from the npm registry, each in a home of its own, pointed at an address of this machine."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import FileLock

from kvassay.model.store import home
from kvassay.types import JsonObject

_INSTALL_S = 420
_RUN_S = 900  # seconds where the machine has nothing else to do


class Ran(NamedTuple):
    """How an agent's run ended, and what it showed its user."""

    status: int
    shown: str


@dataclass(frozen=True, slots=True)
class Agent:
    """One client at a fixed version. ``packages`` are what npm installs, in this order; ``settings`` writes its
    configuration into a folder for a server's address; ``command`` is its command line for one prompt. ``read``,
    ``edit`` and ``run`` are its tools: their names and the parameters that hold the file, the text or the command.
    ``asks_again`` are the classes after which it sends the same request again; ``of_a_leak`` is what it says of a call
    in the text.
    """

    name: str
    packages: tuple[str, ...]
    settings: Callable[[Path, str, bool], dict[str, str]]
    command: Callable[[Path, Path, str], list[str]]
    read: tuple[str, str]
    edit: Callable[[str, str, str], tuple[str, JsonObject]]
    run: Callable[[str], tuple[str, JsonObject]]
    asks_again: frozenset[str]
    of_a_leak: str

    async def prompted(self, folder: Path, server: str, prompt: str, *, small: bool = False) -> Ran:
        """Give it one prompt in ``folder/work`` and wait until it has ended. ``small`` leaves it few tools and, where
        it can be told, a short system prompt: for a model that reads slowly.
        """
        modules = installed(self)
        (folder / "home").mkdir(exist_ok=True)
        work = folder / "work"
        work.mkdir(exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        env = {**kept, "HOME": str(folder / "home"), "NO_COLOR": "1", "CI": "1", **self.settings(folder, server, small)}
        process = await asyncio.create_subprocess_exec(
            *self.command(modules, folder, prompt),
            cwd=work,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_RUN_S):
                shown, _ = await process.communicate()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # agents leave children behind
            await process.wait()
        assert process.returncode is not None
        return Ran(process.returncode, shown.decode("utf-8", "replace"))


def _answer_tokens(*, small: bool) -> int:
    return 48 if small else 1024


def installed(agent: Agent) -> Path:
    """The agent's ``node_modules``, installed once and kept beside kvassay's models. Skips the test without npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs node and npm")
    folder = home() / "agents" / "-".join(package.rpartition("/")[2] for package in agent.packages)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if not (folder / "ready").exists():
            install = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder)]
            own_node_first = f"{folder / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}"
            for package in agent.packages:
                subprocess.run(
                    [*install, package],
                    check=True,
                    timeout=_INSTALL_S,
                    capture_output=True,
                    env={**os.environ, "PATH": own_node_first},
                )
            (folder / "ready").touch()
    return folder / "node_modules"


# --------------------------------------------------------------------------- opencode


def _opencode_settings(folder: Path, server: str, small: bool) -> dict[str, str]:  # noqa: FBT001  as declared
    local = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Local",
        "options": {"baseURL": f"{server}/v1"},
        "models": {"m": {"name": "m", "limit": {"context": 32768, "output": _answer_tokens(small=small)}}},
    }
    config = {
        "$schema": "https://opencode.ai/config.json",
        "provider": {"local": local},
        "model": "local/m",
        "small_model": "local/m",
        "permission": {"*": "allow"},
        "enabled_providers": ["local"],
        "autoupdate": False,
        "share": "disabled",
        "agent": {"build": {"prompt": "You are a coding agent.", "tools": {"*": False, "read": True}}} if small else {},
    }
    (folder / "work" / "opencode.json").write_text(json.dumps(config), encoding="utf-8")
    flags = ("AUTOUPDATE", "MODELS_FETCH", "DEFAULT_PLUGINS", "LSP_DOWNLOAD", "SHARE", "CLAUDE_CODE")
    return {f"OPENCODE_DISABLE_{flag}": "true" for flag in flags}


OPENCODE = Agent(
    name="opencode",
    packages=("opencode-ai@1.18.33",),
    settings=_opencode_settings,
    command=lambda modules, _folder, prompt: [str(modules / ".bin" / "opencode"), "run", prompt],
    read=("read", "filePath"),
    edit=lambda path, old, new: ("edit", {"filePath": path, "oldString": old, "newString": new}),
    run=lambda command: ("bash", {"command": command}),
    asks_again=frozenset({"P2"}),
    of_a_leak='{"name":',  # it takes it for the answer
)


# --------------------------------------------------------------------------- OpenClaw


def _openclaw_settings(folder: Path, server: str, small: bool) -> dict[str, str]:  # noqa: FBT001  as declared
    model = {
        "id": "m",
        "name": "m",
        "input": ["text"],
        "contextWindow": 32768,
        "maxTokens": _answer_tokens(small=small),
    }
    local = {"baseUrl": f"{server}/v1", "apiKey": "none", "api": "openai-completions", "models": [model]}
    config = {
        "agents": {"defaults": {"model": {"primary": "local/m"}, "skipBootstrap": True}},
        "models": {"mode": "merge", "providers": {"local": local}},
        "tools": {"allow": ["read"]} if small else {},
    }
    (folder / "openclaw.json").write_text(json.dumps(config), encoding="utf-8")
    return {}


OPENCLAW = Agent(
    name="OpenClaw",
    packages=("node@24", "openclaw@2026.9.6"),
    settings=_openclaw_settings,
    command=lambda modules, folder, prompt: [
        str(modules / ".bin" / "node"),
        str(modules / "openclaw" / "openclaw.mjs"),
        *("agent", "exec", "--config", str(folder / "openclaw.json"), "--cwd", str(folder / "work"), prompt),
    ],
    read=("read", "path"),
    edit=lambda path, old, new: ("edit", {"path": path, "edits": [{"oldText": old, "newText": new}]}),
    run=lambda command: ("exec", {"command": command}),
    asks_again=frozenset({"M1"}),  # after an error it mends its history and asks to continue
    of_a_leak="looks like a tool call",
)


AGENTS = (OPENCODE, OPENCLAW)
