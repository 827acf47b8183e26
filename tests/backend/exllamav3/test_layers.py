"""Types and bytes read back from tensors shaped as exllamav3 1.6.5 allocates them (cache/quant.py:47-50, fp16.py)."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs an extra: pip install 'kvassay[exllamav3]'")

import torch
from hypothesis import given
from hypothesis import strategies as st

from kvassay.backend.exllamav3.layers import Layer, read_layer, require_engaged
from kvassay.errors import BootFailed, NotEngaged
from kvassay.plan.exllama import side_bytes
from kvassay.types import KVConfig

BITS = st.integers(2, 8)


def quantised(k_bits: int, v_bits: int, pages: int = 2, values: int = 128) -> Layer:
    groups = values // 32
    packed = [torch.zeros((pages, 256, groups * bits), dtype=torch.int) for bits in (k_bits, v_bits)]
    scales = [torch.zeros((pages, 256, groups), dtype=torch.half) for _ in range(2)]
    return read_layer([*packed, *scales])


def plain() -> Layer:
    return read_layer([torch.zeros((2, 256, 2, 64), dtype=torch.half) for _ in range(2)])


@given(BITS, BITS, st.integers(1, 4), st.sampled_from([32, 128, 1024]))
def test_bits_and_bytes_are_those_of_the_tensors(k_bits: int, v_bits: int, pages: int, values: int) -> None:
    """K and V apart, and the bytes are those of the planner's formula."""
    layer = quantised(k_bits, v_bits, pages, values)
    assert (layer.k.type, layer.v.type) == (str(k_bits), str(v_bits))
    assert layer.k.nbytes == side_bytes(256 * pages, values, k_bits)
    assert layer.v.nbytes == side_bytes(256 * pages, values, v_bits)


def test_an_unquantised_layer_is_f16() -> None:
    """Two bytes a value."""
    assert plain() == (("f16", 2 * 256 * 128 * 2), ("f16", 2 * 256 * 128 * 2))


def test_a_layer_of_another_kind_is_not_guessed_at() -> None:
    """One tensor (MLA's latent), or packed values of another type."""
    with pytest.raises(BootFailed, match="1 tensors"):
        read_layer([torch.zeros(4)])
    with pytest.raises(BootFailed, match="of a kind not known here"):
        read_layer([torch.zeros((2, 8)), torch.zeros((2, 8)), torch.zeros((2, 2)), torch.zeros((2, 2))])


def test_layers_that_hold_other_types_are_not_measured() -> None:
    """All of them have to hold the pair that was asked for."""
    require_engaged([quantised(8, 4)] * 3, KVConfig("8", "4"))
    require_engaged([plain()], KVConfig("f16", "f16"))
    with pytest.raises(NotEngaged, match="8/4 was asked for, ExLlamaV3's layers hold 4/8"):
        require_engaged([quantised(4, 8)], KVConfig("8", "4"))
    with pytest.raises(NotEngaged, match="hold 8/4, f16/f16"):
        require_engaged([quantised(8, 4), plain()], KVConfig("8", "4"))
    with pytest.raises(NotEngaged, match="no layer"):
        require_engaged([], KVConfig("8", "4"))
