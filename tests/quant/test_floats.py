"""The floating-point formats, against tables of every value they can hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kvassay.quant.floats import E4M3, E5M2, Mini, f32
from kvassay.quant.table import FORMATS


def decoded(form: Mini, bias: int) -> NDArray[np.float64]:
    """Every finite value of a format by its code, as the OCP FP8 specification reads the bits; positive codes only."""
    codes = np.arange(128)
    exponent, mantissa = codes >> form.mantissa_bits, codes & (1 << form.mantissa_bits) - 1
    fraction = mantissa / (1 << form.mantissa_bits)
    values = np.where(exponent == 0, fraction * 2.0 ** (1 - bias), (1 + fraction) * 2.0 ** (exponent - bias))
    return values[values <= form.largest]


TABLES = {"fp8_e4m3": decoded(E4M3, 7), "fp8_e5m2": decoded(E5M2, 15)}


def nearest_even(name: str, x: float) -> float:
    """The nearest of a format's values, of two as near the one with the even code; beyond the last, the last."""
    table = TABLES[name]
    distance = np.abs(table - abs(x))
    best = np.flatnonzero(distance == distance.min())
    return float(np.copysign(table[best[best % 2 == 0][0] if len(best) > 1 else best[0]], x))


@pytest.mark.parametrize(("name", "values"), [("fp8_e4m3", 127), ("fp8_e5m2", 124)])
def test_the_format_holds_its_values(name: str, values: int) -> None:
    """What a format can hold is read back unchanged: 127 magnitudes of E4M3, up to 448, 124 of E5M2, up to 57,344."""
    table = TABLES[name].astype(np.float32)
    assert len(table) == values
    assert np.array_equal(FORMATS[name].round_trip(table), table)
    assert np.array_equal(FORMATS[name].round_trip(-table), -table)


@pytest.mark.parametrize("name", TABLES)
@given(x=st.floats(-1e5, 1e5, width=32))
def test_anything_else_becomes_the_nearest(name: str, x: float) -> None:
    """Nearest, ties to even, saturating: as CUDA's conversion with __NV_SATFINITE."""
    assert FORMATS[name].round_trip(np.float32([x]))[0] == nearest_even(name, x)


@pytest.mark.parametrize("name", TABLES)
def test_ties_go_to_the_even_code(name: str) -> None:
    """Half-way between two neighbours the one with an even code is taken, over the whole range."""
    table = TABLES[name]
    middle = ((table[:-1] + table[1:]) / 2).astype(np.float32)
    assert np.array_equal(FORMATS[name].round_trip(middle), np.float32([nearest_even(name, x) for x in middle]))


def test_too_large_for_half_precision_is_infinite() -> None:
    """llama.cpp's f16 cache keeps no more than 65,504: beyond it the value is lost, as it is there."""
    assert FORMATS["f16"].round_trip(np.float32([65504, 70000, -70000])).tolist() == [65504, np.inf, -np.inf]


def test_f32_changes_nothing() -> None:
    """The format without rounding is the identity."""
    x = np.float32([1 / 3, -1e-30])
    assert f32(x) is x
