"""Grafana's dashboards: made from the catalogue, with queries that agree with the store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace as replaced
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

import grafana_dashboards
from conftest import Home, today
from dashboard_scraper import open_store
from dashboard_scraper.model.costs import (
    BILLED,
    COST_METRICS,
    CREDITS,
    ESTIMATED,
    CostDay,
    sum_costs,
)
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.doubts import DoubtKind
from dashboard_scraper.model.figures import accept_rate, is_active
from dashboard_scraper.model.metrics import ACCEPT_RATE, ACCEPTED, COUNTS, REQUIRED, SHOWN
from dashboard_scraper.model.seats import Seat
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.sources.registry import ANALYTICS, COPILOT, DASHBOARD
from dashboard_scraper.store import store_at
from dashboard_scraper.store.notices import Notice
from dashboard_scraper.store.runs import NIGHTLY, RunCounts
from databases import new_database
from grafana import FOLDER, Grafana, column, dashboard, panels, variables_in
from in_process import as_program
from made_up_days import FETCHED, LAST, figures_of, store_days, users
from stored_costs import day_of, store_costs
from tree import ROOT

NAMES = users(5)
RANGE = Window(LAST - timedelta(39), LAST)
WEEKS = Window(LAST - timedelta(13), LAST)
"""The days of another source, and of costs."""
GONE, EMPTY, ODD, SUSPICIOUS, HOLIDAY = (LAST - timedelta(days) for days in (8, 20, 2, 9, 12))
GONE_FROM_OTHER = LAST - timedelta(10)
BY_TITLE = {metric.title: metric for metric in COUNTS}
STORE_KINDS = ("postgresql", "sqlite")


def _changed(usage: DayUsage) -> DayUsage:
    """A user is spelt in capitals on some days, a service account is added, one day does not add
    up, and on another day all figures of one user are unknown.
    """
    found = [
        replaced_user(user, user.user.upper()) if usage.day.day % 3 == 0 and n == 1 else user
        for n, user in enumerate(usage.users)
    ]
    if usage.day == EMPTY:
        return usage
    found.append(UserUsage("triage-bot", figures_of({"chat_messages": 3}), service=True))
    if usage.day == HOLIDAY:
        unknown = figures_of(dict.fromkeys((metric.name for metric in REQUIRED), None))
        found[0] = UserUsage(NAMES[0], unknown)
    totals = {"chat_messages": 10**6} if usage.day == ODD else {}
    return replaced(usage, users=sorted(found, key=lambda user: user.user), totals=totals)


def replaced_user(user: UserUsage, name: str) -> UserUsage:
    return UserUsage(name, user.figures)


def _costs(day: date, listed: list) -> CostDay:  # type: ignore[type-arg]
    return CostDay(day, listed, sum_costs([])) if day == ODD else day_of(day, listed)


@pytest.fixture(scope="module", params=STORE_KINDS)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A store of each kind: weeks of one source and some days of another, with every possible doubt
    about days.
    """
    home = Home(tmp_path_factory.mktemp("filled"))
    with ExitStack() as stack:
        home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
        if request.param == "postgresql":
            server = request.getfixturevalue("postgres_server")
            prepared = request.getfixturevalue("prepared_database")
            home.settings["STORE_URL"] = stack.enter_context(new_database(server, prepared))
        fill(home)
        yield home.settings["STORE_URL"]


def fill(home: Home) -> None:
    store_days(home, NAMES, RANGE, missing=[GONE], empty=[EMPTY], change=_changed)
    store_days(home, NAMES[:2], WEEKS, missing=[GONE_FROM_OTHER], source=ANALYTICS)
    store_costs(home, NAMES, WEEKS, missing=[GONE], change=_costs)
    store = store_at(home.settings["STORE_URL"])
    with store.locked(), store.opened():
        store.mark(DASHBOARD, SUSPICIOUS, FETCHED, suspicious="it is only made up")
        seats = [Seat(name) for name in (*NAMES[:2], "idle@example.com")]
        store.put_seats(DASHBOARD, seats, FETCHED)
        run = store.start_run(DASHBOARD, NIGHTLY, FETCHED, "1.0")
        store.end_run(run, FETCHED, 9, RunCounts(28, 1, 0, 60))
        store.put_notices([Notice(DASHBOARD, "run-failed", FETCHED, "Exit code 9")])


def grafana_of(store_url: str, window: Window = RANGE, source: str = DASHBOARD) -> Grafana:
    return Grafana(store_url, window, {"source": source, "currency": "USD"})


def parts_of(source: str) -> list[Window]:
    """The stored days of a source: those before the missing one and those after it."""
    gone = GONE if source == DASHBOARD else GONE_FROM_OTHER
    window = RANGE if source == DASHBOARD else WEEKS
    return [Window(window.start, gone - timedelta(1)), Window(gone + timedelta(1), window.end)]


def stored_by(store_url: str, source: str = DASHBOARD) -> dict[date, DayUsage]:
    """The stored days, as the public Python interface returns them."""
    with open_store(store_url) as store:
        return {
            day.day: day
            for part in parts_of(source)
            for day in store.days(part.start, part.end, source)
        }


def people_in(days: dict[date, DayUsage], last: date, count: int) -> int | None:
    """The number of people active in so many days up to this one; None if one is not stored."""
    wanted = Window(last - timedelta(count - 1), last).days()
    found = [days.get(day) for day in wanted]
    if None in found:
        return None
    return len(
        {
            user.user.lower()
            for day in found
            if day
            for user in day.users
            if not user.service and is_active(user.figures)
        }
    )


@pytest.mark.parametrize("name", grafana_dashboards.dashboards())
def test_each_dashboard_is_up_to_date(name: str) -> None:
    made = grafana_dashboards.text_of(grafana_dashboards.dashboards()[name])
    assert (FOLDER / name).read_text(encoding="utf-8") == made, "run `make docs`"


@pytest.mark.slow
def test_make_docs_writes_every_dashboard(tmp_path: Path) -> None:
    as_program(grafana_dashboards.__file__, f"{tmp_path}")
    made = {f"{path.relative_to(tmp_path)}" for path in tmp_path.rglob("*.json")}
    committed = {f"{path.relative_to(FOLDER)}" for path in FOLDER.rglob("*.json")}
    assert made == committed == {*grafana_dashboards.dashboards()}


@pytest.mark.parametrize("kind", STORE_KINDS)
@pytest.mark.parametrize("name", ["usage", "comparison"])
def test_no_line_joins_the_days_around_a_gap(kind: str, name: str) -> None:
    drawn = [panel for panel in panels(dashboard(kind, name)) if panel["type"] == "timeseries"]
    assert drawn
    for panel in drawn:
        custom = panel["fieldConfig"]["defaults"]["custom"]
        assert custom["spanNulls"] is False, panel["title"]
        assert "stacking" not in custom, "a stack takes a gap for 0"


@pytest.mark.parametrize("kind", STORE_KINDS)
def test_activity_is_of_one_source(kind: str) -> None:
    """A panel shows several sources only where they are comparable: for numbers of people."""
    for panel in panels(dashboard(kind, "usage")):
        for target in panel["targets"]:
            used = variables_in(str(target))
            assert "source" in used or panel["type"] == "table", panel["title"]
    for panel in panels(dashboard(kind, "comparison")):
        titles = [title for title in BY_TITLE if f'"{title}"' in str(panel["targets"])]
        assert titles == [], panel["title"]


@pytest.mark.slow
def test_every_query_has_each_day_once(filled: str) -> None:
    """Also for panels without another test, and for a source without costs and seats."""
    every = list(RANGE.days())
    for source in (DASHBOARD, ANALYTICS, "no one's"):
        shown = grafana_of(filled, source=source)
        for panel in panels(dashboard(shown.kind, "usage")):
            rows = shown.rows(shown.sql(panel["targets"][0]))
            if panel["type"] in ("timeseries", "state-timeline"):
                assert [row["time"] for row in rows] == every, panel["title"]
            if source == "no one's" and panel["type"] != "table":
                known = {v for row in rows for name, v in row.items() if name != "time"}
                assert known == {None}, panel["title"]


@pytest.mark.slow
def test_activity_is_the_sum_of_the_days_and_null_where_one_is_missing(filled: str) -> None:
    shown, days = grafana_of(filled), stored_by(filled)
    seen = set()
    for panel in panels(dashboard(shown.kind, "usage")):
        titles = [title for title in BY_TITLE if f'"{title}"' in str(panel["targets"][0].values())]
        if panel["type"] != "timeseries" or not titles:
            continue
        rows = shown.rows(shown.sql(panel["targets"][0]))
        for title in titles:
            metric = BY_TITLE[title]
            sums = {day: days[day].sums[metric] for day in days if days[day].users}
            if any(value is not None for value in sums.values()):
                sums[EMPTY] = 0  # unless the source does not report the metric
            assert column(rows, title) == {day: sums.get(day) for day in RANGE.days()}, title
            seen |= {metric} if EMPTY in sums else set()
        marks = column(rows, "In doubt")
        known = {day for day, value in marks.items() if value is not None}
        assert known == (
            {ODD, SUSPICIOUS} if seen & {BY_TITLE[title] for title in titles} else set()
        )
    assert {BY_TITLE["Chat Messages"], SHOWN, ACCEPTED} <= seen


@pytest.mark.slow
def test_every_count_of_the_catalogue_has_a_panel() -> None:
    for kind in STORE_KINDS:
        text = str([panel["targets"] for panel in panels(dashboard(kind, "usage"))])
        assert [title for title in BY_TITLE if f'"{title}"' not in text] == []


@pytest.mark.slow
def test_rate_is_unknown_without_completions(filled: str) -> None:
    rows = grafana_of(filled).panel("usage", ACCEPT_RATE.title)
    days = stored_by(filled)
    rates = {
        day: accept_rate(days[day].sums[SHOWN], days[day].sums[ACCEPTED]) if day in days else None
        for day in RANGE.days()
    }
    assert column(rows, ACCEPT_RATE.title) == pytest.approx(rates)
    assert rates[EMPTY] is rates[GONE] is None


@pytest.mark.slow
def test_people_are_counted_once_and_unknown_beside_a_gap(filled: str) -> None:
    rows, days = grafana_of(filled).panel("usage", "Active people"), stored_by(filled)
    for title, count in (
        ("Active on the day", 1),
        ("Active in 7 days", 7),
        ("Active in 28 days", 28),
    ):
        expected = {day: people_in(days, day, count) for day in RANGE.days()}
        assert column(rows, title) == expected, title
        assert expected[GONE] is None
        assert any(expected.values())
    listed = {day: len(days[day].users) if day in days else None for day in RANGE.days()}
    assert column(rows, "Listed users") == listed
    marks = {day for day, value in column(rows, "In doubt").items() if value is not None}
    assert marks == {ODD, SUSPICIOUS}


@pytest.mark.slow
def test_days_have_their_state(filled: str) -> None:
    shown = grafana_of(filled, Window(RANGE.start - timedelta(3), LAST))
    states = column(shown.panel("usage", "Days"), "Day")
    with open_store(filled) as store:
        doubts = {
            doubt.window.start: doubt.kind.word
            for part in (
                Window(RANGE.start, GONE - timedelta(1)),
                Window(GONE + timedelta(1), LAST),
            )
            for doubt in store.doubts(part.start, part.end, DASHBOARD)
        }
    assert doubts == {ODD: DoubtKind.UNRECONCILED.word, SUSPICIOUS: DoubtKind.SUSPICIOUS.word}
    expected = dict.fromkeys(RANGE.days(), "complete") | {GONE: "missing", EMPTY: "empty"} | doubts
    before = dict.fromkeys(Window(RANGE.start - timedelta(3), RANGE.start - timedelta(1)).days())
    assert states == before | expected
    (panel,) = (p for p in panels(dashboard(shown.kind, "usage")) if p["title"] == "Days")
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    assert {*expected.values()} <= {*mapping["options"]}


def _used(usage: DayUsage) -> DayUsage:
    counts = figures_of({"chat_messages": 3})
    return replaced(usage, users=[replace(user, figures=counts) for user in usage.users])


@pytest.fixture(params=STORE_KINDS)
def late(request: pytest.FixtureRequest, home: Home) -> Iterator[str]:
    """A store of each kind with all days so far of a source that is two days late, and one day
    more, so that no test depends on the time of day.
    """
    home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
    with ExitStack() as stack:
        if request.param == "postgresql":
            server = request.getfixturevalue("postgres_server")
            prepared = request.getfixturevalue("prepared_database")
            home.settings["STORE_URL"] = stack.enter_context(new_database(server, prepared))
        newest = today() - timedelta(2)
        month = Window(newest - timedelta(29), newest)
        store_days(home, NAMES[:1], month, change=_used, source=COPILOT)
        store = store_at(home.settings["STORE_URL"])
        with store.locked(), store.opened():
            store.put_seats(COPILOT, [Seat(name) for name in NAMES[:2]], FETCHED)
        yield home.settings["STORE_URL"]


@pytest.mark.slow
def test_day_that_is_not_expected_yet_is_not_missing(late: str) -> None:
    shown = grafana_of(late, Window(today() - timedelta(30), today()), source=COPILOT)
    assert {*column(shown.panel("usage", "Days"), "Day").values()} == {"complete", None}
    (row,) = shown.panel("usage", "Freshness")
    assert row["Missing"] == 0
    (row,) = shown.panel("usage", "Seats")
    assert row == {"Seats now": 2, "Seats used in 28 days": 1}


@pytest.mark.slow
def test_costs_are_those_of_the_days(filled: str) -> None:
    shown, sums = grafana_of(filled), {}
    with open_store(filled) as store:
        for part in (Window(WEEKS.start, GONE - timedelta(1)), Window(GONE + timedelta(1), LAST)):
            for day in store.costs(part.start, part.end, DASHBOARD):
                sums[day.day] = sum_costs(each.figures for each in day.costs)
    titles = {BILLED: "Billed ($currency)", ESTIMATED: "Estimated ($currency)", CREDITS: "Credits"}
    for metric in COST_METRICS:
        if metric.name == "base":
            continue
        rows = shown.panel("usage", titles.get(metric, "Tokens"))
        expected: dict[date, float | None] = defaultdict(lambda: None)
        expected |= {day: float(str(found[metric])) for day, found in sums.items()}
        every = {day: expected[day] for day in RANGE.days()}
        assert column(rows, metric.title) == every, metric.name
        assert every[GONE] is None
        assert column(rows, "In doubt")[ODD] is not None
    others = Grafana(filled, RANGE, {"source": DASHBOARD, "currency": "EUR"})
    assert {*column(others.panel("usage", "Billed ($currency)"), "Billed").values()} == {None}


@pytest.mark.slow
def test_tables_say_how_fresh_each_source_is(filled: str) -> None:
    shown = grafana_of(filled)
    by_source = {row["Source"]: row for row in shown.panel("usage", "Freshness")}
    row = by_source[DASHBOARD]
    assert (row["Newest day"], row["Exit code"]) == (f"{LAST}", 9)
    assert row["Missing"] == row["Days behind"] + 1  # the days since, and the missing one
    assert (row["Unreconciled"], row["Suspicious"], row["Held"]) == (1, 1, 0)
    assert row["Last run (UTC)"] == f"{FETCHED:%Y-%m-%d %H:%M}"
    assert by_source[ANALYTICS]["Exit code"] is None
    (run,) = shown.panel("usage", "Newest runs")
    assert (run["Exit code"], run["Fetched"], run["Ended (UTC)"]) == (9, 28, row["Last run (UTC)"])
    (notice,) = shown.panel("usage", "Still so")
    assert notice["Occasion"] == "run-failed"


@pytest.mark.slow
def test_seats_are_compared_with_who_was_active(filled: str) -> None:
    (row,) = grafana_of(filled).panel("usage", "Seats")
    assert row == {"Seats now": 3, "Seats used in 28 days": None}  # one of the 28 days is missing
    (row,) = grafana_of(filled, Window(RANGE.start, GONE - timedelta(1))).panel("usage", "Seats")
    assert row == {"Seats now": 3, "Seats used in 28 days": 2}
    (row,) = grafana_of(filled, source=ANALYTICS).panel("usage", "Seats")
    assert row == {"Seats now": None, "Seats used in 28 days": None}


@pytest.mark.slow
def test_sources_stand_side_by_side_as_people(filled: str) -> None:
    shown = grafana_of(filled)
    by_source = {source: stored_by(filled, source) for source in (DASHBOARD, ANALYTICS)}
    for title, count in (("on the day", 1), ("in 7 days", 7), ("in 28 days", 28)):
        rows = shown.panel("comparison", f"People who were active {title}")
        found = {(row["time"], row["source"]): row["people"] for row in rows}
        assert found == {
            (day, source): people_in(days, day, count)
            for source, days in by_source.items()
            for day in RANGE.days()
        }, title
    marked = shown.panel("comparison", "People who were active on the day", "B")
    known = {(row["time"], row["source"]) for row in marked if row["people"] is not None}
    assert known == {(ODD, DASHBOARD), (SUSPICIOUS, DASHBOARD)}
    week = Window(LAST - timedelta(6), LAST)
    rows = grafana_of(filled, week).panel("comparison", "Active people and days of the time range")
    for row in rows:
        days = by_source[row["Source"]]
        assert row["Days missing"] == 0
        assert row["Active people"] == people_in(days, LAST, 7)
        assert row["Active Days"] == sum(people_in(days, day, 1) or 0 for day in week.days())
    rows = shown.panel("comparison", "Active people and days of the time range")
    assert {row["Active people"] for row in rows} == {None}


@pytest.mark.slow
def test_variables_offer_what_is_stored(filled: str) -> None:
    shown = grafana_of(filled)
    offered = {
        each["name"]: [[*row.values()] for row in shown.rows(shown.expanded(each["query"]))]
        for each in dashboard(shown.kind, "usage")["templating"]["list"]
        if each["type"] == "query"
    }
    assert offered == {"source": [[ANALYTICS], [DASHBOARD]], "currency": [["USD"]]}


def test_provisioned_data_sources_are_those_of_the_dashboards() -> None:
    file = FOLDER.parent / "provisioning" / "datasources" / "datasources.yaml"
    provisioned = {each["type"] for each in msgspec.yaml.decode(file.read_bytes())["datasources"]}
    mounted = (dashboard("postgresql", "usage"), dashboard("prometheus", "status"))
    assert {each["templating"]["list"][0]["query"] for each in mounted} == provisioned


def test_what_compose_mounts_is_there() -> None:
    folder = ROOT / "deploy" / "compose"
    services = msgspec.yaml.decode((folder / "compose.yaml").read_bytes())["services"]
    mounts = [volume.split(":") for each in services.values() for volume in each.get("volumes", ())]
    files = [source for source, *_ in mounts if source.startswith(".")]
    assert len(files) > 4
    assert [file for file in files if not (folder / file).exists()] == []
