"""What the guard counts, in Prometheus' text format (version 0.0.4). Label values are few and bounded."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kvassay.guard.recording import Exchange
from kvassay.guard.turn_event import TurnEvent
from kvassay.guard.watching import Watched

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]

_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0)
_MODELS = 50
_TEXTS = {
    "requests": "Requests that were passed on, by the upstream's status (0: it gave none).",
    "turns": "Watched turns by model, declared K/V pair, depth and outcome class (docs/outcomes.md).",
    "recoveries": "Turns that were fine after a failed one.",
    "loops": "Turns within a loop, by its class.",
    "alarms": "Alarms: a failure rate left its baseline.",
    "actions": "Interventions, by what the turn became after them.",
    "cancelled": "Requests whose client went away.",
    "cut": "Replies that ended before their end.",
    "unwatched": "Turns that passed but were not graded, by reason.",
    "store_faults": "Turns graded but not stored.",
}


@dataclass(slots=True)
class Histogram:
    """Observations in seconds, in buckets."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(_SECONDS) + 1))
    total: float = 0.0

    def add(self, value: float) -> None:
        """Count one."""
        self.counts[bisect_left(_SECONDS, value)] += 1
        self.total += value


@dataclass(slots=True)
class Metrics:
    """All counters of one guard since it started."""

    counters: dict[str, Counter[Labels]] = field(default_factory=lambda: {name: Counter() for name in _TEXTS})
    ttft: Histogram = field(default_factory=Histogram)
    _models: set[str] = field(default_factory=set)

    def passed(self, exchange: Exchange) -> None:
        """Count a request that has gone through."""
        self._count("requests", status=str(exchange.status))
        if exchange.cancelled:
            self._count("cancelled")
        elif exchange.status and not exchange.complete:
            self._count("cut")
        if exchange.too_large:
            self._count("unwatched", reason="too large")
        if exchange.ttft_s is not None:
            self.ttft.add(exchange.ttft_s)

    def watched(self, watched: Watched) -> None:
        """Count what the monitor made of an exchange."""
        if watched.event is None:
            if watched.fault:
                self._count("unwatched", reason="fault of the monitor")
            return
        if watched.fault:
            self._count("store_faults")
        self._turn(watched.event)

    def acted(self, action: str, then: str) -> None:
        """Count an intervention that is no turn of its own."""
        self._count("actions", action=action, then=then)

    def _turn(self, event: TurnEvent) -> None:
        labels = {"model": self._model(event.model), "kv": event.kv, "depth": depth_label(event.depth_tokens)}
        self._count("turns", **labels, outcome=event.outcome or "not graded")
        for loop in event.loops:
            self._count("loops", kind=loop[:2])
        for alarm in event.alarms:
            self._count("alarms", scope=alarm.split(" ", 1)[0])
        for action in event.actions:
            self._count("actions", action=action, then=event.outcome or "not graded")
        if event.recovered:
            self._count("recoveries")

    def _model(self, name: str) -> str:
        if name not in self._models and len(self._models) >= _MODELS:
            return "other"
        self._models.add(name)
        return name

    def _count(self, counter: str, **labels: str) -> None:
        self.counters[counter][tuple(labels.items())] += 1

    def text(self, *, gauges: Mapping[str, float]) -> str:
        """The exposition; ``gauges`` are values of this moment."""
        return "\n".join((*self._lines(gauges), ""))

    def _lines(self, gauges: Mapping[str, float]) -> Iterator[str]:
        for name, counter in self.counters.items():
            yield f"# HELP kvassay_guard_{name}_total {_TEXTS[name]}"
            yield f"# TYPE kvassay_guard_{name}_total counter"
            for labels, value in sorted(counter.items()):
                yield f"kvassay_guard_{name}_total{_braces(labels)} {value}"
        yield "# HELP kvassay_guard_ttft_seconds Time to the first byte of the reply's body."
        yield "# TYPE kvassay_guard_ttft_seconds histogram"
        below = 0
        for bound, count in zip((*_SECONDS, "+Inf"), self.ttft.counts, strict=True):
            below += count
            yield f'kvassay_guard_ttft_seconds_bucket{{le="{bound}"}} {below}'
        yield f"kvassay_guard_ttft_seconds_sum {self.ttft.total}"
        yield f"kvassay_guard_ttft_seconds_count {below}"
        for name, gauge in gauges.items():
            yield f"# TYPE kvassay_guard_{name} gauge"
            yield f"kvassay_guard_{name} {gauge:g}"


def depth_label(tokens: int | None) -> str:
    """The power of two at or above a depth, as ``8k``; ``unknown`` for None."""
    if tokens is None:
        return "unknown"
    edge = 1024
    while edge < tokens:
        edge *= 2
    return f"{edge // 1024}k"


def _braces(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
