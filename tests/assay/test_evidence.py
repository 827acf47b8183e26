"""Rows of evidence: what is compared, what is left out, and how it is kept."""

from __future__ import annotations

from dataclasses import replace
from math import inf, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.assay.evidence import Row, TrialEvidence, compare, pack, roles_in, unpack
from kvassay.assay.follow import NO_WORK, Followed, Said
from kvassay.dialect.canvas import TokenRole
from kvassay.types import Channel, Position, TrialKey

KEY = TrialKey("q4_0/f16", 2048, "recall/1", Channel.RAW)


def position(token: int, *top: tuple[int, float], text: str = "x") -> Position:
    return Position(token, text, dict(top).get(token, 0.0), top)


SURE = ((1, log(0.9)), (2, log(0.05)))
TORN = ((2, log(0.5)), (1, log(0.4)))
ELSEWHERE = ((3, log(0.6)), (4, log(0.3)))


def followed(*positions: Position | None, hidden: int = 0, unreached: int = 0) -> Followed:
    return Followed(positions, hidden, unreached, 3, NO_WORK)


def compared(mine: Position | None, its: Position | None) -> TrialEvidence:
    reference = Said((1,), (mine,) if mine else ())
    return compare(reference, followed(its), key=KEY, roles=(TokenRole.TOOL,), floor_logprob=-40)


def test_a_token_that_the_candidate_would_not_say_is_a_flip_with_its_rank() -> None:
    (row,) = compared(position(1, *SURE), position(2, *TORN)).rows
    assert (row.flip, row.same, row.rank, row.role) == (True, False, 2, TokenRole.TOOL)
    assert row.reference_logprob == pytest.approx(log(0.9))
    assert row.logprob == pytest.approx(log(0.4))
    least = 0.9 * log(0.9 / 0.4) + 0.05 * log(0.05 / 0.5) + 0.05 * log(0.05 / 0.1)
    assert row.kl_low == pytest.approx(least)
    assert row.kl_high > row.kl_low


def test_a_token_beyond_the_list_has_no_rank_and_at_most_what_the_list_leaves() -> None:
    (row,) = compared(position(1, *SURE), position(3, *ELSEWHERE)).rows
    assert row.rank is None
    assert row.flip
    assert row.logprob == pytest.approx(log(0.1))


def test_equal_lists_are_the_same_to_the_last_digit() -> None:
    (row,) = compared(position(1, *SURE), position(1, *SURE)).rows
    assert (row.same, row.flip, row.rank, row.kl_low) == (True, False, 1, 0.0)
    nearly = ((1, log(0.9) + 1e-7), SURE[1])
    assert not compared(position(1, *SURE), position(1, *nearly)).rows[0].same


@pytest.mark.parametrize(
    ("mine", "its"),
    [(None, position(1, *SURE)), (position(1, *SURE), None), (position(1), position(1, *SURE))],
    ids=["the reference's is hidden", "the candidate's is hidden", "no list was asked for"],
)
def test_what_one_side_does_not_show_is_counted_and_not_compared(mine: Position | None, its: Position | None) -> None:
    evidence = compared(mine, its)
    assert evidence.rows == ()
    assert (evidence.hidden, evidence.unreached) == (1, 0)


def test_what_the_budget_left_out_is_not_counted_as_hidden() -> None:
    reference = Said((1, 1), (position(1, *SURE), position(1, *SURE)))
    along = followed(position(1, *SURE), None, unreached=1)
    evidence = compare(reference, along, key=KEY, roles=[TokenRole.PROSE] * 2, floor_logprob=-40)
    assert (len(evidence.rows), evidence.hidden, evidence.unreached) == (1, 0, 1)


def test_roles_come_from_the_answers_text_and_hidden_tokens_take_their_neighbours() -> None:
    pieces = ['<tool_call>{"name": "', "read", '", "arguments": {}}</tool_call>', ""]
    positions = tuple(Position(n, text, -0.1) for n, text in enumerate(pieces))
    assert roles_in(Said((0, 1, 2, 3), positions), {"read": {}}) == (
        TokenRole.PUNCTUATION,
        TokenRole.TOOL,
        TokenRole.PUNCTUATION,
        TokenRole.PUNCTUATION,
    )
    assert roles_in(Said((0, 1, 9, 2), positions[:3]), {})[2] is TokenRole.TOOL


single = st.floats(width=32, allow_nan=False, max_value=0)
rows = st.builds(
    Row,
    index=st.integers(0, 65535),
    role=st.sampled_from(TokenRole),
    token_id=st.integers(0, 2**31 - 1),
    text=st.text(max_size=8),
    reference_logprob=single,
    logprob=single,
    rank=st.none() | st.integers(1, 5000),
    flip=st.booleans(),
    same=st.booleans(),
    kl_low=st.floats(0, 100, width=32),
    kl_high=st.floats(0, 100, width=32) | st.just(inf),
)


@given(st.lists(rows, max_size=6), st.integers(0, 999), st.integers(0, 999))
def test_what_is_packed_is_unpacked(kept: list[Row], hidden: int, unreached: int) -> None:
    evidence = TrialEvidence(KEY, tuple(kept), hidden, unreached)
    assert unpack(KEY, pack(evidence)) == evidence


def test_a_lone_surrogate_in_a_tokens_text_survives() -> None:
    (row,) = compared(position(1, *SURE), position(1, *SURE)).rows
    evidence = TrialEvidence(KEY, (replace(row, text="\udcff"),), 0, 0)
    assert unpack(KEY, pack(evidence)).rows[0].text == "\udcff"
