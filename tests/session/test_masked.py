"""A whole session masked."""

from __future__ import annotations

from pathlib import Path

from kvassay.session.importers import choose, load
from kvassay.session.masked import masked, masked_tools
from kvassay.session.redact import Redactor
from kvassay.types import Tool
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
