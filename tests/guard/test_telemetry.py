"""Turns as a real OTLP receiver gets them: spans and metrics by the GenAI conventions, and no word of what was said."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra otel")

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from guard.turns import event
from kvassay.errors import ConfigError
from kvassay.guard.telemetry import telemetry

UPSTREAM = "http://127.0.0.1:8080"
FAILED = event(
    at_s=1000.5, wall_s=2.25, ttft_s=0.5, outcome="M3", detail="no tool is called 'secret_tool'",
    tools=("secret_tool",), loops=("L1 read ×3: the same call",), session="s-1", turn_index=7, cached_tokens=4000,
)  # fmt: skip


class Receiver(ThreadingHTTPServer):
    """A collector on a free port; what came to each path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: dict[str, list[bytes]] = {"/v1/traces": [], "/v1/metrics": []}
        self.headers: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        self.server.got[self.path].append(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.headers.append(self.headers.get("X-Key", ""))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def spans(receiver: Receiver) -> list[Span]:
    requests = [ExportTraceServiceRequest.FromString(raw) for raw in receiver.got["/v1/traces"]]
    return [span for r in requests for rs in r.resource_spans for ss in rs.scope_spans for span in ss.spans]


def facts(attributes: list[KeyValue]) -> dict[str, object]:
    """Attributes as plain values."""
    found: dict[str, object] = {}
    for item in attributes:
        kind = item.value.WhichOneof("value")
        value = getattr(item.value, kind or "string_value")
        found[item.key] = [part.string_value for part in value.values] if kind == "array_value" else value
    return found


def test_a_turn_is_a_span_with_its_own_times_and_no_text(receiver: Receiver) -> None:
    with telemetry(UPSTREAM) as tell:
        tell(FAILED)
    (span,) = spans(receiver)
    assert (span.name, span.kind) == ("chat m", Span.SPAN_KIND_CLIENT)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (1_000_500_000_000, 1_002_750_000_000)
    assert facts(list(span.attributes)) == {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m",
        "gen_ai.conversation.id": "s-1", "gen_ai.request.stream": True, "gen_ai.usage.input_tokens": 5000,
        "gen_ai.response.finish_reasons": ["tool_calls"], "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.usage.cache_read.input_tokens": 4000, "gen_ai.usage.output_tokens": 20,
        "http.response.status_code": 200, "server.address": "127.0.0.1", "server.port": 8080,
        "kvassay.outcome": "M3", "kvassay.kv": "q8_0/q4_0", "kvassay.turn": 7, "kvassay.loops": ["L1"],
        "kvassay.actions": [], "kvassay.recovered": False,
    }  # fmt: skip
    assert span.status.code == 0
    assert not any(b"secret_tool" in raw for sent in receiver.got.values() for raw in sent)


def test_metrics_tell_durations_tokens_and_outcomes(receiver: Receiver) -> None:
    with telemetry(UPSTREAM) as tell:
        for turn in (FAILED, event(), event(outcome="correct", depth_tokens=None)):
            tell(turn)
    request = ExportMetricsServiceRequest.FromString(receiver.got["/v1/metrics"][-1])
    metrics = {m.name: m for rm in request.resource_metrics for sm in rm.scope_metrics for m in sm.metrics}
    assert metrics["gen_ai.client.operation.duration"].unit == "s"
    assert metrics["gen_ai.client.operation.duration"].histogram.data_points[0].count == 3
    assert metrics["gen_ai.client.operation.time_to_first_chunk"].histogram.data_points[0].count == 3
    points = metrics["gen_ai.client.token.usage"].histogram.data_points
    assert {str(facts(list(p.attributes))["gen_ai.token.type"]): p.sum for p in points} == {
        "input": 10000,
        "output": 60,
    }
    turns = metrics["kvassay.guard.turns"].sum.data_points
    assert {
        (facts(list(p.attributes))["kvassay.outcome"], facts(list(p.attributes))["kvassay.depth"]): p.as_int
        for p in turns
    } == {("M3", "8k"): 1, ("correct", "8k"): 1, ("correct", "unknown"): 1}
    resource = facts(list(request.resource_metrics[0].resource.attributes))
    assert resource["service.name"] == "kvassay-guard"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"status": 500, "outcome": "P2"}, "500"),
        ({"status": 0, "outcome": "", "complete": False}, "no_reply"),
        ({"complete": False, "outcome": ""}, "cut"),
        ({"complete": False, "cancelled": True, "outcome": ""}, "cancelled"),
    ],
)
def test_a_request_that_failed_is_an_error(receiver: Receiver, fields: dict[str, object], error: str) -> None:
    with telemetry(UPSTREAM) as tell:
        tell(event(**fields))
    (span,) = spans(receiver)
    assert facts(list(span.attributes))["error.type"] == error
    assert span.status.code == 2


def test_the_standard_variables_are_honoured(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=k1")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    with telemetry(UPSTREAM) as tell:
        tell(FAILED)
    request = ExportTraceServiceRequest.FromString(receiver.got["/v1/traces"][0])
    assert facts(list(request.resource_spans[0].resource.attributes))["service.name"] == "mine"
    assert receiver.got["/v1/metrics"] == []
    assert set(receiver.headers) == {"k1"}


def test_a_protocol_that_is_not_spoken_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(ConfigError, match="'grpc'"), telemetry(UPSTREAM):
        pass
