"""Older, newer, damaged or missing stores are migrated, reported or refused, never misread."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import make_url

from conftest import Home, Result, yesterday
from dashboard_scraper.cli.fetching import fetch_daily
from dashboard_scraper.main import main
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import of_counts
from dashboard_scraper.model.metrics import COUNTS, METRICS, TOTALS, USER_TITLE, Figures, Kind
from dashboard_scraper.model.usage import DayUsage, TenantFigure, UserUsage
from dashboard_scraper.settings.groups import SQLITE_PREFIX
from dashboard_scraper.simulator import Simulator
from dashboard_scraper.sources.dashboard.fields import TENANT_TOTALS
from dashboard_scraper.store import store_at
from dashboard_scraper.store.schema import VERSION
from databases import on_sqlite
from stored_days import ledger, set_schema_version, settings_of, sql, stored_users

SOURCE = "dashboard"
DAY = yesterday() - timedelta(10)
NEXT = DAY + timedelta(1)
DAYS = Window(DAY, NEXT)
FETCHED = datetime.now(UTC).replace(microsecond=0)
LOST = COUNTS[2]
(RATE,) = (metric for metric in METRICS if metric.kind is Kind.PERCENT)
EXPORT = ("export", f"{DAY}", f"{NEXT}")
OFFLINE = ("--daily", f"{DAY}", f"{NEXT}", "--offline")
Run = Callable[..., Result]


@pytest.fixture
def run(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line within this process: an error that is not ours fails the test."""

    def begin(*words: str) -> Result:
        for name, value in home.settings.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        code = main(home.command(*words)[5:])
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return begin


def users(count: int = 7) -> list[UserUsage]:
    values: dict[Kind, Any] = {Kind.COUNT: count, Kind.PERCENT: 50.0, Kind.DAYS: 1}
    figures = Figures(**{metric.name: values.get(metric.kind) for metric in METRICS})
    return [UserUsage("ada@example.com", figures, {"team": "a"}), UserUsage("ben", figures)]


def make_store(url: str) -> None:
    store = store_at(url)
    with store.locked(), store.opened():
        for day in DAYS.days():
            store.put(SOURCE, DayUsage(day, users()), FETCHED)
        store.put_success(SOURCE, FETCHED)


def make_older(url: str) -> None:
    """As left by a program that did not know one count, the rate, or the tenant's figures."""
    for statement in (
        "DROP VIEW user_days",
        "DROP VIEW daily_totals",
        f"ALTER TABLE user_day DROP COLUMN {LOST.name}",
        f"ALTER TABLE user_day DROP COLUMN {RATE.name}",
        f"ALTER TABLE day_ledger DROP COLUMN {LOST.name}",
        "ALTER TABLE day_ledger DROP COLUMN forgotten",
        "DROP TABLE tenant_figure",
    ):
        sql(url, statement)
    set_schema_version(url, 0)


def version(url: str) -> str:
    ((value,),) = sql(url, "SELECT value FROM store_info WHERE name = 'schema_version'")
    return str(value)


def less_known() -> list[UserUsage]:
    """The users, without the figures that the older program did not know."""
    return [
        UserUsage(
            each.user,
            replace(each.figures, **{LOST.name: None, RATE.name: None}),
            each.extra,
        )
        for each in users()
    ]


@pytest.mark.slow
def test_migration_adds_and_loses_nothing(home: Home, store_url: str) -> None:
    make_store(store_url)
    make_older(store_url)
    store = store_at(store_url)
    new = DAY + timedelta(3)
    figure = TenantFigure(DAYS, next(iter(TENANT_TOTALS)), 5)
    with store.locked(), store.opened():
        store.put(
            SOURCE,
            DayUsage(new, users(), dict(zip(TENANT_TOTALS.values(), (1, 2, 3), strict=True))),
            FETCHED,
        )
        store.put_tenant_figures(SOURCE, [figure], FETCHED)
    assert version(store_url) == f"{VERSION}"
    assert stored_users(home) == {DAY: less_known(), NEXT: less_known(), new: users()}
    for day, row in ledger(home).items():
        known = of_counts([14] * len(COUNTS))
        expected = known if day == new else replace(known, **{LOST.name: None})
        assert (row.sums, row.forgotten, row.fetched_at) == (expected, 0, FETCHED)
    with store.reading() as reader:
        assert reader.last_success(SOURCE) == FETCHED
    assert sql(store_url, "SELECT metric, value FROM tenant_figure") == [(figure.metric, "5")]
    seen = sql(store_url, f"SELECT {LOST.name}, {RATE.name} FROM user_days ORDER BY day")
    assert seen == [(None, None)] * 4 + [(7, 50.0)] * 2
    first = next(total for total in TOTALS if total.name in TENANT_TOTALS.values())
    seen = sql(store_url, f"SELECT {LOST.name}, {first.column} FROM daily_totals ORDER BY day")
    assert seen == [(None, None)] * 2 + [(14, 2)]


@pytest.mark.parametrize(
    ("store_url", "words"),
    [("sqlite", EXPORT), ("sqlite", ("status",)), ("postgresql", EXPORT)],
    indirect=["store_url"],
)
@pytest.mark.slow
def test_readers_migrate_an_older_store(
    home: Home, store_url: str, run: Run, words: tuple[str, ...]
) -> None:
    make_store(store_url)
    make_older(store_url)
    result = run(*words)
    assert result.code == 0, result.err
    assert version(store_url) == f"{VERSION}"
    assert stored_users(home) == {DAY: less_known(), NEXT: less_known()}
    if words == EXPORT:
        with (result.paths[0] / f"augment_metrics_{DAY}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row[USER_TITLE] for row in rows] == [each.user for each in users()]
        assert {(row[LOST.title], row[RATE.title], row[COUNTS[0].title]) for row in rows} == {
            ("", "", "7")
        }


@on_sqlite
def test_empty_day_stays_valid_after_migration(home: Home, store_url: str) -> None:
    store = store_at(store_url)
    with store.locked(), store.opened():
        store.put(SOURCE, DayUsage(DAY, []), FETCHED)
    make_older(store_url)
    assert stored_users(home) == {DAY: []}


def set_aside_alone(home: Home) -> bool:
    """Whether every file below data/ except the store's was set aside."""
    return all(name.endswith(".stale") for name in home.files() if not name.startswith("bad"))


@pytest.mark.parametrize(
    ("store_url", "words"),
    [
        ("sqlite", ("--last-28-days",)),
        ("sqlite", EXPORT),
        ("sqlite", ("status",)),
        ("postgresql", ("--last-28-days",)),
    ],
    indirect=["store_url"],
)
def test_newer_store_is_refused(
    home: Home, store_url: str, sim: Simulator, run: Run, words: tuple[str, ...]
) -> None:
    make_store(store_url)
    set_schema_version(store_url, VERSION + 1)
    before = everything(home, store_url)
    result = run(*words)
    assert (result.code, result.out) == (2, "")
    assert "update the program" in result.err
    assert everything(home, store_url) == before
    assert sim.requests == []
    assert home.files() == set()


def everything(home: Home, url: str) -> object:
    if url.startswith(SQLITE_PREFIX):
        return (home.data / "usage.db").read_bytes()
    return [sql(url, f"SELECT * FROM {t}") for t in ("store_info", "user_day", "day_ledger")]


def other_program(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE recipe (name TEXT)")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwritten(path: Path) -> None:
    data = bytearray(path.read_bytes())
    third = len(data) // 3
    data[third : 2 * third] = b"\xa5" * third
    path.write_bytes(data)


def header_damaged(path: Path) -> None:
    path.write_bytes(b"\0" * 16 + path.read_bytes()[16:])


def text(path: Path) -> None:
    path.write_text("a shopping list\n" * 500)


def short_text(path: Path) -> None:
    path.write_text("short")


def zero_bytes(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = [text, short_text, zero_bytes, truncated, overwritten, header_damaged, other_program]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.slow
def test_damaged_store_is_reported_and_left_alone(
    home: Home, sim: Simulator, run: Run, damage: Callable[[Path], object]
) -> None:
    path = home.data / "usage.db"
    home.settings["STORE_URL"] = f"{SQLITE_PREFIX}{path}"
    window = Window(yesterday() - timedelta(1), yesterday())
    fetch_daily(settings_of(home), window)
    files = home.files()
    damage(path)
    before, asked = path.read_bytes(), len(sim.requests)
    days = (f"{window.start}", f"{window.end}")
    fetching = ("--daily", *days)
    for words in (("export", *days), (*fetching, "--offline"), fetching):
        result = run(*words)
        assert (result.code in (1, 2), result.out) == (True, ""), words
        last = result.err.splitlines()[-1]
        assert f"{path}: " in last or f"{path} is not a store" in last
        assert any(advice in last for advice in ("backup", "fix STORE_URL")), last
        assert damage is overwritten or set_aside_alone(home), words
        if damage is overwritten and words == fetching:  # the ledger is still whole
            assert path.stat().st_size >= len(before)
        else:
            assert path.read_bytes() == before
    assert {name.removesuffix(".stale") for name in home.files()} >= files
    if damage is not overwritten:
        assert run("status").code != 0
        assert path.read_bytes() == before
        assert len(sim.requests) == asked


CONTRADICTIONS = [
    f"UPDATE user_day SET {LOST.name} = {LOST.name} + 1 WHERE user_login = 'ben'",
    f"UPDATE user_day SET {COUNTS[-1].name} = NULL WHERE user_login = 'ben'",
    f"UPDATE day_ledger SET {COUNTS[0].name} = 0",
    "DELETE FROM user_day WHERE user_login = 'ben'",
    "DELETE FROM user_day",
    f"INSERT INTO user_day (source, day, user_login, {', '.join(m.name for m in COUNTS)})"
    f" SELECT source, day, 'eve'{', 0' * len(COUNTS)} FROM day_ledger",
]


@pytest.mark.parametrize(
    ("store_url", "words", "statement"),
    [
        *(("sqlite", EXPORT, each) for each in CONTRADICTIONS),
        ("sqlite", OFFLINE, CONTRADICTIONS[0]),
        *(("postgresql", EXPORT, each) for each in CONTRADICTIONS[:2]),
    ],
    indirect=["store_url"],
)
@pytest.mark.slow
def test_day_that_contradicts_ledger_is_not_exported(
    home: Home, store_url: str, run: Run, words: tuple[str, ...], statement: str
) -> None:
    make_store(store_url)
    assert run(*EXPORT).code == 0
    home.settings["ENTERPRISE_ID"] = "7"  # else days that have their files already are not read
    sql(store_url, f"{statement} {'AND' if 'WHERE' in statement else 'WHERE'} day = '{NEXT}'")
    result = run(*words)
    assert (result.code, result.out) == (1, "")
    assert f"the rows of {NEXT} do not match the ledger" in result.err
    assert "--refresh" in result.err
    fresh = {name for name in home.own_files() if not name.endswith(".stale")}
    assert not [name for name in fresh if f"{NEXT}." in name or "aggregated" in name]
    assert home.files() > fresh


@on_sqlite
@pytest.mark.usefixtures("sim", "csv_alone")
@pytest.mark.slow
def test_refresh_repairs_a_changed_day(home: Home, store_url: str, run: Run) -> None:
    make_store(store_url)
    sql(store_url, f"DELETE FROM user_day WHERE day = '{NEXT}'")
    result = run("--daily", *EXPORT[1:], "--refresh")
    assert (result.code, "do not match the ledger" in result.err) == (
        10,
        False,
    ), "the other is held"
    assert stored_users(home)[NEXT]


@on_sqlite
@pytest.mark.slow
def test_lost_name_is_reported(store_url: str, run: Run) -> None:
    make_store(store_url)
    sql(store_url, "DELETE FROM person WHERE user_login = 'ben'")
    for words in (EXPORT, ("people",)):
        result = run(*words)
        assert result.code == 1
        assert "somebody with figures has no name" in result.err.splitlines()[-1]
    result = run("status", "--verify")
    assert (result.code, "the rows of these days do not match" in result.err) == (1, True)


@pytest.mark.usefixtures("sim", "csv_alone")
@pytest.mark.slow
def test_refresh_repairs_a_lost_name(store_url: str, run: Run) -> None:
    words = ("--daily", *EXPORT[1:])
    assert run(*words).code == 0
    sql(store_url, "DELETE FROM person WHERE number = 0")
    assert run("status", "--verify").code == 1
    assert run(*words, "--refresh").code == 0
    assert run("status", "--verify").code == 0


@on_sqlite
def test_day_without_ledger_row_is_missing(home: Home, store_url: str, run: Run) -> None:
    make_store(store_url)
    sql(store_url, f"DELETE FROM day_ledger WHERE day = '{NEXT}'")
    result = run(*EXPORT)
    assert result.code == 6
    assert f"1 of 2 days are missing: {NEXT}" in result.err
    assert {Path(name).name for name in home.own_files()} == {
        f"augment_metrics_{DAY}.csv",
        f"copilot_metrics_{DAY}.json",
        "manifest.json",
        "report.html",
    }


PASSWORD = "hush-7%40-hush"
MISTYPED = {
    "usage.db": 2,
    "data/usage.db": 2,
    "sqlite:usage.db": 2,
    "sqlite://": 2,
    "sqlite:///": 2,
    "sqlite:///:memory:": 2,
    "sqlite:///data/": 2,
    "sqlite:///secrets": 1,
    f"mysql://ada:{PASSWORD}@db.example.com/usage": 2,
    f"postgresql//ada:{PASSWORD}@db.example.com/usage": 2,
    f"http://ada:{PASSWORD}@db.example.com/usage": 2,
    f"postgresql://ada:{PASSWORD}@127.0.0.1:1/usage": 1,
    f"postgres://ada:{PASSWORD}@127.0.0.1:1/usage": 1,
    f"postgresql://127.0.0.1:1/usage?user=ada&password={PASSWORD}": 1,
    f"postgresql://ada:{PASSWORD}@127.0.0.1:port/usage": 2,
    f"postgresql://ada:12@db:{PASSWORD}/usage": 2,
}


@pytest.mark.parametrize(("url", "code"), MISTYPED.items())
@pytest.mark.slow
def test_invalid_store_url_is_refused_without_password(
    home: Home, sim: Simulator, run: Run, url: str, code: int
) -> None:
    home.settings |= {"STORE_URL": url, "LOG_LEVEL": "DEBUG", "RETRY_BUDGET_SECONDS": "0.1"}
    (home.path / "secrets").mkdir(exist_ok=True)
    for words in (("--last-28-days",), ("status",), EXPORT):
        result = run(*words)
        assert (result.code, result.out) == (code, ""), words
        assert_silent_on_password(result)
        if code == 2:
            assert "STORE_URL" in result.err.splitlines()[-1]
    assert sim.requests == []
    assert home.files() == set()


def assert_silent_on_password(result: Result) -> None:
    assert "Traceback" not in result.err
    assert "hush" not in result.err
    assert "STORE_URL" in result.err or "secrets" in result.err


def test_missing_database_is_reported_and_not_created(
    home: Home, sim: Simulator, run: Run, postgres_server: str
) -> None:
    url = make_url(postgres_server).set(database="no_such_usage", password="hush-7")
    home.settings["STORE_URL"] = url.render_as_string(hide_password=False)
    for words in (("--last-28-days",), ("status",)):
        result = home.run(*words) if words == ("status",) else run(*words)
        assert (result.code, result.out) == (1, "")
        assert "no_such_usage" in result.err
        assert_silent_on_password(result)
    assert sim.requests == []
