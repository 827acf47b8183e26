"""Reads, grades and stores finished exchanges, one after the other."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field, replace

from kvassay.guard.asking import read_request
from kvassay.guard.contract import Asked, Expected, Replied
from kvassay.guard.monitor import Monitor
from kvassay.guard.packing import unpacked
from kvassay.guard.recording import Exchange
from kvassay.guard.replies import ReplyReader
from kvassay.guard.store import Bodies, EventStore, open_store
from kvassay.guard.turn_event import TurnEvent, turn_event
from kvassay.guard.watching import Watched, WatchSettings


@dataclass(slots=True)
class Watcher:
    """Watches exchanges one after the other."""

    settings: WatchSettings
    store: EventStore | None = None
    monitor: Monitor = field(default_factory=Monitor)

    def watch(self, exchange: Exchange) -> Watched:
        """Read, grade and store one exchange. Never raises: the traffic must not depend on it."""
        try:
            return self._watch(exchange)
        except Exception as error:  # noqa: BLE001  the proxy's edge: no fault of the monitor's may reach the traffic
            return Watched(fault=f"{type(error).__name__}: {error}"[:200])

    def expect(self, asked: Asked) -> Expected | None:
        """Judge a request alone. Never raises, for the same reason."""
        try:
            return self.monitor.expect(asked)
        except Exception:  # noqa: BLE001  the same edge
            return None

    def _watch(self, exchange: Exchange) -> Watched:
        asked = None if exchange.too_large else _asked(exchange)
        if asked is None:
            return Watched()
        reader, reply = ReplyReader(asked), unpacked(exchange.reply, exchange.reply_encoding) or b""
        reader.feed(reply)
        if exchange.cancelled and reader.ended:  # some clients hang up as soon as they have read the end
            exchange = replace(exchange, complete=True)
        replied = reader.finish(exchange.status, complete=exchange.complete)
        observed = self.monitor.observe(
            asked,
            replied,
            exchange.at_s,
            counted_tokens=exchange.counted_tokens,
            second_try=exchange.second_try,
        )
        event = self._clean(turn_event(exchange, asked, replied, observed, kv=self.settings.kv))
        if self.store is None:
            return Watched(event, observed)
        try:
            return Watched(self.store.add(event, self._bodies(asked, replied, reply)), observed)
        except sqlite3.Error as error:
            return Watched(event, observed, f"not stored: {error}")

    def _clean(self, event: TurnEvent) -> TurnEvent:
        redact = self.settings.redact
        return replace(
            event,
            detail=redact(event.detail),
            error=redact(event.error),
            loops=tuple(redact(loop) for loop in event.loops),
            alarms=tuple(redact(alarm) for alarm in event.alarms),
        )

    def _bodies(self, asked: Asked, replied: Replied, reply: bytes) -> Bodies | None:
        if not self.settings.keep_bodies:
            return None
        texts = (_question(asked), answer_text(replied), _text(asked.body), _text(reply))
        return Bodies(*(self.settings.redact(text) for text in texts))


def answer_text(replied: Replied) -> str:
    """An answer as a person reads it: its text, then each call as ``name arguments``; its reasoning if that is all."""
    calls = [f"→ {call.name} {call.arguments}" for call in replied.calls]
    said = "\n".join(part for part in (replied.turn.content, *calls, replied.error) if part)
    return said if said.strip() else replied.reasoning


def _asked(exchange: Exchange) -> Asked | None:
    """What the server was asked, by the names of what the client asked: an edit of ours makes it no other question,
    and no other session.
    """
    headers = {name.lower(): value for name, value in exchange.headers}
    body = unpacked(exchange.request, headers.get("content-encoding", ""))
    asked = None if body is None else read_request(exchange.path, headers, body)
    return asked if asked is None or exchange.asked_as is None else replace(asked, **exchange.asked_as._asdict())


def _question(asked: Asked) -> str:
    last = asked.messages[-1] if asked.messages else None
    return "" if last is None else f"{last.role}: {last.content}"


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def begun(settings: WatchSettings) -> Watcher:
    """A watcher with its store open. Raises StoreError."""
    if settings.store is None:
        return Watcher(settings)
    return Watcher(settings, open_store(settings.store, keep_days=settings.keep_days, keep_mb=settings.keep_mb))
