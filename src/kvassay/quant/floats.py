"""Floating-point formats: f32, f16, bf16 and, with scale 1 as vLLM stores them by default, the two 8-bit ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kvassay.quant.base import F32

_BF16_BIAS = np.uint32(0x7FFF)
_KEPT = np.uint32(0xFFFF0000)
_SHIFT = np.uint32(16)


class Mini(NamedTuple):
    """A small binary floating-point format: mantissa bits, the least normal exponent (base 2), the largest value."""

    mantissa_bits: int
    least_exponent: int
    largest: float


E4M3 = Mini(mantissa_bits=3, least_exponent=-6, largest=448.0)
E5M2 = Mini(mantissa_bits=2, least_exponent=-14, largest=57344.0)


def f32(x: F32) -> F32:
    """Nothing is rounded."""
    return x


def f16(x: F32) -> F32:
    """IEEE half precision, to nearest even; beyond 65,504 infinite, as in llama.cpp."""
    with np.errstate(over="ignore"):
        return x.astype(np.float16).astype(np.float32)


def bf16(x: F32) -> F32:
    """The upper half of a float32, to nearest even (ggml_compute_fp32_to_bf16); for finite values."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    rounded = bits + (_BF16_BIAS + (bits >> _SHIFT & np.uint32(1)))
    return (rounded & _KEPT).view(np.float32)


def fp8_e4m3(x: F32) -> F32:
    """OCP FP8 E4M3 (no infinities), saturating at ±448: CUDA's ``__nv_cvt_float_to_fp8(…, __NV_SATFINITE, __NV_E4M3)``,
    which vLLM calls with the value divided by the layer's scale, 1.0 unless the checkpoint has one
    (csrc/quantization/fp8/nvidia/quant_utils.cuh).
    """
    return mini(x, E4M3)


def fp8_e5m2(x: F32) -> F32:
    """OCP FP8 E5M2, saturating at ±57,344: as fp8_e4m3, with ``__NV_E5M2``."""
    return mini(x, E5M2)


def mini(x: F32, form: Mini) -> F32:
    """Round to nearest even in a small format; what is too large becomes its largest value. NaN stays NaN."""
    clipped = np.clip(x, -form.largest, form.largest)
    _, exponent = np.frexp(clipped)  # clipped = m · 2^exponent with 0.5 ≤ |m| < 1
    step = np.ldexp(np.float32(1), np.maximum(exponent - 1, form.least_exponent) - form.mantissa_bits)
    return np.asarray(np.rint(clipped / step) * step, dtype=np.float32)
