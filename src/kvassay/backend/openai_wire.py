"""OpenAI's JSON as the engines share it: chat requests, text completions, usage. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from kvassay import fields
from kvassay.backend.base import Sampling
from kvassay.backend.llama_wire import chat_reply as llama_chat_reply
from kvassay.backend.llama_wire import conversation
from kvassay.errors import ContextExceeded
from kvassay.types import ChatReply, Completion, JsonObject, Message, Stop, Timings, Tool

STOPS = {"stop": Stop.EOS, "length": Stop.LIMIT}

_TOO_LONG = re.compile(
    r"(?:max|maximum|model's) (?:context|model) length|(?:than|exceeds?) (?:the )?(?:available )?context|"
    r"context window of|context length of only|context_length_exceeded|exceeds? max_seq_len|input is too long",
    re.IGNORECASE,
)


def chat_body(
    model: str, messages: Sequence[Message], tools: Sequence[Tool], sampling: Sampling, *, stream: bool
) -> JsonObject:
    """The parsed channel's request, as an agent sends it."""
    body: JsonObject = {
        **conversation(messages, tools),
        "model": model,
        "temperature": sampling.temperature,
        "seed": sampling.seed,
        "max_tokens": sampling.max_tokens,
    }
    return body | {"stream": True, "stream_options": {"include_usage": True}} if stream else body


def text_body(model: str, prompt: tuple[int, ...] | str, sampling: Sampling) -> JsonObject:
    """The request of ``/v1/completions``."""
    return {
        "model": model,
        "prompt": list(prompt) if isinstance(prompt, tuple) else prompt,
        "temperature": sampling.temperature,
        "seed": sampling.seed,
        "max_tokens": sampling.max_tokens,
    }


def text_completion(reply: JsonObject) -> Completion:
    """The answer of ``/v1/completions``: text, why it ended, counts."""
    choice = fields.first(reply, "choices")
    return Completion(
        text=fields.text(choice, "text"),
        stop=STOPS.get(fields.text(choice, "finish_reason"), Stop.OTHER),
        timings=usage(reply) or Timings(0, 0, 0.0, 0, 0.0),
    )


def usage(reply: JsonObject) -> Timings | None:
    """The counts of a reply; None where it has none.

    Where it doesn't say how much of the prompt was cached, all of it is entered as cached: ``processed_tokens`` 0 then
    is "not told", and no speed and no economy is made of it. ``cached_tokens`` stands in ``prompt_tokens_details``
    (OpenAI, vLLM, SGLang) or in ``usage`` itself (TabbyAPI 39c9fd88 endpoints/OAI/utils/common_.py).
    """
    said = fields.section(reply, "usage")
    if not said:
        return None
    prompt = fields.number(said, "prompt_tokens")
    details = fields.section(said, "prompt_tokens_details") or said
    told = isinstance(details.get("cached_tokens"), int)
    cached = fields.number(details, "cached_tokens") if told else prompt
    return Timings(
        cached_tokens=cached,
        processed_tokens=max(0, prompt - cached),
        prompt_ms=1000 * fields.real(said, "prompt_time"),
        predicted_tokens=fields.number(said, "completion_tokens"),
        predicted_ms=1000 * fields.real(said, "completion_time"),
    )


def chat_reply(reply: JsonObject) -> ChatReply:
    """A whole chat reply with the counts of its usage."""
    return replace(llama_chat_reply(reply), timings=usage(reply))


def context_error(status: int, body: str) -> ContextExceeded | None:
    """The error behind a refusal that says that the prompt is longer than the context; None for any other."""
    if status not in (400, 413, 422, 500) or not _TOO_LONG.search(body):
        return None
    return ContextExceeded(
        f"the prompt is longer than the server's context: {body[:300]}",
        hint="Ask for smaller depths, or start the server with a larger context.",
    )


def ids(body: JsonObject, key: str) -> tuple[int, ...]:
    """Token ids; none where there are none."""
    return tuple(cast("list[int]", body.get(key) or []))
