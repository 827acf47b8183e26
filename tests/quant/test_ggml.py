"""llama.cpp's formats: bit for bit what gguf's reference quantisers make, and iq4_nl what the C code made."""

from __future__ import annotations

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants
from hypothesis import given, settings
from hypothesis import strategies as st

from kvassay.quant.base import F32
from kvassay.quant.ggml import BLOCK
from kvassay.quant.table import FORMATS

ORACLE = ("f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
# fmt: off
IQ4_NL_FROM_C = [
    -0.024078369140625, 1.998504638671875, 3.057952880859375, 2.504150390625,
    1.179840087890625, -0.91497802734375, -2.720855712890625, -2.720855712890625,
    -2.142974853515625, -0.024078369140625, 1.998504638671875, 3.057952880859375,
    2.504150390625, 0.842742919921875, -1.276153564453125, -2.720855712890625,
    -2.720855712890625, -2.142974853515625, -0.024078369140625, 1.998504638671875,
    3.057952880859375, 2.504150390625, 0.842742919921875, -1.276153564453125,
    -2.720855712890625, -2.720855712890625, -1.661407470703125, 0.24078369140625,
    1.998504638671875, 3.057952880859375, 2.504150390625, 0.842742919921875,
    -0.4310455322265625, -0.9190216064453125, -0.9190216064453125, -0.5611724853515625,
    0.081329345703125, 0.6750335693359375, 1.0328826904296875, 0.8458251953125,
    0.2846527099609375, -0.4310455322265625, -0.9190216064453125, -0.9190216064453125,
    -0.5611724853515625, 0.081329345703125, 0.6750335693359375, 1.0328826904296875,
    0.8458251953125, 0.2846527099609375, -0.4310455322265625, -0.9190216064453125,
    -0.9190216064453125, -0.5611724853515625, 0.081329345703125, 0.6750335693359375,
    1.0328826904296875, 0.8458251953125, 0.2846527099609375, -0.4310455322265625,
    -0.9190216064453125, -0.9190216064453125, -0.5611724853515625, 0.081329345703125,
]
# fmt: on


def oracle(name: str, x: F32) -> F32:
    qtype = GGMLQuantizationType[name.upper()]
    return quants.dequantize(quants.quantize(x, qtype), qtype).reshape(x.shape)


def keys(seed: int, tokens: int = 400) -> F32:
    """K-like values: heavy tails, a scale of its own per token, some channels that stand out, a token of zeros."""
    dice = np.random.default_rng(seed)
    x = dice.standard_t(3, size=(tokens, 128)) * np.exp(dice.normal(size=(tokens, 1)))
    x[:, 17] += 60
    x[3] = 0
    return x.astype(np.float32)


@pytest.mark.parametrize("name", ORACLE)
def test_every_bit_is_the_reference_quantisers(name: str) -> None:
    """On 51,200 K-like values each format gives the very bits that gguf's quantiser and dequantiser give."""
    x = keys(1)
    assert np.array_equal(FORMATS[name].round_trip(x).view(np.uint32), oracle(name, x).view(np.uint32))


@settings(deadline=None)
@given(st.binary(min_size=BLOCK, max_size=BLOCK), st.floats(-500, 500, width=32).filter(lambda x: abs(x) > 1e-6))
def test_odd_blocks_are_the_reference_quantisers_too(levels: bytes, step: float) -> None:
    """Constant blocks, ties between two codes, single outliers, zeros: still the same bits."""
    x = np.frombuffer(levels, np.int8).astype(np.float32) * np.float32(step)
    for name in ORACLE:
        assert np.array_equal(FORMATS[name].round_trip(x).view(np.uint32), oracle(name, x).view(np.uint32))


def test_iq4_nl_is_what_the_c_code_makes() -> None:
    """quantize_row_iq4_nl_ref and dequantize_row_iq4_nl of llama.cpp b11434, compiled with gcc -ffp-contract=off, made
    these values of this input.
    """
    x = np.sin(np.arange(64, dtype=np.float32) * np.float32(0.7)).astype(np.float32)
    x[:32] *= np.float32(3)
    made = np.array(IQ4_NL_FROM_C, dtype=np.float32)
    assert np.array_equal(FORMATS["iq4_nl"].round_trip(x), made)


def test_iq4_nl_keeps_zeros() -> None:
    """A block of zeros has scale 0 and reads back as zeros, without a warning."""
    with np.errstate(all="raise"):
        assert not FORMATS["iq4_nl"].round_trip(np.zeros(32, np.float32)).any()


@pytest.mark.parametrize("name", [name for name, one in FORMATS.items() if one.block > 1])
def test_blocks_do_not_touch_each_other(name: str) -> None:
    """Each 32 values of a head are read back from themselves alone, wherever they stand."""
    x = keys(2, tokens=4)
    whole = FORMATS[name].round_trip(x)
    assert np.array_equal(whole[1, 32:64], FORMATS[name].round_trip(x[1, 32:64]))


@pytest.mark.parametrize(("name", "bits"), [("q8_0", 8.5), ("q5_1", 6.0), ("iq4_nl", 4.5), ("8", 8.5), ("fp8_e5m2", 8)])
def test_bits_count_the_scales(name: str, bits: float) -> None:
    """A format's size per value includes its scales."""
    assert FORMATS[name].bits == bits
