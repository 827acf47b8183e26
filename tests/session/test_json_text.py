"""JSON as agents leave it on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.session.json_text import load, mended, read_lines

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=8,
)


@given(anything)
def test_what_was_mended_can_be_encoded_and_is_mended(value: object) -> None:
    """Halves of characters are gone for good; nothing else changes twice."""
    once = mended(value)  # type: ignore[arg-type]
    repr(once).encode()
    str(once).encode()
    assert mended(once) == once


def test_whole_characters_survive() -> None:
    """A pair of escaped halves is one character."""
    assert load('"\\ud83d\\ude00 \\ud83d"') == "\U0001f600 \ufffd"


def test_deep_nesting_is_no_crash() -> None:
    """Python's limit is told as any other fault of the text."""
    with pytest.raises(ValueError, match="deep"):
        load("[" * 200_000)


def test_lines_are_read_one_by_one_whatever_they_hold(tmp_path: Path) -> None:
    """Blank lines, damage, other values, a byte-order mark, CRLF and foreign bytes; numbers are the file's."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\n{"a": \n[1]\n{"a": "\xff"}\n{"a": 2}')
    assert [(line.number, line.value, line.fault) for line in read_lines(path)] == [
        (1, {"a": 1}, ""),
        (3, None, "not JSON"),
        (4, None, "no JSON object"),
        (5, {"a": "\ufffd"}, ""),
        (6, {"a": 2}, ""),
    ]


def test_records_on_one_line_are_told_one_by_one(tmp_path: Path) -> None:
    """An agent that was killed before it ended a line goes on behind it; what it left half-written is damage."""
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}{"a": "}{"}\n{"a": 3}{"a": \n{"a": 4}1 {"a": 5}\n{"a": 6}\n')
    assert [(line.number, line.value) for line in read_lines(path)] == [
        (1, {"a": 1}), (1, {"a": "}{"}), (2, {"a": 3}), (2, None), (3, {"a": 4}), (3, None), (4, {"a": 6}),
    ]  # fmt: skip


def test_a_line_without_end_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is damage, and the next line is read."""
    monkeypatch.setattr("kvassay.session.json_text.MAX_LINE_BYTES", 16)
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": "' + b"x" * 100 + b'"}\n{"a": 2}\n')
    assert [(line.number, line.value) for line in read_lines(path)] == [(1, None), (2, {"a": 2})]
