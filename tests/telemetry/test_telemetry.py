"""What a run sends to an OpenTelemetry collector, over a real socket: its days, and itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

import claude_code_runs
from analytics_runs import USERS
from collector import Collector, attributes_of, collector
from conftest import Home, Start, today, twelve_users
from dashboard_scraper import __version__
from dashboard_scraper.cli.observing import observed
from dashboard_scraper.errors import ContractBroken, DaysMissing
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import BY_NAME, COUNTS, USER_COUNT
from dashboard_scraper.model.tolerance import EXACT
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.settings.library_settings import Libraries
from dashboard_scraper.simulator import Fault, Organization, Simulator, repeat_user
from dashboard_scraper.sources.registry import ANALYTICS, CLAUDE_CODE, info_of
from dashboard_scraper.store import LedgerDay, store_at
from dashboard_scraper.store.gauges import gauges_of
from dashboard_scraper.store.status import StoreStatus
from dashboard_scraper.telemetry.measures import of_days
from dashboard_scraper.telemetry.wording import words_of
from databases import on_sqlite
from stored_days import settings_of

PREFIX = "dashboard_scraper."
# A Wednesday: at a weekend, perhaps none of twelve people works.
SETTLED = next(day for n in range(10, 17) if (day := today() - timedelta(n)).weekday() == 2)
DAY = f"{SETTLED}"
HEADER = "s3cret-0f-the-collector"
ERROR = Status.STATUS_CODE_ERROR
KNOWN = {metric.name for metric in info_of(ANALYTICS).metrics}
pytestmark = pytest.mark.slow


@pytest.fixture
def sink(home: Home) -> Iterator[Collector]:
    with collector() as started:
        home.settings |= {
            "OTEL_EXPORTER_OTLP_ENDPOINT": started.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"x-api-key={HEADER}",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        }
        yield started


@pytest.fixture
def api(home: Home, start_api: Start, sink: Collector) -> Simulator:
    assert sink
    home.settings["FETCH_EDITOR_LANGUAGE"] = "false"
    return start_api(twelve_users())


def ledger_of(home: Home, source: str = ANALYTICS) -> dict[date, LedgerDay]:
    with store_at(settings_of(home).store_url).reading() as reader:
        return reader.ledger(source)


def figures_in(sink: Collector) -> dict[str, dict[str, float]]:
    """For each day, the figure under each name of the catalogue."""
    found: dict[str, dict[str, float]] = {}
    for point in sink.points:
        if "day" in point.attributes:
            name = point.name.removeprefix(PREFIX)
            day = found.setdefault(point.attributes["day"], {})
            assert name not in day
            day[name] = point.value
    return found


def figures_of(row: LedgerDay) -> dict[str, float]:
    """The known figures of a day; for a day without users, the ledger has 0 for everything."""
    known = {metric.name: row.sums[metric] for metric in COUNTS if metric.name in KNOWN}
    return {USER_COUNT.name: row.active_users} | {n: v for n, v in known.items() if v is not None}


def sending_to(sink: Collector, home: Home) -> Settings:
    """The home's settings, as if its `.env` named the collector."""
    return settings_of(home).using(Libraries({"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url}))


def children_of(sink: Collector, parent: Span) -> list[Span]:
    return [span for span in sink.spans if span.parent_span_id == parent.span_id]


def test_figures_are_those_of_the_store(
    home: Home, api: Simulator, sink: Collector, store_url: str
) -> None:
    before = time.time_ns()
    assert home.run("--last-28-days").code == 0
    ledger = ledger_of(home)
    assert len(ledger) == 28
    assert figures_in(sink) == {f"{day}": figures_of(row) for day, row in ledger.items()}
    assert {point.attributes["source"] for point in sink.points} == {ANALYTICS}
    assert all(before < point.nanoseconds < time.time_ns() for point in sink.points)
    newest = datetime.combine(today(), datetime.min.time(), UTC).timestamp()
    state = {"newest_complete_day_end_timestamp": newest, "missing_days": 0, "held_days": 0}
    for name, value in state.items():
        assert sink.value(PREFIX + name, source=ANALYTICS) == value
    assert api.requests
    assert store_url


@on_sqlite
def test_metrics_are_named_by_the_catalogue(
    home: Home, api: Simulator, sink: Collector, store_url: str
) -> None:
    assert home.run("--daily", DAY, DAY).code == 0
    names = {point.name.removeprefix(PREFIX) for point in sink.points if "day" in point.attributes}
    assert len(names) > 10
    for point in sink.points:
        name = point.name.removeprefix(PREFIX)
        if name in names - {USER_COUNT.name}:
            assert point.description == BY_NAME[name].definition
            assert point.unit == f"{{{BY_NAME[name].unit.value.replace(' ', '_')}}}"
    gauges = {gauge.name for gauge in gauges_of(StoreStatus("", []))}
    assert {point.name.removeprefix(PREFIX) for point in sink.points} >= gauges
    assert gauges & {*BY_NAME, USER_COUNT.name} == set()
    assert api.requests
    assert store_url


@on_sqlite
def test_run_is_a_trace(home: Home, api: Simulator, sink: Collector, store_url: str) -> None:
    home.settings["OTEL_SERVICE_NAME"] = "figures-of-example"
    threads = {*threading.enumerate()}
    assert home.run("--daily", f"{SETTLED - timedelta(1)}", DAY).code == 0
    root, source = sink.span("daily"), sink.span(f"source {ANALYTICS}")
    assert not root.parent_span_id
    assert source in children_of(sink, root)
    assert {span.trace_id for span in sink.spans} == {root.trace_id}
    found = attributes_of(source)
    assert (
        found.items()
        >= {
            "source": ANALYTICS,
            "command": "daily",
            "window.start": f"{SETTLED - timedelta(1)}",
            "window.end": DAY,
            "days_fetched": 2,
            "days_missing": 0,
            "days_held": 0,
            "requests": len(api.requests),
            "process.exit.code": 0,
        }.items()
    )
    names = {span.name for span in children_of(sink, source)}
    assert names >= {"prepare days", "fetch day", "store day", "fetch costs", "write files"}
    days = [span for span in sink.spans if span.name == "fetch day"]
    requests = [span for day in days for span in children_of(sink, day)]
    assert len(days) == 2
    assert {attributes_of(span)["http.response.status_code"] for span in requests} == {200}
    assert {span.name for span in requests} == {"GET"}
    assert all(span.kind == Span.SPAN_KIND_CLIENT for span in requests)
    for resource in sink.resources:
        assert resource["service.name"] == "figures-of-example"
        assert resource["service.version"] == __version__
        assert "service.instance.id" not in resource  # each process has another
    new = {*threading.enumerate()} - threads
    assert not [thread for thread in new if "otel" in thread.name.lower()]
    assert {headers["x-api-key"] for headers in sink.headers} == {HEADER}
    assert store_url


@on_sqlite
def test_figure_that_a_source_does_not_know_is_absent(
    home: Home, claude: Simulator, sink: Collector, store_url: str
) -> None:
    """Also on a day on which nobody was active, whose sums are 0."""
    first = claude_code_runs.DAY
    for day in [first + timedelta(number) for number in range(6)]:  # including a weekend
        claude_code_runs.fetched(home, day, day)
    unknown = {metric.name for metric in info_of(CLAUDE_CODE).lacks(COUNTS)}
    assert unknown
    figures = figures_in(sink)
    assert len(figures) == 6
    for names in figures.values():
        assert names
        assert names.keys() & unknown == set()
    assert claude.requests
    assert store_url


@on_sqlite
def test_figure_that_is_unknown_on_a_day_is_absent(
    home: Home, api: Simulator, sink: Collector, store_url: str
) -> None:
    """If the count of one user is unknown, so is the sum."""
    assert home.run("backfill", DAY, DAY).code == 0
    assert "chat_messages" in figures_in(sink)[DAY]
    sink.points.clear()
    store = store_at(store_url)
    with store.locked(), store.opened():
        with store.reading() as reader:
            usage = reader.day(reader.ledger(ANALYTICS)[SETTLED])
        unknown = msgspec.structs.replace(usage.users[0].figures, chat_messages=None)
        users = [msgspec.structs.replace(usage.users[0], figures=unknown), *usage.users[1:]]
        totals = {n: v for n, v in (usage.totals or {}).items() if n != "chat_messages"}
        store.put(ANALYTICS, DayUsage(SETTLED, users, totals), datetime.now(UTC))
    assert home.run("backfill", DAY, DAY).code == 0
    figures = figures_in(sink)[DAY]
    assert "chat_messages" not in figures
    assert "total_messages" in figures
    assert api.requests


@on_sqlite
def test_day_in_doubt_is_counted_but_not_sent(
    home: Home, api: Simulator, sink: Collector, store_url: str
) -> None:
    first = f"{SETTLED - timedelta(1)}"
    assert home.run("backfill", first, DAY).code == 0
    assert figures_in(sink).keys() == {first, DAY}
    sink.points.clear()
    sink.spans.clear()
    store_again(store_url, SETTLED, datetime.now(UTC), doubtful=True)
    assert home.run("backfill", first, DAY).code == 9
    assert figures_in(sink).keys() == {first}
    assert sink.value(f"{PREFIX}unreconciled_days", source=ANALYTICS) == 1
    assert attributes_of(sink.span(f"source {ANALYTICS}"))["days_unreconciled"] == 1
    assert api.requests


@on_sqlite
def test_day_that_was_not_over_is_not_sent(
    home: Home, api: Simulator, sink: Collector, store_url: str
) -> None:
    assert home.run("backfill", DAY, DAY).code == 0
    noon = datetime.combine(SETTLED, datetime.min.time(), UTC) + timedelta(hours=12)
    window, now = Window(SETTLED, SETTLED), datetime.now(UTC)
    for fetched_at, count in ((now, True), (noon, False)):
        store_again(store_url, SETTLED, fetched_at, doubtful=False)
        with store_at(store_url).reading() as reader:
            assert any(of_days(reader, info_of(ANALYTICS), window, EXACT, now)) is count
    assert api.requests
    assert sink.points


def store_again(store_url: str, day: date, fetched_at: datetime, *, doubtful: bool) -> None:
    """Store the day without its first user; if `doubtful`, with the unchanged tenant's totals."""
    store = store_at(store_url)
    with store.locked(), store.opened():
        with store.reading() as reader:
            usage = reader.day(reader.ledger(ANALYTICS)[day])
        totals = usage.totals if doubtful else None
        store.put(ANALYTICS, DayUsage(day, usage.users[1:], totals), fetched_at)


@on_sqlite
def test_failure_is_the_status_of_the_trace(
    home: Home, api: Simulator, sink: Collector, store_url: str
) -> None:
    home.settings["AUGMENT_API_TOKEN"] = "wrong-token"
    assert home.run("--daily", DAY, DAY).code == 3
    for name in ("daily", f"source {ANALYTICS}"):
        span = sink.span(name)
        assert span.status.code == ERROR
        assert span.status.message.startswith("SignInRequired: ")
        assert (
            attributes_of(span).items()
            >= {
                "error.type": "SignInRequired",
                "process.exit.code": 3,
            }.items()
        )
    refused = [span for span in sink.spans if span.name == "GET"]
    assert {attributes_of(span)["error.type"] for span in refused} == {"401"}
    assert sink.value(f"{PREFIX}run_exit_code", source=ANALYTICS, command="daily") == 3
    assert figures_in(sink) == {}
    assert api.requests
    assert store_url


@on_sqlite
@pytest.mark.parametrize("service_accounts", [0, 2], ids=["address", "name of a service account"])
def test_no_byte_has_a_secret_or_a_person(
    home: Home, start_api: Start, sink: Collector, service_accounts: int, store_url: str
) -> None:
    """Not even if the error's message, and so the log, names somebody."""
    home.settings["FETCH_EDITOR_LANGUAGE"] = "false"
    api = start_api(Organization(12, service_accounts=service_accounts, today=today()))
    assert home.run("--daily", DAY, DAY).code == 0
    with store_at(store_url).reading() as reader:
        people = reader.names()
    api.add_fault(Fault(repeat_user(changed=True), USERS))
    failed = home.run("--daily", DAY, DAY, "--refresh")
    assert failed.code == 5
    (named,) = (name for name in people if f": {name} came twice" in failed.err)
    assert ("@" in named) is (service_accounts == 0)
    span = [span for span in sink.spans if span.name == f"source {ANALYTICS}"][-1]
    assert span.status.message.startswith("ContractBroken: ")
    assert "REDACTED came twice" in span.status.message
    cursors = {request.cursor for request in api.requests if request.cursor}
    for secret in {api.token, HEADER, *people, *cursors}:
        for body in sink.bodies:
            assert secret.encode() not in body
    assert HEADER not in failed.err


@on_sqlite
def test_days_are_those_that_the_run_began_with(
    home: Home, sink: Collector, store_url: str
) -> None:
    """It may end on another day, which the next night fetches."""
    moments = [datetime(2026, 3, 2, 23, 50, tzinfo=UTC)]
    settings = sending_to(sink, home)
    with observed(settings, "last-28-days", clock=lambda: moments[-1]) as each:
        each(lambda _settings: moments.append(moments[0] + timedelta(minutes=20)))(settings)
    assert attributes_of(sink.span(f"source {settings.source}"))["window.end"] == "2026-03-01"
    assert store_url


def test_name_in_the_cause_of_an_error_is_not_repeated() -> None:
    """For example a login, which does not look like an address."""
    cause = ContractBroken("octo-ada came twice", names=("octo-ada",))
    error = DaysMissing(f"one day: {cause}")
    error.__cause__ = cause
    assert words_of(error) == "one day: REDACTED came twice"
    assert words_of(cause.preceded_by("seats")) == "seats: REDACTED came twice"


@on_sqlite
def test_stopped_run_is_sent_as_one(home: Home, sink: Collector, store_url: str) -> None:
    """Without its metrics, since somebody would have to wait for them."""
    settings = sending_to(sink, home)
    with pytest.raises(KeyboardInterrupt), observed(settings, "daily") as each:
        each(lambda _settings: None)(settings)
        raise KeyboardInterrupt
    span = sink.span("daily")
    assert (span.status.code, span.status.message) == (ERROR, "KeyboardInterrupt: interrupted")
    assert attributes_of(span)["process.exit.code"] == 130
    assert sink.points == []
    assert store_url


@on_sqlite
def test_message_of_an_unexpected_error_is_not_repeated(
    home: Home, sink: Collector, store_url: str
) -> None:
    with pytest.raises(ValueError, match="cursor"), observed(sending_to(sink, home), "daily"):
        raise ValueError("https://example.com/?cursor=abc")
    span = sink.span("daily")
    assert span.status.message.startswith("ValueError: unexpected error")
    assert b"cursor" not in sink.bodies[0]
    assert store_url
