"""A session is named by its file, or by the id that the listing shows."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kvassay.errors import UsageError
from kvassay.session.find import find
from session.recordings import recording


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder whose pi has two sessions."""
    folder = tmp_path / ".pi" / "agent" / "sessions" / "w"
    folder.mkdir(parents=True)
    recording(folder)
    second = recording(folder, name="other.jsonl")
    second.write_text(second.read_text().replace("s-shop-1", "s-other", 1))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.delenv("PI_CODING_AGENT_DIR", raising=False)
    return folder


def test_by_file(home: Path) -> None:
    """The path as given."""
    assert find(str(home / "shop.jsonl")).path == home / "shop.jsonl"


def test_by_id_or_its_beginning(home: Path) -> None:
    """As `kvassay sessions` lists it, from wherever the agent keeps it."""
    assert find("s-shop-1").path == home / "shop.jsonl"
    assert find("s-sh").path == home / "shop.jsonl"
    assert find("s-other").path == home / "other.jsonl"


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("session", "words"),
    [("s-", "2 sessions begin with 's-'"), ("nosuch", "There is no session 'nosuch'"),
     ("no/such.jsonl", "'no/such.jsonl' does not exist"), (".", "'.' is a folder")],
)  # fmt: skip
def test_what_names_no_single_session_is_refused(session: str, words: str) -> None:
    """With the reason."""
    with pytest.raises(UsageError) as caught:
        find(session)
    assert words in str(caught.value)


def test_an_exact_id_wins_over_one_that_begins_with_it(home: Path) -> None:
    """However many others go on from there."""
    longer = recording(home, name="third.jsonl")
    longer.write_text(longer.read_text().replace("s-shop-1", "s-shop-12", 1))
    assert find("s-shop-1").path == home / "shop.jsonl"


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes among files")
def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    """It is said what it is: it does exist."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="no file but a pipe"):
        find(str(tmp_path / "pipe"))


def test_what_can_be_no_name_of_a_file_is_told() -> None:
    """The system's own words, and no traceback."""
    with pytest.raises(UsageError, match="can't be read: File name too long"):
        find("x" * 300)
