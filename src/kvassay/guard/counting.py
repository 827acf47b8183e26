"""How long a prompt was, by the server's own tokenizer, where its answer did not say: asked beside the traffic.

Answers without a count are streams that a client broke off, and vLLM's unless ``stream_options.include_usage`` is set.
Ways to ask, the first that answers: llama.cpp's ``…/chat/completions/input_tokens`` and ``…/responses/input_tokens``,
Anthropic's ``…/messages/count_tokens`` (llama.cpp and vLLM have it), vLLM's ``/tokenize`` of a chat, an older
llama.cpp's ``/apply-template`` and ``/tokenize``. Each takes the request's body as it is; client's keys are not sent.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import aiohttp
from yarl import URL

from kvassay.guard.asking import api_of
from kvassay.guard.contract import NO_REPLY, Api
from kvassay.guard.loose import field_count
from kvassay.guard.recording import Exchange
from kvassay.types import JsonObject, JsonValue

_SAID = re.compile(rb'"(?:prompt_tokens|input_tokens|prompt_n)"\s*:\s*[1-9]')
_ENDINGS = {Api.CHAT: "/chat/completions", Api.RESPONSES: "/responses", Api.MESSAGES: "/messages"}
_OK = 200
_EDGE_BYTES = 8192
_TOGETHER_S = 2.0  # for the counts of a batch: the monitor waits for them, the traffic doesn't
_ASK_AGAIN_S = 600.0  # after no way had answered: another server may run by then

Way: TypeAlias = Callable[["Counter", Exchange], Awaitable[int | None]]


@dataclass(slots=True)
class Counter:
    """Asks ``upstream``. Where no way answers, none is tried again for some minutes."""

    upstream: str
    session: aiohttp.ClientSession
    _silent_until: dict[Api, float] = field(default_factory=dict)

    async def counts(self, exchanges: Sequence[Exchange]) -> list[int | None]:
        """How long the prompts were, None where nobody says. Takes no longer than two seconds; never raises."""
        tasks = [asyncio.ensure_future(self._count(exchange)) for exchange in exchanges]
        done, late = await asyncio.wait(tasks, timeout=_TOGETHER_S)
        for task in late:
            task.cancel()
        return [task.result() if task in done else None for task in tasks]

    async def _count(self, exchange: Exchange) -> int | None:
        api = api_of(exchange.path)
        if api is None or time.monotonic() < self._silent_until.get(api, 0.0):
            return None
        for way in _WAYS[api]:
            count = await way(self, exchange)
            if count is not None:
                return count
        self._silent_until[api] = time.monotonic() + _ASK_AGAIN_S
        return None

    async def post(self, path: str, body: bytes) -> bytes:
        """What the server answers; nothing where it refuses or fails."""
        headers = {"Content-Type": "application/json"}
        url = URL(self.upstream + path, encoded=True)
        try:
            async with self.session.post(url, data=body, headers=headers, allow_redirects=False) as reply:
                return await reply.read() if reply.status == _OK else b""
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return b""


def wants_count(exchange: Exchange) -> bool:
    """Whether a turn's answer does not say how long the prompt was, though one was read."""
    headers = {name.lower() for name, _ in exchange.headers}
    readable = exchange.request and not exchange.too_large and not exchange.reply_encoding
    reached = exchange.status == _OK or (exchange.status == NO_REPLY and exchange.cancelled)
    return bool(readable and reached and "content-encoding" not in headers and not _says(exchange.reply))


def _says(reply: bytes) -> bool:
    """Counts stand at a reply's end, Anthropic's at its beginning."""
    return bool(_SAID.search(reply, 0, _EDGE_BYTES) or _SAID.search(reply, max(0, len(reply) - _EDGE_BYTES)))


# --------------------------------------------------------------------------- the ways


def _beside(suffix: str) -> Way:
    async def ask(counter: Counter, exchange: Exchange) -> int | None:
        path = exchange.path.partition("?")[0].rstrip("/")
        return field_count(_object(await counter.post(path + suffix, exchange.request)), "input_tokens")

    return ask


async def _vllm(counter: Counter, exchange: Exchange) -> int | None:
    return field_count(_object(await counter.post(f"{_root(exchange)}/tokenize", exchange.request)), "count")


async def _rendered(counter: Counter, exchange: Exchange) -> int | None:
    prompt = _object(await counter.post(f"{_root(exchange)}/apply-template", exchange.request)).get("prompt")
    if not isinstance(prompt, str):
        return None
    body = json.dumps({"content": prompt, "add_special": True, "parse_special": True}).encode()
    reply = await counter.post(f"{_root(exchange)}/tokenize", body)
    return reply.count(b",") + 1 if b"[" in reply else None  # a list of numbers, which may be long


_WAYS: dict[Api, tuple[Way, ...]] = {
    Api.CHAT: (_beside("/input_tokens"), _vllm, _rendered),
    Api.RESPONSES: (_beside("/input_tokens"),),
    Api.MESSAGES: (_beside("/count_tokens"),),
}


def _root(exchange: Exchange) -> str:
    """What stands in front of the API's path: ``/v1`` is a part of that, a prefix of the user's is not."""
    path = exchange.path.partition("?")[0].rstrip("/")
    return path.removesuffix(_ENDINGS[Api.CHAT]).removesuffix("/v1")


def _object(raw: bytes) -> JsonObject:
    try:
        value = cast("JsonValue", json.loads(raw))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
