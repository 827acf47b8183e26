"""TabbyAPI with ExLlamaV3: text in, text out; the pair stands in ``/v1/model``. From its source (theroyallab/tabbyAPI,
stored versions 1c5cd3b1, 355bac9c, 39c9fd88 and 0158fb48 of the files named):

- ``parameters.cache_mode`` is ``FP16``, ``Q4`` … ``Q8``, or ``k,v`` in bits (endpoints/core/types/model.py).
- ``/v1/completions`` takes text only ("out of scope" for ids, endpoints/OAI/types/completion.py); its log-probabilities
  are keyed by text, two tokens of one text fall together (endpoints/OAI/utils/completion.py): they are not used.
- ``/v1/token/encode`` renders messages without tools and without a generation prompt, so the template is ours.
- Without a ``tool_format`` the call stands in the content of a chat reply.
- A prompt that is too long is refused with HTTP 400 or 503; nothing is cut.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvassay import fields
from kvassay.backend import openai_wire as wire
from kvassay.backend.base import Sampling
from kvassay.backend.engine import Ask, Met, Pen, RawPrompt, Request, Takes, another_engine
from kvassay.types import BootFacts, Completion, JsonObject

TYPES = ("f16", "8", "7", "6", "5", "4", "3", "2")
"""Bits a side; ``f16`` for both is what is not quantised (exllamav3 1.6.5 cache/quant.py:27-45)."""

_NEUTRAL: JsonObject = {
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "typical": 1.0,
    "repetition_penalty": 1.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "dry_multiplier": 0.0,
}


@dataclass(frozen=True, slots=True)
class Tabby:
    """The engine."""

    name: str = "tabbyapi"
    cache_types: tuple[str, ...] = TYPES
    health: str = "/health"
    takes: Takes = "whole text"
    most_alternatives: int = 0

    def flag(self, cache_type: str) -> str:
        return "FP16" if cache_type == "f16" else cache_type

    def meet(self, ask: Ask, model: str | None) -> Met:
        card = ask.json("/v1/model")
        parameters = fields.section(card, "parameters")
        if "cache_mode" not in parameters:
            raise another_engine(ask, "TabbyAPI with a model loaded", "/v1/model")
        k, v = pair_of(fields.text(parameters, "cache_mode"))
        name = model or fields.text(card, "id")
        facts = BootFacts(
            backend=self.name,
            build="TabbyAPI",
            model_path=fields.text(card, "id") or None,
            context_tokens=fields.number(parameters, "max_seq_len") or None,
            kv_cells=fields.number(parameters, "cache_size") or None,
            k_type=k,
            v_type=v,
        )
        return Met(name, facts)

    def pen(self, ask: Ask, met: Met) -> Pen | None:  # noqa: ARG002  it lends none
        return None

    def completion(self, model: str, prompt: RawPrompt, sampling: Sampling) -> Request:
        own: JsonObject = {"add_bos_token": False, "skip_special_tokens": False}
        return Request("/v1/completions", wire.text_body(model, prompt, sampling) | _NEUTRAL | own)

    def read(self, reply: JsonObject) -> Completion:
        return wire.text_completion(reply)

    def chat(self) -> JsonObject:
        return _NEUTRAL


def pair_of(cache_mode: str) -> tuple[str | None, str | None]:
    """A ``cache_mode`` as K and V: ``8,4`` is 8/4, ``Q6`` 6/6, ``FP16`` f16/f16; None where it is none of these."""
    sides = [side.strip().upper().removeprefix("Q") for side in cache_mode.split(",")]
    known = ["f16" if side == "FP16" else side for side in sides]
    if len(known) not in (1, 2) or any(side not in TYPES for side in known):
        return None, None
    return known[0], known[-1]
