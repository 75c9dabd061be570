"""Later answers are accepted in proportion: one that changes too much of a day is held."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from conftest import Home, Start
from dashboard_scraper.errors import ContractBroken, Implausible, RevisionsHeld, ScraperError
from dashboard_scraper.model.dates import DAYS, Window
from dashboard_scraper.model.figures import is_active
from dashboard_scraper.model.metrics import ACCEPTED, BY_NAME
from dashboard_scraper.settings.groups import sqlite_url
from dashboard_scraper.simulator import Fault, Organization, Simulator, set_value, status
from dashboard_scraper.simulator.dashboard_api import date_parameter
from dashboard_scraper.simulator.exchange import Answer, Request
from dashboard_scraper.simulator.faults import Effect
from dashboard_scraper.sources.dashboard.fields import FIELDS, TENANT_TOTALS
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import LedgerDay, Status, VersionState, store_at
from effects import of_list
from reads_and_writes import only_csv
from stored_days import (
    NOON,
    TENANT,
    TODAY,
    USERS,
    answer_with_nobody,
    begin_with,
    fetch,
    ledger,
    stored_users,
)

pytestmark = pytest.mark.usefixtures("csv_alone")

NIGHT = timedelta(days=1)
FIRST, LAST = TODAY - timedelta(10), TODAY - timedelta(1)
WINDOW = Window(FIRST, LAST)
SECOND, SETTLED = FIRST + timedelta(1), FIRST + timedelta(2)
CHAT = BY_NAME["chat_messages"]
Log = pytest.LogCaptureFixture


@pytest.fixture
def spring(start: Start, home: Home) -> Simulator:
    """A simulator that also knows the days of the following nights.

    The store is SQLite: these tests concern the code above it.
    """
    home.settings |= settings(home)
    return start(organization())


def settings(home: Home) -> dict[str, str]:
    return {"MAX_RETRIES": "0", "STORE_URL": sqlite_url(home.data / "usage.db")}


def organization() -> Organization:
    return Organization(users=20, today=TODAY + timedelta(9))


@pytest.fixture(scope="module")
def first_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a home after a run at NOON of TODAY."""
    home = Home(tmp_path_factory.mktemp("first"))
    with Simulator(organization()) as simulator, only_csv():
        home.settings |= {**settings(home), "METRICS_API_BASE_URL": simulator.url}
        home.sign_in(simulator)
        assert run(home) == 0
    return home.data


@pytest.fixture
def fetched(home: Home, spring: Simulator, first_night: Path) -> Simulator:
    """The same simulator, after a run at NOON of TODAY."""
    begin_with(home, first_night)
    return spring


def run(home: Home, night: int = 0, first: date = FIRST, last: date = LAST) -> int:
    """`--daily`, at noon this many days after TODAY; returns the exit code."""
    try:
        fetch(home, first, last, NOON + night * NIGHT)
    except ScraperError as error:
        return error.exit_code
    return 0


def scaled(field: str, factor: float) -> Any:
    def change(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**each, field: round(each[field] * factor)} for each in records]

    return of_list("userFeatureStats", change)


def manifest(home: Home) -> dict[str, Any]:
    path = home.data / f"daily_exports_{FIRST}_to_{LAST}" / "manifest.json"
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def states(home: Home, day: date) -> list[VersionState | None]:
    with store_at(home.settings["STORE_URL"]).reading() as reader:
        return [version.state for version in reader.versions(DASHBOARD, day)]


@pytest.mark.slow
def test_night_of_empty_answers_changes_nothing(home: Home, fetched: Simulator) -> None:
    before = stored_users(home)
    for day in WINDOW.days():
        answer_with_nobody(fetched, day)
    fetched.add_fault(Fault(zero_totals(), TENANT))
    with pytest.raises(RevisionsHeld, match=r"10 days|held") as caught:
        fetch(home, FIRST, LAST, NOON + NIGHT)
    assert caught.value.exit_code == 10
    assert stored_users(home) == before
    rows = ledger(home)
    active = [day for day, row in rows.items() if row.status is Status.COMPLETE]
    assert active == [day for day, row in rows.items() if "nobody is active" in (row.held or "")]
    fetched.clear_faults()
    assert run(home, 2) == 0
    assert stored_users(home) == before
    assert [row.held for row in ledger(home).values()] == [None] * 10
    assert states(home, active[0]) == [None, VersionState.WITHDRAWN]


def zero_totals() -> Any:
    def effect(answer: Answer, request: Request) -> Answer:
        del request
        return Answer(answer.status, json.dumps(dict.fromkeys(TENANT_TOTALS, 0)).encode())

    return effect


@pytest.mark.slow
def test_answer_repeated_on_two_days_is_accepted(
    home: Home, fetched: Simulator, caplog: Log
) -> None:
    answer_with_nobody(fetched, SETTLED)
    fetched.add_fault(Fault(minus_day(fetched, SETTLED), TENANT))
    newer, newest = LAST + NIGHT, LAST + 2 * NIGHT
    assert [run(home, 1, last=newer) for _ in range(2)] == [10, 10]
    beside = f"fetched when answers for {SETTLED} were held"
    assert (ledger(home)[newer].suspicious, ledger(home)[LAST].suspicious) == (beside, None)
    assert run(home, 2, last=newest) == 10
    assert [ledger(home)[day].suspicious for day in (newer, newest)] == [None, None]
    assert ledger(home)[SETTLED].status is Status.COMPLETE
    assert run(home, 3) == 0
    assert ledger(home)[SETTLED].status is Status.EMPTY
    assert "the source said the same on 2 later days" in caplog.text
    assert states(home, SETTLED) == [VersionState.SUPERSEDED, None]


def minus_day(sim: Simulator, day: date) -> Any:
    """Totals of ranges without one day's figures, as if nobody had been active on it."""

    def effect(answer: Answer, request: Request) -> Answer:
        if request.day is not None:
            return answer
        dates = [json.loads(request.query[name]) for name in ("startDate", "endDate")]
        start, end = (date(each["year"], each["month"], each["day"]) for each in dates)
        body = json.loads(answer.body)
        if start <= day <= end:
            people = range(len(sim.organization.people))
            totals = sim.organization.totals(Window(day, day)).items()
            counts = [total.counts for index, total in totals if index in people]
            gone = [
                sum(each.messages for each in counts),
                sum(each.tool_calls for each in counts),
                sum(each.lines for each in counts),
            ]
            body = {**body, **{n: body[n] - g for n, g in zip(TENANT_TOTALS, gone, strict=True)}}
        return Answer(answer.status, json.dumps(body).encode())

    return effect


def hold(home: Home, sim: Simulator) -> None:
    """A second run, in which the revision of SETTLED is held."""
    answer_with_nobody(sim, SETTLED)
    sim.add_fault(Fault(minus_day(sim, SETTLED), TENANT))
    assert run(home, 1) == 10


@pytest.mark.slow
def test_held_revisions_are_listed_and_accepted(home: Home, fetched: Simulator) -> None:
    hold(home, fetched)
    listed = home.run("revisions")
    assert (listed.code, listed.out.count("\n")) == (0, 1)
    assert listed.out.startswith(f"{SETTLED} held, repeated on 0 of 2 later days: nobody is active")
    accepted = home.run("revisions", "accept", f"{SETTLED}")
    assert (accepted.code, accepted.out) == (0, f"{SETTLED} accepted\n")
    assert ledger(home)[SETTLED].status is Status.EMPTY
    assert run(home, 2) == 0
    assert "no revision is held" in home.run("revisions").out


@pytest.mark.slow
def test_repeated_revision_stays_rejected(home: Home, fetched: Simulator) -> None:
    hold(home, fetched)
    before = stored_users(home)
    assert home.run("revisions", "reject", f"{SETTLED}").out == f"{SETTLED} rejected\n"
    assert [run(home, night) for night in (2, 3, 4)] == [0, 0, 0]
    assert stored_users(home) == before
    assert states(home, SETTLED) == [None, VersionState.REJECTED]


REFUSED = {
    ("accept",): "name the days to accept",
    ("accept", f"{FIRST}"): f"nothing is held for {FIRST}",
    ("reject", f"{SETTLED}", "1999-01"): "nothing is held for 1999-01-01 to 1999-01-31",
    ("drop", f"{SETTLED}"): "invalid choice",
}


@pytest.mark.slow
def test_decision_without_held_day_is_refused(home: Home, fetched: Simulator) -> None:
    hold(home, fetched)
    for words, reason in REFUSED.items():
        refused = home.run("revisions", *words)
        assert refused.code == 2
        assert reason in refused.err
        assert ledger(home)[SETTLED].held


@pytest.mark.slow
def test_history_prints_changes_by_person_and_metric(home: Home, fetched: Simulator) -> None:
    hold(home, fetched)
    active = [each.user for each in stored_users(home)[SETTLED] if is_active(each.figures)]
    printed = home.run("history", f"{SETTLED}").out
    assert f"{SETTLED} ({DASHBOARD}): 2 versions\nheld: nobody is active any more" in printed
    assert "version 1, in force since" in printed
    assert "version 2, held since" in printed
    assert all(f"    {name}: gone\n" in printed for name in active)
    found = json.loads(home.run("history", f"{SETTLED}", "--json").out)
    assert [each["state"] for each in found["versions"]] == ["in force", "held"]
    assert found["versions"][1]["changes"]
    missing = home.run("history", "2020-01-01")
    assert (missing.code, "2020-01-01 is not in the store" in missing.err) == (2, True)


@pytest.mark.slow
def test_unsettled_day_may_gain_but_not_lose(home: Home, fetched: Simulator) -> None:
    fetched.revise(LAST)
    assert run(home, 1) == 0
    assert states(home, LAST) == [VersionState.SUPERSEDED, None]
    fetched.add_fault(Fault(scaled(FIELDS[CHAT], 0.5), USERS, LAST))
    assert run(home, 2) == 10
    assert CHAT.name in (ledger(home)[LAST].held or "")


@pytest.mark.slow
def test_large_gain_of_settled_day_is_held(home: Home, fetched: Simulator) -> None:
    home.settings |= {"RECHECK_DAYS": "10", "REVISION_LIMIT": "30"}
    fetched.add_fault(Fault(scaled(FIELDS[ACCEPTED], 1.2), USERS, SETTLED))
    assert run(home, 1) == 0
    assert states(home, SETTLED) == [VersionState.SUPERSEDED, None]
    fetched.clear_faults()
    fetched.add_fault(Fault(scaled(FIELDS[ACCEPTED], 2), USERS, SETTLED))
    assert run(home, 2) == 10


@pytest.mark.slow
def test_small_changes_in_one_direction_are_held(home: Home, fetched: Simulator) -> None:
    home.settings["RECHECK_DAYS"] = "10"
    days = [FIRST + timedelta(number) for number in range(6)]
    for day in days:
        fetched.add_fault(Fault(scaled(FIELDS[ACCEPTED], 0.95), USERS, day))
    assert run(home, 1) == 10
    (reason,) = {row.held for row in ledger(home).values()} - {None}
    assert f"days lose {ACCEPTED.name} at once" in (reason or "")


@pytest.mark.slow
def test_settled_day_is_rechecked_without_new_totals(home: Home, fetched: Simulator) -> None:
    """The tenant's totals do not include accepted completions; the oldest day comes first."""
    home.settings["RECHECK_DAYS"] = "2"
    fetched.add_fault(Fault(scaled(FIELDS[ACCEPTED], 0.1), USERS, FIRST))
    assert run(home, 1) == 10
    assert ACCEPTED.name in (ledger(home)[FIRST].held or "")


@pytest.mark.slow
def test_each_settled_day_gets_its_recheck(home: Home, fetched: Simulator) -> None:
    home.settings |= {"RECHECK_DAYS": "2", "SETTLE_DAYS": "0"}
    read: list[date | None] = []
    for night in range(1, 6):
        fetched.requests.clear()
        assert run(home, night) == 0
        read += [r.day for r in fetched.requests if r.endpoint == USERS]
    assert sorted(filter(None, read)) == list(WINDOW.days())


@pytest.mark.slow
def test_figures_of_another_day_are_held(home: Home, fetched: Simulator) -> None:
    """Once the source has repeated them, they are accepted but marked as suspicious."""
    fetched.add_fault(Fault(as_on(fetched, SETTLED - NIGHT), USERS, LAST))
    assert run(home, 1) == 10
    reason = f"the same figures as {SETTLED - NIGHT}"
    assert reason in (ledger(home)[LAST].held or "")
    assert (run(home, 2), run(home, 3)) == (10, 9)
    assert ledger(home)[LAST].suspicious == reason


def as_on(sim: Simulator, day: date) -> Effect:
    """The dashboard answers with this day's figures, whichever day is requested."""
    query = dict.fromkeys(("startDate", "endDate"), date_parameter(day))
    return lambda _answer, request: sim.answer_for(sim.organization, replace(request, query=query))


@pytest.mark.slow
def test_revision_that_resolves_a_doubt_is_accepted(home: Home, spring: Simulator) -> None:
    home.settings["RECONCILE"] = "warn"
    spring.add_fault(Fault(set_value(FIELDS[CHAT], 10**6, record=0), USERS, SETTLED))
    run(home)
    assert ledger(home)[SETTLED].unreconciled
    spring.clear_faults()
    home.settings["RECHECK_DAYS"] = "10"
    assert run(home, 1) == 0
    assert ledger(home)[SETTLED].unreconciled == []


@pytest.mark.slow
def test_empty_first_window_ends_with_11(home: Home, spring: Simulator) -> None:
    for day in WINDOW.days():
        answer_with_nobody(spring, day)
    spring.add_fault(Fault(zero_totals(), TENANT))
    with pytest.raises(Implausible, match="nobody is active on any of the 10 days") as caught:
        fetch(home, FIRST, LAST)
    assert caught.value.exit_code == 11
    assert {row.suspicious for row in ledger(home).values()} == {
        f"nobody is active on any of the 10 days from {WINDOW}"
    }
    assert len(manifest(home)["days"]) == 10
    spring.clear_faults()
    assert run(home, 1) == 0
    assert {row.suspicious for row in ledger(home).values()} == {None}


@pytest.mark.slow
def test_equal_days_in_first_window_end_with_11(home: Home, spring: Simulator) -> None:
    home.settings["SCRAPE_ENDPOINTS"] = USERS
    spring.add_fault(Fault(as_on(spring, SETTLED), USERS))
    with pytest.raises(Implausible, match="all 10 days with any activity"):
        fetch(home, FIRST, LAST)


@pytest.mark.slow
def test_range_unequal_to_its_days_is_a_contradiction(home: Home, spring: Simulator) -> None:
    field = next(iter(TENANT_TOTALS))

    def effect(answer: Answer, request: Request) -> Answer:
        body = json.loads(answer.body)
        body[field] += 1 if request.day is None else 0
        return Answer(answer.status, json.dumps(body).encode())

    spring.add_fault(Fault(effect, TENANT))
    with pytest.raises(ContractBroken, match="are not the sum of its days"):
        fetch(home, FIRST, LAST)
    assert len(ledger(home)) == 10


def ranges_with(*days: date) -> Any:
    """Totals of ranges are too high, once for each of these days in the range."""
    field = next(iter(TENANT_TOTALS))

    def effect(answer: Answer, request: Request) -> Answer:
        if request.day is not None:
            return answer
        dates = [json.loads(request.query[name]) for name in ("startDate", "endDate")]
        start, end = (date(each["year"], each["month"], each["day"]) for each in dates)
        body = json.loads(answer.body)
        body[field] += 1000 * sum(start <= day <= end for day in days)
        return Answer(answer.status, json.dumps(body).encode())

    return effect


@pytest.mark.slow
def test_day_failing_beside_contradiction_is_not_exported(home: Home, fetched: Simulator) -> None:
    fetched.add_fault(Fault(ranges_with(SECOND, SETTLED), TENANT))
    fetched.add_fault(Fault(status(503), USERS, SECOND))
    assert run(home, 1) == 6
    states_of_days = {day["day"]: day["status"] for day in manifest(home)["days"]}
    assert [day for day, word in states_of_days.items() if word == "failed"] == [f"{SECOND}"]


@pytest.mark.slow
def test_failed_day_is_not_compared(home: Home, fetched: Simulator) -> None:
    """It would seem revised, and be requested once more."""
    fetched.revise(LAST)
    fetched.add_fault(Fault(status(503), USERS, LAST))
    fetched.requests.clear()
    assert run(home, 1) == 6
    assert fetched.count(USERS, LAST) == 2


@pytest.mark.slow
def test_day_refetched_in_its_first_run_is_still_new(home: Home, spring: Simulator) -> None:
    """And suspicious until the source has confirmed it on two later days."""
    home.settings["RECONCILE"] = "warn"
    spring.add_fault(Fault(as_on(spring, SETTLED), USERS, SECOND))
    spring.add_fault(Fault(ranges_with(SECOND), TENANT))
    reasons = []
    for night in range(3):
        run(home, night)
        reasons.append(ledger(home)[SECOND].suspicious)
    assert reasons == [f"the same figures as {SETTLED}"] * 2 + [None]


def weekly(home: Home, sim: Simulator, factor: float) -> LedgerDay:
    """Fetch four weeks, with only some people on the newest day; returns that day."""
    newest = TODAY - timedelta(4)  # a weekday

    def change(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return records[: round(len(records) * factor)]

    sim.add_fault(Fault(of_list("userFeatureStats", change), USERS, newest))
    home.settings["RECONCILE"] = "warn"
    run(home, 0, newest - timedelta(DAYS), newest)
    return ledger(home)[newest]


@pytest.mark.slow
def test_first_answer_unlike_earlier_weeks_is_suspicious(
    home: Home, spring: Simulator, caplog: Log
) -> None:
    row = weekly(home, spring, 0.1)
    assert f"suspicious: {row.day}: active users " in caplog.text
    assert "on the same weekday of 4 weeks before" in (row.suspicious or "")
    assert "suspicious: active users" in home.run("revisions").out
    assert home.run("revisions", "accept", f"{row.day}").code == 0
    assert ledger(home)[row.day].suspicious is None


@pytest.mark.slow
def test_first_answer_like_earlier_weeks_is_not(home: Home, spring: Simulator) -> None:
    assert weekly(home, spring, 1).suspicious is None
