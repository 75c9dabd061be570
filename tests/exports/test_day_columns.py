"""Files of days whose users are read as columns: the same bytes as from a record for each user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dashboard_scraper.errors import StoreFailed
from dashboard_scraper.exports.copilot_converter import head_of, line_of, lines_of
from dashboard_scraper.exports.csv_tables import columns_csv, users_csv
from dashboard_scraper.github.kinds import GithubOptions
from dashboard_scraper.github.lines import user_part, user_parts
from dashboard_scraper.github.records import (
    cells_of_figures,
    columns_of_cells,
    columns_of_lines_added,
    lines_added,
)
from dashboard_scraper.github.reports import GithubReports, persons_in
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import values_of
from dashboard_scraper.model.metrics import COUNTS, METRICS, REQUIRED, Figures, Kind
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.output import OutputDay
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.identity import Person
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.store import store_at
from databases import on_sqlite
from filled_store import LAST, SOURCE, figures_of, put, user
from stored_days import sql

ANALYTICS, DASHBOARD = "analytics", "dashboard"
ABROAD = timezone(timedelta(hours=-9))

moments = st.one_of(st.none(), st.datetimes(timezones=st.sampled_from([UTC, ABROAD])))
numbers = st.one_of(st.none(), st.just(0), st.integers(0, 10**12))
percents = st.one_of(st.none(), st.floats(0, 100))
_OF_KIND = {Kind.MOMENT: moments, Kind.PERCENT: percents, Kind.COUNT: numbers, Kind.DAYS: numbers}
any_figures = st.fixed_dictionaries({m.name: _OF_KIND[m.kind] for m in METRICS})
known = st.fixed_dictionaries(
    {m.name: st.one_of(st.just(0), st.integers(0, 10**12)) for m in REQUIRED}
)
names = st.one_of(
    st.sampled_from(["a,b", 'a"b', "=1+1", "é@example.com", "%d", "%s@example.com", "A b"]),
    st.integers(0, 99).map("user{}@example.com".format),
)


@contextmanager
def stored_day(url: str, source: str, users: list[UserUsage]) -> Iterator[OutputDay]:
    put(url, {LAST: users}, source)
    with store_at(url).reading() as reader:
        yield OutputDay(reader, reader.ledger(source)[LAST], Audience(), as_stored=True)


def check_files(day: OutputDay, source: str) -> None:
    assert day.columns is not None
    assert b"".join(columns_csv(day.columns, source)) == users_csv(day.shown.users, source)
    uncounted = {m.name: None for m in METRICS if m.kind in (Kind.MOMENT, Kind.PERCENT)}
    counted = [
        replace(each, figures=replace(each.figures, **uncounted)) for each in day.usage.users
    ]
    assert day.counted.users == counted
    heads = {each.user: head_of(7, each.user) for each in day.shown.users}
    unknown = any(each.figures[m] is None for each in day.shown.users for m in REQUIRED)
    assert (day.active is None) == unknown
    if day.active is not None:
        active = day.shown.active
        assert [*day.active.names] == [each.user for each in active]
        lines = [line_of(heads[each.user], values_of(each.figures)) for each in active]
        assert [*lines_of(heads, day.active)] == lines
        cells = columns_of_cells(day.active.values, len(active))
        rows = [cells_of_figures(each.figures) for each in active]
        assert [*zip(*cells, strict=True)] == rows
        assert columns_of_lines_added(cells) == [*map(lines_added, rows)]
        phases = [None, *range(4)] * len(rows)
        heads_of_rows = [heads[each.user] for each in active]
        parts = user_parts(heads_of_rows, cells, phases[: len(rows)])
        assert [*parts] == [
            user_part(head, row, phase=phase)
            for head, row, phase in zip(heads_of_rows, rows, phases, strict=False)
        ]


def usage(source: str, name: str, figures: dict[str, Any], *, service: bool = False) -> UserUsage:
    """A user's figures, as far as the source knows them."""
    of_source = {metric.name for metric in info_of(source).metrics}
    return UserUsage(
        name,
        Figures(**{name: value for name, value in figures.items() if name in of_source}),
        service=service and info_of(source).has_service_accounts,
    )


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    st.dictionaries(names, st.tuples(any_figures, st.booleans()), max_size=4),
    st.one_of(st.just({}), known),
    st.sampled_from([DASHBOARD, ANALYTICS]),
)
def test_files_from_columns_are_those_from_records(
    tmp_path_factory: pytest.TempPathFactory,
    people: dict[str, tuple[dict[str, Any], bool]],
    known: dict[str, int],
    source: str,
) -> None:
    url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'usage.db'}"
    users = [
        usage(source, name, figures | known, service=service)
        for name, (figures, service) in people.items()
    ]
    with stored_day(url, source, users) as day:
        check_files(day, source)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(any_figures, st.booleans()), min_size=1, max_size=4),
    st.one_of(st.just({}), known),
    st.sampled_from([DASHBOARD, ANALYTICS]),
    st.booleans(),
)
def test_reports_from_columns_are_those_from_records(
    tmp_path_factory: pytest.TempPathFactory,
    people: list[tuple[dict[str, Any], bool]],
    known: dict[str, int],
    source: str,
    merged: bool,
) -> None:
    """Every line and every remark, also if two of the people have the same login and id."""
    url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'usage.db'}"
    users = [
        usage(source, f"user{number}@example.com", figures | known, service=service)
        for number, (figures, service) in enumerate(people)
    ]
    ada = Person("ada", 7)
    identities = {each.user: ada for each in users[:2]} if merged else {}
    audience = Audience(identities=identities)
    put(url, {LAST: users}, source)
    with store_at(url).reading() as reader:
        row, found = reader.ledger(source)[LAST], []
        for as_stored in (True, False):
            persons = persons_in(reader, source, audience)
            reports = GithubReports(reader, source, audience, GithubOptions("e"), persons)
            reports.count_people(Window(LAST, LAST))
            day = OutputDay(reader, row, audience, as_stored=as_stored)
            found.append(([*reports.user_lines(day)], reports.remarks()))
    assert found[0] == found[1]


@pytest.mark.parametrize("source", [DASHBOARD, ANALYTICS])
def test_files_from_columns_are_the_same_in_any_database(store_url: str, source: str) -> None:
    """Databases store moments, very old ones too, and truth values in different ways."""
    seen = datetime(2026, 10, 30, 20, 30, 1, 5, tzinfo=ABROAD)  # the 31st in UTC
    zeros = {metric.name: 0 for metric in METRICS if metric.kind in (Kind.COUNT, Kind.DAYS)}
    users = [
        usage(source, "ada@example.com", {**zeros, "chat_messages": 2, "acceptance_rate": 12.5}),
        usage(source, "ben@example.com", {**zeros, "first_seen": seen, "last_seen": seen}),
        usage(source, "cy@example.com", {**zeros, "first_seen": datetime(1970, 1, 1, tzinfo=UTC)}),
        usage(source, "nightly", {**zeros, "total_tool_calls": 3}, service=True),
    ]
    with stored_day(store_url, source, users) as day:
        check_files(day, source)
        content = users_csv(day.shown.users, source)
        assert (b",2026-10-31," in content, b"1970" in content) == (True, False)


@on_sqlite
@pytest.mark.parametrize("names", [[], ["ada@example.com"]])
def test_day_without_activity_has_columns_too(store_url: str, names: list[str]) -> None:
    users = [usage(DASHBOARD, name, {metric.name: 0 for metric in REQUIRED}) for name in names]
    with stored_day(store_url, DASHBOARD, users) as day:
        check_files(day, DASHBOARD)


def test_service_account_that_is_not_shown_is_in_no_column(store_url: str) -> None:
    """Also if the day's bitmaps do not mark it as a service account."""
    put(store_url, {LAST: [user("ada@example.com"), user("nightly")]})
    people = Audience(service_accounts=False)
    with store_at(store_url).reading() as reader:
        day = OutputDay(reader, reader.ledger(SOURCE)[LAST], people, as_stored=True)
        assert (day.columns, [each.user for each in day.shown.users]) == (None, ["ada@example.com"])


def test_unknown_fields_are_in_no_column(store_url: str) -> None:
    """Only records have unknown fields, so the files are made from records."""
    users = [replace(user("ada@example.com"), extra={"Sparks": 3}), user("ben@example.com")]
    with stored_day(store_url, DASHBOARD, users) as day:
        assert day.columns is None


@on_sqlite
@pytest.mark.parametrize(
    "damage", ["UPDATE user_day SET chat_messages = 6", "DELETE FROM user_day"]
)
def test_damaged_columns_are_refused(store_url: str, damage: str) -> None:
    put(store_url, {LAST: [UserUsage("ada@example.com", figures_of(chat_messages=5))]}, DASHBOARD)
    sql(store_url, damage)
    with store_at(store_url).reading() as reader:
        ledger = reader.ledger(DASHBOARD)[LAST]
        with pytest.raises(StoreFailed, match="do not match the ledger"):
            reader.columns(ledger, info_of(DASHBOARD).metrics)


def test_columns_have_every_metric_that_the_ledger_has(store_url: str) -> None:
    """Also a metric that the source did not have when the program was written."""
    unknown, *_ = [metric for metric in COUNTS if metric not in info_of(DASHBOARD).metrics]
    users = [user("ada@example.com", **{unknown.name: 1}), user("ben@example.com")]
    with stored_day(store_url, DASHBOARD, users) as day:
        check_files(day, DASHBOARD)
        assert [each.user for each in day.counted.active] == ["ada@example.com"]


@on_sqlite
def test_activity_that_no_column_has_is_that_of_records(store_url: str) -> None:
    """Somebody used only a metric that just an earlier version knew for this source."""
    unknown, *_ = [metric for metric in COUNTS if metric not in info_of(DASHBOARD).metrics]
    zeros: dict[str, Any] = {metric.name: 0 for metric in REQUIRED}
    users = [
        UserUsage("ada@example.com", Figures(**zeros | {unknown.name: 1})),
        UserUsage("ben@example.com", Figures(**zeros | {"chat_messages": 2})),
    ]
    with stored_day(store_url, DASHBOARD, users) as day:
        assert day.columns is not None
        assert day.active is None
        assert [each.user for each in day.counted.active] == [each.user for each in users]
