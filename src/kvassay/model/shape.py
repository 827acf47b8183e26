"""The shape of a model as far as memory is concerned: what each layer caches, and how large its weights are."""

from __future__ import annotations

from dataclasses import dataclass, field

from kvassay.model.architectures import Memory


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer; dimensions are in elements.

    ``attention``: it owns keys and values in the main context; ``window``: only of a sliding window; ``recurrent``: it
    owns a recurrent state; ``draft``: it is a NextN/MTP layer. ``indexer_k`` and ``indexer_v`` are the elements per
    cell of a sparse-attention indexer's cache, ``compression`` DeepSeek-V4's ratio.
    """

    kv_heads: int
    head_k: int
    head_v: int
    window: bool = False
    attention: bool = True
    recurrent: bool = False
    draft: bool = False
    indexer_k: int = 0
    indexer_v: int = 0
    compression: int = 0
    state_elements: int = 0

    @property
    def k_elements(self) -> int:
        """Elements of K per cell (``n_embd_k_gqa``)."""
        return self.kv_heads * self.head_k

    @property
    def v_elements(self) -> int:
        """Elements of V per cell (``n_embd_v_gqa``)."""
        return self.kv_heads * self.head_v


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes of a model's tensors by where the loader puts them.

    ``layers`` has one entry per layer; ``input_bytes`` (token embeddings) stay on the host, ``output_bytes`` go to the
    device with the last layers. ``tied_bytes`` are embeddings that serve as output too and are loaded twice when the
    output is offloaded. ``expert_bytes`` are the routed experts' share of each layer.
    """

    layers: tuple[int, ...]
    input_bytes: int
    output_bytes: int
    tied_bytes: int = 0
    expert_bytes: tuple[int, ...] = ()
    complete: bool = True

    @property
    def total_bytes(self) -> int:
        return sum(self.layers) + self.input_bytes + self.output_bytes


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What the memory of a model depends on.

    ``window`` is in tokens. ``context_length`` is what it was trained for, 0 where the file doesn't say. ``latent``:
    MLA, only K is stored. ``flash_attention``: llama.cpp can use it at all. ``rollback``: its recurrent state can be
    kept several times, for drafting. ``weights`` is None where no tensor table was there.
    """

    architecture: str
    name: str
    memory: Memory
    layers: tuple[Layer, ...]
    context_length: int
    embedding_length: int
    vocab_size: int
    feed_forward: int
    heads: int
    window: int = 0
    latent: bool = False
    flash_attention: bool = True
    rollback: bool = False
    experts: int = 0
    indexer_head: int = 0
    weights: Weights | None = field(default=None)

    @property
    def trunk(self) -> tuple[Layer, ...]:
        """The layers of the main context's graph."""
        return tuple(layer for layer in self.layers if not layer.draft)
