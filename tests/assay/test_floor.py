"""How rare a token can be: measured, with room below, and where it is asked."""

from __future__ import annotations

from math import exp

import pytest

from kvassay.assay.floor import ROOM, measure_floor, surest
from kvassay.assay.follow import Said
from kvassay.backend.scripted import Scripted
from kvassay.types import Arm, KVConfig, Position

ARM = Arm(KVConfig("f16", "f16"))


def test_the_floor_lies_below_everything_seen_and_the_excess_is_told() -> None:
    """The scripted back end's lists: −0.05, −5, −6, −7 …"""
    with Scripted(["ab"]).open(ARM, context_tokens=100) as boot:
        floor = measure_floor(boot, [(1, 2), (1, 2, 3)], top_n=5)
    assert floor is not None
    assert (floor.positions, floor.timings.predicted_tokens) == (2, 2)
    assert floor.logprob == pytest.approx(-8 - ROOM)
    assert floor.excess == pytest.approx(max(0, exp(-0.05) + sum(exp(-n) for n in range(5, 9)) - 1))


def test_without_log_probabilities_there_is_no_floor() -> None:
    with Scripted(["ab"], log_probs=False).open(ARM, context_tokens=100) as boot:
        assert measure_floor(boot, [(1, 2)], top_n=5) is None


def test_the_surest_place_is_in_front_of_the_likeliest_token() -> None:
    positions = tuple(Position(n, "x", logprob) for n, logprob in [(5, -1.0), (6, -0.01), (7, -0.5)])
    assert surest((1, 2), Said((5, 6, 7), positions)) == (1, 2, 5)
    assert surest((1, 2), Said((5, 9, 6), positions[:2])) == (1, 2, 5, 9)


def test_an_answer_without_positions_leaves_the_prompt() -> None:
    assert surest((1, 2), Said((5,), ())) == (1, 2)
