"""llama-server's JSON: our messages and tools going out, its replies coming in. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from kvassay.backend.base import Sampling
from kvassay.errors import BackendError, ContextExceeded
from kvassay.types import (
    ChatReply,
    Completion,
    JsonObject,
    JsonValue,
    Message,
    Position,
    Stop,
    Timings,
    Tool,
    WireCall,
)
from kvassay.wire import message_to_openai, tool_to_openai

_STOPS = {"eos": Stop.EOS, "limit": Stop.LIMIT}

# What else the server would do to the distribution by default, or by the flags of its owner, is set to do nothing.
_NEUTRAL: JsonObject = {
    "repeat_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "dry_multiplier": 0.0,
    "xtc_probability": 0.0,
    "typical_p": 1.0,
    "top_n_sigma": -1.0,
    "top_p": 1.0,
    "min_p": 0.0,
    "top_k": 0,
    "mirostat": 0,
    "dynatemp_range": 0.0,
}


def conversation(messages: Sequence[Message], tools: Sequence[Tool]) -> JsonObject:
    """The body that ``/apply-template`` and ``/v1/chat/completions`` share."""
    body: JsonObject = {"messages": [message_to_openai(message) for message in messages]}
    if tools:
        body["tools"] = [tool_to_openai(tool) for tool in tools]
    return body


def sampling_json(sampling: Sampling) -> JsonObject:
    """How to generate, on the one slot that holds the prompt cache."""
    return {
        **_NEUTRAL,
        "temperature": sampling.temperature,
        "seed": sampling.seed,
        "cache_prompt": True,
        "id_slot": 0,
    }


def completion_body(tokens: Sequence[int], sampling: Sampling, markers: Sequence[str]) -> JsonObject:
    """The raw channel's request: token ids in, no grammar, ``markers`` kept as text though they are special tokens."""
    return {
        **sampling_json(sampling),
        "prompt": list(tokens),
        "n_predict": sampling.max_tokens,
        "n_probs": sampling.top_n,
        "return_tokens": True,
        "preserved_tokens": list(markers),
    }


def prefill_body(tokens: Sequence[int]) -> JsonObject:
    """Process a prompt only; with ``n_predict`` 0 the server still samples one token, which stays out of the cache."""
    return {
        **sampling_json(Sampling(max_tokens=0)),
        "prompt": list(tokens),
        "n_predict": 0,
        "stream": True,
        "return_progress": True,
    }


def chat_body(messages: Sequence[Message], tools: Sequence[Tool], sampling: Sampling, *, stream: bool) -> JsonObject:
    """The parsed channel's request, as an agent sends it."""
    body = {**conversation(messages, tools), **sampling_json(sampling), "max_tokens": sampling.max_tokens}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def timings(body: JsonObject) -> Timings | None:
    """The server's counts; None in a reply without them."""
    raw = body.get("timings")
    if not isinstance(raw, dict):
        return None
    return Timings(
        cached_tokens=_int(raw, "cache_n"),
        processed_tokens=_int(raw, "prompt_n"),
        prompt_ms=_float(raw, "prompt_ms"),
        predicted_tokens=_int(raw, "predicted_n"),
        predicted_ms=_float(raw, "predicted_ms"),
    )


def completion(body: JsonObject) -> Completion:
    """A ``/completion`` reply. A character of several tokens yields one position (llama.cpp reports the last token's),
    so there may be fewer positions than tokens.
    """
    return Completion(
        text=_str(body, "content"),
        stop=_STOPS.get(_str(body, "stop_type"), Stop.OTHER),
        timings=timings(body) or Timings(0, 0, 0.0, 0, 0.0),
        tokens=tuple(cast("list[int]", body.get("tokens") or [])),
        positions=tuple(_position(p) for p in _objects(body, "completion_probabilities")),
    )


def _position(raw: JsonObject) -> Position:
    return Position(
        token_id=_int(raw, "id"),
        text=_str(raw, "token"),
        logprob=_float(raw, "logprob"),
        top=tuple((_int(t, "id"), _float(t, "logprob")) for t in _objects(raw, "top_logprobs")),
    )


def chat_reply(body: JsonObject) -> ChatReply:
    """A whole ``/v1/chat/completions`` reply."""
    choice = next(iter(_objects(body, "choices")), {})
    message = _object(choice, "message")
    calls = [_object(call, "function") for call in _objects(message, "tool_calls")]
    return ChatReply(
        content=_str(message, "content"),
        reasoning=_reasoning(message),
        calls=tuple(WireCall(_str(call, "name"), _str(call, "arguments")) for call in calls),
        finish_reason=_str(choice, "finish_reason") or None,
        timings=timings(body),
    )


def _reasoning(message: JsonObject) -> str:
    """``reasoning_content`` (llama.cpp, SGLang, TabbyAPI, old vLLM) or ``reasoning`` (vLLM, Ollama, LM Studio)."""
    return _str(message, "reasoning_content") or _str(message, "reasoning")


def failed_reply(status: int, text: str) -> ChatReply:
    """An HTTP error of the chat request, as a value: the body is the evidence."""
    return ChatReply(status=status, error=text)


@dataclass(slots=True)
class _Assembly:
    """A streamed reply as it grows. Deltas are joined exactly; calls are told apart by their index."""

    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: dict[int, tuple[list[str], list[str]]] = field(default_factory=dict)
    finish_reason: str | None = None
    timings: Timings | None = None
    status: int = 200
    error: str = ""

    def add(self, chunk: JsonObject) -> None:
        if "error" in chunk:  # the server found out after it had sent status 200
            self.status, self.error = _int(_object(chunk, "error"), "code") or 500, json.dumps(chunk)
        self.timings = timings(chunk) or self.timings
        for choice in _objects(chunk, "choices"):
            delta = _object(choice, "delta")
            self.content.append(_str(delta, "content"))
            self.reasoning.append(_reasoning(delta))
            self.finish_reason = _str(choice, "finish_reason") or self.finish_reason
            for call in _objects(delta, "tool_calls"):
                names, arguments = self.calls.setdefault(_int(call, "index"), ([], []))
                names.append(_str(_object(call, "function"), "name"))
                arguments.append(_str(_object(call, "function"), "arguments"))

    def reply(self) -> ChatReply:
        return ChatReply(
            content="".join(self.content),
            reasoning="".join(self.reasoning),
            calls=tuple(WireCall("".join(n), "".join(a)) for _, (n, a) in sorted(self.calls.items())),
            finish_reason=self.finish_reason,
            timings=self.timings,
            status=self.status,
            error=self.error,
        )


def assemble(chunks: Iterable[JsonObject]) -> ChatReply:
    """Put a streamed reply together from its data events."""
    assembly = _Assembly()
    for chunk in chunks:
        assembly.add(chunk)
    return assembly.reply()


def lines(pieces: Iterable[str]) -> Iterator[str]:
    """The lines of an event stream. They end at a line feed only: ``str.splitlines``, and httpx with it, cuts at U+2028
    and U+0085 as well, which servers send as they are inside a string.
    """
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + piece).split("\n")
        yield from whole
    yield rest


def event(line: str) -> JsonObject | None:
    """One line of an event stream as its data; None for comments (pings), blanks and the closing ``[DONE]``.

    Raises BackendError for data that is no JSON object.
    """
    field_name, _, data = line.partition(":")
    if field_name not in {"data", "error"} or data.strip() in {"", "[DONE]"}:
        return None
    try:
        body = json.loads(data)
    except ValueError:
        body = None
    if field_name == "error":
        return {"error": data if body is None else body}
    if not isinstance(body, dict):
        raise BackendError(f"the server streamed what is no JSON object: {data[:200]!r}")
    return body


def context_error(text: str) -> ContextExceeded | None:
    """The error behind an HTTP 400 that says that the prompt is longer than the context; None for any other body."""
    try:
        body = json.loads(text)
    except ValueError:
        return None
    error = _object(body, "error") if isinstance(body, dict) else {}
    if error.get("type") != "exceed_context_size_error":
        return None
    return too_long(_int(error, "n_prompt_tokens"), _int(error, "n_ctx"))


def too_long(prompt_tokens: int, context_tokens: int) -> ContextExceeded:
    """The error with both numbers."""
    return ContextExceeded(
        f"the prompt needs {prompt_tokens} tokens, the server's context holds {context_tokens}",
        hint="Ask for smaller depths, or start the server with a larger context.",
    )


def _objects(body: JsonObject, key: str) -> list[JsonObject]:
    value = body.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _object(body: JsonObject, key: str) -> JsonObject:
    value = body.get(key)
    return value if isinstance(value, dict) else {}


def _str(body: JsonObject, key: str) -> str:
    value = body.get(key)
    return value if isinstance(value, str) else ""


def _number(body: JsonObject, key: str) -> float:
    value: JsonValue = body.get(key)
    return value if isinstance(value, int | float) else 0


def _int(body: JsonObject, key: str) -> int:
    return int(_number(body, key))


def _float(body: JsonObject, key: str) -> float:
    return float(_number(body, key))
