"""The rotation: llama.cpp's matrix, its block sizes, and what it is good for."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from kvassay.quant.hadamard import butterfly, k_block, rotated, v_block
from kvassay.quant.table import FORMATS, k_round_trip, v_round_trip


def matrix(n: int) -> NDArray[np.float64]:
    """ggml_gen_hadamard: doubled from one entry, 1/√n."""
    made = np.array([[1 / np.sqrt(n)]])
    while len(made) < n:
        made = np.block([[made, made], [made, -made]])
    return made


@pytest.mark.parametrize("block", [32, 64, 128])
def test_the_butterfly_is_the_matrix(block: int) -> None:
    """Each block of the head dimension is multiplied by llama.cpp's matrix."""
    x = np.random.default_rng(0).normal(size=(5, 256)).astype(np.float32)
    wanted = (x.reshape(-1, block) @ matrix(block)).reshape(x.shape)
    np.testing.assert_allclose(butterfly(x, block) / np.sqrt(block), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("head_dim", "k", "v"), [(64, 64, 64), (128, 128, 64), (192, 64, 64), (256, 256, 64), (80, 0, 0), (576, 64, 64)]
)
def test_blocks_are_llama_cpps(head_dim: int, k: int, v: int) -> None:
    """K turns in the largest 64·2ⁿ that divides the head, V in 64 (llama-kv-cache.cpp:340-357); others do not."""
    assert (k_block(head_dim), v_block(head_dim)) == (k, v)


def test_rotating_alone_loses_nothing() -> None:
    """There and back is the same up to single precision."""
    x = np.random.default_rng(1).normal(size=(7, 128)).astype(np.float32)
    np.testing.assert_allclose(rotated(lambda y: y, 128)(x), x, atol=1e-6)


def test_only_llama_cpps_block_formats_are_rotated() -> None:
    """f16 and ExLlamaV3's bits go through as they are; q4_0 differs with and without."""
    x = np.random.default_rng(2).normal(size=(3, 128)).astype(np.float32)
    for name in ("f16", "4", "fp8_e4m3"):
        plain = FORMATS[name].round_trip(x)
        assert np.array_equal(k_round_trip(FORMATS[name], 128, rotation=True)(x), plain)
    turned = v_round_trip(FORMATS["q4_0"], 128, rotation=True)(x)
    assert not np.array_equal(turned, v_round_trip(FORMATS["q4_0"], 128, rotation=False)(x))


def test_rotation_spreads_an_outlier() -> None:
    """One channel far from the rest costs q4_0 much less after the rotation, which is what it is there for."""
    x = np.random.default_rng(3).normal(size=(100, 128)).astype(np.float32)
    x[:, 5] = 100
    others = np.arange(128) != 5

    def error(rotation: bool) -> float:  # noqa: FBT001 - of a test
        back = k_round_trip(FORMATS["q4_0"], 128, rotation=rotation)(x)
        return float(np.sqrt(((back - x)[:, others][:, :31] ** 2).mean()))

    assert error(True) < error(False)
