"""One organization behind both APIs: either source gives the same, and one leaves the other be."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from conftest import Home, Start, content_of, own_files, today, yesterday
from dashboard_scraper.cli import fetching
from dashboard_scraper.cli.commands.status import print_status
from dashboard_scraper.cli.conversion import convert
from dashboard_scraper.cli.exporting import export_files, export_parquet
from dashboard_scraper.cli.fetching import fetch_daily
from dashboard_scraper.csv_text import parse
from dashboard_scraper.errors import DaysMissing, Implausible, NotReconciled, Stale
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import is_active, picker, values_of
from dashboard_scraper.model.metrics import (
    ACCEPT_RATE,
    ACTIVE_DAYS,
    DETAILED,
    METRICS,
    SERVICE_ACCOUNT_TITLE,
    USER_COUNT,
    USER_TITLE,
    Kind,
    parts_of,
)
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.simulator import Counts, Fault, Organization, Simulator, set_value
from dashboard_scraper.simulator.fields import analytics_metrics
from dashboard_scraper.simulator.organization import add
from dashboard_scraper.sources.analytics.fields import COUNTED
from dashboard_scraper.sources.dashboard.cookie_auth import SESSION_COOKIE, save_cookies
from dashboard_scraper.sources.dashboard.fields import FIELDS
from dashboard_scraper.sources.registry import ANALYTICS, DASHBOARD, SOURCES
from dashboard_scraper.sources.rest.urls import origin_of
from dashboard_scraper.store import store_at
from kept_days import NOON, TODAY, forget, march, settings_of, sql

FIRST, LAST = march(1), march(9)
DAYS = list(Window(FIRST, LAST).days())
ONLY_ANALYTICS = [metric for metric in METRICS if metric not in FIELDS]
# What both tell: the API's own counts, those that are sums of them, days, and the rate of two.
COMMON = [
    metric
    for metric in FIELDS
    if metric in COUNTED or parts_of(metric) or metric in (ACTIVE_DAYS, ACCEPT_RATE)
]
ONLY_DASHBOARD = [metric for metric in FIELDS if metric not in COMMON]
_common_in = picker(COMMON)
Begin = Callable[[date], Simulator]
Log = pytest.LogCaptureFixture
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def begin(start_api: Start, home: Home) -> Begin:
    """Start a simulator on the given day; the home has the token of one API and the cookie of the
    other.
    """

    def at(day: date) -> Simulator:
        sim = start_api(Organization(users=12, today=day))
        home.settings["METRICS_API_BASE_URL"] = sim.url
        save_cookies(home.cookie_file, {SESSION_COOKIE: sim.cookie}, origin_of(sim.url))
        return sim

    return at


@pytest.fixture
def spring(begin: Begin) -> Simulator:
    """Its today is the 10th of March, 2025."""
    return begin(TODAY)


@pytest.fixture
def in_each_store(spring: Simulator, store_url: str) -> Simulator:
    """As `spring`; each database in turn."""
    assert store_url
    return spring


@pytest.fixture
def now(begin: Begin) -> Simulator:
    """Its today is today's, as that of a run from the command line is."""
    return begin(today())


def with_source(home: Home, source: str) -> Settings:
    """The home's settings as `--source` changes them, with a folder of files for each source."""
    return settings_of(home).model_copy(
        update={"metrics_source": source, "export_dir": home.data / source}
    )


def hours(number: int) -> timedelta:
    return timedelta(hours=number)


def fetch_from(home: Home, source: str, first: date = FIRST, last: date = LAST) -> Path:
    """`--daily` from the source."""
    settings = with_source(home, source)
    fetch_daily(settings, Window(first, last), clock=lambda: NOON)
    return home.data / source / f"daily_exports_{first}_to_{last}"


def kept_of(home: Home, source: str) -> dict[date, list[UserUsage]]:
    """Every day's users, each day checked against the ledger as every export does."""
    with store_at(settings_of(home).store_url).reading() as reader:
        return {day: reader.day(row).users for day, row in reader.ledger(source).items()}


def common_user_days(home: Home, source: str) -> dict[tuple[date, str], tuple[Any, ...]]:
    """What both sources know of the people who were active."""
    return {
        (day, user.user): _common_in(values_of(user.figures))
        for day, users in kept_of(home, source).items()
        for user in users
        if is_active(user.figures) and not user.service
    }


def rows_of(home: Home, source: str) -> list[list[tuple[Any, ...]]]:
    """All that another program can see of the source in the store."""
    views = ("user_days", "daily_totals", "editor_language_days", "credit_days")
    queries = (f"SELECT * FROM {view} WHERE source = '{source}'" for view in views)
    return [sorted(sql(settings_of(home).store_url, query), key=str) for query in queries]


def copilot_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("copilot_metrics_*.json")}


def contents(folder: Path) -> dict[str, bytes]:
    """All but what is set aside."""
    return {path.name: content_of(path) for path in own_files(folder) if path.suffix != ".stale"}


def table(path: Path) -> list[dict[str, str]]:
    """The CSV's rows, by its titles."""
    header, *rows = parse(path.read_bytes())
    return [dict(zip(header, row, strict=True)) for row in rows]


def counted(metrics: dict[str, int]) -> dict[str, str]:
    """The counts of an answer as the CSV has them, by their titles."""
    return {metric.title: str(metrics[metric.name]) for metric in DETAILED}


def in_organization(sim: Simulator, window: Window) -> dict[str, tuple[Counts, int]]:
    """Everybody's sums in the window and days of activity, by name."""
    totals = sim.organization.totals(window)
    return {sim.organization.members[index].name: total for index, total in totals.items()}


def test_both_sources_give_the_same_user_days_for_every_metric_that_both_know(
    home: Home, in_each_store: Simulator
) -> None:
    for source in SOURCES:
        fetch_from(home, source)
    found = common_user_days(home, ANALYTICS)
    assert found == common_user_days(home, DASHBOARD)
    people = {person.name for person in in_each_store.organization.people}
    assert found.keys() == {
        (day, name)
        for day in DAYS
        for name in in_organization(in_each_store, Window(day, day))
        if name in people
    }
    for metric, column in zip(COMMON, zip(*found.values(), strict=True), strict=True):
        assert any(column), metric.title  # a column of zeros would say nothing


@pytest.mark.usefixtures("in_each_store")
def test_what_one_source_does_not_know_is_unknown_and_not_zero(home: Home) -> None:
    for source in SOURCES:
        fetch_from(home, source)
    assert len(ONLY_DASHBOARD) == 3
    for source, unknown, known in (
        (ANALYTICS, ONLY_DASHBOARD, ONLY_ANALYTICS),
        (DASHBOARD, ONLY_ANALYTICS, ONLY_DASHBOARD),
    ):
        figures = [u.figures for users in kept_of(home, source).values() for u in users]
        active = [each for each in figures if is_active(each)]
        assert len(active) > len(DAYS)
        assert {each[metric] for each in figures for metric in unknown} == {None}
        assert None not in {each[metric] for each in active for metric in known}


@pytest.mark.usefixtures("in_each_store")
def test_the_copilot_files_of_both_sources_are_equal_byte_for_byte(home: Home) -> None:
    home.settings["INCLUDE_SERVICE_ACCOUNTS"] = "false"
    files = {source: copilot_files(fetch_from(home, source)) for source in SOURCES}
    assert len(files[DASHBOARD]) == len(DAYS) + 1
    assert files[ANALYTICS] == files[DASHBOARD]
    assert all(b"@example.com" in content for content in files[DASHBOARD].values())


def test_one_source_in_the_store_does_not_disturb_the_other(
    home: Home, in_each_store: Simulator
) -> None:
    """A run over a store that the other source made adds rows of its own, and nothing else; also
    where it fetches days again that were revised.
    """
    folder = fetch_from(home, DASHBOARD)
    before, files = rows_of(home, DASHBOARD), copilot_files(folder)
    assert rows_of(home, ANALYTICS) == [[], [], [], []]
    fetch_from(home, ANALYTICS)
    first = rows_of(home, ANALYTICS)
    assert rows_of(home, DASHBOARD) == before
    in_each_store.revise(march(4))
    fetch_from(home, ANALYTICS)
    second = rows_of(home, ANALYTICS)
    assert first != second
    assert rows_of(home, DASHBOARD) == before
    assert copilot_files(folder) == files
    fetch_from(home, DASHBOARD)
    assert rows_of(home, DASHBOARD) != before
    assert rows_of(home, ANALYTICS) == second


@pytest.mark.usefixtures("in_each_store")
def test_a_person_is_forgotten_in_both_sources(home: Home) -> None:
    for source in SOURCES:
        fetch_from(home, source)
    _, user = max(common_user_days(home, ANALYTICS))
    forget(home, user)
    for source in SOURCES:
        left = rows_of(home, source)
        assert len(left[0]) > len(DAYS)
        assert user not in str(left)


@pytest.mark.usefixtures("spring")
def test_status_tells_of_each_source_by_itself(home: Home, capsys: Capture) -> None:
    fetch_from(home, DASHBOARD)
    fetch_from(home, ANALYTICS, march(2), march(5))
    told = {}
    for as_json in (True, False):
        capsys.readouterr()
        print_status(settings_of(home), NOON, as_json=as_json, max_age=None, check=False)
        told[as_json] = capsys.readouterr().out
    sources = {each["source"]: each for each in json.loads(told[True])["sources"]}
    assert list(sources) == sorted(SOURCES)
    for source, first, last, missing in (
        (DASHBOARD, 1, 9, []),
        (ANALYTICS, 2, 5, [6, 7, 8, 9]),
    ):
        of_it = sources[source]
        assert (of_it["first"], of_it["last"]) == (f"{march(first)}", f"{march(last)}")
        assert of_it["complete"] == last - first + 1
        assert of_it["missing"] == [f"{march(day)}" for day in missing]
        assert f"\n{source}: {march(first)} to {march(last)}\n" in told[False]
    assert (sources[DASHBOARD]["editor_language"], sources[ANALYTICS]["editor_language"]) == (0, 4)


@pytest.mark.usefixtures("spring")
def test_the_age_of_the_newest_day_is_judged_for_the_source_that_the_settings_name(
    home: Home,
) -> None:
    fetch_from(home, DASHBOARD, LAST, LAST)

    def stale(source: str) -> str:
        """What is said of days that are too old; empty where none is."""
        try:
            print_status(
                with_source(home, source), NOON, as_json=False, max_age=hours(36), check=False
            )
        except Stale as error:
            assert error.exit_code == 8
            return str(error)
        return ""

    assert f"no day has been fetched yet from {ANALYTICS}; there are days of {DASHBOARD}" in stale(
        "auto"
    )
    fetch_from(home, ANALYTICS, FIRST, FIRST)
    for source, message in (
        ("auto", f"{ANALYTICS}: the newest day, {FIRST},"),
        (ANALYTICS, f"{ANALYTICS}: the newest day, {FIRST},"),
        (DASHBOARD, ""),
    ):
        assert stale(source).startswith(message)
        assert bool(stale(source)) == bool(message)


@pytest.mark.usefixtures("now")
def test_export_and_offline_give_out_the_source_that_is_asked_for(
    home: Home,
) -> None:
    """In a store that has the one alone, exit code 6 and the name of that one."""
    day = f"{yesterday()}"
    files = {}
    for source in (DASHBOARD, ANALYTICS):
        for words in (("--daily", day, "--offline"), ("export", day)):
            if source == ANALYTICS:
                result = home.run(*words)
                assert (result.code, result.out) == (6, "")
                advice = f"it has some of {DASHBOARD}: choose with --source"
                assert advice in " ".join(result.err.split())
        (folder,) = home.run("--daily", day, "--source", source).paths
        files[source] = contents(folder)
        assert json.loads(files[source]["manifest.json"])["source"] == source
    assert files[DASHBOARD] != files[ANALYTICS]
    for source in SOURCES:
        for words in (("--daily", day, "--offline"), ("export", day)):
            (folder,) = home.run(*words, "--source", source).paths
            given = contents(folder)
            assert given == files[source]


@pytest.mark.usefixtures("spring")
@pytest.mark.parametrize("there", SOURCES)
def test_where_the_store_has_only_the_other_source_its_name_is_told(home: Home, there: str) -> None:
    (absent,) = set(SOURCES) - {there}
    fetch_from(home, there)
    settings, out = with_source(home, absent), home.path / "out"
    advice = f"no day of the source {absent}; it has some of {there}: choose with --source"
    with pytest.raises(DaysMissing, match=advice) as caught:
        export_files(settings, Window(FIRST, LAST), out)
    assert caught.value.exit_code == 6
    assert not out.exists()
    with pytest.raises(DaysMissing, match=advice):
        export_parquet(settings, Window(FIRST, LAST), f"{out}")
    with pytest.raises(DaysMissing, match=f"fetch them first from the source {there}") as caught:
        export_files(with_source(home, there), Window(LAST, TODAY), out)
    assert absent not in str(caught.value)


@pytest.mark.usefixtures("spring")
def test_the_csv_has_the_dashboards_columns_and_then_what_only_this_source_knows(
    home: Home,
) -> None:
    folder = fetch_from(home, ANALYTICS)
    titles = [USER_TITLE, *(metric.title for metric in FIELDS)]
    more = [metric.title for metric in ONLY_ANALYTICS]
    assert (len(titles), len(more)) == (19, 4)
    for day in DAYS:
        header, *rows = parse((folder / f"augment_metrics_{day}.csv").read_bytes())
        assert header == [*titles, *more, SERVICE_ACCOUNT_TITLE]
        assert rows


def test_in_the_csv_what_the_source_does_not_know_is_blank_and_all_else_is_told(
    home: Home, spring: Simulator
) -> None:
    folder = fetch_from(home, ANALYTICS)
    for day in DAYS:
        rows = table(folder / f"augment_metrics_{day}.csv")
        everybody = in_organization(spring, Window(day, day))
        assert {row[USER_TITLE] for row in rows} == everybody.keys()
        for row in rows:
            assert {row[metric.title] for metric in ONLY_DASHBOARD} == {""}
            counts, _ = everybody[row[USER_TITLE]]
            assert row.items() >= counted(analytics_metrics(counts)).items()


@pytest.mark.usefixtures("spring")
def test_the_dashboards_csv_is_as_it_was_and_both_agree_on_what_both_know(home: Home) -> None:
    folders = {source: fetch_from(home, source) for source in SOURCES}
    common = [metric.title for metric in COMMON]
    for day in DAYS:
        name = f"augment_metrics_{day}.csv"
        (header, *_), _ = (parse((folders[source] / name).read_bytes()) for source in SOURCES)
        assert header == [USER_TITLE, *(metric.title for metric in FIELDS)]
        assert len(header) == 19
        cells = {
            source: {
                row[USER_TITLE]: [row[t] for t in common] for row in table(folders[source] / name)
            }
            for source in SOURCES
        }
        both = cells[DASHBOARD].keys() & cells[ANALYTICS].keys()
        assert both
        for user in both:
            assert cells[DASHBOARD][user] == cells[ANALYTICS][user]


def fetch_period(
    home: Home, window: Window | None
) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """The form with dates, or without any: the users' rows by their names, and the tenant's values
    by their metrics.
    """
    out = home.path / "period.csv"
    fetching.fetch_period(settings_of(home), datetime.now(UTC), window, out)
    users = {row[USER_TITLE]: row for row in table(out)}
    tenant = table(home.path / "period_tenant.csv")
    return users, {row["metric"]: row["value"] for row in tenant}


def last_days(number: int) -> Window:
    return Window(yesterday() - timedelta(number - 1), yesterday())


@pytest.mark.parametrize("days", [1, 7, None], ids=["one day", "a range", "no dates"])
def test_a_period_has_the_sums_of_the_organization(
    home: Home, now: Simulator, days: int | None
) -> None:
    home.settings["LOOKBACK_DAYS"] = "9"
    users, tenant = fetch_period(home, last_days(days) if days else None)
    everybody = in_organization(now, last_days(days or 9))
    assert users.keys() == everybody.keys()
    for name, (counts, number) in everybody.items():
        assert users[name].items() >= counted(analytics_metrics(counts)).items()
        assert users[name][ACTIVE_DAYS.title] == str(number)
        assert {users[name][metric.title] for metric in ONLY_DASHBOARD} == {""}
    whole = analytics_metrics(add([counts for counts, _ in everybody.values()]))
    # Distinct users of several days are not the sum of the days' users, and not told.
    count = {USER_COUNT.name: len(everybody)} if days == 1 else {}
    assert tenant == {name: str(value) for name, value in {**whole, **count}.items()}


@pytest.mark.parametrize("days", [1, 7], ids=["one day", "a range"])
def test_a_period_whose_users_do_not_add_up_ends_with_an_error_and_is_kept(
    home: Home, now: Simulator, caplog: Log, days: int
) -> None:
    metric, window = DETAILED[2], last_days(days)
    now.add_fault(Fault(set_value(metric.name, 10**9), "daily-usage"))
    with pytest.raises(NotReconciled, match=f"{metric.name} is "):
        fetch_period(home, window)
    (told,) = (text for text in caplog.messages if "does not add up" in text)
    assert told.startswith(f"{window} does not add up: {metric.name} is ")
    now.clear_faults()
    caplog.clear()
    fetch_period(home, window)
    assert "does not add up" not in caplog.text


def test_one_day_asked_for_alone_is_kept_and_a_range_is_not(home: Home, now: Simulator) -> None:
    day = yesterday()
    users, tenant = home.run(f"{day - timedelta(3)}", f"{day}").paths
    assert table(users)
    assert table(tenant)
    assert kept_of(home, ANALYTICS) == {}
    users, _ = home.run(f"{day}").paths
    (kept,) = kept_of(home, ANALYTICS).values()
    assert [user.user for user in kept] == sorted(row[USER_TITLE] for row in table(users))
    assert kept_of(home, DASHBOARD) == {}
    now.requests.clear()
    export_files(settings_of(home), Window(day, day), home.path / "out")
    assert now.requests == []


@pytest.mark.usefixtures("spring")
def test_another_engine_reads_the_days_of_this_source_from_parquet(home: Home) -> None:
    for source in SOURCES:
        fetch_from(home, source)
        out = home.path / source
        export_parquet(with_source(home, source), Window(FIRST, LAST), f"{out}")
        counts = [m.name for m in METRICS if m.kind is not Kind.MOMENT]
        moments = [f"epoch_us({m.name})" for m in METRICS if m.kind is Kind.MOMENT]
        columns = ", ".join(["day", "source", "user_login", "service_account", *counts])
        with duckdb.connect() as engine:
            engine.execute(
                f"CREATE VIEW days AS SELECT * FROM read_parquet('{out}/*/*.parquet',"
                " hive_partitioning = true)"
            )
            rows = engine.execute(f"SELECT {columns} FROM days ORDER BY day, user_login").fetchall()
            seen = engine.execute(f"SELECT DISTINCT {', '.join(moments)} FROM days").fetchall()
        assert rows == [
            (
                *(day, source, user.user, user.service),
                *(user.figures[metric] for metric in METRICS if metric.kind is not Kind.MOMENT),
            )
            for day, users in kept_of(home, source).items()
            for user in users
        ]
        assert (seen == [(None, None)]) == (source == ANALYTICS)


@pytest.mark.usefixtures("spring")
def test_the_csv_of_a_day_converts_to_the_same_copilot_file(home: Home) -> None:
    for day in DAYS:
        folder = fetch_from(home, ANALYTICS, day, day)
        target = home.path / "converted.json"
        convert(
            settings_of(home), folder / f"augment_metrics_{day}.csv", (None, None, None), target
        )
        written = (folder / f"copilot_metrics_{day}.json").read_bytes()
        assert target.read_bytes() == written
        assert json.loads(written)


def test_the_demo_of_this_source_needs_nothing_and_has_the_figures_of_its_organization(
    home: Home,
) -> None:
    home.settings.clear()
    result = home.run("demo", "--source", ANALYTICS, "--users", "3", "--seed", "5")
    assert result.code == 0, result.err
    (folder,) = result.paths
    assert folder.parent == home.data / "demo"
    organization = Organization(users=3, seed=5, today=today())
    window = Window(today() - timedelta(28), yesterday())
    for day in window.days():
        rows = {row[USER_TITLE]: row for row in table(folder / f"augment_metrics_{day}.csv")}
        found = organization.totals(Window(day, day))
        expected = {organization.members[i].name: total.counts for i, total in found.items()}
        assert rows.keys() == expected.keys()
        for name, counts in expected.items():
            assert rows[name].items() >= counted(analytics_metrics(counts)).items()
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert manifest["source"] == ANALYTICS
    assert [path.name for path in home.path.iterdir()] == ["data"]


def test_a_day_without_users_is_warned_of_unless_the_source_itself_counts_none(
    home: Home, begin: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    """The dashboard lists everybody, active or not; the other source tells how many were active."""
    begin(TODAY).organization = Organization(users=0, service_accounts=0, today=TODAY)
    with pytest.raises(Implausible):
        fetch_from(home, ANALYTICS)
    assert "without a single user" not in caplog.text
    with pytest.raises(Implausible):
        fetch_from(home, DASHBOARD)
    assert "without a single user" in caplog.text
