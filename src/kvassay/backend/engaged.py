"""The manipulation check: what was asked for against what the log says was allocated. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from kvassay.backend.kv import BITS_PER_VALUE, is_quantized
from kvassay.backend.llama_log import LogFacts
from kvassay.errors import NotEngaged, PairRefused
from kvassay.types import BootFacts, KVConfig

FlashAttention = Literal["auto", "on", "off"]

_ROUNDING_BYTES = 0.006 * 1024 * 1024  # the log prints MiB with two decimals


def refuse_early(kv: KVConfig, flash_attention: FlashAttention) -> None:
    """Raise PairRefused for what llama.cpp is known to refuse, before anything is loaded."""
    if flash_attention == "off" and is_quantized(kv.v):
        raise PairRefused(
            f"V cache {kv.v!r} needs flash attention, which is off",
            hint="Leave flash attention at auto, or use f16, bf16 or f32 for V.",
        )


def check(kv: KVConfig, log: LogFacts) -> None:
    """Raise NotEngaged unless types, sizes and rotation read back are those of ``kv``.

    A side without bytes (multi-head latent attention keeps no V) is not checked for its size.
    """
    if not log.caches:
        raise NotEngaged(
            f"cache types of {kv} could not be read back: the log has no line of the KV cache",
            hint="kvassay needs llama.cpp's log at verbosity 4 (-lv 4); is this an old or unusual build?",
        )
    if findings := [*_types(kv, log), *_sizes(log), *_rotations(kv, log)]:
        raise NotEngaged(f"asked for {kv}, but {'; '.join(findings)}", hint="The arm would not measure what it says.")


def boot_facts(log: LogFacts) -> BootFacts:
    """The part of the facts that the log tells; the caller adds what the endpoints tell."""
    caches = log.caches
    return BootFacts(
        backend="",
        build=log.build,
        k_type=caches[0].k_type if caches else None,
        v_type=caches[0].v_type if caches else None,
        k_bytes=sum(c.k_bytes for c in caches) if caches else None,
        v_bytes=sum(c.v_bytes for c in caches) if caches else None,
        kv_cells=max((c.cells for c in caches), default=None),
        kv_layers=sum(c.layers for c in caches) if caches else None,
        k_rotation=log.k_rotation,
        v_rotation=log.v_rotation,
        flash_attention=log.flash_attention,
        graph_splits=log.graph_splits,
        compute_bytes=log.compute_bytes,
        model_bytes=log.model_bytes,
        devices=log.devices,
        warnings=log.warnings,
    )


def _types(kv: KVConfig, log: LogFacts) -> Iterator[str]:
    for cache in log.caches:
        if (cache.k_type, cache.v_type) != (kv.k, kv.v):
            yield f"the server allocated {cache.k_type}/{cache.v_type}"


def _sizes(log: LogFacts) -> Iterator[str]:
    for cache in log.caches:
        for side, values, cache_type, found in (
            ("K", log.k_values, cache.k_type, cache.k_bytes),
            ("V", log.v_values, cache.v_type, cache.v_bytes),
        ):
            if not values or not found or cache_type not in BITS_PER_VALUE:
                continue
            expected = cache.cells * cache.layers * values * BITS_PER_VALUE[cache_type] / 8
            if abs(expected - found) > _ROUNDING_BYTES:
                yield f"{side} takes {found / 2**20:.2f} MiB where {cache_type} takes {expected / 2**20:.2f} MiB"


def _rotations(kv: KVConfig, log: LogFacts) -> Iterator[str]:
    for side, cache_type, block, dim in (
        ("K", kv.k, log.k_rotation, log.k_head_dim),
        ("V", kv.v, log.v_rotation, log.v_head_dim),
    ):
        possible = is_quantized(cache_type) and dim is not None and dim % 64 == 0
        if kv.rotation and possible and block == 0:
            yield f"{side} is not rotated"
        if not kv.rotation and block:
            yield f"{side} is rotated (block {block})"
