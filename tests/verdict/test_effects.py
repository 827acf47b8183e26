"""Pairs become effects."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.stats.paired import mcnemar_harm, tango_interval
from kvassay.verdict import State, effect
from kvassay.verdict.effects import by_arm, pair_up, state_of

TERMS = {"arm": "q4_0/f16", "alpha": 0.05, "margin": 0.05}


def pairs_of(kept: int, lost: int, gained: int, wrong: int) -> list[tuple[bool, bool]]:
    """That many (reference right, candidate right) pairs of each kind."""
    return [(True, True)] * kept + [(True, False)] * lost + [(False, True)] * gained + [(False, False)] * wrong


@pytest.mark.parametrize(
    ("table", "state"),
    [
        ((0, 59, 0, 1), State.DEGRADED),
        ((55, 5, 0, 0), State.DEGRADED),
        ((56, 4, 0, 0), State.INCONCLUSIVE),
        ((52, 0, 0, 0), State.WITHIN_MARGIN),
        ((51, 0, 0, 0), State.INCONCLUSIVE),
        ((582, 8, 0, 10), State.BOTH),
        ((50, 0, 8, 2), State.WITHIN_MARGIN),
        ((0, 0, 0, 0), State.INCONCLUSIVE),
    ],
)
def test_states(table: tuple[int, int, int, int], state: State) -> None:
    """Five lost of sixty is harm at α .05, four is not; 52 pairs without flips are within 5 points, 51 are not."""
    assert effect(pairs_of(*table), **TERMS).state is state


def test_counts_and_bounds() -> None:
    """The counts are those of the pairs, the bounds Tango's at one-sided α, the p-value McNemar's for harm."""
    found = effect(pairs_of(40, 7, 2, 11), depth=2048, dropped=3, **TERMS)
    assert (found.pairs, found.reference_correct, found.candidate_correct) == (60, 47, 42)
    assert (found.lost, found.gained, found.difference) == (7, 2, -5 / 60)
    assert (found.low, found.high) == tango_interval(7, 2, 60, level=0.9)
    assert found.p_value == mcnemar_harm(7, 2)
    assert (found.arm, found.depth, found.dropped) == ("q4_0/f16", 2048, 3)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=80), st.randoms())
def test_order_does_not_matter(pairs: list[tuple[bool, bool]], rng: random.Random) -> None:
    """The effect is the same whichever order the trials ended in."""
    assert effect(rng.sample(pairs, len(pairs)), **TERMS) == effect(pairs, **TERMS)


def test_pairing_needs_both_trials_and_drops_faults() -> None:
    """A probe asked of one arm only is no pair; a fault on either side drops its pair; other depths stay out."""
    outcomes = {
        ("f16/f16", 2048, "a"): True,
        ("q4_0/f16", 2048, "a"): False,
        ("f16/f16", 2048, "b"): None,
        ("q4_0/f16", 2048, "b"): True,
        ("f16/f16", 2048, "c"): True,
        ("q4_0/f16", 2048, "c"): None,
        ("f16/f16", 2048, "reference only"): True,
        ("q4_0/f16", 2048, "candidate only"): True,
        ("f16/f16", 8192, "a"): True,
        ("q4_0/f16", 8192, "a"): True,
    }
    trials = by_arm(outcomes)
    assert pair_up(trials["f16/f16"], trials["q4_0/f16"], depths=[2048]) == (((True, False),), 2)


def test_state_of_two_decisions() -> None:
    """Two yes-or-no decisions make the four states."""
    states = [state_of(worse=worse, within=within) for worse in (True, False) for within in (True, False)]
    assert states == [State.BOTH, State.DEGRADED, State.WITHIN_MARGIN, State.INCONCLUSIVE]
