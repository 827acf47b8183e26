"""A whole session masked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kvassay.session.importers import choose, load
from kvassay.session.masked import masked, masked_tools, redactor_for
from kvassay.session.redact import Redactor
from kvassay.session.transcript import Said
from kvassay.types import Message, Tool, ToolCall
from session.recordings import SECRET, recording


def test_nothing_of_secrets_and_homes_is_left_and_all_else_stays(tmp_path: Path) -> None:
    """In messages, title, folder and tools; as many entries, with the same calls."""
    told = load(choose(recording(tmp_path)))
    assert SECRET in repr(told)
    found = masked(told, Redactor(key=b"k"))
    assert SECRET not in repr(found)
    assert "astrid" not in repr(found)
    assert "⟨secret:" in found.title
    assert found.entries[1:] == told.entries[1:]
    (tool,) = masked_tools([Tool("t", "in /home/astrid", {"type": "object", "title": SECRET})], Redactor(key=b"k"))
    assert SECRET not in repr(tool)
    assert "astrid" not in repr(tool)
    assert tool.name == "t"


def test_what_one_place_shows_to_be_secret_is_masked_at_all_others(tmp_path: Path) -> None:
    """A password that a file names is masked where it stands alone; so is the name of the session's own home folder."""
    told = load(choose(recording(tmp_path)))
    view = Message("tool", "DB_PASSWORD=hunter2hunter2\n", tool_call_id="r0")
    login = ToolCall("x", "bash", {"command": "login hunter2hunter2; ssh astrid@shop", "/home/astrid/a.py": "astrid"})
    said = (view, Message("assistant", "git@example.org:astrid/shop, ~astrid", (login,)))
    told = replace(told, entries=(*told.entries, *(Said(message, "line 1") for message in said)))
    found = masked(told, redactor_for(told))
    assert "hunter2" not in repr(found)
    assert "astrid" not in repr(found)
    *_, shown, answered = (entry.message for entry in found.entries if isinstance(entry, Said))
    mask = shown.content.removeprefix("DB_PASSWORD=").strip()
    assert f"login {mask};" in str(answered.tool_calls[0].arguments["command"])
