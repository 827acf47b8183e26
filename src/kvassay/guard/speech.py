"""A reply of our own, before it is put in an API's form."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from kvassay.guard.contract import SaidCall
from kvassay.types import JsonObject


@dataclass(frozen=True, slots=True)
class Speech:
    """What is said, by which model, under which id. ``finish_reason`` is in chat completions' words."""

    response_id: str
    model: str
    created: int
    text: str = ""
    calls: tuple[SaidCall, ...] = ()
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    include_usage: bool = False


def data_events(chunks: Iterable[JsonObject]) -> bytes:
    """Chunks as OpenAI's chat stream writes them: data only."""
    return b"".join(b"data: " + _dumped(chunk) + b"\n\n" for chunk in chunks)


def named_events(events: Iterable[JsonObject]) -> bytes:
    """Events as Responses and Messages write them: named after their type."""
    return b"".join(f"event: {event['type']}\ndata: ".encode() + _dumped(event) + b"\n\n" for event in events)


def _dumped(value: JsonObject) -> bytes:
    return json.dumps(value).encode()
