"""llama.cpp's block formats: 32 values of the head dimension and one or two half-precision scales.

The arithmetic is that of the reference quantisers (ggml-quants.c, ``quantize_row_*_ref``), every operation rounded to
single precision as the C says. What writes a cache may differ where a value lies on the border of two codes: compilers
fuse a multiplication with an addition, and on x86 q8_0 is written by SIMD code that breaks ties to even.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kvassay.quant.base import F32
from kvassay.quant.floats import f16

BLOCK = 32

_IQ4_NL = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], dtype=np.float32)
_ALL_ZERO = np.float32(1e-15)  # GROUP_MAX_EPS


def q8_0(x: F32) -> F32:
    """8 bits, scale = largest magnitude ÷ 127, ties away from zero."""
    blocks = _blocks(x)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    return _like(x, f16(scale) * _round_away(blocks * _inverse(scale)))


def q4_0(x: F32) -> F32:
    """4 bits around zero; the value of largest magnitude becomes −8 steps."""
    return _signed(x, 8)


def q5_0(x: F32) -> F32:
    """5 bits around zero; the value of largest magnitude becomes −16 steps."""
    return _signed(x, 16)


def q4_1(x: F32) -> F32:
    """4 bits above the block's minimum."""
    return _above_minimum(x, 15)


def q5_1(x: F32) -> F32:
    """5 bits above the block's minimum."""
    return _above_minimum(x, 31)


def iq4_nl(x: F32) -> F32:
    """4 bits into a table of unequal steps; the scale is the least-squares one for the codes that the largest magnitude
    gives, each value weighted by its square (``quantize_row_iq4_nl_ref``: one try, no importance matrix).
    """
    blocks = _blocks(x)
    largest = _largest(blocks)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = _IQ4_NL[_nearest_in_table(np.float32(1) / (largest / _IQ4_NL[0]) * blocks)]
        weighted = blocks * blocks * values
        scale = _sum_in_order(weighted * blocks) / _sum_in_order(weighted * values)
    return _like(x, np.where(np.abs(largest) < _ALL_ZERO, np.float32(0), f16(scale) * values))


def _blocks(x: F32) -> F32:
    return np.ascontiguousarray(x, dtype=np.float32).reshape(-1, BLOCK)


def _like(x: F32, blocks: F32) -> F32:
    return blocks.astype(np.float32, copy=False).reshape(x.shape)


def _inverse(scale: F32) -> F32:
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray(np.where(scale == 0, 0, np.float32(1) / scale), dtype=np.float32)


def _largest(blocks: F32) -> F32:
    """The first value of largest magnitude in each block, with its sign."""
    first = np.abs(blocks).argmax(axis=1)
    found: F32 = blocks[np.arange(len(blocks)), first][:, None]
    return found


def _signed(x: F32, half_range: int) -> F32:
    blocks = _blocks(x)
    scale = _largest(blocks) / np.float32(-half_range)
    codes = np.trunc(blocks * _inverse(scale) + np.float32(half_range + 0.5)).clip(0, 2 * half_range - 1)
    return _like(x, f16(scale) * (codes - np.float32(half_range)))


def _above_minimum(x: F32, top: int) -> F32:
    blocks = _blocks(x)
    low, high = blocks.min(axis=1, keepdims=True), blocks.max(axis=1, keepdims=True)
    scale = (high - low) / np.float32(top)
    codes = np.trunc((blocks - low) * _inverse(scale) + np.float32(0.5)).clip(0, top)
    return _like(x, f16(scale) * codes + f16(low))


def _round_away(x: F32) -> F32:
    """C's roundf, halves away from zero, to an integer, which knows no −0."""
    whole = np.floor(np.abs(x))
    rounded = whole + np.floor(np.float32(2) * (np.abs(x) - whole))
    return np.asarray(np.sign(x) * rounded + np.float32(0), dtype=np.float32)


def _nearest_in_table(x: F32) -> NDArray[np.intp]:
    """``best_index_int8``: the nearest of the table's values, the upper one where two are as near."""
    upper = np.searchsorted(_IQ4_NL, x, side="right").clip(1, len(_IQ4_NL) - 1)
    return np.where(x - _IQ4_NL[upper - 1] < _IQ4_NL[upper] - x, upper - 1, upper)


def _sum_in_order(blocks: F32) -> F32:
    """Each block's sum, added up one by one in single precision as the C loop does."""
    return np.cumsum(blocks, axis=1, dtype=np.float32)[:, -1:]
