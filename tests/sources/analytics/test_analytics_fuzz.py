"""Any JSON at any place in the Analytics API's answers is an error or gives right rows: no guess,
no traceback, no silence.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from conftest import Home, Start
from dashboard_scraper.errors import (
    ContractBroken,
    NotPublished,
    SignInRequired,
    SourceUnavailable,
    UsageError,
)
from dashboard_scraper.model.addresses import cleaned
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import picker, values_of
from dashboard_scraper.model.flatten import Cell, flatten
from dashboard_scraper.model.metrics import MAX_COUNT, USER_COUNT
from dashboard_scraper.simulator import Fault, Organization, Simulator, raw_body
from dashboard_scraper.simulator.analytics_api import CREDITS, answer
from dashboard_scraper.sources.analytics.client import AnalyticsSource
from dashboard_scraper.sources.analytics.fields import COUNTED, OPTIONAL
from dashboard_scraper.sources.rest.pacing import Pace
from json_changes import Json, changes_of
from stored_days import NOON, TODAY, settings_of

DAY = TODAY - timedelta(days=4)
DAYS = Window(DAY - timedelta(days=1), DAY)
USERS, TOTALS, COUNTS = "user-activity", "daily-usage", "dau-count"
LANGUAGES = "daily-user-activity-by-editor-language"
RANGE = {"start_date": f"{DAYS.start}", "end_date": f"{DAYS.end}"}
QUERIES = {
    USERS: {"start_date": f"{DAY}", "end_date": f"{DAY}"},
    TOTALS: RANGE,
    COUNTS: RANGE,
    LANGUAGES: {"date": f"{DAY}"},
    CREDITS: {**RANGE, "by_date": "true"},
}
# An answer cut short may be complete the next time; a page is recognized by its beginning.
UNREAD = (ContractBroken, SourceUnavailable)
REFUSALS = (*UNREAD, UsageError, SignInRequired, NotPublished)
NAMES = [metric.name for metric in COUNTED]
ORGANIZATION = Organization(users=5, today=TODAY, billing="credits")
GOOD: dict[str, Json] = {
    endpoint: answer(ORGANIZATION, endpoint, query) for endpoint, query in QUERIES.items()
}


@pytest.fixture
def served(start_api: Start, home: Home) -> Iterator[tuple[Simulator, AnalyticsSource]]:
    """A simulator whose answers a fault may change, and its source; nothing is retried."""
    home.settings["MAX_RETRIES"] = "0"
    simulator = start_api(ORGANIZATION)
    source = AnalyticsSource(
        settings_of(home), Pace(60_000, 1000), Pace(60_000, 1000), lambda: NOON
    )
    yield simulator, source
    source.close()


def name_of(record: Json) -> str:
    return cleaned(str(record.get("user_email") or record.get("service_account_name")))


def counts_of(record: Json) -> dict[str, int | None]:
    """The answer's counts; an optional count that is absent is unknown."""
    counts = {name: record["metrics"].get(name) for name in NAMES}
    assert all(type(n) is int and 0 <= n <= MAX_COUNT for k, n in counts.items() if n is not None)
    assert {name for name, count in counts.items() if count is None} <= {OPTIONAL.name}
    return counts


def unknown_of(record: Json) -> dict[str, Cell]:
    """The fields that are not documented."""
    known = {"user_email", "service_account_name", "active_days", "metrics"}
    fields = {name: value for name, value in record.items() if name not in known}
    counts = {name: value for name, value in record["metrics"].items() if name not in NAMES}
    return flatten({**fields, "metrics": counts} if counts else fields)


def days_of(record: Json) -> int | None:
    """Nothing depends on the days, so a value that cannot be a number of days is unknown."""
    days = record["active_days"]
    assert type(days) is not int or not 1 < days <= MAX_COUNT, "days of another window"
    return days if type(days) is int and 0 <= days <= MAX_COUNT else None


def assert_users_are(source: AnalyticsSource, body: Json) -> None:
    found = {}
    for user in source.fetch_users(Window(DAY, DAY)):
        counts = {metric.name: user.figures[metric] for metric in COUNTED}
        found[user.user] = (counts, user.figures.active_days, user.extra)
    assert found == {name_of(r): (counts_of(r), days_of(r), unknown_of(r)) for r in body["users"]}


def assert_totals_are(source: AnalyticsSource, usage: Json, users: Json) -> None:
    source.prepare(list(DAYS.days()), [], compared=True)
    reported = {r["date"]: counts_of(r) for r in usage["daily_usage"]}
    active = {r["date"]: r["user_count"] for r in users["daily_active_user_counts"]}
    zeros = dict.fromkeys(NAMES, 0)
    for day in DAYS.days():
        known = {n: c for n, c in reported.get(f"{day}", zeros).items() if c is not None}
        expected = {**known, USER_COUNT.name: active[f"{day}"]}
        assert source.changed_days({day: expected}) == []
    assert set(reported) <= {f"{day}" for day in DAYS.days()}


_counted_in = picker(COUNTED)


def assert_languages_are(source: AnalyticsSource, body: Json) -> None:
    usages = source.fetch_editor_languages(DAY)
    assert {
        (each.user, each.editor, each.language): _counted_in(values_of(each.figures))
        for each in usages
    } == {
        (name_of(r), r["editor"], r["language"]): tuple(counts_of(r).values())
        for r in body["records"]
    }


def assert_credits_are(source: AnalyticsSource, body: Json) -> None:
    found = {(f"{c.day}", c.user): c.credits for c in source.fetch_credits(DAYS) or []}
    assert {day for day, _ in found} <= {f"{day}" for day in DAYS.days()}
    assert found == {(r["date"], name_of(r)): r["credits_consumed"] for r in body["records"]}


def assert_right(source: AnalyticsSource, endpoint: str, body: Json) -> None:
    """Check that the source accepted the answer, and that it fits the request."""
    if endpoint == USERS:
        assert_users_are(source, body)
    elif endpoint == LANGUAGES:
        assert_languages_are(source, body)
    elif endpoint == CREDITS:
        assert_credits_are(source, body)
    else:
        both = {**{e: GOOD[e] for e in (TOTALS, COUNTS)}, endpoint: body}
        assert_totals_are(source, both[TOTALS], both[COUNTS])
    if "pagination" in GOOD[endpoint]:
        assert body["pagination"]["has_more"] is False, "there is more than was asked for"
    metadata = body["metadata"]
    window = DAYS if QUERIES[endpoint].items() >= RANGE.items() else Window(DAY, DAY)
    effective = [metadata[f"effective_{name}_date"] for name in ("start", "end")]
    assert effective == [f"{window.start}", f"{window.end}"]
    if "returned_user_count" in GOOD[endpoint]["metadata"]:
        records = next(value for value in body.values() if isinstance(value, list))
        users = len(set(map(name_of, records)))
        assert metadata["returned_user_count"] in (users, len(records))


@pytest.mark.parametrize("endpoint", list(GOOD))
def test_an_answer_as_it_is_gives_right_rows(
    served: tuple[Simulator, AnalyticsSource], endpoint: str
) -> None:
    assert_right(served[1], endpoint, GOOD[endpoint])


@pytest.mark.slow
def test_any_value_is_refused_or_read_right(
    served: tuple[Simulator, AnalyticsSource],
) -> None:
    simulator, source = served
    seen: dict[str, set[bool]] = defaultdict(set)

    @settings(max_examples=120, deadline=None, derandomize=True)
    @given(changes_of(GOOD, DAY, NAMES))
    def fuzz(change: tuple[str, Json]) -> None:
        endpoint, body = change
        assume(body != GOOD[endpoint])
        simulator.clear_faults()
        simulator.add_fault(Fault(raw_body(json.dumps(body).encode()), endpoint))
        try:
            assert_right(source, endpoint, body)
        except REFUSALS as error:
            assert endpoint in str(error)
            seen[endpoint].add(False)
        else:
            seen[endpoint].add(True)

    fuzz()
    # Both happened for every answer: not all changes are refused, nor all accepted.
    assert seen == {endpoint: {True, False} for endpoint in GOOD}


@pytest.mark.slow
def test_bytes_that_are_no_answer_are_refused(served: tuple[Simulator, AnalyticsSource]) -> None:
    simulator, source = served

    @settings(max_examples=50, deadline=None, derandomize=True)
    @given(st.sampled_from(list(GOOD)), st.binary(max_size=40) | st.text(max_size=20))
    def fuzz(endpoint: str, body: bytes | str) -> None:
        data = body if isinstance(body, bytes) else body.encode()
        simulator.clear_faults()
        simulator.add_fault(Fault(raw_body(data), endpoint))
        with pytest.raises(UNREAD, match=endpoint):
            assert_right(source, endpoint, GOOD[endpoint])

    fuzz()


@pytest.mark.slow
def test_altered_bytes_are_refused_or_read_right(
    served: tuple[Simulator, AnalyticsSource],
) -> None:
    """Invalid JSON is refused, but text that is not read need not be valid UTF-8."""
    simulator, source = served
    seen: set[bool] = set()

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(st.sampled_from(list(GOOD)), st.integers(0), st.integers(0, 2), st.binary(max_size=2))
    def fuzz(endpoint: str, place: int, cut: int, inserted: bytes) -> None:
        good = json.dumps(GOOD[endpoint]).encode()
        place %= len(good)
        data = good[:place] + inserted + good[place + cut :]
        simulator.clear_faults()
        simulator.add_fault(Fault(raw_body(data), endpoint))
        try:
            taken = json.loads(data.decode(errors="replace"))
        except ValueError:
            taken = None
        try:
            assert_right(source, endpoint, taken or GOOD[endpoint])
        except REFUSALS as error:
            assert endpoint in str(error)
            seen.add(False)
        else:
            assert taken is not None, data
            seen.add(True)

    fuzz()
    assert seen == {True, False}
