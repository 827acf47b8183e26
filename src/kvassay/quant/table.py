"""The formats by name, one line each: what `--backend transformers` takes for K and for V."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from kvassay.kv_cache import cache_types
from kvassay.quant import exl3, floats, ggml, hadamard
from kvassay.quant.base import F32, Format

_GGML: Mapping[str, Callable[[F32], F32]] = {
    "f32": floats.f32,
    "f16": floats.f16,
    "bf16": floats.bf16,
    "q8_0": ggml.q8_0,
    "q5_1": ggml.q5_1,
    "q5_0": ggml.q5_0,
    "q4_1": ggml.q4_1,
    "q4_0": ggml.q4_0,
    "iq4_nl": ggml.iq4_nl,
}
_LLAMA = tuple(
    Format(one.name, "llama.cpp", one.bits, _GGML[one.name], one.block, rotates=one.block > 1)
    for one in cache_types("ggml")
)
_EXL3 = tuple(
    Format(one.name, "ExLlamaV3", one.bits, exl3.with_bits(int(one.name)), one.block) for one in cache_types("exl3")
)
_FP8 = (
    Format("fp8_e4m3", "vLLM", 8.0, floats.fp8_e4m3),
    Format("fp8_e5m2", "vLLM", 8.0, floats.fp8_e5m2),
)

FORMATS: Mapping[str, Format] = MappingProxyType({one.name: one for one in (*_LLAMA, *_EXL3, *_FP8)})
"""llama.cpp's names, ExLlamaV3's bits (``8``), vLLM's names."""


def k_round_trip(one: Format, head_dim: int, *, rotation: bool) -> Callable[[F32], F32]:
    """The format's round trip of K, rotated where llama.cpp would rotate it."""
    return _rotated(one, hadamard.k_block(head_dim) if rotation else 0)


def v_round_trip(one: Format, head_dim: int, *, rotation: bool) -> Callable[[F32], F32]:
    """The format's round trip of V, rotated where llama.cpp would rotate it."""
    return _rotated(one, hadamard.v_block(head_dim) if rotation else 0)


def _rotated(one: Format, block: int) -> Callable[[F32], F32]:
    return hadamard.rotated(one.round_trip, block) if one.rotates and block else one.round_trip
