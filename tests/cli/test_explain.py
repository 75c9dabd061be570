"""`explain`: the largest cause first, breakdowns that sum exactly, and no comparison of gaps."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from conftest import Home, today
from dashboard_scraper.csv_text import render
from dashboard_scraper.model.costs import Cost, CostDay, CostFigures, sum_costs
from dashboard_scraper.model.dates import Window
from dashboard_scraper.people.identity import HEADER
from dashboard_scraper.simulator import Simulator
from dashboard_scraper.sources.registry import CLAUDE_CODE
from made_up_days import LAST, MONTH, TWO_MONTHS, users
from stored_costs import BOT, MODELS, SPIKE, SPIKE_DAY, cost, day_of, store_costs, with_spike
from stored_days import forget, sql

pytestmark = pytest.mark.usefixtures("csv_alone")

FETCHED_SOON = datetime(2025, 4, 1, tzinfo=UTC)

NAMES = users(4)
WORDS = ("explain", f"{MONTH.start}", f"{MONTH.end}")
FORTNIGHT = Window(LAST - timedelta(13), LAST)
WEEK = ("explain", f"{LAST - timedelta(6)}", f"{LAST}")


def explained(home: Home, *words: str, code: int = 0) -> dict[str, Any]:
    result = home.run(*words, "--json")
    assert result.code == code, result.err
    found: dict[str, Any] = json.loads(result.out, parse_float=pytest.fail)
    return found


def refused(home: Home, *words: str, code: int) -> str:
    result = home.run(*words)
    assert (result.code, result.out) == (code, ""), result.err
    return result.err


@pytest.mark.slow
def test_spike_is_the_first_line(home: Home, store_url: str) -> None:
    assert store_url
    store_costs(home, NAMES, TWO_MONTHS, change=with_spike(NAMES[2]))
    first, second, *_ = home.run(*WORDS).out.splitlines()
    assert first.startswith("Largest cause: +479.900000000000000001 USD (")
    assert f"{NAMES[2]}, {MODELS[0]}, on {SPIKE_DAY}: 484.475" in first
    assert second.startswith("Billed in USD: ")
    cause = explained(home, *WORDS)["cause"]
    assert (cause["person"], cause["resource"], cause["day"], cause["in_before"]) == (
        NAMES[2],
        MODELS[0],
        f"{SPIKE_DAY}",
        False,
    )
    assert Decimal(cause["difference"]) == Decimal(cause["amount"]) - Decimal(cause["usual"])


def test_estimate_is_explained_where_nothing_else_is_known(home: Home) -> None:
    def estimates(day: date, costs: list[Cost]) -> CostDay:
        found = [replace(each, figures=CostFigures(estimated=Decimal(2))) for each in costs]
        return day_of(day, found)

    store_costs(home, NAMES, FORTNIGHT, change=estimates, source=CLAUDE_CODE)
    home.settings["METRICS_SOURCE"] = CLAUDE_CODE
    assert explained(home, *WEEK)["metric"] == "estimated"
    assert "Estimated in USD, an estimate and not a bill: " in home.run(*WEEK).out


def test_breakdowns_sum_exactly_to_the_whole(home: Home) -> None:
    store_costs(home, NAMES, FORTNIGHT, change=with_spike(NAMES[0]))
    for metric in ("billed", "estimated"):
        found = explained(home, *WEEK, "--metric", metric)
        assert (found["metric"], found["unit"]) == (metric, "USD")
        assert list(found["by"]) == ["person", "model", "day"]
        for parts in found["by"].values():
            for name, whole in (
                ("difference", found["difference"]),
                ("now", found["now"]["amount"]),
                ("before", found["before"]["amount"]),
            ):
                assert sum(Decimal(part[name]) for part in parts) == Decimal(whole)
        assert {part["account"] for part in found["by"]["person"]} == {
            "person",
            "service_account",
            "unattributed",
        }
    assert sum(Decimal(part["difference"]) for part in found["by"]["day"]) > SPIKE


def test_chosen_breakdown_has_every_line(home: Home) -> None:
    many = users(15)
    store_costs(home, many, FORTNIGHT)
    short, whole = home.run(*WEEK).out, home.run(*WEEK, "--by", "person").out
    assert "(7 others)" in short
    assert "(7 others)" not in whole
    assert all(name in whole for name in (*many, BOT, "(unattributed)"))
    assert "by person" in whole
    assert "by model" not in whole
    assert list(explained(home, *WEEK, "--by", "day")["by"]) == ["day"]


def test_day_without_costs_is_refused(home: Home) -> None:
    gap = [LAST - timedelta(2), LAST - timedelta(8)]
    store_costs(home, NAMES, FORTNIGHT, missing=gap)
    err = refused(home, *WEEK, code=6)
    assert f"the store has no costs of {gap[1]}, {gap[0]}; fetch these days" in err
    found = explained(home, *WEEK, "--incomplete", code=6)
    counterparts = [LAST - timedelta(9), LAST - timedelta(1)]
    assert found["left_out"] == [f"{day}" for day in sorted([*gap, *counterparts])]
    assert (found["now"]["days"], found["before"]["days"]) == (5, 5)
    out = home.run(*WEEK, "--incomplete").out
    assert "Not compared, since they or their counterparts have no costs: " in out


def test_nothing_to_compare_is_not_called_incomplete(home: Home) -> None:
    """If only one day has costs, `--incomplete` has nothing to compare either."""
    store_costs(home, NAMES, Window(LAST, LAST))
    words = ("explain", f"{LAST}")
    for more in ((), ("--incomplete",)):
        err = refused(home, *words, *more, code=6)
        assert "fetch these days with backfill\n" in err
        assert "--incomplete" not in err


def test_unknown_amounts_are_no_zeros(home: Home) -> None:
    day = LAST - timedelta(2)

    def without(each: date, costs: list[Cost]) -> CostDay:
        if each != day:
            return day_of(each, costs)
        return day_of(each, [replace(c, figures=replace(c.figures, billed=None)) for c in costs])

    store_costs(home, NAMES, FORTNIGHT, change=without)
    assert f"billed is unknown on {day}" in refused(home, *WEEK, code=6)
    assert explained(home, *WEEK, "--metric", "credits")["difference"] == "0"


def test_store_without_costs_is_refused(home: Home) -> None:
    store_costs(home, NAMES, FORTNIGHT, source="analytics")
    assert "the store has no costs of the source dashboard" in refused(home, *WEEK, code=6)
    assert explained(home, *WEEK, "--source", "analytics")["source"] == "analytics"


def test_lengths_of_periods_are_printed(home: Home) -> None:
    store_costs(home, NAMES, FORTNIGHT)
    words = (*WEEK, "--before", f"{FORTNIGHT.start}", f"{FORTNIGHT.start + timedelta(3)}")
    assert "not equally long: 7 days are compared with 4 days" in home.run(*words).out
    parts = explained(home, *words)["by"]["day"]
    assert [part["name"] for part in parts if part["name"].endswith("/ -")]
    assert "not equally long" not in home.run(*WEEK).out


@pytest.mark.parametrize(
    ("before", "why"),
    [
        ([f"{LAST - timedelta(8)}", f"{LAST - timedelta(6)}"], "does not end before"),
        (["2025-01-01", "2025-01-02", "2025-01-03"], "--before takes two days, or a month"),
    ],
)
def test_wrong_period_before_is_refused(home: Home, before: list[str], why: str) -> None:
    assert why in refused(home, *WEEK, "--before", *before, code=2)


def test_first_day_of_the_calendar_has_nothing_before_it(home: Home) -> None:
    assert "no calendar has a period" in refused(home, "explain", "0001-01-01", code=2)


def test_month_may_be_compared_with_a_month(home: Home) -> None:
    store_costs(home, NAMES[:1], Window(date(2025, 2, 1), date(2025, 3, 31)))
    found = explained(home, "explain", "2025-03", "--before", "2025-02")
    assert (found["now"]["days"], found["before"]["days"]) == (31, 28)


def test_days_in_doubt_are_named(home: Home) -> None:
    day = LAST - timedelta(1)

    def other(each: date, costs: list[Cost]) -> CostDay:
        whole = sum_costs(c.figures for c in costs)
        return CostDay(
            each, costs, sum_costs([whole, cost("", "1").figures]) if each == day else whole
        )

    store_costs(home, NAMES, FORTNIGHT, change=other, fetched=FETCHED_SOON)
    found = explained(home, *WEEK)
    assert [doubt["day"] for doubt in found["unreconciled"]] == [f"{day}"]
    assert found["unsettled"]
    assert f"{LAST}" in found["unsettled"]
    out = home.run(*WEEK).out
    assert f"Not what the source's own or earlier figures say: {day} (billed is " in out
    assert "Not settled, and may still change: " in out


def test_removed_user_is_named(home: Home) -> None:
    store_costs(home, NAMES, FORTNIGHT)
    forget(home, NAMES[1])
    found = explained(home, *WEEK)
    assert len(found["forgotten"]) == 14
    assert "Without users who were removed since: " in home.run(*WEEK).out


def people_file(home: Home, *rows: tuple[str, str, int, str]) -> Path:
    path = home.path / "people.csv"
    path.write_bytes(render(HEADER, [[*map(str, row)] for row in rows]))
    home.settings["IDENTITY_FILE"] = str(path)
    return path


def test_teams_and_merged_addresses(home: Home) -> None:
    """Somebody in two teams counts in a line for both together, so that no amount counts twice."""
    cyd = "cyd@example.com"
    people_file(
        home,
        (NAMES[0], "ann", 1, "red"),
        (NAMES[0], "ann", 1, "blue"),
        (NAMES[1], "ben", 2, "red"),
        (NAMES[2], "ben", 2, "red"),
        (cyd, "cyd", 3, "blue"),
        (cyd, "cyd", 3, "red"),
    )
    store_costs(home, [*NAMES, cyd], FORTNIGHT)
    by = explained(home, *WEEK)["by"]
    assert sorted(part["name"] for part in by["team"]) == [
        "(no team)",
        "(service accounts)",
        "(unattributed)",
        "blue, red",
        "red",
    ]
    assert len(by["person"]) == len([*NAMES, cyd]) - 1 + 2
    assert sum(Decimal(part["now"]) for part in by["team"]) == sum(
        Decimal(part["now"]) for part in by["person"]
    )


def test_spellings_of_an_address_are_one_person(home: Home) -> None:
    def capital(each: date, costs: list[Cost]) -> CostDay:
        return day_of(each, [*costs, cost(NAMES[0].upper(), "7")])

    store_costs(home, NAMES[:1], FORTNIGHT, change=capital)
    parts = explained(home, *WEEK)["by"]["person"]
    assert [part for part in parts if part["account"] == "person"] == [
        {
            "name": NAMES[0],
            "before": "62.4",
            "now": "62.39",
            "difference": "-0.01",
            "account": "person",
        }
    ]


def test_team_breakdown_needs_teams(home: Home) -> None:
    store_costs(home, NAMES, FORTNIGHT)
    assert "--by team: no teams are known" in refused(home, *WEEK, "--by", "team", code=2)


def test_left_out_service_accounts_are_one_line(home: Home) -> None:
    home.settings["INCLUDE_SERVICE_ACCOUNTS"] = "false"
    store_costs(home, NAMES, FORTNIGHT)
    found = explained(home, *WEEK)
    lines = {part["name"]: part for part in found["by"]["person"]}
    assert BOT not in lines
    assert lines["(service accounts)"]["now"] == "0.65"
    assert sum(Decimal(p["now"]) for p in lines.values()) == Decimal(found["now"]["amount"])


def test_left_out_service_account_does_not_name_its_person(home: Home) -> None:
    people = home.path / "people.csv"
    people.write_text(f"email,login,id\nada@example.com,ada,7\n{BOT},ada,7\n")
    home.settings |= {"INCLUDE_SERVICE_ACCOUNTS": "false", "IDENTITY_FILE": f"{people}"}
    store_costs(home, ["ada@example.com"], FORTNIGHT)
    lines = {part["name"] for part in explained(home, *WEEK)["by"]["person"]}
    assert lines == {"ada@example.com", "(service accounts)", "(unattributed)"}


def test_people_have_pseudonyms(home: Home) -> None:
    key = home.path / "key"
    key.write_text("k" * 40)
    key.chmod(0o600)
    home.settings["PSEUDONYM_KEY_FILE"] = str(key)
    store_costs(home, NAMES, FORTNIGHT, change=with_spike(NAMES[0]))
    out = home.run(*WEEK).out + json.dumps(explained(home, *WEEK))
    assert "@" not in out
    assert BOT not in out
    assert out.startswith("Largest cause: +")


@pytest.mark.slow
def test_forecast_is_a_range_or_a_reason(home: Home) -> None:
    store_costs(home, NAMES, Window(date(2025, 2, 1), LAST - timedelta(9)))
    end = LAST - timedelta(9)
    words = ("explain", f"{end - timedelta(6)}", f"{end}", "--forecast")
    found = explained(home, *words)["forecast"]
    assert (found["month"], found["until"]) == ("2025-03", f"{end}")
    assert Decimal(found["spent"]) < Decimal(found["low"]) < Decimal(found["high"])
    out = home.run(*words).out
    assert "Forecast of March 2025, not a bill: " in out
    assert "How: every remaining day costs the median of its weekday" in out
    sql(home.settings["STORE_URL"], "DELETE FROM cost_ledger WHERE day = '2025-02-03'")
    out = home.run(*words).out
    assert "No forecast of March 2025: " in out
    assert "missing are 2025-02-03" in out


def test_default_metric_says_what_else_there_is(home: Home) -> None:
    def in_credits(each: date, costs: list[Cost]) -> CostDay:
        return day_of(each, [_credits(c, billed="0") for c in costs])

    def both(each: date, costs: list[Cost]) -> CostDay:
        return day_of(each, [_credits(c, billed="1") for c in costs])

    store_costs(home, NAMES, FORTNIGHT, change=in_credits)
    found = explained(home, *WEEK)
    assert (found["metric"], found["unit"]) == ("credits", "credits")
    assert "\nCredits: " in home.run(*WEEK).out
    store_costs(home, NAMES, FORTNIGHT, change=both)
    assert "Credits are not 0 either: --metric credits explains them" in home.run(*WEEK).out


def _credits(old: Cost, billed: str) -> Cost:
    return replace(old, figures=replace(old.figures, billed=Decimal(billed), credits=Decimal(5)))


def test_changed_rows_are_not_explained(home: Home) -> None:
    store_costs(home, NAMES, FORTNIGHT)
    sql(home.settings["STORE_URL"], f"DELETE FROM cost_day WHERE user_login = '{BOT}'")
    err = refused(home, *WEEK, code=1)
    assert "do not match the ledger" in err


@pytest.mark.slow
def test_planted_spike_of_the_source_is_first(home: Home, api: Simulator) -> None:
    """Every digit is kept from the source's answers to the first line."""
    end = today() - timedelta(2)
    window = Window(end - timedelta(13), end)
    # A spike equals the day's costs, and must be larger than all other changes.
    costs = api.organization.costs
    days = [end - timedelta(number) for number in range(7)]
    spiked = max(days, key=lambda day: sum(row.amounts.billed for row in costs.rows(day)))
    spike = api.plant_spike(spiked)
    home.settings["FETCH_COST"] = "true"
    assert (
        home.run("backfill", f"{window.start}", f"{window.end}", "--source", "analytics").code == 0
    )
    cause = explained(home, "explain", f"{end - timedelta(6)}", f"{end}", "--source", "analytics")[
        "cause"
    ]
    assert (cause["person"], cause["resource"], cause["day"]) == (
        spike.user,
        spike.resource,
        f"{spiked}",
    )
    assert Decimal(cause["amount"]) >= (spike.figures.billed or Decimal(0)) > 0
