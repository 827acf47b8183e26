"""What a boot's cache holds, and the way back to what the next prompt shares with it."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from transformers import Cache

from kvassay.prefix import shared


class Held:
    """A cache and its tokens. A croppable one is cut back, which leaves every entry in front as it was: entries are
    kept de-quantised, each depends on its own token's K and V alone. Another one (linear attention, transformers' own
    quantised cache) is taken from a copy made at the last ``keep``, or begun anew.
    """

    def __init__(self, empty: Cache, *, croppable: bool) -> None:
        self._empty, self._croppable = empty, croppable
        self.cache = copy.deepcopy(empty)
        self.tokens: tuple[int, ...] = ()
        self._kept: tuple[Cache, tuple[int, ...]] = (empty, ())

    def back_to(self, tokens: Sequence[int]) -> int:
        """Hold as much of the beginning of ``tokens`` as can be had without computing; how many that is."""
        same = shared(self.tokens, tokens)
        if same == 0:
            self.cache, self.tokens = copy.deepcopy(self._empty), ()
        elif same < len(self.tokens) and self._croppable:
            self.cache.crop(same - len(self.tokens))
            self.tokens = self.tokens[:same]
        elif same < len(self.tokens):
            fits = shared(self._kept[1], tokens) == len(self._kept[1])
            cache, self.tokens = self._kept if fits else (self._empty, ())
            self.cache = copy.deepcopy(cache)
        return len(self.tokens)

    def add(self, tokens: Sequence[int]) -> None:
        """Note tokens that a forward pass has put into the cache."""
        self.tokens = (*self.tokens, *tokens)

    def keep(self) -> None:
        """Remember this state, if the cache can't be cropped back to it."""
        if not self._croppable:
            self._kept = copy.deepcopy(self.cache), self.tokens
