"""``kvassay sessions``: what it finds and how it tells."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kvassay.cli.sessions import sessions
from kvassay.errors import KvassayError, UsageError
from session.importers.files import chained, document, jsonl
from session.importers.test_chat import CHAT
from session.importers.test_pi import HEAD, message


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with one pi session of Anna's."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "CODEX_HOME", "CLAUDE_CONFIG_DIR", "PI_CODING_AGENT_DIR"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / ".pi" / "agent" / "sessions"
    folder.mkdir(parents=True)
    words = "Fix /home/jdoe/x.py \x1b[31m" + "ünï漢字 " * 30
    jsonl(folder, HEAD, *chained([message("user", words)])).rename(folder / "one.jsonl")
    return tmp_path


def run(*arguments: str | Path) -> Result:
    """Run the command and let everything but our own errors through."""
    result = CliRunner().invoke(sessions, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, KvassayError | SystemExit):
        raise result.exception
    return result


@pytest.mark.usefixtures("home")
def test_the_usual_places_are_listed_in_80_columns() -> None:
    """A row for each session, and its file below it; no control characters reach the terminal."""
    heading, row, file = run().output.splitlines()
    assert heading.startswith("date")
    assert row.startswith("2026-01-02  pi ")
    assert len(row) <= 80
    assert "\x1b" not in row
    assert file.endswith("one.jsonl")


def test_paths_are_looked_through_newest_first(home: Path) -> None:
    """What has no date comes last; --agent narrows."""
    document(home, [*CHAT]).rename(home / "chat.json")
    rows = json.loads(run("--json", home).output)
    assert [row["agent"] for row in rows] == ["pi", "chat"]
    assert rows[1]["failed_calls"] is None
    assert rows[1]["oddities"] == [{"kind": "left out", "name": "content image_url", "count": 1, "first": "[1]"}]
    assert [row["agent"] for row in json.loads(run("--json", "--agent", "chat", home).output)] == ["chat"]


@pytest.mark.usefixtures("home")
def test_redacted_it_names_nobody() -> None:
    """In the table and in JSON."""
    assert "jdoe" in run().output
    assert "jdoe" not in run("--redact").output + run("--redact", "--json").output


@pytest.mark.parametrize("filler", [30, 385])
def test_a_key_is_masked_before_the_line_is_cut(home: Path, filler: int) -> None:
    """Half of it would not be known for a key."""
    key = "sk-ant-api03-Zq8vN2mK7xLw4TbY9cRf"
    document(home, [{"role": "user", "content": f"{'a ' * (filler // 2)}{key} b"}]).rename(home / "chat.json")
    shown = run("--redact", home).output + run("--redact", "--json", home).output
    assert "sk-ant" not in shown


def test_no_name_of_a_file_stops_the_list(home: Path) -> None:
    """Neither line ends and colours in it, nor bytes that are no text."""
    for name in (b"x\x1b[31m\ny.json", b"x\xff.json"):
        Path(os.fsdecode(os.fsencode(home) + b"/" + name)).write_text(json.dumps([{"role": "user", "content": "x"}]))
    shown = run(home).output + run("--json", home).output
    shown.encode()
    assert "\x1b" not in shown
    assert "x\\xff.json" in shown


def test_nothing_found_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here, there, and of an agent; as JSON an empty list."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "nobody")
    assert run(tmp_path).output == f"No session was found in {str(tmp_path)!r}.\n"
    assert run("--agent", "pi", tmp_path).output.startswith("No session of pi was found")
    assert json.loads(run("--json", tmp_path).output) == []


def test_a_missing_path_is_the_users_mistake(tmp_path: Path) -> None:
    """It is named."""
    assert isinstance(run(tmp_path / "missing").exception, UsageError)


def test_what_can_be_no_name_of_a_file_is_told() -> None:
    """The system's own words, and no traceback."""
    assert "can't be read: File name too long" in str(run("x" * 300).exception)
