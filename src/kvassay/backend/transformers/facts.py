"""What a boot in process says of itself: the formats engaged, what they would take, and what is really held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kvassay.backend.transformers.cache import LayerFormats
from kvassay.backend.transformers.load import Loaded
from kvassay.backend.transformers.own import GROUP, RESIDUAL, OwnType
from kvassay.types import BootFacts, KVConfig


@dataclass(frozen=True, slots=True)
class Layout:
    """A cache's ``layers``, the bits that one token's K and V take in all of them, the rotations' blocks, and what is
    to be said of it.
    """

    layers: int
    k_bits: float
    v_bits: float
    note: str
    k_block: int = 0
    v_block: int = 0


def layout_of(loaded: Loaded, formats: Sequence[LayerFormats | None], context_tokens: int) -> Layout:
    """The layout of kvassay's own formats: what they would need, and what this process holds instead."""
    there = [one for one in formats if one is not None]
    k_bits, v_bits = sum(one.k_bits for one in there), sum(one.v_bits for one in there)
    need_mib = context_tokens * (k_bits + v_bits) / 8 / 2**20
    held_mib = context_tokens * sum(one.values for one in there) * loaded.model.dtype.itemsize / 2**20
    held = f"quantised and held de-quantised: {held_mib:.1f} MiB of {loaded.model.dtype} for the whole context"
    return Layout(
        len(there),
        k_bits,
        v_bits,
        f"K and V are {held}, where the formats would need {need_mib:.1f} MiB",
        _block(one.k_block for one in there),
        _block(one.v_block for one in there),
    )


def own_layout(loaded: Loaded, one: OwnType) -> Layout:
    """The layout of transformers' own cache."""
    there = [shape for shape in loaded.shapes if shape is not None]
    bits = one.bits(loaded.model.dtype.itemsize)
    return Layout(
        len(there),
        bits * sum(shape.k_heads * shape.k_dim for shape in there),
        bits * sum(shape.v_heads * shape.v_dim for shape in there),
        f"K and V are held by transformers' QuantizedCache ({one.library}, {one.nbits} bits in groups of {GROUP}); of "
        f"the latest tokens up to {RESIDUAL - 1} wait in {loaded.model.dtype}, and every {RESIDUAL} the whole cache is "
        "quantised again",
    )


def facts_of(
    loaded: Loaded, kv: KVConfig, layout: Layout, *, context_tokens: int, model_sha256: str | None
) -> BootFacts:
    """``k_bytes`` and ``v_bytes`` are computed: what the formats need for the whole context."""
    k_bytes, v_bytes = (round(context_tokens * bits / 8) for bits in (layout.k_bits, layout.v_bits))
    return BootFacts(
        backend="transformers",
        build=loaded.build,
        model_path=str(loaded.path),
        model_sha256=model_sha256,
        context_tokens=context_tokens,
        slots=1,
        k_type=kv.k,
        v_type=kv.v,
        k_bytes=k_bytes,
        v_bytes=v_bytes,
        kv_cells=context_tokens,
        kv_layers=layout.layers,
        k_rotation=layout.k_block,
        v_rotation=layout.v_block,
        model_bytes=sum(part.numel() * part.element_size() for part in loaded.model.parameters()),
        devices=(str(loaded.device),),
        chat_template=str(loaded.tokenizer.chat_template),
        warnings=(layout.note,),
    )


def _block(blocks: Iterable[int]) -> int:
    return max(blocks, default=0)
