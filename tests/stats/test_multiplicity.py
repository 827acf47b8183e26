"""Holm's adjustment."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from kvassay.stats.multiplicity import holm


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
@settings(deadline=None, max_examples=25)  # statsmodels takes 30 ms a call
def test_equals_statsmodels(p_values: list[float]) -> None:
    """It is Holm's adjustment of an independent implementation, in the given order."""
    assert holm(p_values) == pytest.approx(tuple(multipletests(p_values, method="holm")[1]))


def test_of_nothing_is_nothing() -> None:
    """No claims need no adjustment."""
    assert holm([]) == ()
