"""What the live page shows, kept up to date event by event: rates by depth, classes, sessions, the last failures."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from kvassay.guard.metrics import depth_label
from kvassay.guard.turn_event import TurnEvent
from kvassay.types import JsonObject, JsonValue

_SESSIONS, _STRIP, _FAILURES, _ALARMS, _CELLS = 60, 120, 40, 20, 2000
_Z95 = 1.959963984540054


class Cell(NamedTuple):
    """Where a rate is counted."""

    model: str
    kv: str
    depth: str


@dataclass(slots=True)
class Tally:
    """The page's memory: bounded, whatever the traffic."""

    turns: int = 0
    graded: Counter[Cell] = field(default_factory=Counter)
    failed: Counter[Cell] = field(default_factory=Counter)
    classes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    sessions: OrderedDict[str, deque[TurnEvent]] = field(default_factory=OrderedDict)
    failures: deque[TurnEvent] = field(default_factory=lambda: deque(maxlen=_FAILURES))
    alarms: deque[JsonObject] = field(default_factory=lambda: deque(maxlen=_ALARMS))

    def add(self, event: TurnEvent) -> None:
        """Take in one turn."""
        self.turns += 1
        self._count(event)
        strip = self.sessions.setdefault(event.session, deque(maxlen=_STRIP))
        strip.append(event)
        self.sessions.move_to_end(event.session)
        while len(self.sessions) > _SESSIONS:
            self.sessions.popitem(last=False)
        if event.outcome not in ("", "correct") or event.loops:
            self.failures.append(event)
        self.alarms.extend({"at_s": event.at_s, "text": alarm, "turn": event.id} for alarm in event.alarms)

    def _count(self, event: TurnEvent) -> None:
        cell = Cell(event.model, event.kv, depth_label(event.depth_tokens))
        if event.second_try or not event.graded or (cell not in self.graded and len(self.graded) >= _CELLS):
            return
        self.graded[cell] += 1
        if event.failed:
            self.failed[cell] += 1
            self.classes[event.model, event.kv, event.outcome] += 1

    def state(self) -> JsonObject:
        """All of it as plain JSON."""
        return {
            "turns": self.turns,
            "cells": [self._cell(cell, n) for cell, n in self.graded.items()],
            "classes": [
                {"model": model, "kv": kv, "outcome": outcome, "n": n}
                for (model, kv, outcome), n in self.classes.items()
            ],
            "sessions": [_session(strip) for strip in reversed(self.sessions.values())],
            "failures": [_plain(event) for event in reversed(self.failures)],
            "alarms": list(reversed(self.alarms)),
        }

    def _cell(self, cell: Cell, n: int) -> JsonObject:
        failed = self.failed[cell]
        low, high = wilson(failed, n)
        return {**cell._asdict(), "n": n, "failed": failed, "low": low, "high": high}


class Range(NamedTuple):
    """An interval of a proportion."""

    low: float
    high: float


def wilson(k: int, n: int) -> Range:
    """The 95 % interval of a proportion k/n (Wilson 1927). Turns of one session depend on each other: it is a guide for
    the eye, not a test.
    """
    middle = (k + _Z95**2 / 2) / (n + _Z95**2)
    half = _Z95 / (n + _Z95**2) * math.sqrt(k * (n - k) / n + _Z95**2 / 4)
    return Range(max(0.0, middle - half), min(1.0, middle + half))


def _session(strip: Iterable[TurnEvent]) -> JsonObject:
    events = list(strip)
    last = events[-1]
    turns: list[JsonValue] = [
        {
            "id": event.id,
            "turn": event.turn_index,
            "at_s": event.at_s,
            "outcome": event.outcome,
            "loop": "; ".join(event.loops),
            "recovered": event.recovered,
            "acted": ", ".join(event.actions),
            "depth": event.depth_tokens,
        }
        for event in events
    ]
    return {
        "session": last.session,
        "model": last.model,
        "kv": last.kv,
        "at_s": last.at_s,
        "depth": last.depth_tokens,
        "failed": sum(event.failed for event in events),
        "turns": turns,
    }


def _plain(event: TurnEvent) -> JsonObject:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(event).items()}
