"""What a cache's layers hold, read from their tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch

from kvassay.errors import BootFailed, NotEngaged
from kvassay.types import KVConfig

_PLAIN_TENSORS, _QUANTISED_TENSORS = 2, 4


class Half(NamedTuple):
    """K or V of one layer: its type and the bytes of its tensors."""

    type: str
    nbytes: int


class Layer(NamedTuple):
    """What one layer's tensors say of themselves."""

    k: Half
    v: Half


def read_layer(tensors: Sequence[torch.Tensor]) -> Layer:
    """A layer of ``CacheLayer.get_tensors()``: k, v (cache/fp16.py), or packed k, packed v, scales of k, scales of v
    (cache/quant.py): of 32 values ``bits`` integers of 32 bits and one scale. Raises BootFailed for any other.
    """
    if len(tensors) == _PLAIN_TENSORS:
        return Layer(*map(_plain, tensors))
    if len(tensors) == _QUANTISED_TENSORS:
        k, v, k_scales, v_scales = tensors
        return Layer(_quantised(k, k_scales), _quantised(v, v_scales))
    raise BootFailed(
        f"a layer's cache has {len(tensors)} tensors: K and V can't be told apart", hint="Use --backend transformers."
    )


def _plain(values: torch.Tensor) -> Half:
    return Half({torch.float16: "f16", torch.bfloat16: "bf16"}.get(values.dtype, str(values.dtype)), values.nbytes)


def _quantised(packed: torch.Tensor, scales: torch.Tensor) -> Half:
    bits, rest = divmod(packed.shape[-1], scales.shape[-1])
    if packed.dtype is not torch.int32 or rest:
        raise BootFailed(f"a layer's cache of {packed.dtype} {tuple(packed.shape)} is of a kind not known here")
    return Half(str(bits), packed.nbytes + scales.nbytes)


def require_engaged(layers: Iterable[Layer], kv: KVConfig) -> None:
    """Raise NotEngaged where a layer's types are not the pair's."""
    found = {(one.k.type, one.v.type) for one in layers}
    if found != {(kv.k, kv.v)}:
        told = ", ".join(sorted(f"{k}/{v}" for k, v in found)) or "no layer with K and V"
        raise NotEngaged(f"{kv} was asked for, ExLlamaV3's layers hold {told}")
