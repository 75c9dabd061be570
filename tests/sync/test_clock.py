"""Days are UTC days: no offset, time zone or time of day changes which days are fetched."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from conftest import Home, Start, today, yesterday
from dashboard_scraper.cli.fetching import fetch_daily
from dashboard_scraper.model.dates import Window, end_of_day, last_complete_days, utc_day
from dashboard_scraper.model.figures import NOTHING_KNOWN
from dashboard_scraper.settings.groups import sqlite_url
from dashboard_scraper.simulator import Organization, Simulator
from dashboard_scraper.store import LedgerDay, Status
from dashboard_scraper.store.settling import is_settled
from stored_days import TENANT, USERS, ledger, settings_of

pytestmark = pytest.mark.usefixtures("csv_alone")

OFFSETS = [timezone(timedelta(minutes=minutes)) for minutes in range(-12 * 60, 14 * 60 + 1, 15)]
SOURCE = "dashboard"
SECOND = timedelta(seconds=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


MOMENTS = [
    (at("2024-02-29 23:59:59"), date(2024, 2, 29)),
    (at("2024-02-29 23:59:59.999999"), date(2024, 2, 29)),
    (at("2024-03-01 00:00:00"), date(2024, 3, 1)),
    (at("2024-03-01 01:59:00"), date(2024, 3, 1)),
    (at("2024-03-01 02:00:00"), date(2024, 3, 1)),
    (at("2024-02-29 00:00:00"), date(2024, 2, 29)),
    (at("2024-12-31 23:59:59"), date(2024, 12, 31)),
    (at("2025-01-01 00:00:00"), date(2025, 1, 1)),
    (at("2024-11-03 06:30:00"), date(2024, 11, 3)),
]


@pytest.mark.parametrize(("moment", "day"), MOMENTS)
def test_utc_day_ignores_offset_of_moment(moment: datetime, day: date) -> None:
    for offset in OFFSETS:
        local = moment.astimezone(offset)
        assert utc_day(local) == day
        window = last_complete_days(28, utc_day(local))
        assert window == Window(day - timedelta(28), day - timedelta(1))
        assert len(list(window.days())) == 28
        assert end_of_day(window.end) <= local < end_of_day(day)


@pytest.fixture
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process, and those that it starts, run in a time zone."""
    monkeypatch.setenv("TZ", request.param)
    monkeypatch.setenv("PGTZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def asked(sim: Simulator, endpoint: str) -> list[date]:
    """The single days that were requested, oldest first."""
    days = (request.day for request in sim.requests if request.endpoint == endpoint)
    return sorted(day for day in days if day is not None)


@pytest.fixture
def file_store(home: Home) -> None:
    home.settings["STORE_URL"] = sqlite_url(home.data / "usage.db")


def run(home: Home, moment: datetime, window: Window | None = None) -> None:
    fetch_daily(settings_of(home), window, clock=lambda: moment)


def run_week(home: Home, moment: datetime) -> None:
    """Fetch the seven days before the moment's day."""
    run(home, moment, last_complete_days(7, utc_day(moment)))


@pytest.mark.usefixtures("file_store")
@pytest.mark.parametrize(("moment", "day"), [MOMENTS[1], MOMENTS[7]])
@pytest.mark.slow
def test_run_fetches_28_utc_days_before_its_moment(
    home: Home, start: Start, moment: datetime, day: date
) -> None:
    sim = start(Organization(users=2, today=day))
    run(home, moment)
    days = [day - timedelta(number) for number in range(28, 0, -1)]
    assert asked(sim, USERS) == asked(sim, TENANT) == days
    assert list(ledger(home)) == days
    (folder,) = home.data.glob("daily_exports_*")
    assert folder.name == f"daily_exports_{days[0]}_to_{days[-1]}"


@pytest.mark.usefixtures("store_url", "zone")
@pytest.mark.parametrize(
    ("store_url", "zone"),
    [
        ("sqlite", "Etc/GMT+12"),
        ("postgresql", "Pacific/Kiritimati"),
    ],
    indirect=True,
)
@pytest.mark.slow
def test_machine_time_zone_changes_nothing(home: Home, start: Start) -> None:
    moment, day = MOMENTS[1]
    sim = start(Organization(users=2, today=day))
    run_week(home, moment)
    assert asked(sim, USERS) == list(last_complete_days(7, day).days())
    assert {row.fetched_at for row in ledger(home).values()} == {moment}
    again = moment + SECOND
    sim.requests.clear()
    run_week(home, again)
    assert asked(sim, USERS) == [day - timedelta(number) for number in (3, 2, 1, 0)]


@pytest.mark.slow
def test_command_takes_its_day_from_utc(home: Home, sim: Simulator) -> None:
    """Where it is another day at the moment."""
    zones = (ZoneInfo(name) for name in ("Etc/GMT+12", "Pacific/Kiritimati"))
    elsewhere = next(zone for zone in zones if datetime.now(zone).date() != today())
    home.settings["TZ"] = elsewhere.key
    assert home.run("--last-28-days").code == 0
    assert home.daily_folder.is_dir()
    assert asked(sim, USERS) == list(last_complete_days(28, today()).days())
    refused = home.run("--daily", f"{yesterday()}", f"{today()}")
    assert refused.code == 2
    assert f"{today()} has not ended yet" in refused.err


@pytest.mark.parametrize("settle_days", [0, 1, 3, 90])
def test_day_settles_at_exact_moment(settle_days: int) -> None:
    day = date(2024, 2, 28)
    settled_at = datetime(2024, 2, 29, tzinfo=UTC) + timedelta(settle_days)
    later = settled_at + timedelta(days=1)
    for offset in OFFSETS:
        moment = settled_at.astimezone(offset)
        assert is_settled(fetched(day, moment), settle_days, later)
        assert is_settled(fetched(day, moment), settle_days, moment)
        for instant in (SECOND, timedelta(microseconds=1)):
            assert not is_settled(fetched(day, moment - instant), settle_days, later)
            assert not is_settled(fetched(day, moment + instant), settle_days, moment)


def fetched(day: date, moment: datetime) -> LedgerDay:
    return LedgerDay(SOURCE, day, Status.COMPLETE, moment, 1, 1, NOTHING_KNOWN, None, [], 0)


LAST_INSTANT = "2024-02-29 23:59:59.999999"


@pytest.mark.usefixtures("store_url")
@pytest.mark.parametrize(
    ("store_url", "first", "again"),
    [
        ("sqlite", "2024-03-01 00:00:00", range(27, 30)),
        ("postgresql", LAST_INSTANT, range(26, 30)),
        ("sqlite", "2024-02-29 00:00:00", range(26, 30)),
        ("sqlite", "2024-02-28 23:59:59", range(25, 30)),
    ],
    indirect=["store_url"],
)
@pytest.mark.slow
def test_run_around_leap_day_refetches_unsettled_days(
    home: Home, start: Start, first: str, again: range
) -> None:
    sim = start(Organization(users=2, today=date(2024, 3, 1)))
    run_week(home, at(first))
    sim.requests.clear()
    moment = at("2024-03-01 01:00:00")
    run_week(home, moment)
    days = [date(2024, 2, day) for day in again]
    assert asked(sim, USERS) == days
    rows = ledger(home)
    assert [day for day, row in rows.items() if row.fetched_at == moment] == days
    assert {row.fetched_at for row in rows.values()} == {at(first), moment}


@pytest.mark.usefixtures("file_store")
@pytest.mark.slow
def test_day_fetched_in_the_future_is_refetched(home: Home, start: Start) -> None:
    sim = start(Organization(users=2, today=date(2024, 3, 1)))
    window = Window(date(2023, 12, 30), date(2024, 1, 2))
    now = at("2024-03-01 12:00:00")
    run(home, now + SECOND, window)
    sim.requests.clear()
    run(home, now, window)
    assert asked(sim, USERS) == list(window.days())
    sim.requests.clear()
    run(home, now, window)
    assert asked(sim, USERS) == []
