"""Well-formed replies in the client's own API: our own, the rest of one from upstream, new arguments in one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias, cast

from kvassay import fields
from kvassay.guard import chat_voice, messages_voice, responses_voice
from kvassay.guard.contract import Answer, Api, Asked, Begun, Replied, SaidCall
from kvassay.guard.speech import Speech
from kvassay.guard.splice import replaced
from kvassay.types import JsonObject, JsonValue

Plain: TypeAlias = Callable[[Speech], JsonObject]
Tail: TypeAlias = Callable[[Speech, Begun], bytes]

_JSON = "application/json"
_STREAM = "text/event-stream; charset=utf-8"


class _Voice(NamedTuple):
    plain: Plain
    tail: Tail
    prefix: str


_VOICES = {
    Api.CHAT: _Voice(chat_voice.plain, chat_voice.tail, "chatcmpl-kvassay-"),
    Api.RESPONSES: _Voice(responses_voice.plain, responses_voice.tail, "resp_kvassay_"),
    Api.MESSAGES: _Voice(messages_voice.plain, messages_voice.tail, "msg_kvassay_"),
}


def said(asked: Asked, text: str, *, at_s: float) -> Answer:
    """A whole reply that says this and calls nothing, plain or streamed as asked."""
    speech = _speech(asked, Begun(), None, text=text, calls=(), finish_reason="stop", at_s=at_s)
    voice = _VOICES[asked.api]
    if asked.stream:
        return Answer(200, _STREAM, voice.tail(speech, Begun()))
    return Answer(200, _JSON, json.dumps(voice.plain(speech)).encode())


def tail(asked: Asked, begun: Begun, replied: Replied, calls: Sequence[SaidCall], *, at_s: float) -> bytes:
    """The rest of a stream whose text the client has, and whose calls were held: ``replied`` with these calls.

    ``replied`` is the same reply, or another one to the same question: then its text is said only where the client has
    none yet, or would be left without an answer.
    """
    text = _unsaid(begun.text, replied.turn.content, final=not calls)
    finish = replied.finish_reason or ("tool_calls" if calls else "stop")
    speech = _speech(asked, begun, replied, text=text, calls=tuple(calls), finish_reason=finish, at_s=at_s)
    return _VOICES[asked.api].tail(speech, begun)


def _unsaid(said: str, text: str, *, final: bool) -> str:
    """What of a text still has to be said behind what was said; of another text only if nothing comes after it."""
    if text.startswith(said):
        return text[len(said) :]
    return f"\n\n{text}" if text and final else ""


def recalled(asked: Asked, body: bytes, replied: Replied, calls: Sequence[SaidCall]) -> bytes:
    """A plain reply with the arguments of those calls replaced that differ from ``replied``'s; every other byte as it
    was. ``calls`` are the reply's, one for one.
    """
    text = body.decode()
    places = _arguments(asked.api, cast("JsonObject", json.loads(text)))
    pairs = [(old, new) for old, new in zip(replied.calls, calls, strict=True) if not old.freeform]
    values = {
        place: new.arguments if asked.api is Api.MESSAGES else json.dumps(new.arguments)
        for place, (old, new) in zip(places, pairs, strict=False)
        if old != new
    }
    return replaced(text, values).encode()


def _speech(
    asked: Asked,
    begun: Begun,
    replied: Replied | None,
    *,
    text: str,
    calls: tuple[SaidCall, ...],
    finish_reason: str,
    at_s: float,
) -> Speech:
    return Speech(
        response_id=begun.response_id or f"{_VOICES[asked.api].prefix}{asked.digest[:16]}",
        model=begun.model or asked.model,
        created=begun.created or int(at_s),
        text=text,
        calls=calls,
        finish_reason=finish_reason,
        prompt_tokens=(replied and replied.prompt_tokens) or 0,
        completion_tokens=(replied and replied.completion_tokens) or 0,
        cached_tokens=(replied and replied.cached_tokens) or 0,
        include_usage=asked.include_usage,
    )


def _arguments(api: Api, body: JsonObject) -> Iterator[tuple[str | int, ...]]:
    """Where the arguments of a plain reply's JSON calls stand, in their order."""
    match api:
        case Api.CHAT:
            for index, call in _items(body, "choices", 0, "message", "tool_calls"):
                if "function" in call:
                    yield ("choices", 0, "message", "tool_calls", index, "function", "arguments")
        case Api.RESPONSES:
            for index, item in _items(body, "output"):
                if fields.text(item, "type") == "function_call":
                    yield ("output", index, "arguments")
        case Api.MESSAGES:
            for index, block in _items(body, "content"):
                if fields.text(block, "type") == "tool_use":
                    yield ("content", index, "input")


def _items(body: JsonObject, *path: str | int) -> Iterator[tuple[int, JsonObject]]:
    value: JsonValue = body
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            value = None
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield index, item
