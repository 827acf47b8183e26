"""What a K/V pair costs in llama.cpp: cells, keys, values and recurrent states, to the byte.

Formulas: src/llama-context.cpp:292 (context), llama-kv-cache.cpp:209 (rows), llama-kv-cache-iswa.cpp:73 (windows),
llama-memory-recurrent.cpp (states), llama-kv-cache-dsv4.cpp (DeepSeek-V4) of llama.cpp b11434.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kvassay.backend.kv import is_quantized
from kvassay.errors import ConfigError
from kvassay.kv_cache import cache_types, pad
from kvassay.model.architectures import Memory
from kvassay.model.shape import Layer, ModelShape
from kvassay.model.states import CSA_RATIO
from kvassay.types import KVConfig

BLOCK = 32
BYTES_PER_BLOCK = {one.name: round(one.bits * BLOCK / 8) for one in cache_types("ggml")}
"""Bytes of 32 elements by cache type."""

MAX_SEQUENCES = 256  # LLAMA_MAX_SEQ
MAX_CONTEXT = 2**31 - 1
DEFAULT_BATCH = 2048
DEFAULT_UBATCH = 512


class FlashAttention(StrEnum):
    """llama-server's ``-fa``."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """What llama-server is told of its cache: ``-c``, ``-np``, ``-kvu``, ``-b``, ``-ub``, ``--swa-full``, ``-fa``, and
    how many tokens a draft may have (``--spec-draft-n-max``; 0: no drafting). ``context_tokens`` 0 is the model's own.
    """

    context_tokens: int
    parallel: int = 1
    unified: bool = False
    batch: int = DEFAULT_BATCH
    ubatch: int = DEFAULT_UBATCH
    swa_full: bool = False
    flash_attention: FlashAttention = FlashAttention.AUTO
    draft_tokens: int = 0

    def __post_init__(self) -> None:
        _between("context", self.context_tokens, 0, MAX_CONTEXT)
        _between("parallel", self.parallel, 1, MAX_SEQUENCES)
        _between("batch", self.batch, 1, MAX_CONTEXT)
        _between("ubatch", self.ubatch, 1, MAX_CONTEXT)
        _between("draft tokens", self.draft_tokens, 0, MAX_SEQUENCES)


@dataclass(frozen=True, slots=True)
class Context:
    """The context that llama.cpp makes of the settings: cells per stream, and ``n_ctx`` in all streams together."""

    n_ctx: int
    cells: int
    streams: int
    n_ubatch: int


@dataclass(frozen=True, slots=True)
class LayerMemory:
    """Bytes that one layer's caches take. ``indexer`` are a sparse-attention indexer's keys, ``state`` is F32."""

    k: int = 0
    v: int = 0
    window_k: int = 0
    window_v: int = 0
    indexer: int = 0
    state: int = 0

    @property
    def kv_bytes(self) -> int:
        """Everything that depends on the cache types."""
        return self.k + self.v + self.window_k + self.window_v + self.indexer


def context_of(shape: ModelShape, settings: CacheSettings) -> Context:
    """How many cells there are: padded to 256, per stream where the cache is not unified (llama-context.cpp:292)."""
    asked = wanted_tokens(shape, settings.context_tokens)
    n_ctx = pad(asked)
    n_ubatch = min(asked, settings.batch, settings.ubatch)
    if settings.unified:
        return Context(n_ctx, cells=n_ctx, streams=1, n_ubatch=n_ubatch)
    cells = pad(n_ctx // settings.parallel)
    return Context(cells * settings.parallel, cells, settings.parallel, n_ubatch)


def wanted_tokens(shape: ModelShape, context_tokens: int) -> int:
    """The context asked for, or the model's own. Raises ConfigError where neither is known."""
    asked = context_tokens or shape.context_length
    if not asked:
        raise ConfigError(f"{shape.name!r} doesn't say what context it was trained for.", hint="Give one: --context N.")
    return asked


def window_cells(shape: ModelShape, settings: CacheSettings, context: Context) -> int:
    """Cells of a sliding-window layer (llama-kv-cache-iswa.cpp:73)."""
    if settings.swa_full:
        return context.cells
    shared = settings.unified and shape.memory is not Memory.COMPRESSED
    window = shape.window * (settings.parallel if shared else 1)
    return pad(min(context.cells, window + context.n_ubatch))


def flash(shape: ModelShape, settings: CacheSettings) -> bool:
    """Whether flash attention is used."""
    return shape.flash_attention and settings.flash_attention is not FlashAttention.OFF


def refusal(shape: ModelShape, kv: KVConfig, settings: CacheSettings) -> str | None:
    """Why llama.cpp would not make this context, or None (``llama_init_from_model``, llama-context.cpp:3819)."""
    if shape.memory is Memory.NONE:
        return (
            f"{shape.architecture} is an encoder or a diffusion model: it keeps no KV cache, so there is none to plan"
        )
    if shape.memory is Memory.BORROWED:
        return f"{shape.architecture} is a draft head that uses its target model's cache"
    if shape.latent and kv.k != kv.v:
        return (
            f"{shape.architecture} has latent attention (MLA), where K and V must have one type, not {kv.k} and {kv.v}"
        )
    if is_quantized(kv.v) and not flash(shape, settings):
        why = "llama.cpp turns it off for this model" if not shape.flash_attention else "it is off"
        return f"a quantised V cache ({kv.v}) needs flash attention, and {why}"
    return _unaligned(shape, kv, flash=flash(shape, settings))


def _unaligned(shape: ModelShape, kv: KVConfig, *, flash: bool) -> str | None:
    """Rows that a block of 32 doesn't divide."""
    for side, cache_type in (("K", kv.k), ("V", kv.v)):
        if not is_quantized(cache_type):
            continue
        for layer in shape.trunk:
            dim = layer.head_k if side == "K" else layer.head_v
            width = dim if flash else dim * layer.kv_heads
            if width % BLOCK:
                return f"the {side} head dimension {dim} is not a multiple of {BLOCK}, as {cache_type} needs"
    return None


def layer_memory(shape: ModelShape, kv: KVConfig, settings: CacheSettings) -> tuple[LayerMemory, ...]:
    """What each layer's caches take in the main context. Raises ConfigError where ``refusal`` gives a reason."""
    reason = refusal(shape, kv, settings)
    if reason:
        raise ConfigError(f"llama.cpp refuses {kv}: {reason}.", hint="Choose another pair.")
    context = context_of(shape, settings)
    states = settings.parallel * (1 + (settings.draft_tokens if shape.rollback else 0))
    widest_v = 0 if flash(shape, settings) else max(layer.v_elements for layer in shape.layers)
    cells = _Cells(context, window_cells(shape, settings, context), settings.parallel)
    return tuple(_layer(shape, layer, kv, cells, widest_v=widest_v, states=states) for layer in shape.layers)


@dataclass(frozen=True, slots=True)
class _Cells:
    context: Context
    window: int
    parallel: int


def _layer(shape: ModelShape, layer: Layer, kv: KVConfig, cells: _Cells, *, widest_v: int, states: int) -> LayerMemory:
    state = 4 * layer.state_elements * states if layer.state_elements else 0
    if shape.memory is Memory.COMPRESSED:
        return _compressed(layer, kv, cells, state, shape.indexer_head)
    total = cells.context.cells * cells.context.streams
    indexer = total * (row(kv.k, layer.indexer_k) + row(kv.v, layer.indexer_v))
    if not layer.attention:
        return LayerMemory(indexer=indexer, state=state)
    k = row(kv.k, layer.k_elements)
    v = 0 if shape.latent else row(kv.v, widest_v or layer.v_elements)
    if layer.window:
        total = cells.window * cells.context.streams
        return LayerMemory(window_k=total * k, window_v=total * v, indexer=indexer, state=state)
    return LayerMemory(k=total * k, v=total * v, indexer=indexer, state=state)


def _compressed(layer: Layer, kv: KVConfig, cells: _Cells, state: int, indexer_head: int) -> LayerMemory:
    """DeepSeek-V4: a window of raw keys, keys of pooled cells, and for ratio 4 an indexer's; a stream per sequence."""
    raw = cells.window * cells.parallel * row(kv.k, layer.k_elements)
    if not layer.compression:
        return LayerMemory(window_k=raw, state=state)
    pooled = pad(max(1, -(-cells.context.cells // layer.compression))) * cells.parallel
    indexer = row(kv.k, indexer_head) if layer.compression == CSA_RATIO else 0
    return LayerMemory(k=pooled * row(kv.k, layer.k_elements), window_k=raw, indexer=pooled * indexer, state=state)


def draft_kv_bytes(shape: ModelShape, kv: KVConfig, settings: CacheSettings) -> int:
    """The cache of the NextN/MTP layers in the draft's own context; 0 without such layers."""
    context = context_of(shape, settings)
    window = window_cells(shape, settings, context)
    total = 0
    for layer in shape.layers:
        if layer.draft:
            cells = (window if layer.window else context.cells) * context.streams
            v = 0 if shape.latent else row(kv.v, layer.v_elements)
            total += cells * (row(kv.k, layer.k_elements) + v)
    return total


def row(cache_type: str, elements: int) -> int:
    """Bytes of so many elements in a row (``ggml_row_size``)."""
    return BYTES_PER_BLOCK[cache_type] * elements // BLOCK


def _between(what: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{what} {value!r} is not between {low:,} and {high:,}.")
