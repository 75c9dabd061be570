"""An answer that lacks costs is marked until repeated, where the source has no total of the day."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from claude_code_runs import NOON, TODAY
from conftest import Home
from cursor_runs import EVENTS
from cursor_runs import cost_ledger as cursor_ledger
from dashboard_scraper.cli.commands.revisions import decide
from dashboard_scraper.cli.fetching import fetch_daily
from dashboard_scraper.clock import utc_now
from dashboard_scraper.errors import NotReconciled, RevisionsHeld
from dashboard_scraper.model.costs import Account, Cost, CostFigures
from dashboard_scraper.model.dates import Window
from dashboard_scraper.simulator import Fault, Request, Simulator
from dashboard_scraper.simulator.claude_code_faults import records_until, without_models
from dashboard_scraper.simulator.faults import Effect, edited
from dashboard_scraper.sources.registry import CLAUDE_CODE
from dashboard_scraper.store import CostLedgerDay, store_at
from dashboard_scraper.sync.cost_rules import CostRules
from stored_days import NOON as NOON_OF_CURSOR
from stored_days import TODAY as TODAY_OF_CURSOR
from stored_days import settings_of

NIGHT = timedelta(days=1)
DAY = TODAY - 8 * NIGHT  # a Thursday
FIRST = NOON - 3 * NIGHT  # its usage has settled then, its costs have not
RULES = CostRules(7, 2, Decimal("0.2"), utc_now)


def night(home: Home, number: int, *, marked: bool = False) -> CostLedgerDay:
    """Fetch the day on this night, which must end with a mark or without; its row of costs."""
    settings = settings_of(home)
    moment = FIRST + number * NIGHT
    if marked:
        with pytest.raises(NotReconciled, match="an earlier answer had"):
            fetch_daily(settings, Window(DAY, DAY), clock=lambda: moment)
    else:
        fetch_daily(settings, Window(DAY, DAY), clock=lambda: moment)
    with store_at(settings.store_url).reading() as reader:
        (row,) = reader.cost_ledger(CLAUDE_CODE).values()
    assert bool(row.unreconciled) is marked
    return row


def lose(claude: Simulator, effect: Effect) -> None:
    claude.clear_faults()
    claude.add_fault(Fault(effect))


def in_files(home: Home) -> tuple[str, str]:
    """What the manifest and NOTES.txt say of the day's costs."""
    folder = home.data / f"daily_exports_{DAY}_to_{DAY}"
    (day,) = json.loads((folder / "manifest.json").read_bytes())["days"]
    return json.dumps(day["costs"].get("unreconciled")), Path(folder, "NOTES.txt").read_text()


@pytest.mark.slow
def test_lost_costs_are_marked_until_they_are_back(home: Home, claude: Simulator) -> None:
    """Also if only a few of them come back at first."""
    whole = night(home, 0)
    lose(claude, without_models(2))
    least = night(home, 1, marked=True)
    what, notes = in_files(home)
    assert f'"total": "{whole.sums.estimated}", "of_earlier": true' in what
    assert f"estimated is {least.sums.estimated}, an earlier answer had" in notes
    lose(claude, without_models(4))
    more = night(home, 2, marked=True)
    assert [least.version, more.version] == [2, 3]
    assert f"an earlier answer had {whole.sums.estimated}" in f"{more.unreconciled_words}"
    claude.clear_faults()
    assert night(home, 3).sums == whole.sums
    assert in_files(home)[0] == "null"


@pytest.mark.slow
def test_lost_costs_are_no_doubt_once_the_source_repeats_them(
    home: Home, claude: Simulator
) -> None:
    """The day is fetched for this even if it has settled in the meantime."""
    home.settings["COST_SETTLE_DAYS"] = "4"
    night(home, -1)
    lose(claude, without_models(2))
    lower = night(home, 0, marked=True)
    night(home, 1, marked=True)
    assert night(home, 2).version == lower.version
    claude.requests.clear()
    night(home, 3)
    assert claude.requests == []


@pytest.mark.slow
def test_costs_of_a_fall_that_somebody_accepted_are_no_doubt(home: Home, claude: Simulator) -> None:
    night(home, 0)
    lose(claude, records_until(4))
    with pytest.raises(RevisionsHeld):
        fetch_daily(settings_of(home), Window(DAY, DAY), clock=lambda: FIRST + NIGHT)
    decide(settings_of(home), "accept", [Window(DAY, DAY)], FIRST + NIGHT)
    assert night(home, 2).version == 2


@pytest.mark.slow
def test_usage_that_grows_does_not_explain_a_loss(home: Home, claude: Simulator) -> None:
    night(home, -4)  # the usage has not settled yet, so more of it is accepted at once
    lose(claude, without_models(2))
    claude.add_fault(Fault(edited(_one_session_more)))
    night(home, -3, marked=True)


def _one_session_more(body: dict[str, Any], _: Request) -> dict[str, Any]:
    for record in body["data"]:
        record["core_metrics"]["num_sessions"] += 1
    return body


@pytest.mark.slow
def test_costs_of_a_day_in_doubt_come_with_its_usage(home: Home, claude: Simulator) -> None:
    """Although both have settled: otherwise costs would come from an answer that lacks people."""
    home.settings["COST_SETTLE_DAYS"] = "4"
    night(home, -1)
    lose(claude, without_models(2))
    lower = night(home, 0, marked=True)
    lose(claude, records_until(2))
    with pytest.raises(RevisionsHeld):
        fetch_daily(settings_of(home), Window(DAY, DAY), clock=lambda: FIRST + NIGHT)
    claude.clear_faults()
    assert night(home, 2).version == lower.version + 1


def _first_event(body: dict[str, Any], _: Request) -> dict[str, Any]:
    return {**body, "totalUsageEventsCount": 1, "usageEvents": body["usageEvents"][:1]}


@pytest.mark.slow
def test_day_before_cursors_billing_cycle_is_marked(home: Home, own_cursor: Simulator) -> None:
    """No figure of the current cycle includes it."""
    day = TODAY_OF_CURSOR - 13 * NIGHT
    home.settings |= {"FETCH_COST": "auto", "COST_SETTLE_DAYS": "30"}
    settings = settings_of(home)
    fetch_daily(settings, Window(day, day), clock=lambda: NOON_OF_CURSOR)
    few = edited(_first_event)
    own_cursor.add_fault(Fault(few, EVENTS))
    with pytest.raises(NotReconciled, match=f"{day}: .* an earlier answer had"):
        fetch_daily(settings, Window(day, day), clock=lambda: NOON_OF_CURSOR + NIGHT)
    own_cursor.clear_faults()
    fetch_daily(settings, Window(day, day), clock=lambda: NOON_OF_CURSOR + 2 * NIGHT)
    assert not any(row.unreconciled for row in cursor_ledger(home).values())


@pytest.mark.slow
def test_loss_in_cursors_billing_cycle_is_found_by_its_total(
    home: Home, own_cursor: Simulator
) -> None:
    """The cycle's days are fetched once more, as without the loss."""
    cycle, last = TODAY_OF_CURSOR - 13 * NIGHT, TODAY_OF_CURSOR - NIGHT
    home.settings["FETCH_COST"] = "auto"
    settings = settings_of(home)
    fetch_daily(settings, Window(cycle, last), clock=lambda: NOON_OF_CURSOR)
    own_cursor.add_fault(Fault(edited(_first_event), EVENTS, times=1))
    day = last - 3 * NIGHT  # a Thursday
    fetch_daily(settings, Window(day, day), clock=lambda: NOON_OF_CURSOR + NIGHT / 4)
    assert cursor_ledger(home)[day].version == 3
    assert not any(row.unreconciled for row in cursor_ledger(home).values())


def costs(**estimates: str | None) -> list[Cost]:
    """Costs by user; one of a model for each part of the estimate."""
    return [
        Cost(user, Account.PERSON, "MODEL", f"{number}", _estimated(part))
        for user, parts in estimates.items()
        for number, part in enumerate((parts or "unknown").split())
    ]


def _estimated(text: str) -> CostFigures:
    return CostFigures(estimated=None if text == "unknown" else Decimal(text))


@pytest.mark.parametrize(
    ("before", "now", "are_lost"),
    [
        (costs(ada="5", ben="5"), costs(ada="5", ben="3"), False),
        (costs(ada="5", ben="5"), costs(ada="5", ben="2.999999999999999999"), True),
        (costs(ada="5", ben="5"), costs(ada="10"), True),
        (costs(ada="5 5"), costs(ada="10"), False),
        (costs(ada="5", ben="-4"), costs(ada="5", ben="-5"), False),
        (costs(ada="5"), [], True),
        (costs(ada="5"), costs(ada=None), True),
        (costs(ada=None), [], False),
        (costs(ada="0"), costs(ada=None), False),
        (costs(ada="5"), [*costs(ada="5"), *costs(ben=None)], False),
        ([], costs(ada="5"), False),
    ],
)
def test_more_than_the_limit_is_a_loss(before: list[Cost], now: list[Cost], are_lost: bool) -> None:
    """By user, whatever the models, and whatever others gained."""
    assert [each.metric for each in RULES.losses(before, now)] == ["estimated"] * are_lost
