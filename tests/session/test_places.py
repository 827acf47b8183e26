"""Where sessions are looked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kvassay.session.places import session_files, usual_places


@pytest.mark.parametrize(
    ("platform", "agent", "folder"),
    [
        ("linux", "pi", ".pi/agent/sessions"),
        ("linux", "claude-code", ".claude/projects"),
        ("linux", "codex", ".codex/sessions"),
        ("linux", "opencode", ".local/share/opencode/storage/session"),
        ("linux", "openclaw", ".openclaw/agents"),
        ("linux", "cline", ".config/Code/User/globalStorage/saoudrizwan.claude-dev/tasks"),
        ("darwin", "cline", "Library/Application Support/Cursor/User/globalStorage/saoudrizwan.claude-dev/tasks"),
        ("win32", "cline", "AppData/Roaming/Code/User/globalStorage/saoudrizwan.claude-dev/tasks"),
    ],
)
def test_each_agents_folder_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, agent: str, folder: str
) -> None:
    """On each system; what does not exist is not named."""
    monkeypatch.setattr("sys.platform", platform)
    assert usual_places(home=tmp_path, env={}) == {}
    (tmp_path / folder).mkdir(parents=True)
    assert usual_places(home=tmp_path, env={}) == {agent: (tmp_path / folder,)}


def test_agents_own_variables_are_followed(tmp_path: Path) -> None:
    """Whoever moved a store has said so to the agent."""
    (tmp_path / "elsewhere" / "sessions").mkdir(parents=True)
    places = usual_places(home=tmp_path, env={"CODEX_HOME": str(tmp_path / "elsewhere")})
    assert places == {"codex": (tmp_path / "elsewhere" / "sessions",)}


def test_files_are_found_once_and_parts_are_passed_over(tmp_path: Path) -> None:
    """A file given by name counts under any ending; in folders the ending narrows the search."""
    names = ["a/x.jsonl", "a/y.txt", "a/node_modules/z.json", "storage/session/s.json", "storage/part/m/p.json"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = session_files([tmp_path, tmp_path / "a" / "x.jsonl", tmp_path / "a" / "y.txt"])
    assert [file.relative_to(tmp_path).as_posix() for file in found] == [
        "a/x.jsonl",
        "storage/session/s.json",
        "a/y.txt",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes among files")
def test_pipes_are_passed_over(tmp_path: Path) -> None:
    """Opening one would wait for a writer; a link that leads to itself is no file either."""
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
    (tmp_path / "x.jsonl").touch()
    assert list(session_files([tmp_path, tmp_path / "pipe.jsonl"])) == [tmp_path / "x.jsonl"]
