"""The state of the store in OpenMetrics, for monitoring: no usage figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from dashboard_scraper.model.dates import end_of_day
from dashboard_scraper.model.doubts import DoubtKind
from dashboard_scraper.store.status import StoreStatus

CONTENT_TYPE = CONTENT_TYPE_LATEST
_PREFIX = "dashboard_scraper"
_MORE = {
    "people": "People and service accounts that were ever kept, each once",
    "latest_reports_missing_days": "Days that the reports of the latest 28 days lack",
}


class _StatusCollector(Collector):
    def __init__(self, status: StoreStatus, more: Mapping[str, Mapping[str, int]]) -> None:
        self._status = status
        self._more = more

    def collect(self) -> Iterator[Metric]:
        """One gauge after the other, each with a sample per source."""
        newest = _gauge(
            "newest_complete_day_end_timestamp", "End of the newest day that is kept", "seconds"
        )
        missing = _gauge("missing_days", "Days between the first and yesterday that are missing")
        success = _gauge(
            "last_success_timestamp", "When a run last got everything, and it added up", "seconds"
        )
        in_doubt = {
            kind: _gauge(f"{kind.word}_days", f"Days in doubt: {kind.meaning}")
            for kind in DoubtKind
        }
        rows = _gauge("rows", "User-days that are kept, as the source spells users")
        more = {name: _gauge(name, _MORE[name]) for name in self._more}
        for source in self._status.sources:
            label = [source.source]
            if source.newest_over:
                newest.add_metric(label, end_of_day(source.newest_over).timestamp())
            missing.add_metric(label, len(source.missing))
            for kind, days in source.days_in_doubt().items():
                in_doubt[kind].add_metric(label, len(days))
            rows.add_metric(label, source.rows)
            for name, values in self._more.items():
                if source.source in values:
                    more[name].add_metric(label, values[source.source])
            if source.last_success:
                success.add_metric(label, source.last_success.timestamp())
        yield from (newest, missing, *in_doubt.values(), success, rows, *more.values())


def _gauge(name: str, text: str, unit: str = "") -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "_".join(part for part in (_PREFIX, name, unit) if part),
        text,
        labels=["source"],
        unit=unit,
    )


def open_metrics(
    status: StoreStatus, people: Mapping[str, int], missing_from_latest: Mapping[str, int]
) -> bytes:
    """The body of `/metrics`. By source, if known: the number of people, and of the days that the
    reports of 28 days lack.
    """
    registry = CollectorRegistry()
    more = {"people": people, "latest_reports_missing_days": missing_from_latest}
    registry.register(_StatusCollector(status, more))
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return text
