"""How far two sequences are the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvassay.prefix import shared

TOKENS = st.lists(st.integers(0, 2), max_size=8)


@given(TOKENS, TOKENS)
def test_what_is_shared_is_the_longest_common_beginning(one: list[int], other: list[int]) -> None:
    """Up to there both are equal; one token further they are not, or one of them ends."""
    length = shared(one, other)
    assert one[:length] == other[:length]
    assert length == min(len(one), len(other)) or one[length] != other[length]
    assert length == shared(other, one)
