"""One K/V pair at one context, for scripts: the answer of ``kvassay plan --k … --v … --json``."""

from __future__ import annotations

from kvassay.model.shape import ModelShape
from kvassay.plan.memory import CacheSettings, context_of, layer_memory, refusal
from kvassay.types import JsonObject, KVConfig


def exact_pair(shape: ModelShape, kv: KVConfig, settings: CacheSettings) -> JsonObject:
    """``n_ctx``, ``kv_bytes`` and ``recurrent_bytes`` as llama.cpp allocates them, or ``refused`` with the reason."""
    context = context_of(shape, settings)
    asked: JsonObject = {
        "model": shape.name,
        "architecture": shape.architecture,
        "k": kv.k,
        "v": kv.v,
        "parallel": settings.parallel,
        "unified": settings.unified,
        "n_ctx": context.n_ctx,
        "n_ctx_seq": context.cells,
        "n_ubatch": context.n_ubatch,
    }
    reason = refusal(shape, kv, settings)
    if reason:
        return asked | {"refused": reason}
    layers = layer_memory(shape, kv, settings)
    return asked | {
        "kv_bytes": sum(layer.kv_bytes for layer in layers),
        "recurrent_bytes": sum(layer.state for layer in layers),
        "k_bytes": sum(layer.k for layer in layers),
        "v_bytes": sum(layer.v for layer in layers),
        "window_k_bytes": sum(layer.window_k for layer in layers),
        "window_v_bytes": sum(layer.window_v for layer in layers),
        "indexer_bytes": sum(layer.indexer for layer in layers),
    }
