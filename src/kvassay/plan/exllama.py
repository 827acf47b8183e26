"""What a quantised cache costs in ExLlamaV3: bits per value chosen for K and V apart, one fp16 scale for 32 values.

Source: cache/quant.py and cache/q_cache_kernels.cuh of exllamav3 1.6.5. Modelled: not compared with the program itself.
"""

from __future__ import annotations

from kvassay.kv_cache import pad
from kvassay.model.architectures import Memory
from kvassay.model.shape import ModelShape
from kvassay.types import JsonObject, KVConfig

ENGINES = ("exllamav3", "tabbyapi", "exl3")
BITS = tuple(str(bits) for bits in range(2, 9))
_GROUP = 32
_SCALE_BYTES = 2


def side_bytes(tokens: int, elements: int, bits: int) -> int:
    """K or V of one layer: ``pad(tokens, 256) × elements × (bits/8 + 1/16)``."""
    return pad(tokens) * elements * (bits * _GROUP // 8 + _SCALE_BYTES) // _GROUP


def exllama_pair(shape: ModelShape, kv: KVConfig, tokens: int) -> JsonObject:
    """``kv_bytes`` of one pair of bit widths, or ``refused`` where the formula is not known to hold."""
    asked: JsonObject = {
        "model": shape.name,
        "engine": "exllamav3",
        "k": kv.k,
        "v": kv.v,
        "n_ctx": pad(tokens),
        "certainty": "modelled",
    }
    plain = all(layer.attention and not layer.window for layer in shape.trunk)
    if shape.memory is not Memory.ATTENTION or shape.latent or not plain:
        return asked | {"refused": "ExLlamaV3's cache is only known here for models that attend fully in every layer"}
    k = sum(side_bytes(tokens, layer.k_elements, int(kv.k)) for layer in shape.trunk)
    v = sum(side_bytes(tokens, layer.v_elements, int(kv.v)) for layer in shape.trunk)
    return asked | {"kv_bytes": k + v, "k_bytes": k, "v_bytes": v, "recurrent_bytes": 0}
