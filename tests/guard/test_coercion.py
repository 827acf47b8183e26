"""Lossless coercion: what is exactly the same in the right type, and nothing more."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.traffic import Talk, answers
from kvassay.guard.coercion import coerced, lossless
from kvassay.types import JsonObject

SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "x": {"type": ["number", "null"]},
        "on": {"type": "boolean"},
        "s": {"type": "string"},
        "edits": {"type": "array", "items": {"type": "object", "properties": {"line": {"type": "integer"}}}},
    },
}
TOOL = {"type": "function", "function": {"name": "t", "parameters": SCHEMA}}


def after(arguments: str) -> str | None:
    asked = Talk().asked(tools=[TOOL])
    change = coerced(asked, answers(asked, "", [("t", arguments)]))
    return change.calls[0].arguments if change else None


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ('{"n": "5"}', '{"n": 5}'),
        ('{ "s":"a",  "n":"-12" }', '{ "s":"a",  "n":-12 }'),
        ('{"x": "1.50"}', '{"x": 1.50}'),
        ('{"on": "true", "n": "0"}', '{"on": true, "n": 0}'),
        ('{"s": 5}', '{"s": "5"}'),
        ('{"edits": "[{\\"line\\": 3}]"}', '{"edits": [{"line": 3}]}'),
        ('{"edits": [{"line": "3"}]}', '{"edits": [{"line": 3}]}'),
    ],
)
def test_what_is_exactly_that_value_is_put_in_its_type(before: str, wanted: str) -> None:
    assert after(before) == wanted


@pytest.mark.parametrize(
    "arguments",
    [
        '{"n": "5 lines"}',
        '{"n": " 5"}',
        '{"n": "05"}',
        '{"n": "5.0"}',
        '{"n": "-0"}',
        '{"n": 5.5}',
        '{"n": "99999999999999999999"}',
        '{"x": "0.10000000000000000000001"}',
        '{"x": "1e999"}',
        '{"on": "True"}',
        '{"on": 1}',
        '{"s": 5.5}',
        '{"s": true}',
        '{"s": null}',
        '{"edits": "[{\\"line\\": 3"}',
        '{"edits": "[{\\"line\\": \\"x\\"}]"}',
        '{"n": "5", "unknown": 1}',
        '{"n": "5"',
        '{"n": 5}',
    ],
)
def test_what_would_lose_or_guess_or_is_wrong_otherwise_stays_as_it_is(arguments: str) -> None:
    assert after(arguments) is None


@given(n=st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_a_coerced_text_reads_as_the_value_it_was_written_from(n: float) -> None:
    kind = "boolean" if isinstance(n, bool) else "integer" if isinstance(n, int) else "number"
    found = lossless(json.dumps(n), [kind])
    assert found is None or json.loads(found) == n


def test_each_change_is_told() -> None:
    asked = Talk().asked(tools=[TOOL])
    change = coerced(asked, answers(asked, "", [("t", '{"n": "5"}'), ("t", '{"n": 6}')]))
    assert change is not None
    assert change.did == ('t.n was "5", is 5',)
    assert [call.arguments for call in change.calls] == ['{"n": 5}', '{"n": 6}']
