"""The pairs of transformers' own ``QuantizedCache`` (5.24 cache_utils.py): their names, sizes and terms. Pure.

One ``nbits`` holds for K and V, so such a type stands on both halves or on none: the pair is judged as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from kvassay.errors import PairRefused
from kvassay.types import KVConfig

GROUP = 64
"""Neighbouring values that share a scale and a zero point (``q_group_size``), both in the model's dtype."""

RESIDUAL = 128
"""Fewer tokens than this wait in the model's dtype until they are quantised (``residual_length``)."""


@dataclass(frozen=True, slots=True)
class OwnType:
    """One type: the library behind it, ``nbits``, and ``stored`` bits of a code as the library packs it."""

    name: str
    library: Literal["quanto", "hqq"]
    nbits: int
    stored: float

    @property
    def package(self) -> str:
        """The module that it needs."""
        return "optimum.quanto" if self.library == "quanto" else "hqq"

    def bits(self, itemsize: int) -> float:
        """Bits per value, scale and zero point included, in a dtype of ``itemsize`` bytes."""
        return self.stored + 2 * 8 * itemsize / GROUP


_TYPES = (
    OwnType("quanto4", "quanto", 4, 4),
    OwnType("quanto2", "quanto", 2, 2),
    OwnType("hqq8", "hqq", 8, 8),
    OwnType("hqq4", "hqq", 4, 4),
    OwnType("hqq3", "hqq", 3, 3.2),  # ten codes in 32 bits
    OwnType("hqq2", "hqq", 2, 2),
    OwnType("hqq1", "hqq", 1, 1),
)

OWN_TYPES: Mapping[str, OwnType] = MappingProxyType({one.name: one for one in _TYPES})
"""The types by name; ``nbits`` are those that each library takes (``QuantoQuantizedLayer``, ``HQQQuantizedLayer``)."""


def own_type(kv: KVConfig) -> OwnType | None:
    """The type behind a pair, None where kvassay's own formats make it. Raises PairRefused for a half of one."""
    named = [side for side in (kv.k, kv.v) if any(name in side for name in OWN_TYPES)]
    if not named:
        return None
    name = named[0].partition("[")[0]
    if kv.k != kv.v or kv.k not in OWN_TYPES:
        usable = name if name in OWN_TYPES else next(iter(OWN_TYPES))
        raise PairRefused(
            f"transformers' QuantizedCache has no {kv}: one number of bits holds for K, V and all layers",
            hint=f"Judge it as a whole: --kv {usable}.",
        )
    if not kv.rotation:
        raise PairRefused(f"transformers' QuantizedCache rotates nothing: {kv}", hint="Leave out norot.")
    return OWN_TYPES[kv.k]


def require_groups(one: OwnType, values: Iterable[int]) -> None:
    """Raise PairRefused where a token's K or V, so many ``values`` in a layer, doesn't divide into groups."""
    if wrong := [count for count in values if count % GROUP]:
        raise PairRefused(
            f"{one.name}: a token's {wrong[0]} values of K or V don't divide into groups of {GROUP}",
            hint="Use one of the other types.",
        )
