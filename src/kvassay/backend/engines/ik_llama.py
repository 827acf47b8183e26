"""ik_llama.cpp's llama-server: ids in, text out. From the source in the sdist of ik-llama-cpp-python 0.1.5
(vendor/ik_llama.cpp/examples/server: server.cpp, server-context.cpp, server-common.cpp; src/llama.cpp):

- ``/apply-template``, ``/tokenize``, ``/detokenize`` and ``/props`` are llama.cpp's, without ``build_info``.
- ``/completion`` takes ids, but answers without them; it says ``stopped_eos`` or ``stopped_limit`` where llama.cpp
  says ``stop_type``, and log-probabilities as ``probs`` by text: they are not used.
- A prompt that is too long is cut in silence when the server shifts its context (``truncated``), refused otherwise.
- The pair stands in the log only (``KV self size = …, K (q8_0): …``), which ``--serve`` reads back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kvassay import dialect, fields
from kvassay.backend import llama_wire
from kvassay.backend import openai_wire as wire
from kvassay.backend.base import Sampling
from kvassay.backend.engine import Ask, Met, Pen, RawPrompt, Request, Takes, another_engine
from kvassay.backend.kv import LLAMA_TYPES
from kvassay.kv_cache import cache_types
from kvassay.types import BootFacts, Completion, JsonObject, Message, Stop, Timings, Tool

TYPES = ("f16", *(name for name in LLAMA_TYPES if name != "f16"), *(one.name for one in cache_types("ik")))


@dataclass(frozen=True, slots=True)
class IkLlama:
    """The engine."""

    name: str = "ik_llama.cpp"
    cache_types: tuple[str, ...] = TYPES
    health: str = "/health"
    takes: Takes = "tokens"
    most_alternatives: int = 0

    def flag(self, cache_type: str) -> str:
        return cache_type

    def meet(self, ask: Ask, model: str | None) -> Met:
        props = ask.json("/props")
        settings = fields.section(props, "default_generation_settings")
        if not settings or "chat_template" not in props:
            raise another_engine(ask, "ik_llama.cpp", "/props")
        path = fields.text(props, "model_path")
        facts = BootFacts(
            backend=self.name,
            build=fields.text(props, "build_info") or "ik_llama.cpp",
            model_path=path or None,
            context_tokens=fields.number(settings, "n_ctx") or fields.number(props, "n_ctx") or None,
            slots=fields.number(props, "total_slots") or None,
        )
        return Met(model or fields.text(props, "model_alias") or path, facts)

    def pen(self, ask: Ask, met: Met) -> Pen | None:  # noqa: ARG002  one model only
        return IkPen(ask, fields.text(ask.json("/props"), "chat_template"))

    def completion(self, model: str, prompt: RawPrompt, sampling: Sampling) -> Request:  # noqa: ARG002 one model only
        return Request("/completion", llama_wire.completion_body(_ids(prompt), sampling, dialect.markers()))

    def read(self, reply: JsonObject) -> Completion:
        ended = Stop.EOS if reply.get("stopped_eos") else Stop.LIMIT if reply.get("stopped_limit") else Stop.OTHER
        answer = llama_wire.completion(reply)
        return replace(answer, stop=ended, positions=(), timings=_counts(reply, answer.timings))

    def chat(self) -> JsonObject:
        return llama_wire.sampling_json(Sampling())


def _counts(reply: JsonObject, timings: Timings) -> Timings:
    """Its timings lack ``cache_n``: what was not processed of the whole prompt was cached."""
    whole = fields.number(reply, "tokens_evaluated")
    return replace(timings, cached_tokens=max(0, whole - timings.processed_tokens))


def _ids(prompt: RawPrompt) -> tuple[int, ...]:
    assert isinstance(prompt, tuple)  # noqa: S101  it takes tokens
    return prompt


@dataclass(frozen=True, slots=True)
class IkPen:
    """The server's own template and tokenizer."""

    ask: Ask
    template: str
    opening: str = ""

    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        return fields.text(self.ask.post("/apply-template", llama_wire.conversation(messages, tools)), "prompt")

    def tokenize(self, text: str) -> tuple[int, ...]:
        body: JsonObject = {"content": text, "add_special": True, "parse_special": True}
        return wire.ids(self.ask.post("/tokenize", body), "tokens")

    def detokenize(self, tokens: Sequence[int]) -> str:
        return fields.text(self.ask.post("/detokenize", {"tokens": list(tokens)}), "content")

    def close(self) -> None:
        pass
