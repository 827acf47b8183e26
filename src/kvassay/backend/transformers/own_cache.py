"""transformers' own ``QuantizedCache``, kept so that a boot can go back to a state it was in."""

from __future__ import annotations

import copy

from transformers import QuantizedCache

from kvassay.backend.transformers.load import Loaded
from kvassay.backend.transformers.own import OwnType, require_groups
from kvassay.errors import PairRefused


class OwnCache(QuantizedCache):
    """Its layers replace their tensors and never change one (``QuantizedLayer.update``), so a copy shares them. That
    is needed: quanto's tensors can't be copied deeply.
    """

    def __deepcopy__(self, memo: dict[int, object]) -> OwnCache:
        copied = copy.copy(self)
        copied.layers = [copy.copy(layer) for layer in self.layers]
        return copied


def own_cache(loaded: Loaded, one: OwnType) -> OwnCache:
    """An empty cache of this type. Raises PairRefused where the model's layers or heads don't suit it."""
    there = [shape for shape in loaded.shapes if shape is not None]
    require_groups(one, (count for s in there for count in (s.k_heads * s.k_dim, s.v_heads * s.v_dim)))
    try:
        return OwnCache(one.library, loaded.model.config, nbits=one.nbits)
    except ValueError as error:
        raise PairRefused(f"{one.name} can't hold this model: {error}", hint="Use one of the other types.") from error
