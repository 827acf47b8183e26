"""Turns as OpenTelemetry spans and metrics, by the GenAI semantic conventions. No prompts, answers or tool names.

Names: https://github.com/open-telemetry/semantic-conventions-genai (spans and metrics of a model's client), as in
opentelemetry-semantic-conventions 0.66b2, whose modules for them are deprecated; so they are written out here.
Where it goes, and with which headers, is told by the standard OTEL_* variables.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from kvassay.errors import ConfigError
from kvassay.guard.contract import Api
from kvassay.guard.metrics import depth_label
from kvassay.guard.turn_event import TurnEvent

Attributes: TypeAlias = dict[str, str | int | float | bool | list[str]]

_PROVIDERS = {Api.CHAT.value: "openai", Api.RESPONSES.value: "openai", Api.MESSAGES.value: "anthropic"}
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
_MODELS = 50  # names that metrics tell apart: clients may send anything
_BAD = 400
_FLUSH_MS = 5000


@contextmanager
def telemetry(upstream: str) -> Iterator[Callable[[TurnEvent], None]]:
    """A listener that sends each turn to the collector that the OTEL_* variables name. Raises ConfigError."""
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    if protocol != "http/protobuf":
        raise ConfigError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}", hint="The guard speaks http/protobuf, usually to port 4318."
        )
    spans = [BatchSpanProcessor(OTLPSpanExporter())] if _wanted("TRACES") else []
    readers = [PeriodicExportingMetricReader(OTLPMetricExporter())] if _wanted("METRICS") else []
    with told_to(upstream, spans, readers) as tell:
        yield tell


@contextmanager
def told_to(
    upstream: str,
    spans: list[BatchSpanProcessor] | list[SpanProcessor],
    readers: list[PeriodicExportingMetricReader] | list[MetricReader],
) -> Iterator[Callable[[TurnEvent], None]]:
    """A listener that tells each turn to these; left, what waits has been sent, if it could be within seconds."""
    resource = _resource()
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    for processor in spans:
        tracers.add_span_processor(processor)
    meters = MeterProvider(metric_readers=readers, resource=resource, shutdown_on_exit=False)
    yield _Teller(
        _server(upstream), tracers.get_tracer("kvassay.guard"), _Instruments(meters.get_meter("kvassay.guard"))
    ).tell
    tracers.force_flush(_FLUSH_MS)
    tracers.shutdown()
    meters.shutdown(_FLUSH_MS)


def _wanted(signal: str) -> bool:
    return os.environ.get(f"OTEL_{signal}_EXPORTER", "otlp") != "none"


def _resource() -> Resource:
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return Resource.create() if named else Resource.create({"service.name": "kvassay-guard"})


def _server(upstream: str) -> Attributes:
    parts = urlsplit(upstream)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {"server.address": parts.hostname or "", "server.port": port}


class _Instruments:
    """The histograms of the conventions, and a counter of our own."""

    def __init__(self, meter: Meter) -> None:
        operation = "gen_ai.client.operation"
        self.duration = meter.create_histogram(
            f"{operation}.duration", "s", "GenAI operation duration.", explicit_bucket_boundaries_advisory=_SECONDS
        )
        self.first = meter.create_histogram(
            f"{operation}.time_to_first_chunk",
            "s",
            "Time to receive the first chunk.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self.tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self.turns = meter.create_counter(
            "kvassay.guard.turns", "{turn}", "Turns by K/V pair, depth and outcome (docs/outcomes.md)."
        )


@dataclass(slots=True)
class _Teller:
    server: Attributes
    tracer: Tracer
    meter: _Instruments
    models: set[str] = field(default_factory=set)

    def tell(self, event: TurnEvent) -> None:
        """One turn: a span with the times it had, and its measures."""
        began_ns = int(event.at_s * 1e9)
        span = self.tracer.start_span(
            f"chat {event.model}".strip(),
            kind=SpanKind.CLIENT,
            start_time=began_ns,
            attributes={**_shared(event, event.model), **self.server, **_facts(event), **_judgement(event)},
        )
        if _error(event):
            span.set_status(Status(StatusCode.ERROR))
        span.end(began_ns + int(event.wall_s * 1e9))
        self._measure(event)

    def _measure(self, event: TurnEvent) -> None:
        shared: Attributes = {**_shared(event, self._model(event.model)), **self.server}
        self.meter.duration.record(event.wall_s, shared)
        if event.ttft_s is not None and event.streamed:
            self.meter.first.record(event.ttft_s, shared)
        for kind, tokens in (("input", event.depth_tokens), ("output", event.completion_tokens)):
            if tokens is not None:
                self.meter.tokens.record(tokens, {**shared, "gen_ai.token.type": kind})
        place = {"kvassay.kv": event.kv, "kvassay.depth": depth_label(event.depth_tokens)}
        self.meter.turns.add(1, {**shared, **place, "kvassay.outcome": event.outcome or "not graded"})

    def _model(self, name: str) -> str:
        if name not in self.models and len(self.models) >= _MODELS:
            return "other"
        self.models.add(name)
        return name


def _shared(event: TurnEvent, model: str) -> Attributes:
    """``provider`` is the API's, whoever serves it: so instrumented clients say it too."""
    error = _error(event)
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS[event.api],
        "gen_ai.request.model": model,
        **({"error.type": error} if error else {}),
    }


def _error(event: TurnEvent) -> str:
    """What went wrong with the request itself; a model's bad call is no error of it."""
    if event.status == 0 or event.status >= _BAD:
        return str(event.status) if event.status else "no_reply"
    return "" if event.complete else "cancelled" if event.cancelled else "cut"


def _facts(event: TurnEvent) -> Attributes:
    known: dict[str, str | int | float | bool | list[str] | None] = {
        "gen_ai.conversation.id": event.session,
        "gen_ai.request.stream": event.streamed,
        "gen_ai.response.finish_reasons": [event.finish_reason] if event.finish_reason else None,
        "gen_ai.response.time_to_first_chunk": event.ttft_s if event.streamed else None,
        "gen_ai.usage.input_tokens": event.depth_tokens,
        "gen_ai.usage.cache_read.input_tokens": event.cached_tokens,
        "gen_ai.usage.output_tokens": event.completion_tokens,
        "http.response.status_code": event.status or None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _judgement(event: TurnEvent) -> Attributes:
    return {
        "kvassay.outcome": event.outcome or "not graded",
        "kvassay.kv": event.kv,
        "kvassay.turn": event.turn_index,
        "kvassay.loops": [loop[:2] for loop in event.loops],
        "kvassay.actions": list(event.actions),
        "kvassay.recovered": event.recovered,
    }
