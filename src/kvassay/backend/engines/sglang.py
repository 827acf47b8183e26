"""SGLang: ids in and out by its own ``/generate``; the pair stands in ``/server_info``. From sglang 0.5.23's source:

- ``/tokenize`` with messages and tools renders the chat template, ``/detokenize`` gives text back
  (srt/entrypoints/openai/serving_tokenize.py).
- ``/generate`` takes ``input_ids`` and answers with ``output_ids``; ``meta_info`` holds log-probabilities as
  [log-probability, id, text] and the counts, cached ones included (srt/managers/io_struct.py, tokenizer_manager.py).
- ``kv_cache_dtype`` of ``/server_info`` is what the start resolved (srt/entrypoints/http_server.py:863).
- ``max_model_len`` of ``/v1/models`` is the context (available_models there); ``max_total_num_tokens`` is the cache's
  room for all requests, which may be more or less.
- Its chat endpoint drops calls of unknown tools, which looks like an empty turn: the raw text shows them.
- A prompt that is too long is refused with HTTP 400; with ``--allow-auto-truncate`` it is cut, and the count shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from kvassay import fields
from kvassay.backend import openai_wire as wire
from kvassay.backend.base import Sampling
from kvassay.backend.engine import Ask, Met, Pen, RawPrompt, Request, Takes, another_engine
from kvassay.backend.llama_wire import conversation
from kvassay.types import BootFacts, Completion, JsonObject, JsonValue, Message, Position, Stop, Timings, Tool

TYPES = ("auto", "bf16", "bfloat16", "fp8_e5m2", "fp8_e4m3", "mxfp8", "nvfp4", "fp4_mx_block16")
"""``--kv-cache-dtype`` (srt/arg_groups/fields/model.py:197-219)."""

_MOST = 1024  # more than a whole vocabulary fails in torch.topk; this many is always there
_NEUTRAL: JsonObject = {
    "top_p": 1.0,
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}


@dataclass(frozen=True, slots=True)
class Sglang:
    """The engine."""

    name: str = "sglang"
    cache_types: tuple[str, ...] = TYPES
    health: str = "/health"
    takes: Takes = "tokens"
    most_alternatives: int = _MOST

    def flag(self, cache_type: str) -> str:
        return cache_type

    def meet(self, ask: Ask, model: str | None) -> Met:
        info = ask.json("/server_info")
        dtype = info.get("kv_cache_dtype")
        if not isinstance(dtype, str):
            raise another_engine(ask, "SGLang", "/server_info without kv_cache_dtype")
        path = fields.text(info, "model_path")
        model_len = fields.number(fields.first(ask.json("/v1/models"), "data"), "max_model_len")
        rooms = (fields.number(info, "context_length") or model_len, fields.number(info, "max_total_num_tokens"))
        facts = BootFacts(
            backend=self.name,
            build=f"SGLang {fields.text(info, 'version')}".strip(),
            model_path=path or None,
            context_tokens=min((room for room in rooms if room), default=None),
            k_type=dtype,
            v_type=dtype,
        )
        return Met(model or fields.text(info, "served_model_name") or path, facts)

    def pen(self, ask: Ask, met: Met) -> Pen | None:
        return SglangPen(ask, met.model)

    def completion(self, model: str, prompt: RawPrompt, sampling: Sampling) -> Request:  # noqa: ARG002 one model only
        parameters: JsonObject = {
            **_NEUTRAL,
            "temperature": sampling.temperature,
            "max_new_tokens": sampling.max_tokens,
            "skip_special_tokens": False,
        }
        body: JsonObject = {"input_ids": list(prompt), "sampling_params": parameters}
        if sampling.top_n:
            body |= {"return_logprob": True, "top_logprobs_num": sampling.top_n}
        return Request("/generate", body)

    def read(self, reply: JsonObject) -> Completion:
        meta = fields.section(reply, "meta_info")
        ended = fields.text(fields.section(meta, "finish_reason"), "type")
        prompt, cached = fields.number(meta, "prompt_tokens"), fields.number(meta, "cached_tokens")
        return Completion(
            text=fields.text(reply, "text"),
            stop={"stop": Stop.EOS, "length": Stop.LIMIT}.get(ended, Stop.OTHER),
            timings=Timings(cached, max(0, prompt - cached), 0.0, fields.number(meta, "completion_tokens"), 0.0),
            tokens=wire.ids(reply, "output_ids"),
            positions=_positions(meta),
        )

    def chat(self) -> JsonObject:
        return _NEUTRAL


def _positions(meta: JsonObject) -> tuple[Position, ...]:
    """Positions without their tokens' text: it was not asked for."""
    said = cast("list[list[JsonValue]]", meta.get("output_token_logprobs") or [])
    tops = cast("list[list[list[JsonValue]] | None]", meta.get("output_top_logprobs") or [[]] * len(said))
    return tuple(
        Position(int(str(token)), "", float(str(logprob)), tuple(_pair(one) for one in top or ()))
        for (logprob, token, *_), top in zip(said, tops, strict=False)
    )


def _pair(one: list[JsonValue]) -> tuple[int, float]:
    return int(str(one[1])), float(str(one[0]))


@dataclass(frozen=True, slots=True)
class SglangPen:
    """SGLang's own template and tokenizer over HTTP. The template's text is not told, so the dialect has to be."""

    ask: Ask
    model: str
    template: str = ""
    opening: str = ""

    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        return self.detokenize(self._ids(conversation(messages, tools)))

    def tokenize(self, text: str) -> tuple[int, ...]:
        return self._ids({"prompt": text, "add_special_tokens": False})

    def detokenize(self, tokens: Sequence[int]) -> str:
        body: JsonObject = {"model": self.model, "tokens": list(tokens), "skip_special_tokens": False}
        return fields.text(self.ask.post("/detokenize", body), "text")

    def close(self) -> None:
        pass

    def _ids(self, body: JsonObject) -> tuple[int, ...]:
        return wire.ids(self.ask.post("/tokenize", body | {"model": self.model}), "tokens")
