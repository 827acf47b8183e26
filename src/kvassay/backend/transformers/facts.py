"""What a boot in process says of itself: the formats engaged, what they would take, and what is really held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvassay.backend.transformers.cache import LayerFormats
from kvassay.backend.transformers.load import Loaded
from kvassay.types import BootFacts, KVConfig


def facts_of(
    loaded: Loaded,
    kv: KVConfig,
    formats: Sequence[LayerFormats | None],
    *,
    context_tokens: int,
    model_sha256: str | None,
) -> BootFacts:
    """``k_bytes`` and ``v_bytes`` are computed: what the formats need for the whole context. What this process holds
    instead is said in a warning.
    """
    there = [one for one in formats if one is not None]
    k_bytes, v_bytes = (
        round(context_tokens * sum(bits) / 8) for bits in ([x.k_bits for x in there], [x.v_bits for x in there])
    )
    need_mib = (k_bytes + v_bytes) / 2**20
    held_mib = context_tokens * sum(one.values for one in there) * loaded.model.dtype.itemsize / 2**20
    held = f"quantised and held de-quantised: {held_mib:.1f} MiB of {loaded.model.dtype} for the whole context"
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
        kv_layers=len(there),
        k_rotation=_block(one.k_block for one in there),
        v_rotation=_block(one.v_block for one in there),
        model_bytes=sum(part.numel() * part.element_size() for part in loaded.model.parameters()),
        devices=(str(loaded.device),),
        chat_template=str(loaded.tokenizer.chat_template),
        warnings=(f"K and V are {held}, where the formats would need {need_mib:.1f} MiB",),
    )


def _block(blocks: Iterable[int]) -> int:
    return max(blocks, default=0)
