"""Changes inside JSON text leave every other byte alone."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from kvassay.guard.splice import appended, find, replaced, with_field

KEYS = st.sampled_from(["a", "b", "ü", 'q"', "a\\"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)


def places(value: object) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), *((key, *rest) for key, item in inner for rest in places(item))]


@given(value=VALUES, indent=st.sampled_from([None, 2]), ascii_only=st.booleans(), data=st.data())
def test_a_value_is_replaced_and_nothing_else(
    value: object, indent: int | None, *, ascii_only: bool, data: st.DataObject
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    place = data.draw(st.sampled_from(places(value)))
    stretch = find(text, place)
    assert stretch is not None
    out = replaced(text, {place: '"NEW"'})
    assert out == text[: stretch.start] + '"NEW"' + text[stretch.end :]
    at = json.loads(out)
    for step in place:
        at = at[step]
    assert at == "NEW"


@given(value=st.dictionaries(KEYS, VALUES, max_size=3), key=KEYS)
def test_a_field_is_set_whether_it_was_there_or_not(value: dict[str, object], key: str) -> None:
    assert json.loads(with_field(json.dumps(value), key, "7")) == {**value, key: 7}


@given(text=st.text(max_size=8), addition=st.text(max_size=8))
def test_a_string_grows_at_its_end(text: str, addition: str) -> None:
    grown = appended(json.dumps({"a": [text]}), ("a", 0), addition)
    assert grown is not None
    assert json.loads(grown) == {"a": [text + addition]}


def test_odd_numbers_spaces_and_key_order_survive() -> None:
    text = '{ "z":1.00,\t"a" : {"big": 123456789012345678901234567890, "x":"\\u00e9"}, "t":1e400}'
    assert replaced(text, {("a", "x"): "0"}) == text.replace('"\\u00e9"', "0")


def test_of_a_key_that_stands_twice_the_last_counts() -> None:
    assert replaced('{"a": 1, "a": 2}', {("a",): "3"}) == '{"a": 1, "a": 3}'


def test_a_path_that_leads_nowhere_changes_nothing() -> None:
    assert replaced('{"a": [1]}', {("a", 3): "0", ("b",): "0", ("a", 0, "x"): "0"}) == '{"a": [1]}'
