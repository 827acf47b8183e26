"""LM Studio: text in, text out. From its documentation (lmstudio-ai/docs main, 1_developer/2_rest/endpoints.mdx and
1_developer/3_openai-compat); its engine is closed source, nothing here was checked against it:

- ``/api/v0/models`` lists models with ``state`` and ``loaded_context_length``; ``/v1/completions`` takes raw text.
- No endpoint renders or tokenises, and log-probabilities carry no token ids.
- No GET tells the pair: it is stated by the user. The load request echoes it (``echo_load_config``, ``lms load``).
- What happens to a prompt that is too long is a setting of the model (stop, or cut in the middle or at the front):
  the count then is below our own (P0).
"""

from __future__ import annotations

from dataclasses import dataclass

from kvassay import fields
from kvassay.backend import openai_wire as wire
from kvassay.backend.base import Sampling
from kvassay.backend.engine import Ask, Met, Pen, RawPrompt, Request, Takes, another_engine
from kvassay.errors import ConfigError
from kvassay.types import BootFacts, Completion, JsonObject

TYPES = ("f16", "f32", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
"""``llamaKCacheQuantizationType`` (@lmstudio/sdk 2.0.0 dist/index.d.ts)."""

_NEUTRAL: JsonObject = {
    "top_k": 0,
    "top_p": 1.0,
    "repeat_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}


@dataclass(frozen=True, slots=True)
class LmStudio:
    """The engine."""

    name: str = "lmstudio"
    cache_types: tuple[str, ...] = TYPES
    health: str = "/v1/models"
    takes: Takes = "text"
    most_alternatives: int = 0

    def flag(self, cache_type: str) -> str:
        return cache_type

    def meet(self, ask: Ask, model: str | None) -> Met:
        cards = fields.sections(ask.json("/api/v0/models"), "data")
        if not cards or any("state" not in card for card in cards):
            raise another_engine(ask, "LM Studio", "/api/v0/models")
        loaded = [card for card in cards if fields.text(card, "state") == "loaded"]
        fitting = [card for card in loaded if model in (None, fields.text(card, "id"))]
        if len(fitting) != 1:
            names = ", ".join(fields.text(card, "id") for card in loaded) or "none"
            raise ConfigError(
                f"which model is meant? loaded: {names}; named: {model or 'none'}",
                hint="Load it, and name it: kvassay run MODEL --backend lmstudio …",
            )
        card = fitting[0]
        facts = BootFacts(
            backend=self.name,
            build=f"LM Studio ({fields.text(card, 'compatibility_type') or 'runtime not told'})",
            model_path=fields.text(card, "id"),
            context_tokens=fields.number(card, "loaded_context_length") or None,
        )
        return Met(fields.text(card, "id"), facts)

    def pen(self, ask: Ask, met: Met) -> Pen | None:  # noqa: ARG002  it lends none
        return None

    def completion(self, model: str, prompt: RawPrompt, sampling: Sampling) -> Request:
        return Request("/v1/completions", wire.text_body(model, prompt, sampling) | _NEUTRAL)

    def read(self, reply: JsonObject) -> Completion:
        return wire.text_completion(reply)

    def chat(self) -> JsonObject:
        return _NEUTRAL
