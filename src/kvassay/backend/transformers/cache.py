"""The cache that quantises: transformers' own, with each layer's formats between the model and it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import starmap

import torch
from transformers import DynamicCache, PretrainedConfig

from kvassay.backend.layers import read_side, require_layers
from kvassay.backend.transformers.load import LayerShape, Loaded
from kvassay.errors import PairRefused
from kvassay.quant.base import F32, Format
from kvassay.quant.hadamard import k_block, v_block
from kvassay.quant.table import FORMATS, k_round_trip, v_round_trip
from kvassay.types import KVConfig

Through = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class LayerFormats:
    """One layer's shape and formats; ``k_block`` and ``v_block`` are the rotation's, 0 for none."""

    shape: LayerShape
    k: Format
    v: Format
    k_block: int
    v_block: int

    @property
    def k_bits(self) -> float:
        """Bits that one token's K takes in its format."""
        return self.shape.k_heads * self.shape.k_dim * self.k.bits

    @property
    def v_bits(self) -> float:
        """Bits that one token's V takes in its format."""
        return self.shape.v_heads * self.shape.v_dim * self.v.bits

    @property
    def values(self) -> int:
        """Values of K and V together that one token has."""
        return self.shape.k_heads * self.shape.k_dim + self.shape.v_heads * self.shape.v_dim


def formats_of(kv: KVConfig, shapes: Sequence[LayerShape | None]) -> tuple[LayerFormats | None, ...]:
    """Each layer's formats. Raises ConfigError where a layer isn't there, PairRefused where a head doesn't divide into
    a format's blocks.
    """
    require_layers((kv.k, kv.v), len(shapes))
    k, v = (read_side(side, str) for side in (kv.k, kv.v))
    there = [shape for shape in shapes if shape is not None]
    # llama.cpp rotates a side only where all layers of a cache agree in its head dimension, and layers with a sliding
    # window have a cache of their own (llama-kv-cache-iswa.cpp).
    k_dims, v_dims = _dims((s.windowed, s.k_dim) for s in there), _dims((s.windowed, s.v_dim) for s in there)

    def one(layer: int, shape: LayerShape | None) -> LayerFormats | None:
        if shape is None:
            return None
        k_format, v_format = (FORMATS[side.of_layer(layer)] for side in (k, v))
        _check_blocks("K", k_format, shape.k_dim)
        _check_blocks("V", v_format, shape.v_dim)
        return LayerFormats(
            shape,
            k_format,
            v_format,
            k_block(shape.k_dim) if kv.rotation and k_format.rotates and len(k_dims[shape.windowed]) == 1 else 0,
            v_block(shape.v_dim) if kv.rotation and v_format.rotates and len(v_dims[shape.windowed]) == 1 else 0,
        )

    return tuple(starmap(one, enumerate(shapes)))


def _dims(heads: Iterable[tuple[bool, int]]) -> dict[bool, set[int]]:
    """The head dimensions of each of llama.cpp's caches, with windows and without."""
    found: dict[bool, set[int]] = {False: set(), True: set()}
    for windowed, dim in heads:
        found[windowed].add(dim)
    return found


def _check_blocks(half: str, one: Format, head_dim: int) -> None:
    if head_dim % one.block:
        raise PairRefused(
            f"{half} can't be {one.name}: heads of {head_dim} values don't divide into blocks of {one.block}",
            hint="Use f16, bf16 or an fp8 type for it.",
        )


class QuantisingCache(DynamicCache):
    """transformers' cache, whose layers take what their formats make of K and V: ``throughs`` by layer.

    Every token is read back from its format at once, by the very pass that computed it, as llama.cpp does it.
    """

    def __init__(self, throughs: Sequence[tuple[Through, Through] | None], config: PretrainedConfig | None) -> None:
        super().__init__(config=config)
        self.throughs = throughs

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        through = self.throughs[layer_idx]
        if through is not None:
            key_states, value_states = through[0](key_states), through[1](value_states)
        read: tuple[torch.Tensor, torch.Tensor] = super().update(key_states, value_states, layer_idx, *args, **kwargs)
        return read


def quantising(loaded: Loaded, formats: Sequence[LayerFormats | None]) -> QuantisingCache:
    """An empty cache in these formats. Without the model's configuration every layer keeps all tokens, and the mask
    alone makes a sliding window of them: so it can be cropped.
    """
    return QuantisingCache(tuple(map(_throughs, formats)), None if loaded.croppable else loaded.model.config)


def _throughs(one: LayerFormats | None) -> tuple[Through, Through] | None:
    if one is None:
        return None
    k = k_round_trip(one.k, one.shape.k_dim, rotation=one.k_block > 0)
    v = v_round_trip(one.v, one.shape.v_dim, rotation=one.v_block > 0)
    return partial(_through, k), partial(_through, v)


def _through(round_trip: Callable[[F32], F32], states: torch.Tensor) -> torch.Tensor:
    """K or V of some tokens, heads × tokens × head dimension, through a format and back into the model's dtype."""
    return torch.from_numpy(round_trip(states.float().cpu().numpy())).to(states)
