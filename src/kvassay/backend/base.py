"""The contract of a back end: open a boot, ask it, close it. One file per engine implements it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self

from kvassay.types import Arm, BootFacts, ChatReply, Completion, Message, Tool

Phase = Literal["starting", "loading", "ready", "prompt"]


@dataclass(frozen=True, slots=True)
class Progress:
    """What a boot is doing right now. ``done`` and ``total`` are percent while loading, tokens while processing a
    prompt; ``total`` 0 means unknown.
    """

    phase: Phase
    done: int = 0
    total: int = 0
    note: str = ""


Listener = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """The listener that ignores everything."""


MOST_LISTED = 16_384
"""Tokens of one position's list with a ``tail``, so that soup fills no memory; ``top_n`` is not cut by it."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to generate: greedy unless a temperature is given; ``top_n`` log-probabilities per token (raw channel).

    Back ends that have whole vocabularies at hand (``Row.whole`` in their table) list more where asked: so many tokens
    that at most ``tail`` of the probability is left to the others, though no more than ``MOST_LISTED``, and beside
    them, of the i-th generated token, those with an id in ``ids[i]``. The others ignore both.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0
    top_n: int = 0
    tail: float | None = None
    ids: tuple[frozenset[int], ...] = ()


class Boot(Protocol):
    """One running server of one arm. Leaving the ``with`` block ends the process, however it is left."""

    @property
    def facts(self) -> BootFacts: ...

    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        """The prompt text that the server's chat template makes, generation prompt included."""
        ...

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Token ids of a rendered prompt, special tokens recognised."""
        ...

    def prefill(self, tokens: Sequence[int], listener: Listener = silent) -> Completion:
        """Process a prompt into the cache, reporting progress; generates nothing of use."""
        ...

    def complete(self, tokens: Sequence[int], sampling: Sampling) -> Completion:
        """The raw channel: free generation after these tokens, no grammar, prompt cache in use."""
        ...

    def chat(
        self, messages: Sequence[Message], tools: Sequence[Tool], sampling: Sampling, *, stream: bool
    ) -> ChatReply:
        """The parsed channel: what the agent would see. HTTP errors of the request itself are values."""
        ...

    def close(self) -> None:
        """End the server and wait for it; does nothing the second time."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Backend(Protocol):
    """A way to start (or reach) servers. ``name`` is its word in settings, manifest and reports."""

    @property
    def name(self) -> str: ...

    @property
    def cache_types(self) -> tuple[str, ...]:
        """The cache types this engine takes, its own names."""
        ...

    def open(self, arm: Arm, *, context_tokens: int, listener: Listener = silent) -> Boot:
        """Start the arm with room for ``context_tokens`` and wait until it answers.

        Raises BootFailed (or a subclass) with the log's decisive lines, and NotEngaged where the types read back
        are not those asked for.
        """
        ...
