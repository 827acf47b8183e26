"""A completion as it grows, token by token, out of logits over the whole vocabulary."""

from __future__ import annotations

import torch

from kvassay.backend.base import MOST_LISTED, Sampling
from kvassay.backend.in_process.words import Words
from kvassay.errors import BackendError
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
        """Choose the next token; whether it was the last. The token that ends the turn belongs to the answer.

        Raises BackendError for logits that aren't numbers: whatever were chosen of them, no model has said.
        """
        logprobs = torch.log_softmax(logits.double(), dim=-1)
        if logprobs.isnan().any():
            raise BackendError(
                f"the model's logits are not numbers (NaN) behind {len(self.tokens)} tokens of its answer",
                hint="Something overflowed. Half precision does, beyond 65,504: try a wider --dtype or cache type.",
            )
        token, place = self._choose(logprobs), len(self.tokens)
        self.tokens.append(token)
        before, self.text = self.text, self._words.text(self.tokens)
        if self._sampling.top_n:
            piece = self.text.removeprefix(before)
            self.positions.append(self._position(token, piece, logprobs, place))
        self.stop = Stop.EOS if token in ends else Stop.LIMIT
        return self.stop is Stop.EOS or len(self.tokens) >= self._sampling.max_tokens

    def _position(self, token: int, piece: str, logprobs: torch.Tensor, place: int) -> Position:
        """Log-probabilities as the store keeps them, in 32 bits: two boots that compute the same list the same."""
        stored = logprobs.float()
        top = stored.topk(self._listed(logprobs))
        listed = tuple(zip(top.indices.tolist(), top.values.tolist(), strict=True))
        ids = self._sampling.ids[place] if place < len(self._sampling.ids) else frozenset()
        asked = sorted(ids - {one for one, _ in listed})
        values = zip(asked, stored[asked].tolist(), strict=True)
        return Position(token, piece, float(stored[token]), listed, tuple(values), float(stored.min()))

    def _listed(self, logprobs: torch.Tensor) -> int:
        """How many tokens are listed: top N, or so many that no more than the tail is left."""
        least = min(self._sampling.top_n, len(logprobs))
        if self._sampling.tail is None:
            return least
        most = min(MOST_LISTED, len(logprobs))
        told = logprobs.exp().topk(most).values.cumsum(0)
        enough = int(torch.searchsorted(told, 1 - self._sampling.tail)) + 1
        return max(least, min(enough, most))

    def _choose(self, logprobs: torch.Tensor) -> int:
        if not self._sampling.temperature:
            return int(logprobs.argmax())  # the first of equals, as torch documents it
        weights = torch.softmax(logprobs / self._sampling.temperature, dim=-1)
        return int(torch.multinomial(weights, 1, generator=self._dice))
