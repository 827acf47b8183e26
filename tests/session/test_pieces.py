"""Documents read piece by piece."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.session import pieces as module
from kvassay.session.pieces import Piece, pieces
from kvassay.types import JsonValue

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
plain = st.none() | st.booleans() | numbers | st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner), max_leaves=12)


def put_together(found: list[Piece], document: JsonValue) -> JsonValue:
    if isinstance(document, list):
        return [piece.value for piece in found]
    whole: dict[str, JsonValue] = {}
    for piece in found:
        if piece.nth is None:
            whole[piece.key] = piece.value
        else:
            array = whole.setdefault(piece.key, [])
            assert isinstance(array, list)
            array.append(piece.value)
    return whole


@given(
    st.lists(values) | st.dictionaries(st.text("abc", min_size=1), values.filter(lambda value: value != [])),
    st.sampled_from([None, 0, 3]),
    st.integers(1, 9),
)
def test_the_pieces_make_the_document(document: JsonValue, indent: int | None, chunk: int) -> None:
    """However it is laid out, and wherever a chunk of the file ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK_CHARS", chunk)
        found = list(pieces(io.StringIO(json.dumps(document, indent=indent))))
    assert put_together(found, document) == document


def test_an_empty_array_has_no_pieces() -> None:
    """Neither at the top nor as a member; what follows it is read."""
    assert list(pieces(io.StringIO("[]"))) == []
    assert list(pieces(io.StringIO('{"a": [ ], "b": 1}'))) == [Piece("b", None, 1)]


@pytest.mark.parametrize("text", ["", "12", '"text"', "[1", '{"a": [1, 2', '{"a" 1}', "[1 2]", "{1: 2}", "[nil]"])
def test_what_is_no_document_is_said_so(text: str) -> None:
    """After the pieces that could be read."""
    with pytest.raises(ValueError, match=r"."):
        list(pieces(io.StringIO(text)))


def test_what_can_be_read_before_the_break_is_read() -> None:
    """A file that ends early gives the items in front of the break."""
    found = []
    with pytest.raises(ValueError, match=r"early|Unterminated"):
        found.extend(iter_into(found, '[{"a": 1}, {"a": 2}, {"a": "th'))
    assert [piece.value for piece in found] == [{"a": 1}, {"a": 2}]


def iter_into(found: list[Piece], text: str) -> list[Piece]:
    for piece in pieces(io.StringIO(text)):
        found.append(piece)  # noqa: PERF402  what was read before the error must stay
    return []


def test_half_a_character_is_made_whole() -> None:
    """A cut emoji can't be encoded; in its place stands U+FFFD."""
    (piece,) = pieces(io.StringIO('["a\\ud83d b"]'))
    assert piece.value == "a\ufffd b"
