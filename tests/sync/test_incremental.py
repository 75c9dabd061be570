"""Night after night: stored days are not fetched again, unless the source revised them."""

from __future__ import annotations

import json
import logging
import math
import re
from collections import Counter as Tally
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from conftest import (
    Home,
    Result,
    Start,
    content_of,
    own_files,
    own_warnings,
    today,
    yesterday,
)
from dashboard_scraper.cli.commands.status import print_status
from dashboard_scraper.cli.exporting import export_files
from dashboard_scraper.cli.fetching import fetch_daily, fetch_period
from dashboard_scraper.errors import (
    ContractBroken,
    DaysMissing,
    NotReconciled,
    ScraperError,
    SignInRequired,
    SourceUnavailable,
)
from dashboard_scraper.model.dates import Window, last_complete_days
from dashboard_scraper.model.figures import counts_of
from dashboard_scraper.model.metrics import COUNTS, Totals, Whole
from dashboard_scraper.settings.groups import sqlite_url
from dashboard_scraper.simulator import (
    Fault,
    Organization,
    Request,
    Simulator,
    raw_body,
    set_value,
    status,
)
from dashboard_scraper.sources.dashboard.fields import FIELDS, TENANT_TOTALS
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import store_at
from dashboard_scraper.store.unjudged import NOT_JUDGED
from databases import on_sqlite
from stored_days import (
    NOON,
    TENANT,
    TODAY,
    USERS,
    answer_with_nobody,
    backfill,
    begin_with,
    ledger,
    settings_of,
    sql,
)

NIGHT = timedelta(days=1)
SIZE = 10
"""Days of a run, enough for some that have settled; a run of 28 costs three times as much."""
DAYS = list(last_complete_days(SIZE, TODAY).days())
FILES = 2 * SIZE + 3
MESSAGES = next(iter(TENANT_TOTALS))
AGGREGATED, MANIFEST = "copilot_metrics_aggregated.json", "manifest.json"
Log = pytest.LogCaptureFixture
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def spring(start: Start, home: Home, caplog: Log) -> Simulator:
    """A simulator that also knows the days of the following nights; requests are not repeated.

    The store is SQLite, unless a test asks for `in_each_store`: these tests concern the code above
    it.
    """
    home.settings |= settings(home)
    caplog.set_level(logging.INFO, "dashboard_scraper")
    return start(organization())


def settings(home: Home) -> dict[str, str]:
    return {"MAX_RETRIES": "0", "STORE_URL": sqlite_url(home.data / "usage.db")}


def organization() -> Organization:
    return Organization(users=12, today=TODAY + timedelta(9))


@pytest.fixture(scope="module")
def first_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a home after a run at NOON of TODAY."""
    home = Home(tmp_path_factory.mktemp("first"))
    with Simulator(organization()) as simulator:
        home.settings |= {**settings(home), "METRICS_API_BASE_URL": simulator.url}
        home.sign_in(simulator)
        run(home)
    return home.data


@pytest.fixture
def fetched(home: Home, spring: Simulator, first_night: Path) -> Simulator:
    """The same simulator, after a run at NOON of TODAY."""
    begin_with(home, first_night)
    return spring


def run(home: Home, nights: int = 0, *, refresh: bool = False, size: int = SIZE) -> None:
    """The daily job for the last days, at noon this many days after TODAY."""
    now = NOON + nights * NIGHT
    window = last_complete_days(size, TODAY + nights * NIGHT)
    fetch_daily(settings_of(home), window, refresh=refresh, clock=lambda: now)


def days_before(nights: int, first: int, last: int = 1) -> list[date]:
    """From `first` days before the night's today to `last`, both inclusive."""
    return [TODAY + timedelta(nights - number) for number in range(first, last - 1, -1)]


def folder_of(home: Home, nights: int = 0) -> Path:
    window = last_complete_days(SIZE, TODAY + timedelta(nights))
    return home.data / f"daily_exports_{window.start}_to_{window.end}"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: content_of(path) for path in own_files(folder) if path.suffix != ".stale"}


def asked(sim: Simulator, endpoint: str = USERS) -> list[date]:
    """The single days that were requested, in the order of the requests."""
    found = (request.day for request in tuple(sim.requests) if request.endpoint == endpoint)
    return [day for day in found if day is not None]


def compared(sim: Simulator) -> list[tuple[str, str]]:
    """The ranges for which the tenant's figures were requested."""
    ranges = []
    for request in tuple(sim.requests):
        if request.endpoint == TENANT and request.day is None:
            dates = (json.loads(request.query[name]) for name in ("startDate", "endDate"))
            start, end = (f"{date(each['year'], each['month'], each['day'])}" for each in dates)
            ranges.append((start, end))
    return ranges


def is_range(request: Request) -> bool:
    """Whether it requests the sums of several days, as a comparison does."""
    return request.day is None


def totals(sim: Simulator, day: date) -> Totals:
    """The tenant's figures of a day, from the organization itself."""
    people = len(sim.organization.people)
    found = sim.organization.totals(Window(day, day)).items()
    counts = [total.counts for index, total in found if index < people]
    sums = (
        sum(each.messages for each in counts),
        sum(each.tool_calls for each in counts),
        sum(each.lines for each in counts),
    )
    return dict(zip(TENANT_TOTALS.values(), sums, strict=True))


def messages(caplog: Log, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


@pytest.mark.parametrize(
    "settle_days",
    [0, 3, SIZE + 2],
)
@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_next_night_fetches_only_unsettled_days(
    home: Home, spring: Simulator, settle_days: int
) -> None:
    """The other days are compared with one request."""
    home.settings |= {"SETTLE_DAYS": f"{settle_days}", "MAX_CONCURRENCY": "1"}
    sim = spring
    run(home)
    assert asked(sim) == asked(sim, TENANT) == DAYS
    assert compared(sim) == [(f"{DAYS[0]}", f"{DAYS[-1]}")]
    sim.requests.clear()
    run(home, 1)
    again = days_before(1, min(settle_days + 1, SIZE))
    assert asked(sim) == asked(sim, TENANT) == again
    window = days_before(1, SIZE)
    assert compared(sim) == [(f"{window[0]}", f"{window[-1]}")]
    assert len(sim.requests) == 2 * len(again) + 1
    rows = ledger(home)
    assert [day for day, row in rows.items() if row.fetched_at == NOON + NIGHT] == again
    assert len(contents(folder_of(home, 1))) == SIZE + 1


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_revised_settled_day_is_found_by_bisection(
    home: Home, spring: Simulator, caplog: Log
) -> None:
    home.settings["REVISION_LIMIT"] = "100"
    run(home, size=16)
    unsettled = days_before(0, 3)
    settled = [day for day in days_before(0, 16, 4) if any(totals(spring, day).values())]
    for day in (settled[0], *settled[1:-1:7], settled[-1]):
        before = ledger(home)[day]
        spring.revise(day)
        spring.requests.clear()
        caplog.clear()
        run(home, size=16)
        assert Tally(asked(spring)) == Tally([*unsettled, day])
        further = spring.count(TENANT) - 1 - len([*unsettled, day])
        assert 0 < further <= 2 * math.log2(16)
        now = ledger(home)[day]
        assert before.totals != now.totals == totals(spring, day)
        assert now.unreconciled == []
        assert any(f"revised {day}" in text for text in messages(caplog, logging.WARNING))
        (logged_line,) = (text for text in messages(caplog, logging.INFO) if "was revised" in text)
        assert logged_line.startswith(f"{day} was revised: ")
        for metric in COUNTS:
            old, new = before.sums[metric], now.sums[metric]
            assert (f"{metric.name} {old} -> {new}" in logged_line) == (old != new)


@pytest.mark.usefixtures("csv_alone")
def test_revised_settled_day_is_found_alone(home: Home, fetched: Simulator) -> None:
    """Even if the run is for no other day."""
    home.settings["REVISION_LIMIT"] = "100"
    day = next(day for day in days_before(0, SIZE, 4) if any(totals(fetched, day).values()))
    fetched.revise(day)
    fetch_daily(settings_of(home), Window(day, day), clock=lambda: NOON)
    assert ledger(home)[day].totals == totals(fetched, day)


@pytest.mark.slow
def test_outputs_after_revision_equal_first_run(
    home: Home, fetched: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sim = fetched
    home.settings["REVISION_LIMIT"] = "100"
    first = contents(folder_of(home))
    revised = [DAYS[0], DAYS[5]]
    for day in revised:
        sim.revise(day)
    sim.requests.clear()
    run(home)
    assert Tally(asked(sim)) == Tally([*revised, *DAYS[7:]])
    again = contents(folder_of(home))
    changed = {name for name in first if first[name] != again[name]}
    pairs = {f"{kind}_{day}" for day in revised for kind in ("augment_metrics", "copilot_metrics")}
    assert {name.rpartition(".")[0] for name in changed} == {
        *pairs,
        "report",
        AGGREGATED.removesuffix(".json"),
        "manifest",
    }
    other = Home(tmp_path_factory.mktemp("other"), dict(home.settings))
    other.settings |= {"STORE_URL": f"sqlite:///{other.data / 'usage.db'}"}
    other.settings |= {"COOKIE_FILE": f"{home.cookie_file}", "EXPORT_DIR": f"{other.data}"}
    run(other)
    assert contents(folder_of(other)) == again


@pytest.mark.slow
def test_refresh_fetches_every_day(home: Home, fetched: Simulator) -> None:
    """And compares their sum with the tenant's total of the whole range."""
    before = contents(folder_of(home))
    fetched.requests.clear()
    run(home, refresh=True)
    assert sorted(asked(fetched)) == sorted(asked(fetched, TENANT)) == DAYS
    assert compared(fetched) == [(f"{DAYS[0]}", f"{DAYS[-1]}")]
    assert contents(folder_of(home)) == before


@pytest.mark.slow
def test_offline_sends_no_request(home: Home, fetched: Simulator, capsys: Capture) -> None:
    before = contents(folder_of(home))
    fetched.requests.clear()
    fetched.stop()
    settings, window = settings_of(home), last_complete_days(SIZE, TODAY)
    capsys.readouterr()
    export_files(settings, window, None)
    folder = folder_of(home)
    assert capsys.readouterr().out == f"{folder}\n{(folder / 'report.html').as_uri()}\n"
    assert contents(folder_of(home)) == before
    for day in DAYS[3:5]:
        sql(home.settings["STORE_URL"], f"DELETE FROM day_ledger WHERE day = '{day}'")
    with pytest.raises(DaysMissing, match=f"2 of {SIZE} days are missing: {DAYS[3]} to {DAYS[4]}"):
        export_files(settings, window, None)
    assert fetched.requests == []
    assert_written_except(home, DAYS[3:5], "missing")


def assert_written_except(home: Home, missing: list[date], word: str) -> None:
    """Every other day has its files; the manifest gives the missing days this word as status."""
    files = contents(folder_of(home))
    manifest: Any = json.loads(files.pop(MANIFEST))
    there = [day for day in DAYS if day not in missing]
    assert set(files) == {f"augment_metrics_{day}.csv" for day in there} | {
        f"copilot_metrics_{day}.json" for day in there
    } | {"report.html"}
    states = {each["day"]: each["status"] for each in manifest["days"]}
    assert [day for day, state in states.items() if state == word] == [f"{d}" for d in missing]
    assert manifest["aggregated"] is None


@pytest.mark.slow
def test_command_line_has_offline_refresh_and_daily(home: Home, sim: Simulator) -> None:
    start_, end = yesterday() - timedelta(9), yesterday() - timedelta(8)
    folder = home.data / f"daily_exports_{start_}_to_{end}"

    def daily(*words: str, code: int = 0) -> Result:
        sim.requests.clear()
        result = home.run("--daily", *words)
        assert result.code == code, result.err
        return result

    for words, days in (((), [start_, end]), ((), []), (("--refresh",), [start_, end])):
        assert daily(f"{start_}", f"{end}", *words).paths == [folder]
        assert sorted(asked(sim)) == days
    assert len(contents(folder)) == 7
    first = contents(folder)
    assert daily(f"{start_}", f"{end}", "--offline").paths == [folder]
    assert (sim.requests, contents(folder)) == ([], first)
    assert f"{today()} has not ended yet" in daily(f"{end}", f"{today()}", code=2).err
    daily(f"{end}", f"{start_}", code=2)
    assert sim.requests == []


@pytest.mark.parametrize("command", ["daily", "daily without a session", "backfill", "period"])
@pytest.mark.slow
def test_new_store_beside_earlier_exports_is_warned_of(
    home: Home, fetched: Simulator, caplog: Log, command: str
) -> None:
    """By the run that creates it, whichever that is: the next run finds a store."""
    assert fetched.url
    run(home, nights=1, size=1)
    assert "is new" not in caplog.text
    (home.data / "usage.db").unlink()
    if command == "daily":
        run(home, nights=2, size=1)
    elif command == "daily without a session":
        home.cookie_file.unlink()
        with pytest.raises(SignInRequired):
            run(home, nights=2, size=1)
    elif command == "backfill":
        backfill(home, DAYS[0], DAYS[0])
    else:
        fetch_period(settings_of(home), NOON, Window(DAYS[0], DAYS[0]), None)
    [warning] = [each for each in own_warnings(caplog) if "usage.db is new" in each]
    assert "if the store was lost" in warning


@on_sqlite
@pytest.mark.slow
def test_next_run_resumes_after_expired_session(home: Home, start: Start, store_url: str) -> None:
    assert store_url
    home.settings["MAX_CONCURRENCY"] = "1"
    sim = start(Organization(users=3, today=TODAY), expire_after=14)
    with pytest.raises(SignInRequired) as caught:
        run(home)
    assert caught.value.exit_code == 3
    assert list(ledger(home)) == DAYS[:7]
    assert not folder_of(home).exists()
    sim.sign_in()
    home.sign_in(sim)
    run(home)
    whole = [request for request in sim.requests if request.status == 200]
    assert [request.day for request in whole if request.endpoint == USERS] == DAYS
    assert [request.day for request in whole if request.endpoint == TENANT] == [*DAYS, None]
    assert compared(sim) == [(f"{DAYS[0]}", f"{DAYS[-1]}")]
    assert len(contents(folder_of(home))) == FILES


@pytest.mark.slow
def test_day_of_an_interrupted_run_is_judged_by_the_next(
    home: Home, in_each_store: Simulator
) -> None:
    """A run judges its days once it has all of them; a settled day is not fetched again."""
    sim = in_each_store
    home.settings["MAX_CONCURRENCY"] = "1"
    odd, other = TODAY - timedelta(7), TODAY - timedelta(6)
    for weeks in (2, 1):
        backfill(home, odd - timedelta(weeks=weeks), odd - timedelta(weeks=weeks))
    answer_with_nobody(sim, odd)
    sim.add_fault(Fault(status(401), USERS, other))
    with pytest.raises(SignInRequired):
        backfill(home, odd, other)
    assert ledger(home)[odd].suspicious == NOT_JUDGED
    sim.clear_faults()
    sim.requests.clear()
    backfill(home, odd, other)
    assert asked(sim) == [other]
    assert f"{ledger(home)[odd].suspicious}".startswith("active users 0, on the same weekday")
    store = store_at(home.settings["STORE_URL"])
    with store.locked(), store.opened():
        store.accept(DASHBOARD, odd, NOON)
    backfill(home, odd, other)
    assert ledger(home)[odd].suspicious is None


def test_day_that_no_run_has_judged_is_marked_until_it_is(home: Home, spring: Simulator) -> None:
    """It is not fetched again only to be judged."""
    home.settings["MAX_CONCURRENCY"] = "1"
    day, waiting, other = DAYS[:3]
    spring.add_fault(Fault(status(401), USERS, other))
    with pytest.raises(SignInRequired):
        run(home)
    exported = home.run("export", f"{day}")
    folder = exported.paths[0]
    [listed] = json.loads((folder / MANIFEST).read_bytes())["days"]
    assert listed["suspicious"] == NOT_JUDGED
    assert NOT_JUDGED in (folder / "NOTES.txt").read_text()
    assert f"{day} suspicious: {NOT_JUDGED}" in home.run("revisions").out
    assert home.run("revisions", "accept", f"{day}").out == f"{day} accepted\n"
    assert [ledger(home)[each].suspicious for each in (day, waiting)] == [None, NOT_JUDGED]
    spring.clear_faults()
    spring.requests.clear()
    run(home)
    assert asked(spring)[0] == other
    assert not any(row.suspicious for row in ledger(home).values())


@pytest.mark.slow
def test_unavailable_day_is_fetched_by_next_run(home: Home, spring: Simulator) -> None:
    out = [DAYS[4], DAYS[8]]
    for day in out:
        spring.add_fault(Fault(status(503), USERS, day))
    with pytest.raises(DaysMissing) as caught:
        run(home)
    assert caught.value.exit_code == 6
    assert_written_except(home, out, "failed")
    assert list(ledger(home)) == [day for day in DAYS if day not in out]
    spring.clear_faults()
    spring.requests.clear()
    run(home)
    assert Tally(asked(spring)) == Tally([DAYS[4], *DAYS[7:]])
    assert len(compared(spring)) == 1
    assert len(contents(folder_of(home))) == FILES


@pytest.mark.slow
def test_revised_day_that_fails_is_not_exported(home: Home, fetched: Simulator) -> None:
    fetched.revise(DAYS[6])
    fetched.add_fault(Fault(status(503), USERS, DAYS[6]))
    with pytest.raises(DaysMissing, match=f"{DAYS[6]}"):
        run(home)
    assert_written_except(home, [DAYS[6]], "failed")


@pytest.mark.slow
def test_backfill_fetches_missing_days_oldest_first(
    home: Home, spring: Simulator, capsys: Capture
) -> None:
    """And writes no files."""
    home.settings["MAX_CONCURRENCY"] = "1"
    first, last = TODAY - timedelta(30), TODAY - timedelta(11)
    window = list(Window(first, last).days())
    backfill(home, window[5], window[9])
    spring.add_fault(Fault(status(503), USERS, window[12]))
    spring.requests.clear()
    capsys.readouterr()
    with pytest.raises(DaysMissing, match=f"1 of 20 days are missing: {window[12]}"):
        backfill(home, first, last)
    missing = [day for day in window if day not in window[5:10]]
    assert asked(spring) == [*missing, window[12]]
    spring.expire()
    with pytest.raises(SignInRequired):
        backfill(home, first, last)
    spring.sign_in()
    home.sign_in(spring)
    spring.clear_faults()
    spring.requests.clear()
    backfill(home, first, last)
    assert asked(spring) == [window[12]]
    assert list(ledger(home)) == window
    spring.requests.clear()
    backfill(home, first, last)
    assert spring.requests == []
    assert capsys.readouterr().out == ""
    assert home.files() == set()


@pytest.mark.slow
def test_backfill_stops_after_28_unavailable_days(home: Home, spring: Simulator) -> None:
    home.settings["MAX_CONCURRENCY"] = "1"
    first = TODAY - timedelta(100)
    spring.add_fault(Fault(status(503), USERS, after=10))
    with pytest.raises(SourceUnavailable, match="28 days in a row") as caught:
        backfill(home, first, TODAY - timedelta(1))
    assert caught.value.exit_code == 4
    assert asked(spring) == list(Window(first, first + timedelta(37)).days())
    assert list(ledger(home)) == list(Window(first, first + timedelta(9)).days())


def test_source_that_is_down_is_asked_once_more_for_one_day(home: Home, spring: Simulator) -> None:
    home.settings |= {"MAX_CONCURRENCY": "1", "SCRAPE_ENDPOINTS": "user-feature-stats"}
    first, last = TODAY - timedelta(4), TODAY - timedelta(1)
    spring.add_fault(Fault(status(503), USERS))
    with pytest.raises(SourceUnavailable, match="no day could be fetched"):
        backfill(home, first, last)
    assert asked(spring) == [*Window(first, last).days(), first]
    spring.clear_faults()
    spring.requests.clear()
    spring.add_fault(Fault(status(503), USERS, times=4))
    backfill(home, first, last)
    assert asked(spring) == [*Window(first, last).days()] * 2


@pytest.mark.slow
def test_scattered_failures_do_not_stop_backfill(home: Home, spring: Simulator) -> None:
    days = list(Window(TODAY - timedelta(52), TODAY - timedelta(11)).days())
    out = [day for number, day in enumerate(days) if number % 14]
    for day in out:
        spring.add_fault(Fault(status(503), USERS, day))
    home.settings["MAX_CONCURRENCY"] = "1"
    with pytest.raises(DaysMissing, match=f"{len(out)} of {len(days)} days are missing"):
        backfill(home, days[0], days[-1])
    assert list(ledger(home)) == days[::14]
    assert set(asked(spring)) == set(days)


@pytest.mark.slow
def test_time_left_is_logged_for_slow_source(home: Home, start: Start) -> None:
    home.settings["MAX_CONCURRENCY"] = "1"
    start(Organization(users=2, today=today()), latency=0.4, expire_after=4)
    result = home.run("--last-28-days")
    assert result.code == 3
    fetched = [line for line in result.err.splitlines() if " fetched, " in line]
    left = [re.search(r"about (\d+) (s|min) left", line) for line in fetched]
    assert len(left) == 2
    assert left[0] is not None
    assert left[1] is not None
    assert int(left[0][1]) * {"s": 1, "min": 60}[left[0][2]] >= 0.8 * 27


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_days_without_totals_stay_unchecked(
    home: Home, spring: Simulator, caplog: Log, capsys: Capture
) -> None:
    home.settings["SCRAPE_ENDPOINTS"] = USERS
    for nights in range(2):
        spring.requests.clear()
        caplog.clear()
        run(home, nights)
        assert sorted(asked(spring)) == (days_before(1, 4) if nights else DAYS)
        assert spring.count(TENANT) == 0
        assert any(
            "no figures of the whole tenant" in text for text in messages(caplog, logging.WARNING)
        )
    assert unchecked(home, capsys) == [f"{day}" for day in days_before(1, SIZE + 1)]
    assert unchecked_files(home) == [f"{day}" for day in days_before(1, SIZE)]
    home.settings["SCRAPE_ENDPOINTS"] = "all"
    spring.requests.clear()
    run(home, 1)
    assert sorted(asked(spring)) == sorted(asked(spring, TENANT)) == days_before(1, SIZE)
    assert unchecked(home, capsys) == [f"{DAYS[0]}"]
    assert unchecked_files(home) == []


def unchecked(home: Home, capsys: Capture) -> list[str]:
    return [str(day) for day in status_of(home, capsys)["unchecked"]]


def unchecked_files(home: Home) -> list[str]:
    """The days that the manifest of the newest export marks so."""
    days = json.loads((home.data / "latest" / MANIFEST).read_bytes())["days"]
    return [day["day"] for day in days if day.get("unchecked")]


def status_of(home: Home, capsys: Capture) -> dict[str, Any]:
    capsys.readouterr()
    print_status(settings_of(home), NOON, as_json=True, max_age=None, check=False)
    (source,) = json.loads(capsys.readouterr().out)["sources"]
    assert isinstance(source, dict)
    return source


@pytest.mark.parametrize(
    ("effect", "error"),
    [(status(503), SourceUnavailable), (raw_body(b"null"), ContractBroken)],
)
@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_failed_comparison_still_writes_files(
    home: Home, fetched: Simulator, effect: Any, error: type[ScraperError]
) -> None:
    """But the run does not succeed."""
    fetched.add_fault(Fault(effect, TENANT, asks=is_range))
    with pytest.raises(error, match="could not be compared"):
        run(home, 1)
    assert error.exit_code == {SourceUnavailable: 4, ContractBroken: 5}[error]
    assert len(contents(folder_of(home, 1))) == SIZE + 1
    with store_at(home.settings["STORE_URL"]).reading() as reader:
        assert reader.last_success("dashboard") == NOON
    fetched.clear_faults()
    run(home, 1)


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_total_older_than_the_days_is_asked_for_again(home: Home, fetched: Simulator) -> None:
    """It is requested before the days, which may therefore be newer: that is no contradiction."""
    before = len(compared(fetched))
    asked_before = len(asked(fetched))
    fetched.add_fault(Fault(set_value(MESSAGES, 10**6), TENANT, asks=is_range, times=1))
    run(home, 1)
    assert compared(fetched)[before:] == [(f"{DAYS[1]}", f"{DAYS[-1] + NIGHT}")] * 2
    assert asked(fetched)[asked_before:].count(DAYS[1]) == 0


@pytest.mark.slow
def test_backfill_asks_for_no_sums_of_several_days(home: Home, spring: Simulator) -> None:
    backfill(home, DAYS[0], DAYS[-1])
    assert (sorted(asked(spring, TENANT)), compared(spring)) == (DAYS, [])


CHAT = next(m for m in COUNTS if m.part_of is Whole.MESSAGES)


@pytest.mark.slow
def test_unreconciled_day_is_stored_and_reported(
    home: Home, spring: Simulator, caplog: Log, capsys: Capture
) -> None:
    """After it was fetched a second time."""
    day = DAYS[8]
    spring.add_fault(Fault(set_value(FIELDS[CHAT], 10**6, record=0), USERS, day))
    with pytest.raises(NotReconciled, match=f"^{day} does not add up"):
        run(home)
    assert Tally(asked(spring)) == Tally([*DAYS, day])
    (difference,) = ledger(home)[day].unreconciled
    tenant = totals(spring, day)[TENANT_TOTALS[MESSAGES]]
    assert (difference.metric, difference.tenant) == (TENANT_TOTALS[MESSAGES], tenant)
    assert 10**6 <= difference.users <= 10**6 + tenant
    both = f"{TENANT_TOTALS[MESSAGES]} is {tenant}, the users' sum is {difference.users}"
    (logged_line,) = own_warnings(caplog)
    assert logged_line == f"{day} does not add up: {both}; stored as it is"
    expected = {"metric": TENANT_TOTALS[MESSAGES], "users": difference.users, "tenant": tenant}
    manifest: Any = json.loads((folder_of(home) / MANIFEST).read_bytes())
    found = {each["day"]: each.get("unreconciled") for each in manifest["days"]}
    assert {key: value for key, value in found.items() if value} == {f"{day}": [expected]}
    (entry,) = status_of(home, capsys)["unreconciled"]
    assert entry == {"day": f"{day}", "differences": [expected]}
    print_status(settings_of(home), NOON, as_json=False, max_age=None, check=False)
    assert both in capsys.readouterr().out


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_day_that_adds_up_on_second_fetch_is_clean(
    home: Home, spring: Simulator, caplog: Log
) -> None:
    spring.add_fault(Fault(set_value(FIELDS[CHAT], 10**6, record=0), USERS, DAYS[8], times=1))
    run(home)
    assert Tally(asked(spring)) == Tally([*DAYS, DAYS[8]])
    assert own_warnings(caplog) == []
    row = ledger(home)[DAYS[8]]
    assert (row.unreconciled, row.totals) == ([], totals(spring, DAYS[8]))
    assert max(count or 0 for count in counts_of(row.sums)) < 10**6
