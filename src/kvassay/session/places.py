"""Where agents keep their sessions on this machine, and which files there may be some. Nothing is ever written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

_SUFFIXES = frozenset({".jsonl", ".json", ".traj", ".sqlite", ".sqlite3", ".db", ".ndjson"})
_SKIPPED = frozenset(
    {"node_modules", ".git", ".venv", "venv", "__pycache__", "site-packages", "tool-output", "snapshot"}
)
_EXTENSION = ("saoudrizwan.claude-dev", "rooveterinaryinc.roo-cline")
_EDITORS = ("Code", "Code - Insiders", "VSCodium", "Cursor", "Windsurf")


def usual_places(*, home: Path | None = None, env: Mapping[str, str] | None = None) -> dict[str, tuple[Path, ...]]:
    """The folders where each agent keeps sessions, on Linux, macOS and Windows; those that exist."""
    root = Path.home() if home is None else home
    given = os.environ if env is None else env
    found = {agent: tuple(_existing(paths)) for agent, paths in _places(root, given).items()}
    return {agent: paths for agent, paths in found.items() if paths}


def session_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files that may hold sessions: those given, and those with a fitting ending below the folders given, once each
    and in order. Links to folders are not followed; folders that can't be read are passed over, and so are pipes and
    devices, which would be waited for.
    """
    seen: set[Path] = set()
    for path in paths:
        for file in _below(path) if path.is_dir() else [path]:
            if file.is_file() and (real := file.resolve()) not in seen:
                seen.add(real)
                yield file


def _places(home: Path, env: Mapping[str, str]) -> dict[str, list[Path]]:
    data = _folder(env, "XDG_DATA_HOME", home / ".local" / "share")
    return {
        "openclaw": [_folder(env, "OPENCLAW_STATE_DIR", home / ".openclaw") / "agents", home / ".clawdbot" / "agents"],
        "pi": [_folder(env, "PI_CODING_AGENT_DIR", home / ".pi" / "agent") / "sessions"],
        "claude-code": [
            _folder(env, "CLAUDE_CONFIG_DIR", home / ".claude") / "projects",
            home / ".config" / "claude" / "projects",
        ],
        "codex": [_folder(env, "CODEX_HOME", home / ".codex") / name for name in ("sessions", "archived_sessions")],
        "qwen-code": [home / ".qwen" / "projects", home / ".qwen" / "tmp", home / ".gemini" / "tmp"],
        "opencode": [data / "opencode" / "storage" / "session", data / "opencode" / "project", *_databases(data)],
        "cline": [home / ".cline" / "data", *_extensions(home, env)],
        "swe-agent": [home / "trajectories"],
        "mini-swe-agent": [_folder(env, "MSWEA_GLOBAL_CONFIG_DIR", _config(home, env) / "mini-swe-agent")],
        "openhands": [home / ".openhands"],
    }


def _folder(env: Mapping[str, str], name: str, default: Path) -> Path:
    return Path(env[name]) if env.get(name) else default


def _databases(data: Path) -> list[Path]:
    return sorted((data / "opencode").glob("opencode*.db"))


def _config(home: Path, env: Mapping[str, str]) -> Path:
    """Where programs keep their settings."""
    if sys.platform == "darwin":
        return home / "Library" / "Application Support"
    if sys.platform == "win32":
        return _folder(env, "APPDATA", home / "AppData" / "Roaming")
    return _folder(env, "XDG_CONFIG_HOME", home / ".config")


def _extensions(home: Path, env: Mapping[str, str]) -> list[Path]:
    """What editors keep for Cline and its descendants, also on a machine that is worked on from afar."""
    storage = [_config(home, env) / editor / "User" / "globalStorage" for editor in _EDITORS]
    storage.append(home / ".vscode-server" / "data" / "User" / "globalStorage")
    return [folder / name / "tasks" for folder in storage for name in _EXTENSION]


def _existing(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        try:
            if path.exists():
                yield path
        except OSError:
            continue


def _below(folder: Path) -> Iterator[Path]:
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED and not _holds_parts(at, name))
        yield from (Path(at, name) for name in sorted(names) if Path(name).suffix.lower() in _SUFFIXES)


def _holds_parts(at: str, name: str) -> bool:
    """Whether a folder holds the pieces of sessions beside it: opencode keeps a file for each part."""
    return name in ("message", "part") and Path(at, "session").is_dir()
