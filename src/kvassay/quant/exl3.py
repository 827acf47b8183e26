"""ExLlamaV3's cache: groups of 32, rotated by H32, scaled by their largest magnitude, 2 to 8 bits on a midpoint grid.

The operations and their order are the CUDA kernel's (exllamav3_ext/cache/q_cache_kernels.cuh, ``quant_block_x4`` and
``dequant_block_x4`` without companding, the default). ExLlamaV3 is compiled with ``--use_fast_math``: its 1/s may be
off by the last bit, so that a value on the border of two codes can fall to the other side, and a multiplication fused
into an addition on the way back can change the last bit of a half. Scales are the kernel's; those two are not claimed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kvassay.quant.base import F32
from kvassay.quant.hadamard import butterfly

GROUP = 32

_NORM = np.float32(0.17677669529663688110)  # 1/√32, as the kernel has it
_LEAST = np.float32(1e-10)
_ONE, _HALF = np.float32(1), np.float32(0.5)


def with_bits(bits: int) -> Callable[[F32], F32]:
    """The round trip at 2 to 8 bits per value; K and V come and go in half precision."""
    middle = np.float32(1 << (bits - 1))
    top = (1 << bits) - 1

    def round_trip(x: F32) -> F32:
        halves = x.astype(np.float16).astype(np.float32)
        groups = butterfly(halves.reshape(-1, GROUP), GROUP) * _NORM
        scale = (np.abs(groups) + _LEAST).max(axis=1, keepdims=True)
        codes = np.floor(groups * (_ONE / scale) * middle + middle).clip(0, top)
        step = scale.astype(np.float16).astype(np.float32) * _NORM * (_ONE / middle)
        back = butterfly((codes - (middle - _HALF)) * step, GROUP)
        return back.astype(np.float16).astype(np.float32).reshape(x.shape)

    return round_trip
