"""Ollama: text in, text out by ``/api/generate`` with ``raw``. From its source and docs (ollama/ollama: docs/api.md at
01e52d24, llm/llama_server.go at 00f6d620, openai/openai.go at 634c4166):

- ``raw: true`` applies no template; llama-server's ``/completion`` runs behind it, its prompt cache in use.
- Log-probabilities carry text, no token ids: they are not used.
- ``prompt_eval_count`` is what was read of the prompt, cached tokens included. A prompt that is longer than the context
  (``OLLAMA_CONTEXT_LENGTH``) is cut in silence, HTTP 200, unless ``truncate`` is false: then it is refused (HTTP 400).
  Releases that don't know the field, and the chat endpoint, still cut: the count then is below our own (P0).
- More than 100 equal tokens in a row end in an error instead of an answer ("token repeat limit reached").
- A call that its parser can't read is HTTP 500 with ``error parsing tool call: raw=…``; the text stands in it.
- No endpoint tells the pair, and K and V have one value, ``OLLAMA_KV_CACHE_TYPE``. The server's log holds llama.cpp's
  lines once a model is loaded, which ``--serve`` brings about before it reads them.
- ``/api/ps`` tells the context and the model's memory, ``/api/version`` the version.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvassay import fields
from kvassay.backend import openai_wire as wire
from kvassay.backend.base import Sampling
from kvassay.backend.engine import Ask, Met, Pen, RawPrompt, Request, Takes, another_engine
from kvassay.errors import ConfigError
from kvassay.types import BootFacts, Completion, JsonObject, Stop, Timings

TYPES = ("f16", "q8_0", "q4_0")
"""What it documents (facts: fs/ggml/ggml.go takes any other unchecked)."""

_NANO_PER_MILLI = 1e6


@dataclass(frozen=True, slots=True)
class Ollama:
    """The engine."""

    name: str = "ollama"
    cache_types: tuple[str, ...] = TYPES
    health: str = "/api/version"
    takes: Takes = "text"
    most_alternatives: int = 0

    def flag(self, cache_type: str) -> str:
        return cache_type

    def meet(self, ask: Ask, model: str | None) -> Met:
        version = ask.json("/api/version").get("version")
        if not isinstance(version, str):
            raise another_engine(ask, "Ollama", "/api/version")
        name = model or _loaded(ask)
        ask.post("/api/generate", {"model": name, "prompt": "", "stream": False})  # loads it; generates nothing
        card = next((one for one in fields.sections(ask.json("/api/ps"), "models") if _is(one, name)), {})
        facts = BootFacts(
            backend=self.name,
            build=f"Ollama {version}",
            model_path=name,
            context_tokens=fields.number(card, "context_length") or None,
        )
        return Met(name, facts)

    def pen(self, ask: Ask, met: Met) -> Pen | None:  # noqa: ARG002  it lends none
        return None

    def completion(self, model: str, prompt: RawPrompt, sampling: Sampling) -> Request:
        options: JsonObject = {
            "temperature": sampling.temperature,
            "seed": sampling.seed,
            "num_predict": sampling.max_tokens,
            "top_k": 0,
            "top_p": 1.0,
            "min_p": 0.0,
            "typical_p": 1.0,
            "repeat_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
        }
        body: JsonObject = {"model": model, "prompt": str(prompt), "raw": True, "stream": False, "truncate": False}
        return Request("/api/generate", body | {"options": options})

    def read(self, reply: JsonObject) -> Completion:
        prompt = fields.number(reply, "prompt_eval_count")
        return Completion(
            text=fields.text(reply, "response"),
            stop=wire.STOPS.get(fields.text(reply, "done_reason"), Stop.OTHER),
            timings=Timings(
                cached_tokens=prompt,
                processed_tokens=0,
                prompt_ms=fields.real(reply, "prompt_eval_duration") / _NANO_PER_MILLI,
                predicted_tokens=fields.number(reply, "eval_count"),
                predicted_ms=fields.real(reply, "eval_duration") / _NANO_PER_MILLI,
            ),
        )

    def chat(self) -> JsonObject:
        return {"top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}


def _loaded(ask: Ask) -> str:
    """The model that is meant where none is named: the only one loaded, or the only one there is."""
    for path in ("/api/ps", "/api/tags"):
        names = [fields.text(one, "name") for one in fields.sections(ask.json(path), "models")]
        if len(names) == 1:
            return names[0]
    raise ConfigError("Ollama has several models, or none", hint="Name one: kvassay run MODEL --backend ollama …")


def _is(card: JsonObject, name: str) -> bool:
    return name in (fields.text(card, "name"), fields.text(card, "name").removesuffix(":latest"))
