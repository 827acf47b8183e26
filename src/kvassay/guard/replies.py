"""A reply as its bytes arrive: pieces for the proxy to pass or hold, and at the end one value that holds it all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, TypeAlias, cast

from kvassay.dialect.turn import from_reply
from kvassay.guard import chat_wire, messages_wire, responses_wire
from kvassay.guard.contract import Api, Asked, Begun, Piece, PieceKind, Replied, SaidCall
from kvassay.guard.drafts import Draft, Mark
from kvassay.guard.events import EventSplitter, ServerEvent, read_event
from kvassay.types import Channel, ChatReply, JsonObject, JsonValue, Turn, WireCall

MAX_REPLY_BYTES = 64 << 20
"""A reply longer than this is passed on but not read to its end."""

_EVIDENCE_CHARS = 4000
_BROKEN_OFF = frozenset({"abort", "error", "failed", "cancelled", "queued", "in_progress"})
"""Finish reasons of vLLM's and SGLang's chat, and a response's statuses, that say: not the model came to an end."""

_OK = 200

ReadPlain: TypeAlias = Callable[[Draft, JsonObject], None]
ReadEvent: TypeAlias = Callable[[Draft, str, JsonObject], PieceKind]


class _Wire(NamedTuple):
    plain: ReadPlain
    event: ReadEvent


_WIRES = {
    Api.CHAT: _Wire(chat_wire.read_plain, chat_wire.read_chunk),
    Api.RESPONSES: _Wire(responses_wire.read_plain, responses_wire.read_event),
    Api.MESSAGES: _Wire(messages_wire.read_plain, messages_wire.read_event),
}


class ReplyReader:
    """Reads one reply to ``asked``. Total: garbage makes an ``unread`` reply, never an exception; the chunks' borders
    make no difference to what `finish` returns.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._wire = _WIRES[asked.api]
        self._draft = Draft()
        self._first_call: Mark | None = None
        self._events: EventSplitter | None = None
        self._plain = bytearray()  # a plain reply; of a stream, its first bytes: the evidence if it holds no event
        self._bytes = 0

    @property
    def tool_call_started(self) -> bool:
        """Whether a tool call has begun: from there on, an intervention may need everything held back."""
        return self._first_call is not None

    @property
    def begun(self) -> Begun:
        """How far the stream had come in front of its first tool call; so far, where none has begun."""
        return self._draft.begun(self._first_call or self._draft.mark())

    @property
    def rest(self) -> bytes:
        """Bytes fed that are in no piece yet: the stream's last event, unfinished."""
        if self._events is None:
            return bytes(self._plain) if self._asked.stream and not self._plain.strip(_BLANK) else b""
        return self._events.rest

    @property
    def ended(self) -> bool:
        """Whether the reply's own end has come, whatever becomes of the connection."""
        return self._draft.ended

    def feed(self, chunk: bytes) -> tuple[Piece, ...]:
        """Add bytes as they came; the pieces that became whole by them."""
        self._bytes += len(chunk)
        if self._events is None:
            held = bytes(self._plain) if self._undecided() else b""
            self._plain += chunk if self._bytes <= MAX_REPLY_BYTES else b""
            if self._undecided():
                return ()
            if not self._is_stream():
                return (Piece(held + chunk, PieceKind.PLAIN),)
            self._events, chunk = EventSplitter(), held + chunk
        return tuple(Piece(event.raw, self._read(event)) for event in self._events.feed(chunk))

    def _undecided(self) -> bool:
        return self._asked.stream and not self._plain.strip(_BLANK)

    def _is_stream(self) -> bool:
        """Whoever asked for a stream gets one, or else an error as plain JSON or HTML."""
        return self._asked.stream and not self._plain.lstrip(_BLANK).startswith((b"{", b"[", b"<"))

    def _read(self, event: ServerEvent) -> PieceKind:
        if event.data is None:
            return PieceKind.PING if event.whole else PieceKind.OTHER
        if chat_wire.is_end(event.data):
            self._draft.ended = self._draft.ended or self._draft.understood
            return PieceKind.END
        data = _object(event.data) if self._bytes <= MAX_REPLY_BYTES else None
        if data is None:
            return PieceKind.OTHER
        before = self._draft.mark()
        kind = self._wire.event(self._draft, event.name, data)
        if kind is PieceKind.TOOL and self._first_call is None:
            self._first_call = before
        return kind

    def finish(self, status: int, *, complete: bool) -> Replied:
        """The whole reply. ``status`` is HTTP's; ``complete`` is False where upstream or client broke off."""
        draft = self._draft
        if self._events is not None:
            self._read(read_event(self._events.rest))
        elif (body := _object(self._plain.decode("utf-8", "replace"))) is not None:
            self._wire.plain(draft, body)
        unread = not draft.understood or self._bytes > MAX_REPLY_BYTES
        failed = status if status != _OK else draft.status or status
        error = draft.error or (self._evidence() if failed != _OK else "")
        calls = draft.said()
        whole = complete and (draft.ended or unread) and draft.finish_reason not in _BROKEN_OFF
        return Replied(
            status=failed,
            turn=self._turn(failed, error, calls),
            calls=calls,
            reasoning="".join(draft.reasoning),
            finish_reason=draft.finish_reason,
            prompt_tokens=draft.prompt_tokens,
            cached_tokens=draft.cached_tokens,
            completion_tokens=draft.completion_tokens,
            error=error,
            cut=failed == _OK and not whole,
            unread=failed == _OK and unread,
            streamed=self._events is not None,
            response_id=draft.response_id,
            model=draft.model,
        )

    def _evidence(self) -> str:
        return bytes(self._plain[:_EVIDENCE_CHARS]).decode("utf-8", "replace")

    def _turn(self, status: int, error: str, calls: tuple[SaidCall, ...]) -> Turn:
        """The assay's own reading. Calls to tools without a schema may be no JSON: neither calls nor faults there. Nor
        does a call leak where a request speaks of no tool: agents that name them in the prompt read it from the text.
        """
        free = self._asked.unjudged
        judged = tuple(WireCall(c.name, c.arguments) for c in calls if not c.freeform and c.name not in free)
        reply = ChatReply(
            content="".join(self._draft.content),
            reasoning="".join(self._draft.reasoning),
            calls=judged,
            finish_reason="length" if self._at_limit() else self._draft.finish_reason,
            status=status,
            error=error,
        )
        channel = Channel.STREAM if self._events is not None else Channel.PLAIN
        turn = from_reply(reply, channel, native=None, tools=self._asked.tools)
        asked = self._asked
        spoken_of = asked.tools or free or any(message.tool_calls for message in asked.messages)
        no_fault = not judged if len(judged) < len(calls) else not calls and not spoken_of
        return replace(turn, faults=()) if no_fault else turn

    def _at_limit(self) -> bool:
        """Whether as many tokens came as were allowed: vLLM's streams say ``tool_calls`` of a call that was cut by that
        (vLLM issue 53269).
        """
        allowed, came = self._asked.max_tokens, self._draft.completion_tokens
        return bool(allowed and came and came >= allowed and self._asked.choices == 1)


_BLANK = b" \t\r\n\xef\xbb\xbf"


def _object(text: str) -> JsonObject | None:
    try:
        value = cast("JsonValue", json.loads(text.removeprefix("\ufeff")))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
