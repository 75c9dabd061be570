"""The state of the store in OpenMetrics, the costs of the newest day, and teams; no people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from dashboard_scraper.model.costs import COST_METRICS, CostKind, CostMetric, text_of
from dashboard_scraper.report.figures import Group
from dashboard_scraper.store import CostLedgerDay
from dashboard_scraper.store.gauges import (
    SECONDS,
    Gauge,
    cost_unreconciled_days,
    gauges_of,
    newest_cost_day,
)
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
"""The fields of a run that become gauges."""
_OF_TEAM: Mapping[str, tuple[str, Callable[[Group], float]]] = {
    "team_people": (
        "People of each team that may be shown; of all others without a name",
        lambda group: group.people or 0,
    ),
    "team_active_people": (
        "Those of them who were active in the newest 28 days",
        lambda group: group.active,
    ),
}
_MORE = {
    "people": "People and service accounts that were ever kept, each once",
    "latest_reports_missing_days": "Days that the reports of the latest 28 days lack",
}


class _TeamCollector(Collector):
    """Teams by source: the client library escapes their names."""

    def __init__(self, teams: Mapping[str, Sequence[Group]]) -> None:
        self._teams = teams

    def collect(self) -> Iterator[Metric]:
        """The size of each team, and how many members were active; nothing without teams."""
        for name, (text, figure) in _OF_TEAM.items():
            gauge = GaugeMetricFamily(f"{_PREFIX}_{name}", text, labels=["source", "team"])
            for source, groups in self._teams.items():
                for group in groups:
                    gauge.add_metric([source, group.name], figure(group))
            if gauge.samples:
                yield gauge


class _StatusCollector(Collector):
    def __init__(self, status: StoreStatus, more: Mapping[str, Mapping[str, int]]) -> None:
        self._status = status
        self._more = more

    def collect(self) -> Iterator[Metric]:
        """One gauge after another, each with a sample per source."""
        yield from self._runs()
        yield from map(_family_of, gauges_of(self._status))
        for name, values in self._more.items():
            yield _family_of(Gauge(name, _MORE[name], values=self._of_listed(values)))

    def _of_listed(self, values: Mapping[str, int]) -> dict[str, float]:
        names = (source.source for source in self._status.sources)
        return {name: values[name] for name in names if name in values}

    def _runs(self) -> Iterator[Metric]:
        """The newest run of each source, also of sources without any day."""
        if not self._status.runs:
            return
        runs = self._status.runs
        ended = {run.source: run.ended_at.timestamp() for run in runs if run.ended_at}
        yield _family_of(
            Gauge("last_run_end_timestamp", "When the newest run ended", SECONDS, ended)
        )
        for field, text in _OF_RUN.items():
            values = {run.source: getattr(run, field) for run in runs}
            yield _family_of(Gauge(f"last_run_{field}", text, values=values))


def _family_of(gauge: Gauge) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        f"{_PREFIX}_{_name_of(gauge)}",
        gauge.text,
        labels=["source"],
        unit=gauge.unit,
    )
    for source, value in gauge.values.items():
        family.add_metric([source], value)
    return family


def _name_of(gauge: Gauge) -> str:
    """Its name in OpenMetrics, which ends with the unit."""
    return f"{gauge.name}_{gauge.unit}" if gauge.unit else gauge.name


def open_metrics(
    status: StoreStatus,
    people: Mapping[str, int],
    missing_from_latest: Mapping[str, int],
    newest_costs: Mapping[str, CostLedgerDay],
    now: datetime,
    *,
    notices: Iterable[Notice],
    teams: Mapping[str, Sequence[Group]],
    amounts: bool,
) -> bytes:
    """The body of `/metrics`. By source, if known: the number of people, the number of days missing
    from the 28-day reports, and the newest day whose costs add up; with `amounts`, that day's
    costs.
    """
    registry = CollectorRegistry()
    more = {"people": people, "latest_reports_missing_days": missing_from_latest}
    registry.register(_StatusCollector(status, more))
    registry.register(_TeamCollector(teams))
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    lines = chain(
        _open_notices(notices),
        _cost_days(status, newest_costs, now),
        _amounts(newest_costs if amounts else {}),
    )
    return text.removesuffix(_END) + "".join(f"{line}\n" for line in lines).encode() + _END


def _open_notices(notices: Iterable[Notice]) -> Iterator[str]:
    """Counts for every occasion so far; if nobody is notified, none is known to be over."""
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
    """How old the newest costs are, and on how many days costs do not add up."""
    end = newest_cost_day(newest_costs)
    yield from _written(end)
    ages = {source: now.timestamp() - moment for source, moment in end.values.items()}
    age = "Time since the end of the newest day whose costs add up"
    yield from _written(Gauge("newest_cost_day_age", age, SECONDS, ages))
    yield from _written(cost_unreconciled_days(status))


def _written(gauge: Gauge) -> Iterator[str]:
    """The lines of a gauge; nothing if no source has a value."""
    samples = [(_labels(source), f"{value:.0f}") for source, value in gauge.values.items()]
    yield from _family(_name_of(gauge), gauge.text, samples, gauge.unit)


def _amounts(newest_costs: Mapping[str, CostLedgerDay]) -> Iterator[str]:
    """The day's known sums. Written here, since the client library would turn them into floats."""
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
    """A gauge with its samples: labels and exact numbers; nothing without samples."""
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
