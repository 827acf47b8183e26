"""The Walsh–Hadamard rotation, and llama.cpp's use of it around a format (PR 21038, src/llama-kv-cache.cpp:313-361)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kvassay.quant.base import F32

LEAST_BLOCK = 64
"""Head dimensions that are no multiple of it are not rotated."""


def butterfly(x: F32, block: int) -> F32:
    """The unnormalised transform of each ``block`` (a power of two) of the last dimension, in single precision, from
    neighbours outwards.
    """
    out = np.ascontiguousarray(x, dtype=np.float32).reshape(-1, block)
    width = 1
    while width < block:
        pairs = out.reshape(-1, block // (2 * width), 2, width)
        low, high = pairs[:, :, 0], pairs[:, :, 1]
        out = np.stack((low + high, low - high), axis=2).reshape(-1, block)
        width *= 2
    return out.reshape(x.shape)


def k_block(head_dim: int) -> int:
    """The block that llama.cpp rotates K in: the largest 64·2ⁿ that divides the head dimension; 0 where none does."""
    if head_dim % LEAST_BLOCK:
        return 0
    return LEAST_BLOCK * (head_dim // LEAST_BLOCK & -(head_dim // LEAST_BLOCK))


def v_block(head_dim: int) -> int:
    """The block that llama.cpp rotates V in: 64, where it divides the head dimension; else 0."""
    return 0 if head_dim % LEAST_BLOCK else LEAST_BLOCK


def rotated(round_trip: Callable[[F32], F32], block: int) -> Callable[[F32], F32]:
    """The format between a rotation and its inverse. llama.cpp leaves K and V rotated in the cache and rotates the
    query and the output instead, which is the same up to single-precision rounding.
    """
    norm = np.float32(1 / np.sqrt(block))

    def through(x: F32) -> F32:
        return butterfly(round_trip(butterfly(x, block) * norm), block) * norm

    return through
