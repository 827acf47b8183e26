"""What is remembered of one watched turn: facts and classes, no bodies."""

from __future__ import annotations

from dataclasses import dataclass

from kvassay.guard.contract import SECOND_TRIES, Asked, Observed, Replied
from kvassay.guard.loose import storable
from kvassay.guard.recording import Exchange

_LONGEST_WORDS, _LONGEST_NAME = 400, 200
_MOST_TOOLS = 100


@dataclass(frozen=True, slots=True)
class TurnEvent:
    """One turn. ``id`` is its number in the store, 0 before it is stored. ``outcome`` is a class of docs/outcomes.md or
    "" where there was nothing to grade (``skipped`` says why). Times in seconds, sizes in bytes, lengths in tokens;
    None where the server did not say. ``loops`` and ``alarms`` are sentences, a loop's beginning with its class.
    ``actions`` are the interventions that acted. ``session`` is a key of ours, never a secret.
    """

    id: int
    at_s: float
    session: str
    turn_index: int
    api: str
    path: str
    model: str
    kv: str
    depth_tokens: int | None
    outcome: str
    detail: str
    skipped: str
    recovered: bool
    loops: tuple[str, ...]
    alarms: tuple[str, ...]
    actions: tuple[str, ...]
    tools: tuple[str, ...]
    status: int
    error: str
    finish_reason: str
    streamed: bool
    complete: bool
    cancelled: bool
    ttft_s: float | None
    wall_s: float
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    request_bytes: int
    reply_bytes: int
    has_bodies: bool = False

    @property
    def failed(self) -> bool:
        """Whether the model failed: a class of its own, not of the server or the history (P)."""
        return self.outcome.startswith("M")

    @property
    def second_try(self) -> bool:
        """Whether the guard itself asked, after the client's request had failed: no part of the model's own rate."""
        return not SECOND_TRIES.isdisjoint(self.actions)

    @property
    def graded(self) -> bool:
        """Whether the turn counts in failure rates."""
        return self.failed or self.outcome == "correct"


def turn_event(exchange: Exchange, asked: Asked, replied: Replied, observed: Observed, *, kv: str) -> TurnEvent:
    """An exchange and what the monitor said of it as one event."""
    outcome = observed.outcome
    return TurnEvent(
        id=0,
        at_s=exchange.at_s,
        session=observed.session,
        turn_index=observed.turn_index,
        api=asked.api.value,
        path=_short(exchange.path.partition("?")[0]),
        model=_name(observed.model),
        kv=kv,
        depth_tokens=observed.depth_tokens,
        outcome="" if outcome is None else outcome.kind.value,
        detail="" if outcome is None else _short(outcome.detail),
        skipped=observed.skipped,
        recovered=observed.recovered,
        loops=tuple(_short(f"{loop.kind.value} {loop.tool} ×{loop.count}: {loop.detail}") for loop in observed.loops),
        alarms=tuple(_short(f"{alarm.scope} {alarm.subject}: {alarm.detail}") for alarm in observed.alarms),
        actions=exchange.actions,
        tools=tuple(_name(call.name) for call in replied.calls[:_MOST_TOOLS]),
        status=exchange.status,
        error=_short(replied.error),
        finish_reason=_name(replied.finish_reason or ""),
        streamed=replied.streamed,
        complete=exchange.complete,
        cancelled=exchange.cancelled,
        ttft_s=exchange.ttft_s,
        wall_s=exchange.wall_s,
        prompt_tokens=replied.prompt_tokens,
        cached_tokens=replied.cached_tokens,
        completion_tokens=replied.completion_tokens,
        request_bytes=len(exchange.request),
        reply_bytes=len(exchange.reply),
    )


def _short(text: str) -> str:
    return storable(text, _LONGEST_WORDS)


def _name(text: str) -> str:
    return storable(text, _LONGEST_NAME)
