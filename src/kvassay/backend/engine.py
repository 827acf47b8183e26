"""The contract of an engine: only that in which servers of the OpenAI kind differ. One file each in ``engines/``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from kvassay.backend.base import Sampling
from kvassay.errors import BackendError, ConfigError
from kvassay.types import BootFacts, Completion, JsonObject, Message, Tool

RawPrompt = tuple[int, ...] | str
"""A prompt of the raw channel: token ids where the server takes them, otherwise the text that they stand for."""

Takes = Literal["tokens", "text", "whole text"]
"""``text`` is sent without the opening token (BOS), which the server puts in front itself; ``whole text`` with it."""


class Ask(Protocol):
    """How an engine asks its server. Every method raises BackendError where nobody answers."""

    @property
    def url(self) -> str:
        """The server's address, for messages."""
        ...

    def json(self, path: str) -> JsonObject:
        """The object that a GET answers; empty for errors and for anything else."""
        ...

    def text(self, path: str) -> str:
        """The text that a GET answers; empty for errors."""
        ...

    def post(self, path: str, body: JsonObject) -> JsonObject:
        """The object that a POST answers. Raises RefusedError for an HTTP error, ContextExceeded for a long prompt."""
        ...


class Pen(Protocol):
    """Whoever knows the model's chat template and its tokenizer."""

    @property
    def template(self) -> str:
        """The chat template, by which the dialect is recognised; empty where it can't be had."""
        ...

    @property
    def opening(self) -> str:
        """The text of the token that the tokenizer puts in front of any prompt (BOS); empty where it puts none."""
        ...

    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        """The prompt's text, generation prompt included."""
        ...

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Token ids of a rendered prompt, special tokens recognised."""
        ...

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of token ids, special tokens included."""
        ...

    def close(self) -> None: ...


def another_engine(ask: Ask, engine: str, asked: str) -> BackendError:
    """The error where a server is not the ``engine`` that was named; ``asked`` are the paths that show it."""
    return BackendError(
        f"{ask.url} does not answer like {engine} ({asked})",
        hint="Is it another engine, or a proxy before it? 'kvassay backends' lists what --backend takes.",
    )


def without_pen(engine: str) -> ConfigError:
    """The error where neither the server nor the user brings template and tokenizer."""
    return ConfigError(
        f"{engine} lends neither its chat template nor its tokenizer",
        hint="Name the model's GGUF file or its Hugging Face directory with --tokenizer.",
    )


@dataclass(frozen=True, slots=True)
class Request:
    """A POST that an engine wants made."""

    path: str
    body: JsonObject


@dataclass(frozen=True, slots=True)
class Met:
    """What a server said of itself: the ``model``'s name in requests, and the facts. ``k_type`` and ``v_type`` of the
    facts are None unless the server told them.
    """

    model: str
    facts: BootFacts


class Engine(Protocol):
    """One kind of server. Stateless: what a running one said travels in ``Met``."""

    @property
    def name(self) -> str: ...

    @property
    def cache_types(self) -> tuple[str, ...]:
        """Its cache types, in its own words; the first is what it takes unless told otherwise."""
        ...

    @property
    def health(self) -> str:
        """The path whose GET answers 200 once the server can be asked."""
        ...

    @property
    def takes(self) -> Takes:
        """What a raw prompt is sent as."""
        ...

    @property
    def most_alternatives(self) -> int:
        """How many log-probabilities it lists at a token, by token id; 0 where it lists none by id."""
        ...

    def flag(self, cache_type: str) -> str:
        """A cache type as the engine's command line spells it."""
        ...

    def meet(self, ask: Ask, model: str | None) -> Met:
        """Ask who it is. ``model`` is the name that the user gave. Raises BackendError where this is another engine,
        ConfigError where the model has to be named.
        """
        ...

    def pen(self, ask: Ask, met: Met) -> Pen | None:
        """The server's own template and tokenizer; None where it doesn't lend them."""
        ...

    def completion(self, model: str, prompt: RawPrompt, sampling: Sampling) -> Request:
        """The raw channel's request: no template, no tools, no grammar."""
        ...

    def read(self, reply: JsonObject) -> Completion:
        """The raw channel's answer."""
        ...

    def chat(self) -> JsonObject:
        """What the chat request says beyond OpenAI's own fields, so that no default of the server's own samples."""
        ...
