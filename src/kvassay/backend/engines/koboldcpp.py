"""koboldcpp: text in, text out by its own API. From koboldcpp.py 1.102 (LostRuins/koboldcpp 000115dd):

- ``/api/extra/version`` names it, ``/api/extra/true_max_context_length`` is the context, ``/api/v1/model`` the model.
- ``/api/v1/generate`` takes text; with ``render_special`` special tokens stay in the answer's text. ``results`` holds
  text, ``finish_reason``, ``prompt_tokens``, ``completion_tokens``; log-probabilities are keyed by text, five at most
  (``logprobs_max``): they are not used.
- A prompt that is too long is cut in silence from its front: ``prompt_tokens`` is then below our own count (P0).
- One knob, ``--quantkv``, for both sides: ``0|1|2``, and in newer releases (1.113.1) names, bf16 and q5_1
  among them. With ``--noflashattention``, and in 1.102 without ``--flashattention``, only K is quantised. No endpoint
  tells the pair; its log is llama.cpp's, so that ``--serve`` reads it back.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvassay import fields
from kvassay.backend import openai_wire as wire
from kvassay.backend.base import Sampling
from kvassay.backend.engine import Ask, Met, Pen, RawPrompt, Request, Takes, another_engine
from kvassay.types import BootFacts, Completion, JsonObject, Stop, Timings

TYPES = ("f16", "bf16", "q8_0", "q5_1", "q4_0")
_NUMBERS = {"f16": "0", "q8_0": "1", "q4_0": "2"}  # which every release knows

_NEUTRAL: JsonObject = {
    "top_k": 0,
    "top_p": 1.0,
    "top_a": 0.0,
    "min_p": 0.0,
    "typical": 1.0,
    "tfs": 1.0,
    "rep_pen": 1.0,
    "presence_penalty": 0.0,
    "mirostat": 0,
    "dry_multiplier": 0.0,
    "xtc_probability": 0.0,
}


@dataclass(frozen=True, slots=True)
class Koboldcpp:
    """The engine."""

    name: str = "koboldcpp"
    cache_types: tuple[str, ...] = TYPES
    health: str = "/api/v1/model"
    takes: Takes = "text"
    most_alternatives: int = 0

    def flag(self, cache_type: str) -> str:
        return _NUMBERS.get(cache_type, cache_type)

    def meet(self, ask: Ask, model: str | None) -> Met:
        told = ask.json("/api/extra/version")
        if fields.text(told, "result").lower() != "koboldcpp":
            raise another_engine(ask, "koboldcpp", "/api/extra/version")
        name = fields.text(ask.json("/api/v1/model"), "result")
        facts = BootFacts(
            backend=self.name,
            build=f"koboldcpp {fields.text(told, 'version')}",
            model_path=name or None,
            context_tokens=fields.number(ask.json("/api/extra/true_max_context_length"), "value") or None,
        )
        return Met(model or name, facts)

    def pen(self, ask: Ask, met: Met) -> Pen | None:  # noqa: ARG002  it lends none
        return None

    def completion(self, model: str, prompt: RawPrompt, sampling: Sampling) -> Request:  # noqa: ARG002 one model only
        body: JsonObject = {
            **_NEUTRAL,
            "prompt": str(prompt),
            "max_length": sampling.max_tokens,
            "temperature": sampling.temperature,
            "sampler_seed": sampling.seed,
            "render_special": True,
            "trim_stop": True,
        }
        return Request("/api/v1/generate", body)

    def read(self, reply: JsonObject) -> Completion:
        result = fields.first(reply, "results")
        prompt = fields.number(result, "prompt_tokens")
        return Completion(
            text=fields.text(result, "text"),
            stop=wire.STOPS.get(fields.text(result, "finish_reason"), Stop.OTHER),
            timings=Timings(prompt, 0, 0.0, fields.number(result, "completion_tokens"), 0.0),
        )

    def chat(self) -> JsonObject:
        return _NEUTRAL
