"""One boot in process: prompts into the cache, greedy answers out of it, log-probabilities of whole vocabularies."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import torch

from kvassay.backend.base import Listener, Progress, Sampling, silent
from kvassay.backend.llama_wire import too_long
from kvassay.backend.transformers.cache import formats_of, quantising
from kvassay.backend.transformers.facts import facts_of
from kvassay.backend.transformers.held import Held
from kvassay.backend.transformers.load import Loaded
from kvassay.backend.transformers.words import Words, words_of
from kvassay.errors import BackendError, OutOfMemory
from kvassay.types import BootFacts, ChatReply, Completion, KVConfig, Message, Position, Stop, Timings, Tool

_CHUNK = 256
"""Prompt tokens computed between two reports of progress."""


class TransformersBoot:
    """A model with one cache. What a prompt shares with the one before it is not computed again."""

    def __init__(self, loaded: Loaded, kv: KVConfig, context_tokens: int, *, model_sha256: str | None = None) -> None:
        formats = formats_of(kv, loaded.shapes)
        self._loaded, self._context_tokens = loaded, context_tokens
        self._words = words_of(loaded.tokenizer, loaded.ends)
        self._held = Held(quantising(loaded, formats), croppable=loaded.croppable)
        self._facts = facts_of(loaded, kv, formats, context_tokens=context_tokens, model_sha256=model_sha256)

    @property
    def facts(self) -> BootFacts:
        return self._facts

    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        return self._words.render(messages, tools)

    def tokenize(self, text: str) -> tuple[int, ...]:
        return self._words.tokenize(text)

    def prefill(self, tokens: Sequence[int], listener: Listener = silent) -> Completion:
        started = time.perf_counter()
        cached = self._begin(tokens, tokens)
        for _ in self._forward(tokens, listener):
            pass
        self._held.keep()
        return Completion("", Stop.LIMIT, Timings(cached, len(tokens) - cached, _ms_since(started), 0, 0.0))

    def complete(self, tokens: Sequence[int], sampling: Sampling) -> Completion:
        started = time.perf_counter()
        cached = self._begin(tokens, tokens[:-1])  # the last token is always computed, for its logits
        *_, logits = self._forward(tokens)
        prompt_ms, started = _ms_since(started), time.perf_counter()
        answer = _Answer(self._words, sampling)
        while not answer.add(logits, self._loaded.ends) and len(self._held.tokens) < self._context_tokens:
            *_, logits = self._forward((*self._held.tokens, answer.tokens[-1]))
        timings = Timings(cached, len(tokens) - cached, prompt_ms, len(answer.tokens), _ms_since(started))
        return Completion(answer.text, answer.stop, timings, tuple(answer.tokens), tuple(answer.positions))

    def chat(
        self, messages: Sequence[Message], tools: Sequence[Tool], sampling: Sampling, *, stream: bool
    ) -> ChatReply:
        """There is none: what an agent sees is made by a server, and none runs here."""
        del messages, tools, sampling, stream
        raise BackendError("transformers runs in process and has no chat endpoint", hint="Use --channels raw.")

    def close(self) -> None:
        """Forget the cache; the weights stay for the next boot."""
        self._held.back_to(())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, tokens: Sequence[int], reusable: Sequence[int]) -> int:
        if len(tokens) > self._context_tokens:
            raise too_long(len(tokens), self._context_tokens)
        return self._held.back_to(reusable)

    def _forward(self, tokens: Sequence[int], listener: Listener = silent) -> Iterator[torch.Tensor]:
        """Compute what the cache lacks of ``tokens``, chunk by chunk; each chunk's last logits, vocabulary-long."""
        model, held = self._loaded.model, self._held
        while len(held.tokens) < len(tokens):
            chunk = tokens[len(held.tokens) : len(held.tokens) + _CHUNK]
            ids = torch.tensor([chunk], device=self._loaded.device)
            try:
                with torch.inference_mode():
                    logits = model(input_ids=ids, cache=held.cache, use_cache=True, logits_to_keep=1).logits[0, -1]
            except torch.OutOfMemoryError as error:
                raise OutOfMemory(
                    f"{self._loaded.device} has no room for {len(tokens):,} tokens", hint="Try --dtype bfloat16."
                ) from error
            held.add(chunk)
            listener(Progress("prompt", len(held.tokens), len(tokens)))
            yield logits


class _Answer:
    """A completion as it grows."""

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
            return int(logprobs.argmax())
        weights = torch.softmax(logprobs / self._sampling.temperature, dim=-1)
        return int(torch.multinomial(weights, 1, generator=self._dice))


def _ms_since(started: float) -> float:
    return 1000 * (time.perf_counter() - started)
