"""Turn events, exchanges and requests for tests."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import cast

from kvassay.guard.recording import Exchange
from kvassay.guard.turn_event import TurnEvent

_PLAIN = TurnEvent(
    id=0, at_s=0.0, session="s", turn_index=1, api="chat", path="/v1/chat/completions", model="m", kv="q8_0/q4_0",
    depth_tokens=5000, outcome="correct", detail="", skipped="", recovered=False, loops=(), alarms=(), actions=(),
    tools=("edit",), status=200, error="", finish_reason="tool_calls", streamed=True, complete=True, cancelled=False,
    ttft_s=0.1, wall_s=0.2, prompt_tokens=5000, cached_tokens=None, completion_tokens=20, request_bytes=10,
    reply_bytes=9,
)  # fmt: skip

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "read_file",
            "description": "Read.",
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
        },
    }
]


def event(**fields: object) -> TurnEvent:
    """A turn event with some fields of one's own."""
    return replace(_PLAIN, **fields)  # type: ignore[arg-type]


def ask(*, stream: bool = False, user: str = "Read src/a.py.") -> bytes:
    """A chat request with one tool."""
    messages = [{"role": "user", "content": user}]
    return json.dumps({"model": "m", "messages": messages, "tools": TOOLS, "stream": stream}).encode()


def answer(name: str, arguments: str) -> bytes:
    """A plain chat reply with one call."""
    call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": None, "tool_calls": [call]},
        "finish_reason": "tool_calls",
    }
    usage = {"prompt_tokens": 5000, "completion_tokens": 9, "total_tokens": 5009}
    return json.dumps(
        {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}
    ).encode()


def exchange(request: bytes, reply: bytes, **fields: object) -> Exchange:
    """An exchange that went well."""
    plain = Exchange(
        id=1, method="POST", path="/v1/chat/completions", headers=(("content-type", "application/json"),),
        request=request, status=200, reply_encoding="", reply=reply, at_s=1e9, ttft_s=0.1, wall_s=0.2, complete=True,
        cancelled=False, too_large=False,
    )  # fmt: skip
    return replace(plain, **cast("dict[str, object]", fields))  # type: ignore[arg-type]


def sized(body: bytes) -> bytes:
    """A whole HTTP reply."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
