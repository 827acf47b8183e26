"""ExLlamaV3's cache format, against the kernel's definition in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from kvassay.quant.base import F32
from kvassay.quant.exl3 import with_bits

BITS = range(2, 9)


def by_definition(x: F32, bits: int) -> tuple[F32, F32]:
    """One group of 32 in double precision: H32/√32, absmax, the midpoints (2q+1)/2^bits − 1 of 2^bits equal cells; the
    result, and how far each rotated value lies from the nearest border between two cells, in cells.
    """
    turn = np.array([[1.0]])
    while len(turn) < 32:
        turn = np.block([[turn, turn], [turn, -turn]])
    turn /= np.sqrt(32)
    rotated = turn @ x.astype(np.float16).astype(np.float64)
    scale = np.abs(rotated).max()
    cells = (rotated / scale + 1) * 2 ** (bits - 1)
    codes = np.clip(np.floor(cells), 0, 2**bits - 1)
    back = turn @ ((2 * codes + 1) / 2**bits - 1) * float(np.float16(scale))
    return back, np.abs(cells - np.clip(np.rint(cells), 1, 2**bits - 1))


@pytest.mark.parametrize("bits", BITS)
def test_groups_are_the_kernels(bits: int) -> None:
    """Wherever no value lies within rounding of a border, the result is the definition's, to half precision."""
    dice, compared = np.random.default_rng(bits), 0
    for _ in range(50):
        x = dice.normal(size=32).astype(np.float32)
        wanted, margin = by_definition(x, bits)
        if margin.min() > 1e-4:
            np.testing.assert_allclose(with_bits(bits)(x), wanted, rtol=2**-10, atol=1e-3)
            compared += 1
    assert compared > 10


@pytest.mark.parametrize("bits", BITS)
def test_each_further_bit_halves_the_error(bits: int) -> None:
    """On Gaussian values the error is that of a uniform grid: about 1.43 · 2^-bits standard deviations."""
    x = np.random.default_rng(0).normal(size=(2000, 128)).astype(np.float32)
    error = float(np.sqrt(((with_bits(bits)(x) - x) ** 2).mean()))
    assert error * 2**bits == pytest.approx(1.43, rel=0.05)


def test_zeros_stay_almost_zero() -> None:
    """A group of zeros has scale 1e-10, which half precision reads as 0."""
    assert not with_bits(4)(np.zeros((2, 64), np.float32)).any()
