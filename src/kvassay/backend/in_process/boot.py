"""One boot in process: prompts into the cache, answers out of it, log-probabilities of whole vocabularies."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self

import torch

from kvassay.backend.base import Listener, Progress, Sampling, silent
from kvassay.backend.in_process.answer import Answer
from kvassay.backend.in_process.words import Words
from kvassay.backend.llama_wire import too_long
from kvassay.errors import BackendError
from kvassay.types import BootFacts, ChatReply, Completion, Message, Stop, Timings, Tool


class Mind(Protocol):
    """A loaded model with one cache. ``tokens`` are those that the cache holds, ``ends`` the ids that end a turn,
    ``chunk`` the most prompt tokens of one pass.
    """

    @property
    def tokens(self) -> tuple[int, ...]: ...

    @property
    def ends(self) -> frozenset[int]: ...

    @property
    def chunk(self) -> int: ...

    def back_to(self, tokens: Sequence[int]) -> int:
        """Hold as much of the beginning of ``tokens`` as can be had without computing; how many that is."""
        ...

    def forward(self, tokens: Sequence[int]) -> torch.Tensor:
        """Compute the next tokens into the cache; the last one's logits, vocabulary-long. Raises OutOfMemory."""
        ...

    def keep(self) -> None:
        """Remember this state for prompts that begin with it, where the cache can't be cut back to it."""
        ...

    def free(self) -> None:
        """Give the cache's memory back; does nothing the second time."""
        ...


class InProcessBoot:
    """A mind with its words. What a prompt shares with the one before it is not computed again."""

    def __init__(self, mind: Mind, words: Words, facts: BootFacts, context_tokens: int) -> None:
        self.mind, self._words, self._facts, self._context_tokens = mind, words, facts, context_tokens

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
        self.mind.keep()
        return Completion("", Stop.LIMIT, Timings(cached, len(tokens) - cached, _ms_since(started), 0, 0.0))

    def complete(self, tokens: Sequence[int], sampling: Sampling) -> Completion:
        started = time.perf_counter()
        cached = self._begin(tokens, tokens[:-1])  # the last token is always computed, for its logits
        *_, logits = self._forward(tokens)
        logits = logits.cpu()  # waits for the device
        prompt_ms, predicted_ms = _ms_since(started), 0.0
        answer = Answer(self._words, sampling)
        while not answer.add(logits, self.mind.ends) and len(self.mind.tokens) < self._context_tokens:
            started = time.perf_counter()
            logits = self.mind.forward((answer.tokens[-1],)).cpu()
            predicted_ms += _ms_since(started)  # the engine's own: how much is listed of a token costs no speed
        timings = Timings(cached, len(tokens) - cached, prompt_ms, len(answer.tokens), predicted_ms)
        return Completion(answer.text, answer.stop, timings, tuple(answer.tokens), tuple(answer.positions))

    def chat(
        self, messages: Sequence[Message], tools: Sequence[Tool], sampling: Sampling, *, stream: bool
    ) -> ChatReply:
        """There is none: what an agent sees is made by a server, and none runs here."""
        del messages, tools, sampling, stream
        raise BackendError(
            f"{self._facts.backend} runs in process and has no chat endpoint", hint="Use --channels raw."
        )

    def close(self) -> None:
        self.mind.free()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, tokens: Sequence[int], reusable: Sequence[int]) -> int:
        if len(tokens) > self._context_tokens:
            raise too_long(len(tokens), self._context_tokens)
        return self.mind.back_to(reusable)

    def _forward(self, tokens: Sequence[int], listener: Listener = silent) -> Iterator[torch.Tensor]:
        """Compute what the cache lacks of ``tokens``, chunk by chunk; each chunk's last logits."""
        while (held := len(self.mind.tokens)) < len(tokens):
            logits = self.mind.forward(tokens[held : held + self.mind.chunk])
            listener(Progress("prompt", len(self.mind.tokens), len(tokens)))
            yield logits


def _ms_since(started: float) -> float:
    return 1000 * (time.perf_counter() - started)
