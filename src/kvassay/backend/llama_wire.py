"""llama-server's JSON: our messages and tools going out, its replies coming in. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from kvassay import fields
from kvassay.backend.base import Sampling
from kvassay.errors import BackendError, ContextExceeded
from kvassay.types import (
    ChatReply,
    Completion,
    JsonObject,
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
        cached_tokens=fields.number(raw, "cache_n"),
        processed_tokens=fields.number(raw, "prompt_n"),
        prompt_ms=fields.real(raw, "prompt_ms"),
        predicted_tokens=fields.number(raw, "predicted_n"),
        predicted_ms=fields.real(raw, "predicted_ms"),
    )


def completion(body: JsonObject) -> Completion:
    """A ``/completion`` reply. A character of several tokens yields one position (llama.cpp reports the last token's),
    so there may be fewer positions than tokens.
    """
    return Completion(
        text=fields.text(body, "content"),
        stop=_STOPS.get(fields.text(body, "stop_type"), Stop.OTHER),
        timings=timings(body) or Timings(0, 0, 0.0, 0, 0.0),
        tokens=tuple(cast("list[int]", body.get("tokens") or [])),
        positions=tuple(_position(p) for p in fields.sections(body, "completion_probabilities")),
    )


def _position(raw: JsonObject) -> Position:
    return Position(
        token_id=fields.number(raw, "id"),
        text=fields.text(raw, "token"),
        logprob=fields.real(raw, "logprob"),
        top=tuple((fields.number(t, "id"), fields.real(t, "logprob")) for t in fields.sections(raw, "top_logprobs")),
    )


def chat_reply(body: JsonObject) -> ChatReply:
    """A whole ``/v1/chat/completions`` reply."""
    choice = fields.first(body, "choices")
    message = fields.section(choice, "message")
    calls = [fields.section(call, "function") for call in fields.sections(message, "tool_calls")]
    return ChatReply(
        content=fields.text(message, "content"),
        reasoning=_reasoning(message),
        calls=tuple(WireCall(fields.text(call, "name"), fields.text(call, "arguments")) for call in calls),
        finish_reason=fields.text(choice, "finish_reason") or None,
        timings=timings(body),
    )


def _reasoning(message: JsonObject) -> str:
    """``reasoning_content`` (llama.cpp, SGLang, TabbyAPI, old vLLM) or ``reasoning`` (vLLM, Ollama, LM Studio)."""
    return fields.text(message, "reasoning_content") or fields.text(message, "reasoning")


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
            self.status, self.error = fields.number(fields.section(chunk, "error"), "code") or 500, json.dumps(chunk)
        self.timings = timings(chunk) or self.timings
        for choice in fields.sections(chunk, "choices"):
            delta = fields.section(choice, "delta")
            self.content.append(fields.text(delta, "content"))
            self.reasoning.append(_reasoning(delta))
            self.finish_reason = fields.text(choice, "finish_reason") or self.finish_reason
            for call in fields.sections(delta, "tool_calls"):
                names, arguments = self.calls.setdefault(fields.number(call, "index"), ([], []))
                names.append(fields.text(fields.section(call, "function"), "name"))
                arguments.append(fields.text(fields.section(call, "function"), "arguments"))

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
    error = fields.section(body, "error") if isinstance(body, dict) else {}
    if error.get("type") != "exceed_context_size_error":
        return None
    return too_long(fields.number(error, "n_prompt_tokens"), fields.number(error, "n_ctx"))


def too_long(prompt_tokens: int, context_tokens: int) -> ContextExceeded:
    """The error with both numbers."""
    return ContextExceeded(
        f"the prompt needs {prompt_tokens} tokens, the server's context holds {context_tokens}",
        hint="Ask for smaller depths, or start the server with a larger context.",
    )
