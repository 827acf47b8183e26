"""The words of the guard as frozen values: what was asked, what came back, what it means, what may be done about it.

Who makes them (all pure: no clock, no randomness, no input or output):

- `asking.read_request(path, headers, body) -> Asked | None`; None is not ours: pass it on untouched
- `replies.ReplyReader(asked)`: ``feed(chunk) -> tuple[Piece, ...]``, ``rest -> bytes``, ``begun -> Begun``,
  ``tool_call_started -> bool``, ``finish(status, *, complete) -> Replied``
- `grading.grade_turn(asked, replied, counted_tokens=…) -> Grade(outcome | None, skipped)`
- `monitor.Monitor(limits)`: ``expect(asked) -> Expected`` (before the request goes on),
  ``observe(asked, replied, at_s) -> Observed`` (after the reply)
- `interventions`: ``sanitised(asked)``, ``warned(asked, loop)``, ``nudged(asked, outcome, seed=…)`` → Edited | None (a
  request's body); ``should_retry(outcome)``, ``should_fall_back(outcome, replied)`` → bool; ``stop_loop(loops)`` →
  Loop | None; ``stop_text(loop)`` → str
- `coercion.coerced(asked, replied) -> Coerced | None`
- `answers`: ``said(asked, text, at_s=…)`` → Answer (a whole reply of our own); ``tail(asked, begun, replied, calls,
  at_s=…)`` → bytes (the rest of a stream that began upstream); ``recalled(asked, body, replied, calls)`` → bytes (a
  plain reply with new arguments)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from kvassay.grade.loops import Loop
from kvassay.types import Message, Outcome, Tool, Turn

# --------------------------------------------------------------------------- what was asked


class Api(StrEnum):
    """The three languages that agents speak to a server."""

    CHAT = "chat"
    RESPONSES = "responses"
    MESSAGES = "messages"


@dataclass(frozen=True, slots=True)
class Poison:
    """A replayed call whose arguments are not a JSON object (P3). ``place`` leads to the arguments in the request's
    JSON: ``("messages", 4, "tool_calls", 0, "function", "arguments")``.
    """

    place: tuple[str | int, ...]
    call_id: str
    tool: str
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a turn, in kvassay's words.

    ``session`` is a key, never a secret: a client's own session id (``session_by`` ``header`` or ``body``), else a hash
    of the conversation's beginning, which stays the same as it grows (``prefix``). ``messages`` holds poisoned calls
    with empty arguments. ``unjudged`` are tools without a JSON schema: freeform (Responses ``custom``), hosted, or
    client-side ones that the API defines itself. ``failed_ids`` are calls whose result the client marked as an error.
    ``partial`` says that the server holds more of the conversation than was sent (``previous_response_id``).
    ``digest`` names what was asked (model, messages and tools): equal digests are the same question. ``choices`` is how
    many answers are wanted (chat completions' ``n``); the first one is graded.
    """

    api: Api
    path: str
    model: str
    stream: bool
    session: str
    session_by: Literal["header", "body", "prefix"]
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    digest: str
    body: bytes = field(repr=False)
    unjudged: frozenset[str] = frozenset()
    failed_ids: frozenset[str] = frozenset()
    poisoned: tuple[Poison, ...] = ()
    previous_response_id: str | None = None
    partial: bool = False
    max_tokens: int | None = None
    include_usage: bool = False
    choices: int = 1


# --------------------------------------------------------------------------- what came back


class PieceKind(StrEnum):
    """What a piece of a reply holds. From the first ``tool`` piece on, order demands that all later ones wait too, but
    for pings.
    """

    TEXT = "text"  # text or thinking for the user's eyes: pass at once
    TOOL = "tool"  # a part of a tool call
    END = "end"  # finish reason, usage, closing marker
    PING = "ping"  # comments and pings say nothing and have no place in the order: pass at once, whatever waits
    OTHER = "other"  # begin markers, errors: pass at once
    PLAIN = "plain"  # bytes of a reply that is no event stream


@dataclass(frozen=True, slots=True)
class Piece:
    """One event of a stream (or some bytes of a plain reply) exactly as it came. The pieces of a reply, joined, are the
    reply, up to a last unfinished event that `ReplyReader.rest` holds.
    """

    raw: bytes
    kind: PieceKind


@dataclass(frozen=True, slots=True)
class SaidCall:
    """A tool call as it came; ``arguments`` is the untouched text. ``freeform`` calls are not JSON."""

    id: str
    name: str
    arguments: str
    freeform: bool = False


NO_REPLY = 0
"""The status of a request that nobody answered: the server is down, or the client went away first."""


@dataclass(frozen=True, slots=True)
class Replied:
    """One reply, read to its end. ``turn`` is what the grader reads; ``status`` may be NO_REPLY.

    ``prompt_tokens`` includes the ``cached_tokens``; None where the server did not say. ``error`` is the body of an
    HTTP error or of an error sent within the stream. ``cut`` says that it ended before its closing marker;
    ``unread`` that it was too large, or no reply in this API's shape.
    """

    status: int
    turn: Turn
    calls: tuple[SaidCall, ...] = ()
    reasoning: str = ""
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    error: str = ""
    cut: bool = False
    unread: bool = False
    streamed: bool = False
    response_id: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Begun:
    """How far a stream had come in front of its first tool call: what the client has been sent if all from there on was
    held. ``blocks`` are content blocks (Messages) or output items (Responses) begun so far. Not yet ended are blocks
    numbered ``open_at`` (llama.cpp ends all of them at the very end), and an item of type ``open_block``, "" for none.
    """

    started: bool = False
    response_id: str = ""
    model: str = ""
    created: int = 0
    text: str = ""
    blocks: int = 0
    open_block: str = ""
    open_id: str = ""
    open_at: tuple[int, ...] = ()
    sequence: int = 0


# --------------------------------------------------------------------------- what it means


@dataclass(frozen=True, slots=True)
class Expected:
    """What a request alone shows, before it goes on: its session's name, the turn it asks for (from 1), loops."""

    session: str
    turn_index: int
    loops: tuple[Loop, ...] = ()


@dataclass(frozen=True, slots=True)
class Alarm:
    """A failure rate left its baseline. It is raised once per ``subject``.

    ``evidence`` is the e-value (the false-alarm rate is 1/threshold); ``baseline_rate`` the rate tested against.
    """

    scope: Literal["session", "model"]
    subject: str
    turns: int
    failures: int
    baseline_rate: float
    evidence: float
    detail: str


@dataclass(frozen=True, slots=True)
class Observed:
    """One turn of a session as the monitor sees it.

    ``outcome`` is ``correct`` (nothing wrong is seen in it), M1–M10 or P0–P3; None where there is nothing to grade, and
    ``skipped`` then says why. ``recovered`` (R): this turn is fine and ends a run of one or two failed ones.
    """

    session: str
    turn_index: int
    at_s: float
    model: str
    depth_tokens: int | None
    outcome: Outcome | None
    skipped: str = ""
    loops: tuple[Loop, ...] = ()
    recovered: bool = False
    alarms: tuple[Alarm, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the model failed (M): neither fine, nor somebody else's fault."""
        return self.outcome is not None and not self.outcome.correct and not self.outcome.kind.is_infrastructure


@dataclass(frozen=True, slots=True)
class Limits:
    """What the monitor may hold, and when it speaks."""

    sessions: int = 1000
    exchanges: int = 64
    models: int = 100
    false_alarm_rate: float = 0.01
    baseline_turns: int = 100
    baseline_rate: float | None = None  # stated by the user; None: learnt from a model's first turns


# --------------------------------------------------------------------------- what may be done about it


class Action(StrEnum):
    """The interventions, in the order in which they are tried. Each is off until the user turns it on."""

    SANITISE = "sanitise"
    REGENERATE = "regenerate"
    COERCE = "coerce"
    WARN = "warn"
    STOP = "stop"
    FALL_BACK = "fall_back"


SECOND_TRIES = frozenset({Action.REGENERATE, Action.FALL_BACK})
"""These ask for the same turn once more: the guard's own requests, neither a turn of the agent's nor of the model's."""


@dataclass(frozen=True, slots=True)
class Edited:
    """A request's body with the least change: every other byte is as it was. ``did`` has one line per change."""

    action: Action
    body: bytes
    did: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Coerced:
    """The calls of a reply with losslessly coerced arguments."""

    calls: tuple[SaidCall, ...]
    did: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply of our own, ready to be sent."""

    status: int
    content_type: str
    body: bytes
