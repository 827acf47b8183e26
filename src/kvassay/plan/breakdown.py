"""All of a configuration's memory, line by line, on the device and on the host; each line says how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kvassay.model.shape import Layer, ModelShape
from kvassay.plan.memory import (
    CacheSettings,
    Context,
    LayerMemory,
    context_of,
    draft_kv_bytes,
    flash,
    layer_memory,
    window_cells,
)
from kvassay.types import KVConfig

MIB = 1 << 20
OVERHEAD_BYTES = 400 * MIB
GPU_DEVICES = ("cuda", "hip", "metal", "vulkan", "sycl")
_F16_SCRATCH = ("cuda", "hip")
_DRAFT_KV = KVConfig("f16", "f16")  # -ctkd and -ctvd default to f16


class Certainty(StrEnum):
    """How a line was found."""

    EXACT = "exact"  # equals llama.cpp's own figure
    MODELLED = "modelled"  # a formula that leaves out what only the graph knows
    ASSUMED = "assumed"  # a round figure


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model runs: ``device`` is cuda, hip, metal, vulkan, sycl or cpu. ``gpu_layers`` None is all layers and
    the output; ``mmproj_bytes`` are a projector's weights, ``overhead_bytes`` what the driver takes for itself.
    """

    device: str = "cuda"
    gpu_layers: int | None = None
    kv_offload: bool = True
    mmproj_bytes: int = 0
    overhead_bytes: int = OVERHEAD_BYTES

    @property
    def is_gpu(self) -> bool:
        return self.device in GPU_DEVICES


@dataclass(frozen=True, slots=True)
class Line:
    """One part of the memory. ``source`` is where its formula comes from."""

    name: str
    device_bytes: int
    host_bytes: int
    certainty: Certainty
    source: str


@dataclass(frozen=True, slots=True)
class Breakdown:
    """All lines of one pair at one context."""

    kv: KVConfig
    context: Context
    lines: tuple[Line, ...]

    @property
    def device_bytes(self) -> int:
        return sum(line.device_bytes for line in self.lines)

    @property
    def host_bytes(self) -> int:
        return sum(line.host_bytes for line in self.lines)

    def of(self, *names: str) -> int:
        """Bytes of the lines so named, wherever they lie."""
        return sum(line.device_bytes + line.host_bytes for line in self.lines if line.name in names)


def breakdown(shape: ModelShape, kv: KVConfig, settings: CacheSettings, place: Place) -> Breakdown:
    """Every part of the memory of one pair. Raises ConfigError where llama.cpp refuses the pair."""
    layers = layer_memory(shape, kv, settings)
    on_device = [_on_device(il, len(layers), place) for il in range(len(layers))]
    context = context_of(shape, settings)
    parts = [*_weights(shape, settings, on_device, place), *_caches(layers, on_device, place)]
    parts += _buffers(shape, kv, settings, place)
    lines = [line for line in parts if line.device_bytes or line.host_bytes]
    return Breakdown(kv, context, tuple(lines))


def _on_device(il: int, n_layers: int, place: Place) -> bool:
    """``load_tensors``: the last layers go to the device first, after the output."""
    if not place.is_gpu:
        return False
    return place.gpu_layers is None or il >= n_layers + 1 - place.gpu_layers


def _split(sizes: list[int], on_device: list[bool]) -> tuple[int, int]:
    device = sum(size for size, there in zip(sizes, on_device, strict=True) if there)
    return device, sum(sizes) - device


def _weights(shape: ModelShape, settings: CacheSettings, on_device: list[bool], place: Place) -> list[Line]:
    """Tensor sizes are exact; that the NextN layers stay unread without drafting is too (``load_mtp``)."""
    weights = shape.weights
    if weights is None:
        return []
    drafts = settings.draft_tokens > 0
    sizes = [size if drafts or not layer.draft else 0 for size, layer in zip(weights.layers, shape.layers, strict=True)]
    device, host = _split(sizes, on_device)
    output_there = place.is_gpu and place.gpu_layers != 0
    output = weights.output_bytes + (weights.tied_bytes if output_there else 0)
    certainty = Certainty.EXACT if weights.complete else Certainty.MODELLED
    source = "tensor table"
    lines = [
        Line("weights: layers", device, host, certainty, source),
        Line("weights: output", *((output, 0) if output_there else (0, output)), certainty, source),
        Line("weights: embeddings", 0, weights.input_bytes, certainty, source),
    ]
    if place.mmproj_bytes:
        there = (place.mmproj_bytes, 0) if place.is_gpu else (0, place.mmproj_bytes)
        lines.append(Line("mmproj", *there, Certainty.EXACT, "its tensor table"))
    return lines


def _caches(layers: tuple[LayerMemory, ...], on_device: list[bool], place: Place) -> list[Line]:
    there = [place.kv_offload and on for on in on_device]
    parts = (
        ("K", [layer.k for layer in layers], "llama-kv-cache.cpp"),
        ("V", [layer.v for layer in layers], "llama-kv-cache.cpp"),
        ("K, sliding window", [layer.window_k for layer in layers], "kv-cache-iswa.cpp"),
        ("V, sliding window", [layer.window_v for layer in layers], "kv-cache-iswa.cpp"),
        ("indexer keys", [layer.indexer for layer in layers], "kv-cache-dsa.cpp"),
        ("recurrent state", [layer.state for layer in layers], "memory-recurrent.cpp"),
    )
    return [Line(name, *_split(sizes, there), Certainty.EXACT, source) for name, sizes, source in parts]


def _buffers(shape: ModelShape, kv: KVConfig, settings: CacheSettings, place: Place) -> list[Line]:
    found = [
        ("draft context", draft_kv_bytes(shape, _DRAFT_KV, settings) if settings.draft_tokens else 0, Certainty.EXACT,
         "speculative.cpp"),
        ("f16 scratch", scratch_bytes(shape, kv, settings, place.device), Certainty.MODELLED, "fattn-common.cuh"),
        ("compute buffer", compute_bytes(shape, settings), Certainty.MODELLED, "docs/memory.md"),
        ("logits", 4 * shape.vocab_size * settings.parallel, Certainty.MODELLED, "4 × vocab × slots"),
        ("overhead", place.overhead_bytes if place.is_gpu else 0, Certainty.ASSUMED, "driver"),
    ]  # fmt: skip
    return [
        Line(name, *((size, 0) if place.is_gpu else (0, size)), certainty, source)
        for name, size, certainty, source in found
    ]


def scratch_bytes(shape: ModelShape, kv: KVConfig, settings: CacheSettings, device: str) -> int:
    """The f16 copy of one layer's K and V that CUDA's flash attention keeps of every type but f16.

    ``ggml_cuda_flash_attn_ext_get_alloc_size`` (fattn.cu:722 and fattn-common.cuh:53): each side that is not f16, at
    the cells of the widest layer; with latent attention V is a view of K and needs none of its own.
    """
    if device not in _F16_SCRATCH or not flash(shape, settings):
        return 0
    context = context_of(shape, settings)
    window = window_cells(shape, settings, context)

    def copied(layer: Layer) -> int:
        cells = (window if layer.window else context.cells) * context.streams
        k = layer.k_elements if kv.k != "f16" else 0
        v = layer.v_elements if kv.v != "f16" and not shape.latent else 0
        return 2 * cells * (k + v)

    return max((copied(layer) for layer in shape.layers if layer.attention), default=0)


def compute_bytes(shape: ModelShape, settings: CacheSettings) -> int:
    """The graph's buffer: per row of the physical batch the widest activations (f32) and the attention mask (f16).

    A model of the graph, not the graph: good to some tens of MiB. Without flash attention the scores of all heads are
    kept in f32 as well.
    """
    context = context_of(shape, settings)
    attending = [layer for layer in shape.layers if layer.attention]
    widest = max((layer.k_elements + layer.v_elements for layer in attending), default=0)
    q = max((layer.head_k for layer in attending), default=0) * shape.heads
    activations = 4 * (4 * shape.embedding_length + 2 * shape.feed_forward + q + widest)
    mask = 2 * context.cells if attending else 0
    scores = 0 if flash(shape, settings) or not attending else 4 * shape.heads * context.cells
    return context.n_ubatch * (activations + mask + scores)
