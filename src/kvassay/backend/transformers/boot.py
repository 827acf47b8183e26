"""A boot of transformers: the shared weights with a cache of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch

from kvassay.backend.in_process.boot import InProcessBoot
from kvassay.backend.in_process.words import words_of
from kvassay.backend.transformers.cache import formats_of, quantising
from kvassay.backend.transformers.facts import facts_of, layout_of, own_layout
from kvassay.backend.transformers.held import Held
from kvassay.backend.transformers.load import Loaded
from kvassay.backend.transformers.own import own_type
from kvassay.backend.transformers.own_cache import own_cache
from kvassay.backend.transformers.passes import forward
from kvassay.errors import OutOfMemory
from kvassay.types import KVConfig

_CHUNK = 256
"""Prompt tokens computed between two reports of progress."""


def open_boot(loaded: Loaded, kv: KVConfig, context_tokens: int, *, model_sha256: str | None = None) -> InProcessBoot:
    """An empty cache for the pair. Raises what ``formats_of`` and ``own_cache`` raise."""
    if own := own_type(kv):
        layout = own_layout(loaded, own)
        mind = TransformersMind(loaded, Held(own_cache(loaded, own), croppable=False), whole=True)
    else:
        formats = formats_of(kv, loaded.shapes)
        layout = layout_of(loaded, formats, context_tokens)
        mind = TransformersMind(loaded, Held(quantising(loaded, formats), croppable=loaded.croppable))
    facts = facts_of(loaded, kv, layout, context_tokens=context_tokens, model_sha256=model_sha256)
    return InProcessBoot(mind, words_of(loaded.tokenizer, loaded.ends), facts, context_tokens)


class TransformersMind:
    """The model and what its cache holds. ``whole``: what a cache holds depends on how a prompt was cut into passes
    (transformers' own), so a prompt goes in as one.
    """

    def __init__(self, loaded: Loaded, held: Held, *, whole: bool = False) -> None:
        self._loaded, self.held, self._whole = loaded, held, whole

    @property
    def tokens(self) -> tuple[int, ...]:
        return self.held.tokens

    @property
    def ends(self) -> frozenset[int]:
        return self._loaded.ends

    @property
    def chunk(self) -> int:
        if self._loaded.one_by_one:
            return 1 if self.held.tokens else sys.maxsize
        return sys.maxsize if self._whole else _CHUNK

    def back_to(self, tokens: Sequence[int]) -> int:
        return self.held.back_to(tokens)

    def forward(self, tokens: Sequence[int]) -> torch.Tensor:
        """The pass that fills an empty cache of transformers' own attends to K and V as they were, and quantises them
        behind it. So the last token has a pass to itself: what it answers was read from the cache.
        """
        if self._whole and not self.held.tokens and len(tokens) > 1:
            self._pass(tokens[:-1])
            tokens = tokens[-1:]
        return self._pass(tokens)

    def _pass(self, tokens: Sequence[int]) -> torch.Tensor:
        try:
            logits = forward(self._loaded.model, self.held.cache, tokens, len(self.held.tokens))
        except torch.OutOfMemoryError as error:
            needed = len(self.held.tokens) + len(tokens)
            raise OutOfMemory(
                f"{self._loaded.device} has no room for {needed:,} tokens", hint="Try --dtype bfloat16."
            ) from error
        self.held.add(tokens)
        return logits

    def keep(self) -> None:
        self.held.keep()

    def free(self) -> None:
        """Forget the cache; the weights stay for the next boot."""
        self.held.back_to(())
