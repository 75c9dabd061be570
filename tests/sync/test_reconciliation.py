"""Days that do not add up: how a run ends, which differences are tolerated, which files stay."""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from analytics_runs import REQUIRED
from analytics_runs import USERS as USERS_OF_ANALYTICS
from conftest import Home, Start, today, yesterday
from dashboard_scraper.errors import RevisionsHeld
from dashboard_scraper.model.checks import Difference
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.doubts import Doubt, DoubtKind
from dashboard_scraper.model.metrics import TOTALS
from dashboard_scraper.model.reconciliation import FILES_MARKED, Rules
from dashboard_scraper.model.tolerance import Tolerance
from dashboard_scraper.simulator import Fault, Organization, Simulator, raw_body, set_value, status
from dashboard_scraper.sources.dashboard.fields import TENANT_TOTALS
from databases import on_sqlite
from effects import in_place
from stored_days import TENANT, USERS, mark

MESSAGES = next(iter(TENANT_TOTALS))
METRIC = TENANT_TOTALS[MESSAGES]
TOO_MANY = 10**6
# Settled, so that a stored day is not fetched again; a Thursday, since few people work on weekends.
LAST = next(day for n in range(8, 15) if (day := today() - timedelta(n)).weekday() == 3)
WRONG = LAST - timedelta(1)
FIRST = LAST - timedelta(2)
THREE_DAYS = (f"{FIRST}", f"{LAST}")
NOTES = "NOTES.txt"


@pytest.fixture
def five(start: Start) -> Simulator:
    """Five users, and one day whose total of messages exceeds the sum of its users."""
    sim = start(Organization(users=5, today=today()))
    sim.add_fault(Fault(set_value(MESSAGES, TOO_MANY), TENANT, WRONG))
    return sim


def folder(home: Home) -> Path:
    return home.data / f"daily_exports_{FIRST}_to_{LAST}"


def manifest(home: Home) -> Any:
    return json.loads((folder(home) / "manifest.json").read_text())


def last_success(home: Home) -> Any:
    (source,) = json.loads(home.run("status", "--json").out)["sources"]
    return source["last_success"]


def _with_idle(body: Any) -> None:
    """Add somebody who was not active and is not in the organization's number of users."""
    nothing = dict.fromkeys(REQUIRED, 0)
    idle = {"user_email": "idle@example.com", "active_days": 0, "metrics": nothing}
    body["users"].append(idle)
    body["metadata"]["returned_user_count"] += 1


def test_listed_user_without_activity_is_not_among_active_users(home: Home, api: Simulator) -> None:
    """Neither in a day of the store nor in a period of one day."""
    api.add_fault(Fault(in_place(_with_idle), USERS_OF_ANALYTICS))
    for words in (["--daily"], []):
        result = home.run(*words, f"{LAST}")
        assert result.code == 0, result.err
    assert "idle@example.com" in (home.data / f"metrics_{LAST:%Y%m%d}.csv").read_text()


@on_sqlite
@pytest.mark.usefixtures("five", "store_url")
@pytest.mark.slow
def test_unreconciled_day_ends_run_with_9(home: Home) -> None:
    run = home.run("--daily", *THREE_DAYS)
    assert run.code == 9
    assert run.paths == [folder(home)]
    assert run.pages == [folder(home) / "report.html"]
    assert (home.data / "latest").resolve() == folder(home)
    last_line = run.err.splitlines()[-1]
    assert f"{WRONG} does not add up ({WRONG}: {METRIC} is {TOO_MANY}, " in last_line
    assert "every file is written; manifest, page and NOTES.txt say so" in last_line
    described = manifest(home)
    assert [len(day.get("unreconciled", [])) for day in described["days"]] == [0, 1, 0]
    assert "tolerance" not in described
    notes = (folder(home) / NOTES).read_bytes()
    assert described["notes"] == {
        "name": NOTES,
        "size": len(notes),
        "sha256": hashlib.sha256(notes).hexdigest(),
    }
    (line,) = (line for line in notes.decode().splitlines() if line.startswith("20"))
    assert line.startswith(f"{WRONG} unreconciled: {METRIC} is {TOO_MANY}, the users' sum is ")
    assert "@" not in notes.decode()
    assert last_success(home) is None
    for words in (["--daily", *THREE_DAYS, "--offline"], ["export", *THREE_DAYS]):
        again = home.run(*words)
        assert (again.code, again.paths) == (9, [folder(home)]), words
    for words in (["backfill", *THREE_DAYS], ["export", *THREE_DAYS, "--format", "parquet"]):
        again = home.run(*words)
        assert again.code == 9, words
        assert f"{WRONG} does not add up" in again.err
    assert again.paths == [home.data / "parquet"]
    assert last_success(home) is None
    # Days that the run did not request do not count.
    assert home.run("--daily", f"{LAST}", f"{LAST}").code == 0
    assert last_success(home) is not None


@pytest.mark.usefixtures("five")
@pytest.mark.slow
def test_reconcile_warn_ends_with_0(home: Home) -> None:
    home.settings["RECONCILE"] = "Warn"
    run = home.run("--daily", *THREE_DAYS)
    assert run.code == 0
    assert f"WARNING dashboard_scraper.model.reconciliation: {WRONG} does not add up" in run.err
    assert (folder(home) / NOTES).exists()
    assert last_success(home) is not None


@pytest.mark.slow
def test_missing_days_outrank_unreconciled_ones(home: Home, five: Simulator) -> None:
    five.add_fault(Fault(raw_body(b"null"), USERS, LAST))
    run = home.run("--daily", *THREE_DAYS)
    assert run.code == 6
    assert manifest(home)["notes"]["name"] == NOTES


def test_held_revisions_outrank_unreconciled_days(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The unreconciled days are still logged."""
    found = tuple(Difference(METRIC, users, 0) for users in (1, 2, 3, 4))
    doubt = Doubt(Window(WRONG, WRONG), DoubtKind.UNRECONCILED, "", found)
    verdict = Rules().verdict_on([doubt], FILES_MARKED, [RevisionsHeld("held")])
    with pytest.raises(RevisionsHeld, match="held"):
        verdict.conclude()
    ((_name, level, logged),) = caplog.record_tuples
    assert level == logging.ERROR
    assert logged.startswith(f"{WRONG} does not add up ({WRONG}: {found[0]}; ")
    assert logged.endswith(f"{found[2]} and 1 more); {FILES_MARKED}")


@pytest.mark.slow
def test_notes_are_set_aside_without_doubts(home: Home, five: Simulator) -> None:
    assert home.run("--daily", *THREE_DAYS).code == 9
    five.clear_faults()
    assert home.run("--daily", *THREE_DAYS, "--refresh").code == 0
    assert manifest(home)["notes"] is None
    left = {path.name for path in folder(home).iterdir() if path.name.startswith(NOTES)}
    assert left == {f"{NOTES}.stale"}


@pytest.mark.usefixtures("five")
@pytest.mark.slow
def test_pruning_removes_our_notes_only(home: Home) -> None:
    """Retention also works if every run ends with 9."""
    home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
    first = ("--daily", f"{FIRST}", f"{FIRST}")
    (with_own,) = home.run(*first).paths
    own, words = with_own / NOTES, "for Ada: ask about Monday\n"
    own.write_text(words)
    doubtful = home.run("--daily", f"{WRONG}", f"{WRONG}")
    assert doubtful.code == 9
    home.settings["RETENTION_EXPORTS"] = "1"
    assert home.run("--daily", *THREE_DAYS).code == 9
    assert not doubtful.paths[0].exists()
    assert own.read_text() == words
    assert home.run(*first).code == 0
    assert own.read_text() == words
    mark(home.settings["STORE_URL"], FIRST, "suspicious", "a third of the week before")
    refused = home.run(*first, "--offline")
    assert refused.code == 1
    assert f"{own} was not written by this program" in refused.err
    assert own.read_text() == words


@pytest.mark.slow
def test_failed_run_keeps_notes_of_remaining_days(home: Home, five: Simulator) -> None:
    """Including notes of days that came to be in doubt since."""
    home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
    assert home.run("--daily", *THREE_DAYS).code == 9
    mark(home.settings["STORE_URL"], FIRST, "suspicious", "a third of the week before")
    five.add_fault(Fault(status(401), TENANT))
    assert home.run("--daily", *THREE_DAYS).code == 3
    described = manifest(home)
    assert [day["status"] for day in described["days"]] == ["complete"] * 3
    assert described["days"][0]["suspicious"] == "a third of the week before"
    notes = (folder(home) / described["notes"]["name"]).read_text()
    doubts = [line.partition(":")[0] for line in notes.splitlines() if line.startswith("20")]
    assert doubts == [f"{FIRST} suspicious", f"{WRONG} unreconciled"]
    assert not (folder(home) / f"{NOTES}.stale").exists()  # they were there at every moment


@pytest.mark.parametrize("first", [FIRST, WRONG], ids=["several days", "one day"])
@pytest.mark.slow
def test_unreconciled_period_ends_with_9_and_notes(
    first: date, home: Home, five: Simulator
) -> None:
    last = WRONG if first == WRONG else LAST
    five.add_fault(Fault(set_value(MESSAGES, TOO_MANY), TENANT))
    words = (f"{first}", f"{last}", "--out", "period.csv")
    run = home.run(*words)
    names = ["period.csv", "period_tenant.csv", f"period.{NOTES}"]
    assert (run.code, [path.name for path in run.paths]) == (9, names)
    assert f"period.{NOTES} says so" in run.err.splitlines()[-1]
    window = f"{first}" if first == last else f"{first} to {last}"
    notes = home.path / f"period.{NOTES}"
    assert f"\n{window} unreconciled: {METRIC} is {TOO_MANY}, " in notes.read_text()
    five.clear_faults()
    run = home.run(*words)
    assert (run.code, [path.name for path in run.paths]) == (0, names[:2])
    assert [path.name for path in home.path.glob("*NOTES*")] == [f"{notes.name}.stale"]


def test_period_with_today_is_marked_and_ends_with_0(home: Home, five: Simulator) -> None:
    """Between the requests for users and tenant, today's figures grow."""
    five.add_fault(Fault(set_value(MESSAGES, TOO_MANY), TENANT))
    run = home.run(f"{yesterday()}", f"{today()}", "--out", "period.csv")
    assert run.code == 0
    assert f"{METRIC} is {TOO_MANY}" in run.err
    assert (home.path / f"period.{NOTES}").exists()


@pytest.mark.usefixtures("five")
@pytest.mark.slow
def test_tolerated_difference_is_recorded_without_doubt(home: Home) -> None:
    assert home.run("--daily", *THREE_DAYS).code == 9
    (found,) = manifest(home)["days"][1]["unreconciled"]
    home.settings["RECONCILE_TOLERANCE"] = f"{METRIC}=99.999999, user_count=2"
    run = home.run("--daily", *THREE_DAYS)
    assert run.code == 0
    described = manifest(home)
    assert described["tolerance"] == {METRIC: 99.999999, "user_count": 2}
    assert described["days"][1]["unreconciled"] == [found]
    assert described["notes"] is None
    assert "users' sum" not in (folder(home) / "report.html").read_text()
    assert last_success(home) is not None
    (source,) = json.loads(home.run("status", "--json").out)["sources"]
    assert source["unreconciled"] == []
    # Without a tolerance for its metric, the difference counts.
    home.settings["RECONCILE_TOLERANCE"] = "user_count=2"
    assert home.run("export", *THREE_DAYS).code == 9


@pytest.mark.parametrize(
    ("percent", "users", "tenant", "tolerated"),
    [
        ("0.5", 1990, 2000, True),
        ("0.5", 1989, 2000, False),
        ("0.5", 2010, 2000, True),
        ("0.5", 2011, 2000, False),
        ("0.29", 99_710_000, 100_000_000, True),  # as floats, 100 * 0.29 is less than 29
        ("0.29", 99_709_999, 100_000_000, False),
        ("99.9", 1, 0, False),
        ("99.9", 0, 1, False),
    ],
)
def test_tolerance_is_percentage_of_tenant_figure(
    percent: str, users: int, tenant: int, tolerated: bool
) -> None:
    tolerance = Tolerance({METRIC: Decimal(percent)})
    one, other = (Difference(name, users, tenant) for name in (METRIC, "user_count"))
    assert tolerance.beyond([one, other]) == ([other] if tolerated else [one, other])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("total_mesages=1", f"some of {', '.join(total.name for total in TOTALS)}, as "),
        ("userMessages=1", "is not a metric of which a source has totals"),
        ("user_count", "has no percentage above 0 and below 100; write it as user_count=0.5"),
        ("user_count=1%", "has no percentage"),
        ("user_count=0", "has no percentage"),
        ("user_count=100", "has no percentage"),
        ("user_count=nan", "has no percentage"),
        ("user_count=-1", "has no percentage"),
        ("user_count=1,user_count=2", "user_count appears twice"),
    ],
)
def test_invalid_tolerance_is_refused(value: str, words: str, home: Home) -> None:
    home.settings["RECONCILE_TOLERANCE"] = value
    run = home.run("status")
    assert run.code == 2
    assert "RECONCILE_TOLERANCE" in run.err
    assert words in run.err
