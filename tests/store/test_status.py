"""`status`: what the store holds, how old it is, and whether the session is valid."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from conftest import Home, Start, yesterday
from dashboard_scraper.cli.commands.status import print_status
from dashboard_scraper.cli.parser import parse
from dashboard_scraper.errors import ContractBroken, DaysMissing, NotReconciled, Stale, UsageError
from dashboard_scraper.model.dates import end_of_day, parse_duration
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.simulator import Fault, Organization, Simulator, raw_body, set_value
from dashboard_scraper.sources.dashboard.fields import TENANT_TOTALS
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import store_at
from databases import on_sqlite
from filled_store import user
from stored_costs import cost, day_of
from stored_days import (
    NOON,
    TENANT,
    TODAY,
    USERS,
    answer_with_nobody,
    backfill,
    fetch,
    forget,
    ledger,
    march,
    settings_of,
    sql,
    stored_users,
)

pytestmark = pytest.mark.usefixtures("csv_alone")

Capture = pytest.CaptureFixture[str]
MESSAGES = next(iter(TENANT_TOTALS))
FEBRUARY = [date(2025, 2, day) for day in range(24, 29)]
NEWEST_ENDED = datetime(2025, 3, 10, tzinfo=UTC)


@pytest.fixture
def spring(start: Start) -> Simulator:
    """A simulator whose today is the 10th of March, 2025."""
    return start(Organization(users=12, today=TODAY))


def text_of(home: Home, capsys: Capture, now: datetime = NOON) -> list[str]:
    capsys.readouterr()
    print_status(settings_of(home), now, as_json=False, max_age=None, check=False)
    return capsys.readouterr().out.splitlines()


def json_of(home: Home, capsys: Capture, now: datetime = NOON) -> dict[str, Any]:
    """The only source in the output of `status --json`."""
    capsys.readouterr()
    print_status(settings_of(home), now, as_json=True, max_age=None, check=False)
    (source,) = json.loads(capsys.readouterr().out)["sources"]
    assert isinstance(source, dict)
    return source


def age_checked(home: Home, now: datetime, max_age: str) -> None:
    print_status(
        settings_of(home), now, as_json=False, max_age=parse_duration(max_age), check=False
    )


def texts(days: list[date]) -> list[str]:
    return [f"{day}" for day in days]


def test_status_without_store_creates_nothing(home: Home, empty_place: str) -> None:
    found = home.run("status")
    assert (found.code, found.err) == (0, "")
    assert "no day has been fetched yet" in found.out
    found = home.run("status", "--json")
    assert (found.code, json.loads(found.out)["sources"]) == (0, [])
    assert list(home.path.iterdir()) == []
    if empty_place.startswith("postgresql"):
        tables = "SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        assert sql(empty_place, tables) == []


@on_sqlite
@pytest.mark.usefixtures("spring", "store_url")
@pytest.mark.slow
def test_status_of_complete_window(home: Home, capsys: Capture) -> None:
    home.settings["SETTLE_DAYS"] = "0"
    now = datetime(2025, 3, 7, 12, tzinfo=UTC)
    backfill(home, march(3), march(6), now)
    lines = text_of(home, capsys, now)
    assert lines[1].startswith("last run for dashboard, 2025-03-07T12:00:00Z: exit code 0: 4 days")
    assert lines[3:7] == [
        "dashboard: 2025-03-03 to 2025-03-06",
        "  4 complete, 0 empty, 0 missing",
        "  last run that got everything: 2025-03-07T12:00:00Z",
        "  0 days do not add up",
    ]
    assert "  2025-03    ####" in lines
    lists = (
        "future",
        "fetched_in_future",
        "empty",
        "missing",
        "unsettled",
        "unchecked",
        "unreconciled",
        "suspicious",
        "held",
        "forgotten",
    )
    assert json_of(home, capsys, now) == {
        "source": "dashboard",
        "first": "2025-03-03",
        "last": "2025-03-06",
        "newest_over": "2025-03-06",
        "rows": 4 * 12,
        "complete": 4,
        **{name: [] for name in lists},
        "editor_language": 0,
        "editor_language_unreconciled": [],
        "credits": 0,
        "costs": None,
        "last_success": "2025-03-07T12:00:00Z",
    }


@pytest.fixture
def mixed(home: Home, spring: Simulator, store_url: str) -> Simulator:
    """A store with days of every kind: the 26th is empty, the 4th does not add up, the 5th came
    without the tenant's figures, and the 28th to the 2nd are missing.
    """
    assert store_url
    answer_with_nobody(spring, FEBRUARY[2])
    spring.add_fault(Fault(set_value(MESSAGES, 10**6), TENANT, march(4)))
    backfill(home, FEBRUARY[0], FEBRUARY[3])
    with pytest.raises(NotReconciled):
        backfill(home, march(3), march(4))
    home.settings["SCRAPE_ENDPOINTS"] = USERS
    backfill(home, march(5), march(5))
    del home.settings["SCRAPE_ENDPOINTS"]
    backfill(home, march(6), march(9))
    return spring


@on_sqlite
@pytest.mark.usefixtures("mixed")
@pytest.mark.slow
def test_calendar_has_a_mark_per_day(home: Home, capsys: Capture) -> None:
    lines = text_of(home, capsys, NOON + timedelta(days=2))
    number = lines.index(f"  2025-02  {' ' * 23}##o#.")
    assert lines[number + 1 :] == [
        "  2025-03  ..#!?#~~~..",
        "",
        "  # complete   o empty   . missing   ~ may still grow   ? not checked",
        "  ! does not add up   * suspicious   % newer figures are held",
    ]
    ruler = lines[number - 1]
    first = lines[number + 1].index("..#")
    for day in (1, 5, 10, 15, 20, 25, 30):
        assert ruler[first + day - 1 :].startswith(f"{day}")


@on_sqlite
@pytest.mark.usefixtures("mixed")
@pytest.mark.slow
def test_status_lists_every_kind_of_day(home: Home, capsys: Capture) -> None:
    found = json_of(home, capsys, NOON + timedelta(days=2))
    assert (found["first"], found["last"]) == (f"{FEBRUARY[0]}", f"{march(9)}")
    assert found["complete"] == 10
    assert found["empty"] == [f"{FEBRUARY[2]}"]
    assert found["missing"] == texts([FEBRUARY[4], march(1), march(2), march(10), march(11)])
    assert found["unsettled"] == texts([march(7), march(8), march(9)])
    assert found["unchecked"] == [f"{march(5)}"]
    sums = ledger(home)[march(4)].unreconciled[0].users
    assert 0 < sums < 10**6
    difference = {"metric": TENANT_TOTALS[MESSAGES], "users": sums, "tenant": 10**6}
    assert found["unreconciled"] == [{"day": f"{march(4)}", "differences": [difference]}]
    lines = text_of(home, capsys, NOON + timedelta(days=2))
    assert "  10 complete, 1 empty, 5 missing" in lines
    assert "  1 day does not add up" in lines
    assert (
        f"    2025-03-04: {TENANT_TOTALS[MESSAGES]} is 1000000, the users' sum is {sums}" in lines
    )


@on_sqlite
@pytest.mark.usefixtures("spring", "store_url")
@pytest.mark.slow
def test_status_counts_days_with_forgotten_users(home: Home, capsys: Capture) -> None:
    backfill(home, march(3), march(5))
    assert not [line for line in text_of(home, capsys) if "removed" in line]
    forget(home, stored_users(home)[march(4)][0].user)
    assert json_of(home, capsys)["forgotten"] == texts([march(3), march(4), march(5)])
    assert "  3 days lack a user who was removed" in text_of(home, capsys)


@on_sqlite
@pytest.mark.usefixtures("store_url")
@pytest.mark.slow
def test_last_success_is_of_a_complete_run(home: Home, spring: Simulator, capsys: Capture) -> None:
    spring.add_fault(Fault(raw_body(b"null"), USERS, march(4)))
    with pytest.raises(DaysMissing):
        backfill(home, march(3), march(4))
    assert json_of(home, capsys)["last_success"] is None
    assert "  last run that got everything: never" in text_of(home, capsys)
    spring.clear_faults()
    backfill(home, march(3), march(4))
    assert json_of(home, capsys)["last_success"] == "2025-03-10T12:00:00Z"
    spring.add_fault(Fault(raw_body(b"null"), USERS, march(5)))
    with pytest.raises(DaysMissing):
        backfill(home, march(3), march(5), NOON + timedelta(hours=1))
    assert json_of(home, capsys)["last_success"] == "2025-03-10T12:00:00Z"
    spring.add_fault(Fault(raw_body(b"null"), TENANT))
    with pytest.raises(ContractBroken):
        fetch(home, march(3), march(4), NOON + timedelta(hours=2))
    assert json_of(home, capsys)["last_success"] == "2025-03-10T12:00:00Z"
    spring.clear_faults()
    fetch(home, march(3), march(4), NOON + timedelta(hours=3))
    assert json_of(home, capsys)["last_success"] == "2025-03-10T15:00:00Z"


@on_sqlite
@pytest.mark.usefixtures("spring", "store_url")
@pytest.mark.slow
def test_max_age_limits_age_of_newest_day(home: Home) -> None:
    backfill(home, march(8), march(9), NEWEST_ENDED)
    for text, age in [
        ("36h", timedelta(hours=36)),
        ("2d", timedelta(days=2)),
        ("90m", timedelta(minutes=90)),
        ("0m", timedelta(0)),
    ]:
        age_checked(home, NEWEST_ENDED + age, text)
        with pytest.raises(Stale, match=r"dashboard: the newest day, 2025-03-09,"):
            age_checked(home, NEWEST_ENDED + age + timedelta(seconds=1), text)


@on_sqlite
@pytest.mark.usefixtures("store_url")
def test_empty_newest_day_is_fresh(home: Home, spring: Simulator) -> None:
    answer_with_nobody(spring, march(9))
    backfill(home, march(8), march(9))
    age_checked(home, NEWEST_ENDED + timedelta(hours=36), "36h")


@pytest.mark.usefixtures("spring")
@pytest.mark.slow
def test_gap_does_not_make_store_stale(home: Home) -> None:
    """`status` reports the gap as missing; --max-age checks only how old the newest day is."""
    home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
    backfill(home, march(3), march(3))
    backfill(home, march(9), march(9))
    age_checked(home, NEWEST_ENDED + timedelta(hours=36), "36h")


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name.endswith(".status")]


def put_days(home: Home, fetched: dict[date, datetime]) -> None:
    """Store days of the dashboard with one user each, fetched at these moments."""
    home.settings["STORE_URL"] = url = f"sqlite:///{home.data / 'usage.db'}"
    store = store_at(url)
    with store.locked(), store.opened():
        for day, moment in fetched.items():
            store.put(DASHBOARD, DayUsage(day, [user("ada@example.com")]), moment)


def put_costs(home: Home, fetched: dict[date, datetime]) -> None:
    store = store_at(home.settings["STORE_URL"])
    with store.locked(), store.opened():
        for day, moment in fetched.items():
            store.put_costs(DASHBOARD, day_of(day, [cost("ada@example.com", "1")]), moment)


SOUND = {march(8): NOON, march(9): NOON}
LATER = NOON + timedelta(days=40)
AHEAD = {
    "future": (
        {date(2025, 4, 15): LATER},
        "1 day in the future, not counted: 2025-04-15",
    ),
    "the far future": ({date(2999, 12, 30): LATER}, "not counted: 2999-12-30"),
    "fetched in the future": (
        {march(9): LATER},
        "1 day fetched at a moment still to come, not counted: 2025-03-09",
    ),
}


@pytest.mark.parametrize("case", AHEAD)
def test_days_fetched_in_future_do_not_count(
    case: str, home: Home, capsys: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    days, doubt = AHEAD[case]
    put_days(home, SOUND | days)
    newest = march(8) if march(9) in days else march(9)
    assert json_of(home, capsys)["newest_over"] == f"{newest}"
    lines = text_of(home, capsys)
    assert [line for line in lines if doubt in line]
    assert lines[2:4] == [
        "dashboard: 2025-03-08 to 2025-03-09",
        "  0 complete, 2 empty, 0 missing",
    ]
    assert lines[-5].endswith("30")  # the ruler: the calendar has one month
    age_checked(home, NOON, "36h")
    assert [found for found in messages(caplog) if doubt in found]
    with pytest.raises(Stale, match=rf"the newest day, {newest}, ended"):
        age_checked(home, NOON, "11h")


def test_store_with_future_days_only_is_stale(home: Home, capsys: Capture) -> None:
    put_days(home, {date(2025, 4, 15): LATER})
    found = json_of(home, capsys)
    assert (found["newest_over"], found["missing"]) == (None, [])
    assert text_of(home, capsys)
    with pytest.raises(Stale, match="every stored day was fetched before it had ended"):
        age_checked(home, NOON, "999d")


def test_costs_fetched_by_a_clock_that_was_ahead_are_not_fresh(home: Home) -> None:
    put_days(home, SOUND)
    put_costs(home, {march(8): NOON, date(2025, 4, 15): LATER})
    age_checked(home, NOON, "36h")
    with pytest.raises(Stale, match="the newest day with costs, 2025-03-08, ended 36 hours ago"):
        age_checked(home, NOON, "35h")


@pytest.mark.parametrize("day", [march(9), march(10)], ids=["yesterday", "today"])
def test_day_fetched_before_its_end_is_not_fresh(day: date, home: Home) -> None:
    put_days(home, {march(7): NOON, day: end_of_day(day) - timedelta(seconds=1)})
    now = max(NOON, end_of_day(day) - timedelta(seconds=1))
    age_checked(home, now, "3d")
    with pytest.raises(Stale, match=r"day, 2025-03-07, ended .* newer ones do not count"):
        age_checked(home, now, "36h")


def test_clock_skew_of_minutes_is_tolerated(home: Home) -> None:
    put_days(home, {march(9): NOON + timedelta(minutes=4)})
    age_checked(home, NOON, "13h")


@on_sqlite
@pytest.mark.usefixtures("mixed")
@pytest.mark.slow
def test_recent_unreconciled_days_are_warned_of(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    age_checked(home, NOON, "36h")
    assert messages(caplog) == []
    age_checked(home, NOON, "7d")
    assert messages(caplog) == ["dashboard: days that do not add up: 2025-03-04"]


@pytest.mark.slow
def test_long_history_is_reported_in_few_lines(home: Home, capsys: Capture) -> None:
    """For 26 years, the calendar has the newest months, and `--json` has every day."""
    put_days(home, {date(1999, 3, 8): NOON, **SOUND})
    lines = text_of(home, capsys)
    assert "  (289 months from 1999-03 to 2023-03: see --json)" in lines
    assert len([line for line in lines if line.startswith("  20")]) == 24
    assert len(lines) < 40
    assert len(json_of(home, capsys)["missing"]) == 9496


@on_sqlite
@pytest.mark.usefixtures("spring", "store_url")
@pytest.mark.slow
def test_differences_are_listed_up_to_a_number(
    home: Home, capsys: Capture, spring: Simulator
) -> None:
    for total in TENANT_TOTALS:
        spring.add_fault(Fault(set_value(total, 10**6), TENANT))
    with pytest.raises(NotReconciled, match="2025-03-01 to 2025-03-09 do not add up"):
        backfill(home, march(1), march(9))
    found = json_of(home, capsys)["unreconciled"]
    number = sum(len(each["differences"]) for each in found)
    lines = text_of(home, capsys)
    assert number > 20
    assert f"    {number - 20} more, which --json has; the newest are:" in lines
    assert len([line for line in lines if line.startswith("    2025-")]) == 20
    assert (
        f"{march(9)}: "
        in lines[lines.index(f"    {number - 20} more, which --json has; the newest are:") + 20]
    )


@pytest.mark.parametrize(
    "text", ["36", "h", "", "1w", "1.5h", "-1h", "+1h", "1h30m", "1 h", "\u0663h", "1000000h", "H"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--max-age: .*36h, 2d or 90m"):
        parse(["status", f"--max-age={text}"])


@pytest.mark.slow
def test_stale_store_exits_8_after_the_report(home: Home, start: Start) -> None:
    start(Organization(users=3))
    nothing = home.run("status", "--max-age", "36h")
    assert nothing.code == 8
    assert "no day has been fetched yet" in nothing.out
    assert "no day has been fetched yet" in nothing.err
    assert not home.data.exists()
    assert home.run("backfill", f"{yesterday()}").code == 0
    fresh = home.run("status", "--max-age", "1d")
    assert (fresh.code, fresh.err) == (0, "")
    stale = home.run("status", "--json", "--max-age", "0m")
    assert stale.code == 8
    assert json.loads(stale.out)["sources"][0]["last"] == f"{yesterday()}"
    (line,) = stale.err.splitlines()
    assert "ERROR" in line
    assert f"dashboard: the newest day, {yesterday()}," in line


def test_check_sends_one_small_request(home: Home, start: Start) -> None:
    sim = start(Organization(users=3))
    good = home.run("status", "--check")
    assert good.code == 0, good.err
    assert (sim.count(), sim.count(USERS)) == (1, 0)
    assert "accepts the session" in good.err
    assert "no day has been fetched yet" in good.out
    assert not home.data.exists()
    sim.expire()
    bad = home.run("status", "--check", "--json")
    assert bad.code == 3
    assert sim.count(USERS) == 0
    assert "--auth" in bad.err
    assert json.loads(bad.out)["sources"] == []


def test_expired_session_precedes_staleness(home: Home, start: Start) -> None:
    sim = start(Organization(users=3))
    assert home.run("backfill", f"{yesterday()}").code == 0
    assert home.run("status", "--check", "--max-age", "2d").code == 0
    stale = home.run("status", "--check", "--max-age", "0m")
    assert stale.code == 8
    assert "accepts the session" in stale.err
    sim.expire()
    expired = home.run("status", "--check", "--max-age", "0m")
    assert expired.code == 3
    assert f"{yesterday()}" in expired.out
