"""An OpenTelemetry collector: receives OTLP over HTTP, and decodes it with the official package."""

from __future__ import annotations

import contextlib
import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

_PATIENCE = 60


def attributes_of(found: Any) -> dict[str, Any]:
    """The attributes of anything that has some."""
    return {each.key: _plain(each.value) for each in found.attributes}


def _plain(value: AnyValue) -> Any:
    return getattr(value, value.WhichOneof("value") or "string_value")


@dataclass(frozen=True)
class Point:
    """One number of a metric."""

    name: str
    unit: str
    description: str
    attributes: dict[str, Any]
    value: float
    nanoseconds: int


@dataclass
class Collector:
    """What arrived. Once `may_answer` is set, requests are answered with `status`, `location` and
    `answer`. `followed` has the paths of all GETs.
    """

    port: int = 0
    status: int = 200
    location: str = ""
    followed: list[str] = field(default_factory=list)
    answer: bytes = b""
    may_answer: threading.Event = field(default_factory=threading.Event)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def span(self, name: str) -> Span:
        """The only span of this name; waits for it, as a run that was stopped does not wait."""
        deadline = time.monotonic() + _PATIENCE
        while name not in {span.name for span in self.spans} and time.monotonic() < deadline:
            time.sleep(0.01)
        (found,) = (span for span in self.spans if span.name == name)
        return found

    def value(self, name: str, **attributes: str) -> float:
        """The only point with this name and these attributes."""
        (found,) = (p for p in self.points if p.name == name and p.attributes == attributes)
        return found.value

    def take(self, path: str, body: bytes) -> None:
        """Decode a body; the path of another signal is an error."""
        self.bodies.append(body)
        if path == "/v1/traces":
            self._take_traces(body)
        elif path == "/v1/metrics":
            self._take_metrics(body)
        else:
            raise ValueError(path)

    def _take_traces(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(attributes_of(resource.resource))
            for scope in resource.scope_spans:
                self.spans += scope.spans

    def _take_metrics(self, body: bytes) -> None:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            self.resources.append(attributes_of(resource.resource))
            for metric in (each for scope in resource.scope_metrics for each in scope.metrics):
                assert metric.WhichOneof("data") == "gauge"
                for point in metric.gauge.data_points:
                    self.points.append(
                        Point(
                            metric.name,
                            metric.unit,
                            metric.description,
                            attributes_of(point),
                            getattr(point, point.WhichOneof("value") or "as_int"),
                            point.time_unix_nano,
                        )
                    )


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector that answers at once."""
    found = Collector()
    found.may_answer.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            found.headers.append(dict(self.headers))
            found.take(self.path, body)
            found.may_answer.wait()
            with contextlib.suppress(ConnectionError):  # a client that gave up
                self.send_response(found.status)
                if found.location:
                    self.send_header("Location", found.location)
                self.send_header("Content-Length", f"{len(found.answer)}")
                self.end_headers()
                self.wfile.write(found.answer)

        def do_GET(self) -> None:
            found.followed.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield found
        finally:
            found.may_answer.set()
            server.shutdown()
            thread.join()
