"""A reply as it grows, the same for all three APIs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import NamedTuple

from kvassay import fields
from kvassay.guard.contract import Begun, SaidCall
from kvassay.guard.loose import field_count
from kvassay.types import JsonObject, JsonValue


def tells_error(name: str, data: JsonObject) -> bool:
    """Whether an event says that the server failed: by its name or type, or by an ``error`` within. llama.cpp's errors
    hold no type of Messages, and come without a name in Responses.
    """
    return "error" in (name, data.get("type")) or data.get("error") is not None


class Mark(NamedTuple):
    """How far a stream has come: ``parts`` of text, content blocks, those that are open, the last event's number."""

    started: bool
    parts: int
    blocks: int
    open_block: str
    open_id: str
    open_at: tuple[int, ...]
    sequence: int


@dataclass(slots=True)
class DraftCall:
    """A call as it grows; the parts of its name and arguments are joined exactly."""

    id: str = ""
    name: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    freeform: bool = False

    def said(self) -> SaidCall:
        return SaidCall(self.id, "".join(self.name), "".join(self.arguments), self.freeform)


@dataclass(slots=True)
class Draft:
    """What has come so far. ``ended`` says that the API's own closing mark was seen."""

    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: dict[int, DraftCall] = field(default_factory=dict)
    call_keys: dict[str, int] = field(default_factory=dict)
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    status: int | None = None
    error: str = ""
    ended: bool = False
    understood: bool = False
    response_id: str = ""
    model: str = ""
    created: int = 0
    blocks: int = 0
    open_block: str = ""
    open_id: str = ""
    open_at: tuple[int, ...] = ()
    sequence: int = 0

    def call(self, key: int) -> DraftCall:
        """The call at this index, begun if need be."""
        return self.calls.setdefault(key, DraftCall())

    def call_named(self, *ids: str) -> DraftCall:
        """The call that goes by one of these ids, for servers that send no index: a new one if none of them is known,
        the newest if there are none.
        """
        names = list(filter(None, ids))
        newest = max(self.calls, default=-1)
        fresh = newest + 1 if names or newest < 0 else newest
        key = next((self.call_keys[name] for name in names if name in self.call_keys), fresh)
        self.call_keys |= dict.fromkeys(names, key)
        return self.call(key)

    def said(self) -> tuple[SaidCall, ...]:
        """The calls in their order."""
        return tuple(call.said() for _, call in sorted(self.calls.items()))

    def name(self, body: JsonObject) -> None:
        """Note whose reply this is."""
        self.response_id = fields.text(body, "id") or self.response_id
        self.model = fields.text(body, "model") or self.model
        self.created = field_count(body, "created") or field_count(body, "created_at") or self.created

    def fail(self, error: JsonValue, whole: JsonObject) -> None:
        """Note an error that the server sent with status 200, or as a plain body."""
        code = field_count(error, "code") if isinstance(error, dict) else None
        self.status = code if code and 400 <= code < 600 else 500  # noqa: PLR2004 - HTTP's errors
        self.error = json.dumps(whole)
        self.ended = self.understood = True

    def count(self, prompt: int | None, cached: int | None, completion: int | None) -> None:
        """Note the server's own counts; later ones win, a missing one takes nothing away. No prompt has 0 tokens: so
        servers write before they know (vLLM's ``message_start``).
        """
        self.prompt_tokens = prompt or self.prompt_tokens
        self.cached_tokens = self.cached_tokens if cached is None else cached
        self.completion_tokens = self.completion_tokens if completion is None else completion

    def openai_usage(self, body: JsonObject, prompt: str, completion: str) -> None:
        """Note OpenAI's usage object, whose names differ between its two APIs."""
        usage = fields.section(body, "usage")
        cached = field_count(fields.section(usage, f"{prompt}_details"), "cached_tokens")
        self.count(field_count(usage, prompt), cached, field_count(usage, completion))

    def mark(self) -> Mark:
        """Note how far the stream has come; cheap enough to be done for every event."""
        parts, at = len(self.content), self.open_at
        return Mark(self.understood, parts, self.blocks, self.open_block, self.open_id, at, self.sequence)

    def begun(self, mark: Mark) -> Begun:
        """What the client had been sent at that mark."""
        return Begun(
            started=mark.started,
            response_id=self.response_id,
            model=self.model,
            created=self.created,
            text="".join(self.content[: mark.parts]),
            blocks=mark.blocks,
            open_block=mark.open_block,
            open_id=mark.open_id,
            open_at=mark.open_at,
            sequence=mark.sequence,
        )
