"""The depths that nobody named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.plan.depths import ladder


@pytest.mark.parametrize(
    ("deepest", "reach", "expected"),
    [
        (16_384, 99_999, (2048, 8192, 16_384)),
        (65_536, 99_999, (2048, 8192, 32_768, 65_536)),
        (65_536, 10_000, (2048, 8192, 9_984)),
        (8192, 0, (2048, 8192)),
        (2048, 2048, (2048,)),
        (-5, 0, (256,)),
    ],
)
def test_rungs_go_up_by_four_to_the_limit(deepest: int, reach: int, expected: tuple[int, ...]) -> None:
    """The reference's own reach is a limit, unless it reaches nothing."""
    assert ladder(deepest, reach) == expected


@given(st.integers(256, 1_000_000), st.integers(0, 1_000_000))
def test_rungs_rise_and_never_pass_the_deepest(deepest: int, reach: int) -> None:
    """Whatever the limits."""
    rungs = ladder(deepest, reach)
    assert list(rungs) == sorted(set(rungs))
    assert rungs[-1] <= deepest
