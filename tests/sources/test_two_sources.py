"""One organization behind both APIs: the sources agree, and neither changes the other's days."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from conftest import (
    Home,
    Start,
    content_of,
    last_working_day,
    own_files,
    today,
    yesterday,
)
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
    AUGMENT_METRICS,
    DETAILED,
    METRICS,
    SERVICE_ACCOUNT_TITLE,
    USER_COUNT,
    USER_TITLE,
    Kind,
    parts_of,
)
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.simulator import Counts, Fault, Organization, Simulator, set_value
from dashboard_scraper.simulator.fields import analytics_metrics
from dashboard_scraper.simulator.organization import add
from dashboard_scraper.sources.analytics.fields import COUNTED
from dashboard_scraper.sources.dashboard.fields import FIELDS
from dashboard_scraper.sources.registry import ANALYTICS, AUGMENT_SOURCES, DASHBOARD
from databases import on_sqlite
from lying_nights import sign_in
from stored_days import NOON, TODAY, forget, march, settings_of, sql, stored_users

FIRST, LAST = march(4), march(6)  # on weekends, a small organization may have no user
DAYS = list(Window(FIRST, LAST).days())
ONLY_ANALYTICS = [metric for metric in AUGMENT_METRICS if metric not in FIELDS]
# Metrics of both: the API's own counts, sums of them, active days, and the rate of two counts.
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


@dataclass(frozen=True)
class Fetched:
    """A home with the same days from both sources, and both folders of files; not to be changed."""

    home: Home
    organization: Organization
    folders: dict[str, Path]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fetched]:
    """Fetched once for all tests that only read. Service accounts are not in the outputs."""
    organization = Organization(users=12, today=TODAY)
    home = Home(tmp_path_factory.mktemp("both"))
    with Simulator(organization, rate_limit=False) as sim:
        for source in AUGMENT_SOURCES:
            sign_in(home, sim, source)
        home.settings |= {"INCLUDE_SERVICE_ACCOUNTS": "false", "ANALYTICS_READY_HOUR": "0"}
        yield Fetched(
            home, organization, {source: fetch_from(home, source) for source in AUGMENT_SOURCES}
        )


@pytest.fixture
def begin(start_api: Start, home: Home) -> Begin:
    """Start a simulator on the given day; the home has one API's token and the other's cookie."""

    def at(day: date) -> Simulator:
        sim = start_api(Organization(users=12, today=day))
        home.settings["METRICS_API_BASE_URL"] = sim.url
        home.sign_in(sim)
        return sim

    return at


@pytest.fixture
def spring(begin: Begin) -> Simulator:
    """A simulator whose today is 10 March 2025."""
    return begin(TODAY)


@pytest.fixture
def now(begin: Begin) -> Simulator:
    """A simulator with the real today, as a run from the command line needs."""
    return begin(today())


def with_source(home: Home, source: str) -> Settings:
    """The home's settings as `--source` changes them, with a separate folder for each source."""
    return settings_of(home).model_copy(
        update={"metrics_source": source, "export_dir": home.data / source}
    )


def hours(number: int) -> timedelta:
    return timedelta(hours=number)


def fetch_from(home: Home, source: str, first: date = FIRST, last: date = LAST) -> Path:
    """Run `--daily` with this source."""
    settings = with_source(home, source)
    fetch_daily(settings, Window(first, last), clock=lambda: NOON)
    return home.data / source / f"daily_exports_{first}_to_{last}"


def common_user_days(home: Home, source: str) -> dict[tuple[date, str], tuple[Any, ...]]:
    """The metrics that both sources know, of everybody who was active."""
    return {
        (day, user.user): _common_in(values_of(user.figures))
        for day, users in stored_users(home, source).items()
        for user in users
        if is_active(user.figures) and not user.service
    }


def rows_of(home: Home, source: str) -> list[list[tuple[Any, ...]]]:
    """All of the source's data in the store that another program can see."""
    views = ("user_days", "daily_totals", "editor_language_days", "credit_days")
    queries = (f"SELECT * FROM {view} WHERE source = '{source}'" for view in views)
    return [sorted(sql(settings_of(home).store_url, query), key=str) for query in queries]


def copilot_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("copilot_metrics_*.json")}


def contents(folder: Path) -> dict[str, bytes]:
    """All files except those that were set aside."""
    return {path.name: content_of(path) for path in own_files(folder) if path.suffix != ".stale"}


def table(path: Path) -> list[dict[str, str]]:
    """The CSV's rows, by title."""
    header, *rows = parse(path.read_bytes())
    return [dict(zip(header, row, strict=True)) for row in rows]


def counted(metrics: dict[str, int]) -> dict[str, str]:
    """The counts of an answer as shown in the CSV, by title."""
    return {metric.title: str(metrics[metric.name]) for metric in DETAILED}


def in_organization(organization: Organization, window: Window) -> dict[str, tuple[Counts, int]]:
    """The sums and active days of every member in the window, by name."""
    totals = organization.totals(window)
    return {organization.members[index].name: total for index, total in totals.items()}


@pytest.mark.slow
def test_both_sources_give_the_same_user_days(both: Fetched) -> None:
    """For every metric that both know."""
    found = common_user_days(both.home, ANALYTICS)
    assert found == common_user_days(both.home, DASHBOARD)
    people = {person.name for person in both.organization.people}
    assert found.keys() == {
        (day, name)
        for day in DAYS
        for name in in_organization(both.organization, Window(day, day))
        if name in people
    }
    for metric, column in zip(COMMON, zip(*found.values(), strict=True), strict=True):
        assert any(column), metric.title  # a column of zeros would prove nothing


@pytest.mark.slow
def test_unknown_metrics_are_not_zero(both: Fetched) -> None:
    assert len(ONLY_DASHBOARD) == 3
    for source, unknown, known in (
        (ANALYTICS, ONLY_DASHBOARD, ONLY_ANALYTICS),
        (DASHBOARD, ONLY_ANALYTICS, ONLY_DASHBOARD),
    ):
        figures = [u.figures for users in stored_users(both.home, source).values() for u in users]
        active = [each for each in figures if is_active(each)]
        assert len(active) > len(DAYS)
        assert {each[metric] for each in figures for metric in unknown} == {None}
        assert None not in {each[metric] for each in active for metric in known}


def test_copilot_files_of_both_sources_are_equal(both: Fetched) -> None:
    files = {source: copilot_files(folder) for source, folder in both.folders.items()}
    assert len(files[DASHBOARD]) == len(DAYS) + 1
    assert files[ANALYTICS] == files[DASHBOARD]
    assert all(b"@example.com" in content for content in files[DASHBOARD].values())


@pytest.mark.slow
def test_sources_in_one_store_are_independent(home: Home, in_each_store: Simulator) -> None:
    """A run adds only rows of its own source, even if it replaces revised days."""
    folder = fetch_from(home, DASHBOARD)
    before, files = rows_of(home, DASHBOARD), copilot_files(folder)
    assert rows_of(home, ANALYTICS) == [[], [], [], []]
    fetch_from(home, ANALYTICS)
    first = rows_of(home, ANALYTICS)
    assert rows_of(home, DASHBOARD) == before
    in_each_store.revise(march(5))
    fetch_from(home, ANALYTICS)
    second = rows_of(home, ANALYTICS)
    assert first != second
    assert rows_of(home, DASHBOARD) == before
    assert copilot_files(folder) == files
    fetch_from(home, DASHBOARD)
    assert rows_of(home, DASHBOARD) != before
    assert rows_of(home, ANALYTICS) == second


@on_sqlite
@pytest.mark.usefixtures("in_each_store")
@pytest.mark.slow
def test_forget_removes_a_user_of_both_sources(home: Home) -> None:
    for source in AUGMENT_SOURCES:
        fetch_from(home, source)
    _, user = max(common_user_days(home, ANALYTICS))
    forget(home, user)
    for source in AUGMENT_SOURCES:
        left = rows_of(home, source)
        assert len(left[0]) > len(DAYS)
        assert user not in str(left)


@pytest.mark.usefixtures("spring")
@pytest.mark.slow
def test_status_reports_each_source_separately(home: Home, capsys: Capture) -> None:
    fetch_from(home, DASHBOARD, march(7), march(9))
    fetch_from(home, ANALYTICS, march(7), march(8))
    reports = {}
    for as_json in (True, False):
        capsys.readouterr()
        print_status(settings_of(home), NOON, as_json=as_json, max_age=None, check=False)
        reports[as_json] = capsys.readouterr().out
    sources = {each["source"]: each for each in json.loads(reports[True])["sources"]}
    assert list(sources) == sorted(AUGMENT_SOURCES)
    for source, first, last, missing in (
        (DASHBOARD, 7, 9, []),
        (ANALYTICS, 7, 8, [9]),
    ):
        of_it = sources[source]
        assert (of_it["first"], of_it["last"]) == (f"{march(first)}", f"{march(last)}")
        assert of_it["complete"] == last - first + 1
        assert of_it["missing"] == [f"{march(day)}" for day in missing]
        assert f"\n{source}: {march(first)} to {march(last)}\n" in reports[False]
    assert (sources[DASHBOARD]["editor_language"], sources[ANALYTICS]["editor_language"]) == (0, 2)


@pytest.mark.usefixtures("spring")
@pytest.mark.slow
def test_freshness_is_that_of_the_configured_source(home: Home) -> None:
    fetch_from(home, DASHBOARD, march(9), march(9))

    def stale(source: str) -> str:
        """The error about a newest day that is too old; empty if there is none."""
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
@pytest.mark.slow
def test_export_and_offline_use_the_requested_source(home: Home) -> None:
    """Exit code 6 if the store has only the other source, whose name is printed."""
    day = f"{yesterday()}"
    files = {}
    for source in (DASHBOARD, ANALYTICS):
        for words in (("--daily", day, "--offline"), ("export", day)):
            if source == ANALYTICS:
                result = home.run(*words)
                assert (result.code, result.out) == (6, "")
                advice = (
                    f"no days of the source {ANALYTICS}, but has some of {DASHBOARD}: choose with"
                )
                assert advice in " ".join(result.err.split())
        (folder,) = home.run("--daily", day, "--source", source).paths
        files[source] = contents(folder)
        assert json.loads(files[source]["manifest.json"])["source"] == source
    assert files[DASHBOARD] != files[ANALYTICS]
    for source in AUGMENT_SOURCES:
        for words in (("--daily", day, "--offline"), ("export", day)):
            (folder,) = home.run(*words, "--source", source).paths
            given = contents(folder)
            assert given == files[source]


@pytest.mark.usefixtures("spring")
@pytest.mark.parametrize("there", AUGMENT_SOURCES)
@pytest.mark.slow
def test_missing_source_is_reported_with_the_other(home: Home, there: str) -> None:
    (absent,) = set(AUGMENT_SOURCES) - {there}
    fetch_from(home, there)
    settings, out = with_source(home, absent), home.path / "out"
    advice = f"no days of the source {absent}, but has some of {there}: choose with --source"
    with pytest.raises(DaysMissing, match=advice) as caught:
        export_files(settings, Window(FIRST, LAST), out)
    assert caught.value.exit_code == 6
    assert not out.exists()
    with pytest.raises(DaysMissing, match=advice):
        export_parquet(settings, Window(FIRST, LAST), f"{out}")
    with pytest.raises(DaysMissing, match=f"fetch them first from the source {there}") as caught:
        export_files(with_source(home, there), Window(LAST, TODAY), out)
    assert absent not in str(caught.value)
    earlier = datetime(2025, 3, 1, tzinfo=UTC)
    with pytest.raises(DaysMissing, match="the store did not have them at 2025-03-01T"):
        export_files(with_source(home, there), Window(FIRST, LAST), out, earlier)


@pytest.mark.slow
def test_csv_of_analytics_has_further_columns(home: Home, spring: Simulator) -> None:
    """The dashboard's columns, then those that only this source has; unknown cells are blank."""
    folder = fetch_from(home, ANALYTICS)
    titles = [USER_TITLE, *(metric.title for metric in FIELDS)]
    more = [metric.title for metric in ONLY_ANALYTICS]
    assert (len(titles), len(more)) == (19, 4)
    for day in DAYS:
        path = folder / f"augment_metrics_{day}.csv"
        header, *_ = parse(path.read_bytes())
        assert header == [*titles, *more, SERVICE_ACCOUNT_TITLE]
        rows = table(path)
        everybody = in_organization(spring.organization, Window(day, day))
        assert {row[USER_TITLE] for row in rows} == everybody.keys()
        for row in rows:
            assert {row[metric.title] for metric in ONLY_DASHBOARD} == {""}
            counts, _ = everybody[row[USER_TITLE]]
            assert row.items() >= counted(analytics_metrics(counts)).items()


def test_csv_of_both_sources_agrees_on_common_columns(both: Fetched) -> None:
    common = [metric.title for metric in COMMON]
    for day in DAYS:
        name = f"augment_metrics_{day}.csv"
        header, *_ = parse((both.folders[DASHBOARD] / name).read_bytes())
        assert header == [USER_TITLE, *(metric.title for metric in FIELDS)]
        cells = {
            source: {row[USER_TITLE]: [row[title] for title in common] for row in table(f / name)}
            for source, f in both.folders.items()
        }
        users = cells[DASHBOARD].keys() & cells[ANALYTICS].keys()
        assert users
        for user in users:
            assert cells[DASHBOARD][user] == cells[ANALYTICS][user]


def fetch_period(
    home: Home, window: Window | None
) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Fetch a period; returns the users' rows by name, and the tenant's values by metric."""
    out = home.path / "period.csv"
    fetching.fetch_period(settings_of(home), datetime.now(UTC), window, out)
    users = {row[USER_TITLE]: row for row in table(out)}
    tenant = table(home.path / "period_tenant.csv")
    return users, {row["metric"]: row["value"] for row in tenant}


def last_days(number: int) -> Window:
    last = last_working_day()
    return Window(last - timedelta(number - 1), last)


@pytest.mark.parametrize("days", [1, 3, None], ids=["one day", "a range", "no dates"])
def test_period_has_the_sums_of_the_organization(
    home: Home, now: Simulator, days: int | None
) -> None:
    home.settings["LOOKBACK_DAYS"] = "4"
    window = last_days(days) if days else None
    users, tenant = fetch_period(home, window)
    lookback = Window(yesterday() - timedelta(3), yesterday())
    everybody = in_organization(now.organization, window or lookback)
    assert users.keys() == everybody.keys()
    for name, (counts, number) in everybody.items():
        assert users[name].items() >= counted(analytics_metrics(counts)).items()
        assert users[name][ACTIVE_DAYS.title] == str(number)
        assert {users[name][metric.title] for metric in ONLY_DASHBOARD} == {""}
    whole = analytics_metrics(add([counts for counts, _ in everybody.values()]))
    # The distinct users of several days are not the sum of the days' users, so the number is
    # missing.
    count = {USER_COUNT.name: len(everybody)} if days == 1 else {}
    assert tenant == {name: str(value) for name, value in {**whole, **count}.items()}


@pytest.mark.parametrize("days", [1, 3], ids=["one day", "a range"])
@pytest.mark.slow
def test_unreconciled_period_is_written_with_an_error(
    home: Home, now: Simulator, caplog: Log, days: int
) -> None:
    metric, window = DETAILED[2], last_days(days)
    now.add_fault(Fault(set_value(metric.name, 10**9), "daily-usage"))
    with pytest.raises(NotReconciled, match=f"{metric.name} is "):
        fetch_period(home, window)
    (message,) = (text for text in caplog.messages if "does not add up" in text)
    assert message.startswith(f"{window} does not add up: {metric.name} is ")
    now.clear_faults()
    caplog.clear()
    fetch_period(home, window)
    assert "does not add up" not in caplog.text


@pytest.mark.slow
def test_single_day_is_stored_and_a_range_is_not(home: Home, now: Simulator) -> None:
    day = yesterday()
    users, tenant = home.run(f"{day - timedelta(3)}", f"{day}").paths
    assert table(users)
    assert table(tenant)
    assert stored_users(home, ANALYTICS) == {}
    users, _ = home.run(f"{day}").paths
    (stored,) = stored_users(home, ANALYTICS).values()
    assert [user.user for user in stored] == sorted(row[USER_TITLE] for row in table(users))
    assert stored_users(home, DASHBOARD) == {}
    now.requests.clear()
    export_files(settings_of(home), Window(day, day), home.path / "out")
    assert now.requests == []


@pytest.mark.slow
def test_another_engine_reads_parquet_of_both_sources(both: Fetched, tmp_path: Path) -> None:
    home = both.home
    for source in AUGMENT_SOURCES:
        out = tmp_path / source
        settings = with_source(home, source).model_copy(update={"include_service_accounts": True})
        export_parquet(settings, Window(FIRST, LAST), f"{out}")
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
            for day, users in stored_users(home, source).items()
            for user in users
        ]
        assert (seen == [(None, None)]) == (source == ANALYTICS)


@pytest.mark.slow
def test_converted_csv_is_the_same_copilot_file(both: Fetched, tmp_path: Path) -> None:
    settings = with_source(both.home, ANALYTICS)
    for day in DAYS:
        out, target = tmp_path / f"{day}", tmp_path / "converted.json"
        export_files(settings, Window(day, day), out)
        convert(settings, out / f"augment_metrics_{day}.csv", (None, None, None), target)
        written = (out / f"copilot_metrics_{day}.json").read_bytes()
        assert target.read_bytes() == written
        assert json.loads(written)


@pytest.mark.slow
def test_demo_has_its_organizations_figures(home: Home) -> None:
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


@pytest.mark.slow
def test_uncounted_day_without_users_is_warned_of(
    home: Home, begin: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    """The dashboard lists all users, active or not; the other source counts only active ones."""
    begin(TODAY).organization = Organization(users=0, service_accounts=0, today=TODAY)
    with pytest.raises(Implausible):
        fetch_from(home, ANALYTICS, march(1), march(9))
    assert "without a single user" not in caplog.text
    with pytest.raises(Implausible):
        fetch_from(home, DASHBOARD, march(1), march(9))
    assert "without a single user" in caplog.text
