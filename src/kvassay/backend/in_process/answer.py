"""A completion as it grows, token by token, out of logits over the whole vocabulary."""

from __future__ import annotations

import torch

from kvassay.backend.base import Sampling
from kvassay.backend.in_process.words import Words
from kvassay.types import Position, Stop


class Answer:
    """``tokens``, ``text`` and ``positions`` so far. Greedy unless ``sampling`` has a temperature; of equal logits the
    lowest id is chosen.
    """

    def __init__(self, words: Words, sampling: Sampling) -> None:
        self._words, self._sampling = words, sampling
        self._dice = torch.Generator().manual_seed(sampling.seed)
        self.tokens: list[int] = []
        self.positions: list[Position] = []
        self.text = ""
        self.stop = Stop.LIMIT

    def add(self, logits: torch.Tensor, ends: frozenset[int]) -> bool:
        """Choose the next token; whether it was the last. The token that ends the turn belongs to the answer."""
        logprobs = torch.log_softmax(logits.cpu().double(), dim=-1)
        token = self._choose(logprobs)
        self.tokens.append(token)
        before, self.text = self.text, self._words.text(self.tokens)
        if self._sampling.top_n:
            top = logprobs.topk(min(self._sampling.top_n, len(logprobs)))
            pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
            piece = self.text.removeprefix(before)
            self.positions.append(Position(token, piece, float(logprobs[token]), tuple(pairs)))
        self.stop = Stop.EOS if token in ends else Stop.LIMIT
        return self.stop is Stop.EOS or len(self.tokens) >= self._sampling.max_tokens

    def _choose(self, logprobs: torch.Tensor) -> int:
        if not self._sampling.temperature:
            return int(logprobs.argmax())  # the first of equals, as torch documents it
        weights = torch.softmax(logprobs / self._sampling.temperature, dim=-1)
        return int(torch.multinomial(weights, 1, generator=self._dice))
