"""Sends a run's spans and measures with OpenTelemetry's SDK, which reads its own settings.

A failure here does not change the run: it is logged as one warning, after a bounded time. The SDK's
own messages reach no log, since they may contain a header's value.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import requests
from google.protobuf.message import DecodeError
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.sdk.metrics.export import (
    Gauge,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, Status, StatusCode

from dashboard_scraper import __version__
from dashboard_scraper.installation import NAME
from dashboard_scraper.logs import keep_out_of_the_log
from dashboard_scraper.settings.library_settings import TELEMETRY_ENDPOINT, Libraries
from dashboard_scraper.sources.rest.route import route_to
from dashboard_scraper.spans import Attributes, Note, Value
from dashboard_scraper.telemetry.measures import Measure
from dashboard_scraper.telemetry.switch import Signal
from dashboard_scraper.telemetry.wording import class_of, without_people, words_of

logger = logging.getLogger(__name__)

_INSTANCE = "service.instance.id"
_SCOPE = "dashboard_scraper"
_ERROR_TYPE = "error.type"
_STATUS_CODE = "http.response.status_code"
_REDIRECT, _FAILED = 300, 400


class _Session(requests.Session):
    """Remembers why requests failed, in words without a URL or a header."""

    failure = ""
    """Why the last request failed."""
    rejected = 0
    """How many spans or points were rejected in answers that are otherwise a success."""

    def why_not(self, *, is_accepted: bool) -> str:
        """Why not everything was accepted; empty if it was."""
        if self.failure or not is_accepted:  # the SDK takes a redirect for a success
            return self.failure or "not accepted"
        return f"{self.rejected} of them rejected" if self.rejected else ""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send without redirects: another server would get the headers, the collector no data."""
        try:
            response = super().send(request, **{**kwargs, "allow_redirects": False})
        except requests.exceptions.SSLError:
            self.failure = "the TLS connection failed"
            raise
        except requests.Timeout:
            self.failure = "no answer in time"
            raise
        except requests.ConnectionError:
            self.failure = "it could not be reached, or closed the connection"
            raise
        is_success = response.status_code < _REDIRECT
        self.failure = "" if is_success else f"HTTP {response.status_code}"
        self.rejected += _rejected_in(response) if is_success else 0
        return response


def _rejected_in(response: requests.Response) -> int:
    """How many were rejected according to the body; spans and points use the same field."""
    try:
        answer = ExportMetricsServiceResponse.FromString(response.content)
    except DecodeError:  # it is not protobuf
        return 0
    rejected: int = answer.partial_success.rejected_data_points
    return rejected


class _NotedExporter(SpanExporter):
    """Wraps an exporter, and remembers why not everything was accepted."""

    def __init__(self, exporter: SpanExporter, session: _Session) -> None:
        self._exporter = exporter
        self._session = session
        self.failure = ""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        is_accepted = result is SpanExportResult.SUCCESS
        self.failure = self._session.why_not(is_accepted=is_accepted) or self.failure
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _Traces:
    """The spans of a run, as in `spans.Tracer`; they are sent while the run goes on."""

    def __init__(self, resource: Resource, libraries: Libraries) -> None:
        session = _session_to(Signal.TRACES, libraries)
        ca = _ca_of(Signal.TRACES, libraries)
        self._noted = _NotedExporter(
            OTLPSpanExporter(session=session, certificate_file=ca), session
        )
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._noted))
        self._tracer = self._provider.get_tracer(_SCOPE, __version__)

    @contextlib.contextmanager
    def span(self, name: str, attributes: Attributes, *, is_request: bool) -> Iterator[Note]:
        kind = SpanKind.CLIENT if is_request else SpanKind.INTERNAL
        with self._tracer.start_as_current_span(
            name,
            kind=kind,
            attributes=_cleaned(attributes),
            record_exception=False,  # its traceback would contain what messages must not contain
            set_status_on_exception=False,
        ) as measured:
            try:
                yield lambda more: _note(measured, more)
            except BaseException as error:
                measured.set_attribute(_ERROR_TYPE, class_of(error))
                measured.set_status(
                    Status(StatusCode.ERROR, f"{class_of(error)}: {words_of(error)}")
                )
                raise

    def annotate(self, attributes: Attributes) -> None:
        _note(trace.get_current_span(), attributes)

    def finish(self, _measures: Collection[Measure]) -> str:
        """Send the remaining spans; returns why some were not sent."""
        self._provider.shutdown()
        return self._noted.failure


def _note(span: trace.Span, attributes: Attributes) -> None:
    span.set_attributes(_cleaned(attributes))
    status = attributes.get(_STATUS_CODE)
    if isinstance(status, int) and status >= _FAILED:
        span.set_attribute(_ERROR_TYPE, f"{status}")
        span.set_status(Status(StatusCode.ERROR))


def _cleaned(attributes: Attributes) -> dict[str, Value]:
    return {
        name: without_people(value) if isinstance(value, str) else value
        for name, value in attributes.items()
    }


class _Metrics:
    """The measures of a run, all sent at its end."""

    def __init__(self, resource: Resource, libraries: Libraries) -> None:
        self._resource = resource
        self._session = _session_to(Signal.METRICS, libraries)
        self._exporter = OTLPMetricExporter(
            session=self._session, certificate_file=_ca_of(Signal.METRICS, libraries)
        )

    def finish(self, measures: Collection[Measure]) -> str:
        """Send them; returns why they were not sent."""
        if not measures:
            return ""
        scope = InstrumentationScope(_SCOPE, __version__)
        found = ResourceMetrics(
            self._resource, [ScopeMetrics(scope, _metrics_of(measures, time.time_ns()), "")], ""
        )
        result = self._exporter.export(MetricsData([found]))
        self._exporter.shutdown()
        return self._session.why_not(is_accepted=result is MetricExportResult.SUCCESS)


def _metrics_of(measures: Iterable[Measure], now: int) -> list[Metric]:
    """A gauge for each name. Not made with a meter: beyond 2,000 points of a name, it would add up
    points of several days.
    """
    by_name: dict[str, list[Measure]] = {}
    for measure in measures:
        by_name.setdefault(measure.name, []).append(measure)
    return [
        Metric(
            name,
            points[0].description,
            points[0].unit,
            Gauge([NumberDataPoint(each.attributes, 0, now, each.value) for each in points]),
        )
        for name, points in by_name.items()
    ]


def _resource() -> Resource:
    """The attributes of the sender; the environment comes before our own values. The SDK's instance
    id is left out, since it is random in each process: every run would have its own time series.
    """
    made = Resource.create({"service.name": NAME, "service.version": __version__})
    attributes = {name: value for name, value in made.attributes.items() if name != _INSTANCE}
    return Resource(attributes, made.schema_url).merge(OTELResourceDetector().detect())


def _session_to(signal: Signal, libraries: Libraries) -> _Session:
    """A session that uses the same proxy as the sources."""
    session = _Session()
    session.trust_env = False
    session.proxies.update(route_to(_endpoint(signal, libraries), libraries).proxies)
    return session


def _endpoint(signal: Signal, libraries: Libraries) -> str:
    return libraries.value_of(signal.setting("ENDPOINT")) or libraries.value_of(TELEMETRY_ENDPOINT)


def _ca_of(signal: Signal, libraries: Libraries) -> str | None:
    """The certificates that the sources' connections trust, unless OTEL_* names others."""
    for name in (signal.setting("CERTIFICATE"), "OTEL_EXPORTER_OTLP_CERTIFICATE"):
        if libraries.value_of(name):
            return None
    return route_to(_endpoint(signal, libraries), libraries).ca


class Sender:
    """Sends a run's traces and metrics. `tracer` measures its spans, if traces are wanted."""

    def __init__(self, signals: Collection[Signal], libraries: Libraries) -> None:
        """Raises ValueError for a setting that the SDK refuses, UsageError for certificates."""
        keep_out_of_the_log("opentelemetry")
        with libraries.of_telemetry():
            resource = _resource()
            traces = _Traces(resource, libraries) if Signal.TRACES in signals else None
            metrics = _Metrics(resource, libraries) if Signal.METRICS in signals else None
        self.tracer = traces
        self._parts = {
            signal.value: part.finish
            for signal, part in ((Signal.TRACES, traces), (Signal.METRICS, metrics))
            if part is not None
        }

    def finish(self, measures: Collection[Measure], seconds: float) -> None:
        """Send what is left, waiting at most `seconds`; logs one warning if that fails."""
        deadline = time.monotonic() + seconds
        attempts = [_Attempt(name, part, measures) for name, part in self._parts.items()]
        reasons = [each.failure(deadline) for each in attempts]
        failures = [
            f"{each.name}: {f'no answer within {seconds:g} s' if reason is None else reason}"
            for each, reason in zip(attempts, reasons, strict=True)
            if reason != ""
        ]
        if failures:
            logger.warning(
                "the collector did not accept all telemetry (%s); the run and its files are not"
                " affected",
                "; ".join(failures),
            )


class _Attempt:
    """Sends in a thread that ends with the program, however long a collector takes."""

    def __init__(
        self,
        name: str,
        finish: Callable[[Collection[Measure]], str],
        measures: Collection[Measure],
    ) -> None:
        self.name = name
        self._failure = "it ended unexpectedly"
        self._finish = finish
        self._measures = measures
        self._thread = threading.Thread(target=self._run, name=f"otel-{name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._failure = self._finish(self._measures)

    def failure(self, deadline: float) -> str | None:
        """Wait until the deadline; returns why it failed, or "". None if it still runs."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return None if self._thread.is_alive() else self._failure
