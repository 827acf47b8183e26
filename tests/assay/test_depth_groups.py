"""Turns of like depth are counted together."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kvassay.assay.depth_groups import MOST, SMALLEST, grouped

DEPTHS = st.lists(st.integers(1, 200_000), min_size=1, max_size=120)


@given(DEPTHS)
def test_every_turn_is_in_the_first_group_that_reaches_its_depth(depths: list[int]) -> None:
    """Groups are named by their deepest turn and don't overlap, however the turns are ordered."""
    groups = grouped(depths)
    names = sorted(set(groups))
    for depth, group in zip(depths, groups, strict=True):
        assert group in depths
        assert group == next(name for name in names if depth <= name)


@given(DEPTHS)
def test_no_group_is_too_small_to_be_judged(depths: list[int]) -> None:
    """At most four, and none of fewer than six turns unless there is only one."""
    counts = Counter(grouped(depths))
    assert len(counts) <= MOST
    assert len(counts) == 1 or min(counts.values()) >= SMALLEST


def test_distinct_depths_are_parted_evenly() -> None:
    """24 turns make four groups of six; 11 make one; equal depths are never parted."""
    assert Counter(grouped(list(range(1, 25)))) == {6: 6, 12: 6, 18: 6, 24: 6}
    assert set(grouped(list(range(1, 12)))) == {11}
    assert set(grouped([5] * 30)) == {5}
