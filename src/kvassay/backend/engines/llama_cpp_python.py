"""llama-cpp-python's server: text in, text out. From the source of 0.3.36 (llama_cpp/server/app.py, llama.py),
and from its answers, recorded:

- ``/v1/completions`` takes text; special tokens in it are recognised (``special=True``). What it generates is
  detokenised without control tokens: a marker that is one (Llama 3's ``<|python_tag|>``) is missing from the text.
- Log-probabilities are keyed by text and need a server with ``--logits_all true``: they are not used.
- ``/extras/tokenize`` tokenises without special tokens, and no endpoint renders: template and tokenizer are ours.
- A prompt that is too long is refused with HTTP 400 ``context_length_exceeded``; nothing is cut.
- Its reply doesn't say what of the prompt was cached. It keeps the state of the last request and reuses its prefix.
- The chat endpoint renders tools only by its own ``chat_format`` handlers; unless one is chosen, calls stand in the
  content.
- Cache types are ggml's numbers (``--type_k 8``); its log is llama.cpp's, so that ``--serve`` reads the pair back.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvassay import fields
from kvassay.backend import openai_wire as wire
from kvassay.backend.base import Sampling
from kvassay.backend.engine import Ask, Met, Pen, RawPrompt, Request, Takes, another_engine
from kvassay.backend.kv import LLAMA_TYPES
from kvassay.kv_cache import ggml_id
from kvassay.types import BootFacts, Completion, JsonObject

_NEUTRAL: JsonObject = {
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "repeat_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "mirostat_mode": 0,
}


@dataclass(frozen=True, slots=True)
class LlamaCppPython:
    """The engine."""

    name: str = "llama-cpp-python"
    cache_types: tuple[str, ...] = LLAMA_TYPES
    health: str = "/v1/models"
    takes: Takes = "text"
    most_alternatives: int = 0

    def flag(self, cache_type: str) -> str:
        return str(ggml_id(cache_type))

    def meet(self, ask: Ask, model: str | None) -> Met:
        card = fields.first(ask.json("/v1/models"), "data")
        if fields.text(card, "owned_by") != "me":
            raise another_engine(ask, "llama-cpp-python's", "/v1/models")
        name = model or fields.text(card, "id")
        return Met(name, BootFacts(backend=self.name, model_path=fields.text(card, "id") or None))

    def pen(self, ask: Ask, met: Met) -> Pen | None:  # noqa: ARG002  it lends none
        return None

    def completion(self, model: str, prompt: RawPrompt, sampling: Sampling) -> Request:
        return Request("/v1/completions", wire.text_body(model, prompt, sampling) | _NEUTRAL)

    def read(self, reply: JsonObject) -> Completion:
        return wire.text_completion(reply)

    def chat(self) -> JsonObject:
        return _NEUTRAL
