"""Cache types: llama.cpp's list, and the parser of a pair as people write it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType

from rapidfuzz import process

from kvassay.backend.layers import read_side
from kvassay.errors import ConfigError
from kvassay.kv_cache import cache_types
from kvassay.types import KVConfig

BITS_PER_VALUE: Mapping[str, float] = MappingProxyType({one.name: one.bits for one in cache_types("ggml")})
"""llama.cpp's cache types (common/arg.cpp, b11434) and their size in bits per value, scales included
(kvassay/cache_types.toml).
"""

LLAMA_TYPES: tuple[str, ...] = tuple(BITS_PER_VALUE)

_ROTATION_OFF = re.compile(r"\s*[:\s]\s*norot$", re.IGNORECASE)


def is_quantized(cache_type: str) -> bool:
    """Whether llama.cpp stores this type in blocks with scales (it then needs flash attention for V)."""
    return cache_type not in {"f32", "f16", "bf16"}


def parse_pair(text: str, types: Sequence[str], *, by_layer: bool = False) -> KVConfig:
    """Read ``K/V``, or one type for both; a trailing ``norot`` (after a space or colon) turns rotation off. Where the
    back end can, ``by_layer``, a side may name exceptions: ``q4_0[0-3=f16]/f16``.

    Raises ConfigError naming the known ``types`` and the nearest match.
    """
    pair, without_rotation = _ROTATION_OFF.subn("", text.strip())
    sides = [side.strip() for side in pair.split("/")]
    if len(sides) > 2:  # noqa: PLR2004 - K and V
        raise ConfigError(f"{text!r} is not a K/V pair", hint="Write K/V, for example q8_0/q4_0, or one type for both.")
    if "[" in text and not by_layer:
        raise ConfigError(f"{text!r}: types by layer need --backend transformers")
    k, v = (str(read_side(side, partial(_known, types=types))) for side in (sides[0], sides[-1]))
    return KVConfig(k=k, v=v, rotation=not without_rotation)


def _known(side: str, types: Sequence[str]) -> str:
    exact = {name.lower(): name for name in types}
    if found := exact.get(side.lower()):
        return found
    nearest = process.extractOne(side.lower(), list(exact))
    guess = f" Did you mean {exact[nearest[0]]}?" if nearest and nearest[1] > 0 else ""
    raise ConfigError(f"unknown cache type {side!r}", hint=f"Known types: {', '.join(types)}.{guess}")
