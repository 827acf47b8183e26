"""Strict JSON reading."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialect.cases import json_values
from kvassay.dialect.strict_json import MAX_DEPTH, Broken, Scanned, read, scan

BROKEN = [
    ("", "empty"),
    ("  \n", "empty"),
    ('{"a": 1', "truncated"),
    ('{"a": 1,', "truncated"),
    ('{"a"', "truncated"),
    ('{"a": "x', "truncated"),
    ('{"a": "x\\', "truncated"),
    ('{"a": "x\\u12', "truncated"),
    ('{"a": tru', "truncated"),
    ('{"a": -', "truncated"),
    ('{"a": 1.', "truncated"),
    ('{"a": 1e+', "truncated"),
    ("[1, [2", "truncated"),
    ('{"a": }', "json_invalid"),
    ('{"a": 1,}', "json_invalid"),
    ("{'a': 1}", "json_invalid"),
    ('{"a": True}', "json_invalid"),
    ('{"a": "line\nbreak"}', "json_invalid"),
    ('{"a": "\\x"}', "json_invalid"),
    ('{"a": NaN}', "json_invalid"),
    ('{"a": -Infinity}', "json_invalid"),
    ('{"a": 1e999}', "json_invalid"),
    ('{"a": ' + "9" * 5000 + "}", "json_invalid"),
    ('{"a": "\\ud800"}', "json_invalid"),
    ('{"a": 1, "a": 2}', "json_invalid"),
    ('{"a": {"b": 1, "b": 1}}', "json_invalid"),
    ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "json_invalid"),
    ("[" * 100_000, "json_invalid"),
    ('{"a": 1}{"b": 2}', "concatenated"),
    ('{"a": 1}\n{"b": 2}', "concatenated"),
    ('{"a": 1}, {"b": 2}', "concatenated"),
    ('{"a": 1}}', "stray_tail"),
    ('{"a": 1} done', "stray_tail"),
]


@pytest.mark.parametrize(("text", "kind"), BROKEN)
def test_what_is_not_one_value_is_named_by_kind(text: str, kind: str) -> None:
    """Each way in which a text is not exactly one JSON value has its own kind."""
    outcome = read(text)
    assert isinstance(outcome, Broken)
    assert outcome.kind == kind


@settings(deadline=None)
@given(json_values)
def test_reads_whatever_json_writes(value: object) -> None:
    """Every value that the standard library writes is read back, and its end is known."""
    text = json.dumps(value, ensure_ascii=False)
    assert read(text) == Scanned(value, len(text))
    assert read(json.dumps(value, indent=2) + "\n") == Scanned(value, len(json.dumps(value, indent=2)))


@settings(deadline=None)
@given(st.text())
def test_never_takes_what_the_library_refuses(text: str) -> None:
    """No text is a value here that is none to the standard library."""
    if isinstance(read(text), Scanned):
        json.loads(text)


def test_values_longer_than_the_first_window_are_read_whole() -> None:
    """A long value, and a number or string on the window's edge, is not taken for cut."""
    for length in (4080, 4090, 4095, 4096, 4097, 40_000):
        text = json.dumps({"a": "x" * length, "b": 12345})
        assert scan("prose " + text + " tail", 6) == Scanned(json.loads(text), 6 + len(text))


def test_the_end_of_a_flawed_value_is_known() -> None:
    """A duplicate key breaks the value, but not the search for what follows it."""
    assert scan('{"a": 1, "a": 2} next') == Broken("json_invalid", "the key 'a' stands twice", 16)
