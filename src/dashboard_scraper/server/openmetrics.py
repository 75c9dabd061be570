"""The state of the store in OpenMetrics, and what the newest day cost; it names no people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import chain

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from dashboard_scraper.model.costs import COST_METRICS, CostKind, CostMetric, text_of
from dashboard_scraper.model.dates import end_of_day
from dashboard_scraper.model.doubts import DoubtKind
from dashboard_scraper.store import CostLedgerDay
from dashboard_scraper.store.notices import Notice
from dashboard_scraper.store.status import StoreStatus

CONTENT_TYPE = CONTENT_TYPE_LATEST
_PREFIX = "dashboard_scraper"
_END = b"# EOF\n"
_OF_KIND = {
    CostKind.MONEY: (
        "newest_cost_day_amount",
        "Amounts of the newest day whose costs add up; never add two",
    ),
    CostKind.CREDITS: ("newest_cost_day_credits", "Credits of the newest day whose costs add up"),
    CostKind.TOKENS: (
        "newest_cost_day_tokens",
        "Tokens of the newest day whose costs add up, by class",
    ),
}
_OF_RUN = {
    "exit_code": "Exit code of the newest run that ended",
    "days_fetched": "Days that the newest run fetched",
    "days_revised": "Days that the newest run replaced by other figures",
    "days_failed": "Days that the newest run could not fetch",
    "requests": "Requests that the newest run sent to the source",
}
"""Of the fields of a run."""
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
        yield from self._runs()
        yield from (newest, missing, *in_doubt.values(), success, rows, *more.values())

    def _runs(self) -> Iterator[Metric]:
        """The newest run of each source, also of one without any day."""
        if not self._status.runs:
            return
        ended = _gauge("last_run_end_timestamp", "When the newest run ended", "seconds")
        for run in self._status.runs:
            if run.ended_at:
                ended.add_metric([run.source], run.ended_at.timestamp())
        yield ended
        for field, text in _OF_RUN.items():
            gauge = _gauge(f"last_run_{field}", text)
            for run in self._status.runs:
                gauge.add_metric([run.source], getattr(run, field))
            yield gauge


def _gauge(name: str, text: str, unit: str = "") -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "_".join(part for part in (_PREFIX, name, unit) if part),
        text,
        labels=["source"],
        unit=unit,
    )


def open_metrics(
    status: StoreStatus,
    people: Mapping[str, int],
    missing_from_latest: Mapping[str, int],
    newest_costs: Mapping[str, CostLedgerDay],
    now: datetime,
    *,
    notices: Iterable[Notice],
    amounts: bool,
) -> bytes:
    """The body of `/metrics`. By source, if known: the number of people, of the days that the
    reports of 28 days lack, and the newest day whose costs add up; with `amounts`, what it cost.
    """
    registry = CollectorRegistry()
    more = {"people": people, "latest_reports_missing_days": missing_from_latest}
    registry.register(_StatusCollector(status, more))
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    lines = chain(
        _open_notices(notices),
        _cost_days(status, newest_costs, now),
        _amounts(newest_costs if amounts else {}),
    )
    return text.removesuffix(_END) + "".join(f"{line}\n" for line in lines).encode() + _END


def _open_notices(notices: Iterable[Notice]) -> Iterator[str]:
    """Of the occasions that there ever were: where nobody is notified, none is known to be over."""
    still_open: Counter[tuple[str, str]] = Counter()
    for notice in notices:
        still_open[notice.source, notice.occasion] += notice.ended_at is None
    yield from _family(
        "open_notices",
        "Occasions to notify somebody of that are not over",
        [
            (_labels(source, occasion=occasion), f"{count}")
            for (source, occasion), count in still_open.items()
        ],
    )


def _cost_days(
    status: StoreStatus, newest_costs: Mapping[str, CostLedgerDay], now: datetime
) -> Iterator[str]:
    """How old the newest costs are, and on how many days they do not add up."""
    ends = {source: end_of_day(row.day) for source, row in newest_costs.items()}
    yield from _family(
        "newest_cost_day_end_timestamp_seconds",
        "End of the newest day whose costs add up",
        [(_labels(source), f"{end.timestamp():.0f}") for source, end in ends.items()],
        unit="seconds",
    )
    yield from _family(
        "newest_cost_day_age_seconds",
        "Time since the end of the newest day whose costs add up",
        [(_labels(source), f"{(now - end).total_seconds():.0f}") for source, end in ends.items()],
        unit="seconds",
    )
    yield from _family(
        "cost_unreconciled_days",
        "Days whose costs are not what the source's own figures say",
        [
            (_labels(source.source), f"{len(source.costs.unreconciled)}")
            for source in status.sources
            if source.costs
        ],
    )


def _amounts(newest_costs: Mapping[str, CostLedgerDay]) -> Iterator[str]:
    """The day's known sums, written here: the client library would make floats of them."""
    for kind, (name, text) in _OF_KIND.items():
        samples = []
        for source, row in newest_costs.items():
            for metric in COST_METRICS:
                value = text_of(row.sums[metric])
                if metric.kind is kind and value is not None:
                    samples.append((_cost_labels(source, metric, row.currency), value))
        yield from _family(name, text, samples)


def _cost_labels(source: str, metric: CostMetric, currency: str) -> str:
    if metric.kind is CostKind.MONEY:
        return _labels(source, metric=metric.name, currency=currency)
    return (
        _labels(source, metric=metric.name) if metric.kind is CostKind.TOKENS else _labels(source)
    )


def _labels(source: str, **others: str) -> str:
    return ",".join(f'{name}="{value}"' for name, value in {"source": source, **others}.items())


def _family(
    name: str, text: str, samples: Iterable[tuple[str, str]], unit: str = ""
) -> Iterator[str]:
    """A gauge with its samples: labels and exact numbers. Nothing without samples."""
    listed = list(samples)
    if not listed:
        return
    full = f"{_PREFIX}_{name}"
    yield f"# HELP {full} {text}"
    yield f"# TYPE {full} gauge"
    if unit:
        yield f"# UNIT {full} {unit}"
    for labels, value in listed:
        yield f"{full}{{{labels}}} {value}"
