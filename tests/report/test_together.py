"""Several sources on one page: what is compared, and which source has which gaps."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

import toy_ids
import toy_logins
from conftest import Home
from dashboard_scraper.model.costs import Account, Cost, CostDay, CostFigures, sum_costs
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.doubts import DoubtKind
from dashboard_scraper.model.meanings import Basis, Meaning
from dashboard_scraper.model.metrics import LINES, MESSAGES, SHOWN
from dashboard_scraper.model.seats import Seat
from dashboard_scraper.report.gather import newest_common_window
from dashboard_scraper.report.options import REPORT
from dashboard_scraper.sources.analytics.fields import MEANINGS
from dashboard_scraper.sources.products import COPILOT, CURSOR
from dashboard_scraper.sources.registry import ANALYTICS
from dashboard_scraper.store import store_at
from report_reading import Report, read_report
from several_sources import (
    ADA,
    BEFORE,
    BEN,
    CYD,
    DEB,
    FETCHED,
    LAST,
    SOURCES,
    WEEK,
    put,
    put_seats,
)
from source_kinds import register
from stored_days import sql
from toy_ids import NAME as IDS
from toy_logins import NAME as LOGINS

IDENTITIES = f"""\
email,login,id,team,{IDS}_id
{ADA},ada-m,11,core,71
{BEN},ben-m,12,core,72
{DEB},deb-m,14,small,
"""
DAYS = [WEEK.start + timedelta(at) for at in range(7)]
GAP = DAYS[2]


@pytest.fixture(autouse=True)
def _two_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two made-up sources that stand for other assistants."""
    alike = {
        SHOWN: Meaning("shown", basis=Basis.COMPLETIONS_SHOWN),
        LINES: Meaning("lines", "lines accepted"),
    }
    metrics = (SHOWN, LINES, MESSAGES)
    monkeypatch.setattr(
        toy_logins,
        "INFO",
        replace(toy_logins.INFO, product=COPILOT, meanings=alike, metrics=metrics),
    )
    monkeypatch.setattr(
        toy_ids,
        "INFO",
        replace(toy_ids.INFO, product=CURSOR, active_rule="a toy", leaves_out="dolls"),
    )
    register(monkeypatch)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ada and Ben use Augment; Ben, Deb and somebody unknown use Copilot; Ada and Ben use Cursor.

    `gap.db` lacks a day of Copilot; `alone.db` lacks all days of the other two.
    """
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        folder = tmp_path_factory.mktemp("several")
        urls = {name: f"sqlite:///{folder / name}.db" for name in ("alone", "gap", "whole")}
        put(urls["alone"], ANALYTICS, {BEFORE: [ADA, CYD], WEEK: [ADA, BEN]}, ["triage-bot"])
        for name, missing in (("gap", [GAP]), ("whole", [])):
            shutil.copy(folder / "alone.db", folder / f"{name}.db")
            logins = ["ben-m", "deb-m", "zed"]
            put(urls[name], LOGINS, {BEFORE: logins, WEEK: logins}, missing=missing)
            put(urls[name], IDS, {BEFORE: ["71", "72"], WEEK: ["71", "72"]})
    return folder


@pytest.fixture
def whole(home: Home, filled: Path) -> str:
    return _use(home, filled / "whole.db")


@pytest.fixture
def gap(home: Home, filled: Path) -> str:
    return _use(home, filled / "gap.db")


def _use(home: Home, store: Path) -> str:
    """Copy the store, and prepare the settings of the runs; returns its STORE_URL."""
    home.data.mkdir()
    shutil.copy(store, home.data / "usage.db")
    (home.path / "people.csv").write_text(IDENTITIES)
    home.settings |= {
        "STORE_URL": f"sqlite:///{home.data / 'usage.db'}",
        "SOURCES": ",".join(SOURCES),
        "IDENTITY_FILE": "people.csv",
        "SEAT_PRICES": f"{LOGINS}:19.50 EUR",
    }
    return home.settings["STORE_URL"]


def report_of(home: Home, code: int = 0) -> Report:
    result = home.run("report", f"{WEEK.start}", f"{WEEK.end}", "--source", "all")
    assert result.code == code, result.err
    return read_report(home.data / REPORT)


def rows(report: Report, table: str) -> dict[str, list[str]]:
    return {name: cells for name, *cells in report.tables[table][1:]}


@pytest.mark.slow
@pytest.mark.usefixtures("whole")
def test_people_of_two_assistants_count_once(home: Home) -> None:
    report = report_of(home)
    # Ada, Ben, Deb and a login, which may belong to one of these.
    assert report.number("people-together") == "at most 4"
    assert report.number("several") == "at least 2"
    assert "Some are known only by a login or an id: people may use more." in report.words
    assert rows(report, "t-together-count") == {"1": ["2"], "2": ["1"], "3": ["1"]}
    compared = rows(report, "t-assistant-by-assistant")
    assert compared["Augment"] == ["2", "50%", "2", "1", "1", "7 of 7"]
    assert compared["Copilot"] == ["3", "75%", "3", "0", "0", "7 of 7"]
    assert "Augment: 1 service account or API key not counted here." in report.words
    assert "Copilot: of 1 person only a login or an id is known" in report.words
    assert "Active on a day in Cursor: a toy." in report.words
    assert "Cursor leaves out dolls." in report.words
    classes = rows(report, "t-everybody-in-one-class")
    assert classes["active"] == ["3", "2", "2", "2"]
    assert classes["unattributed"] == ["2", "1", "1", "0"]  # the bot, and the login
    assert classes["everybody"] == ["5", "3", "3", "2"]


@pytest.mark.slow
@pytest.mark.usefixtures("gap")
def test_gap_of_a_source_is_its_own(home: Home) -> None:
    report = report_of(home, code=6)
    lines = {each["label"]: each["values"] for each in report.charts["together-day"]["lines"]}
    assert lines == {
        "Augment": [2] * 7,
        "Copilot": [3, 3, None, 3, 3, 3, 3],
        "Cursor": [2] * 7,
    }
    days = report.charts["together-day"]["days"]
    assert [day["mark"] for day in days] == ["", "", "\u00d7", "", "", "", ""]
    assert [day["gap"] for day in days] == [False] * 7
    assert report.tables["t-together-day"][3][2:] == ["missing", "2", "missing: Copilot"]
    compared = rows(report, "t-assistant-by-assistant")
    assert compared["Copilot"] == ["at least 3", "75%", "3", "unknown", "unknown", "6 of 7"]
    assert compared["Augment"][3:] == ["1", "1", "7 of 7"]
    assert report.number("people-together") == "about 4"
    assert f"Copilot: missing {GAP}." in report.words


@pytest.mark.slow
def test_day_in_doubt_has_its_mark_beside_other_assistants(home: Home, gap: str) -> None:
    """The same mark as in its source's part; a day that another source misses has both remarks."""
    held, suspicious = (remark_on(kind) for kind in (DoubtKind.HELD, DoubtKind.SUSPICIOUS))
    for column, day in (("held", GAP), ("held", DAYS[4]), ("suspicious", DAYS[4])):
        sql(
            gap,
            f"UPDATE day_ledger SET {column} = 'one more, or one fewer'"
            f" WHERE source = '{IDS}' AND day = '{day}'",
        )
    report = report_of(home, code=6)
    for name in ("together-day", "together-week"):
        chart = report.charts[name]
        assert [day["mark"] for day in chart["days"]] == ["", "", "\u00d7", "", "*", "", ""]
        remarks = [row[-1] for row in report.tables[f"t-{name}"][1:]]
        assert remarks[2:5] == [f"missing: Copilot; {held}", "", f"{suspicious}; {held}"]
        assert chart["tips"][4].endswith(f"\n{suspicious}\n{held}")
    assert f"Cursor: % With 2 days on which {DoubtKind.HELD.meaning}." in report.words


def remark_on(kind: DoubtKind) -> str:
    """The remark on a day of Cursor with this kind of doubt."""
    return f"{kind.meaning}: Cursor"


@pytest.mark.slow
@pytest.mark.usefixtures("whole")
def test_legend_has_what_hatched_days_are(home: Home) -> None:
    """Each day is in the store, but the week up to it is not: the first days' weeks are unknown."""
    assert home.run("report", f"{BEFORE.start}", f"{BEFORE.end}", "--source", "all").code == 0
    report = read_report(home.data / REPORT)
    hatched = [day["gap"] for day in report.charts["together-week"]["days"]]
    assert hatched == [True] * 6 + [False]
    assert report.words.count("\u25a8 unknown") == 1 + len(SOURCES)  # each source has its own weeks


@pytest.mark.slow
def test_seats_without_activity_and_their_cost(home: Home, whole: str) -> None:
    later = Seat("new", assigned_on=LAST + timedelta(1))
    holders = [Seat("Ben-M"), Seat("deb-m"), Seat("cyd-m"), Seat("ada-m"), later]
    put_seats(whole, {LOGINS: holders, IDS: [Seat("71"), Seat("99")]})
    report = report_of(home)
    seats = rows(report, "t-seats-and-their-use")
    assert seats["Copilot"] == ["4", "2", "50%", "19.50 EUR", "39.00 EUR", f"{FETCHED.date()}"]
    assert seats["Cursor"] == ["2", "1", "50%", "-", "-", f"{FETCHED.date()}"]
    assert "Augment" not in seats
    assert report.number("idle-seats") == "3"
    assert report.number("without") == "at most 2"  # cyd-m and 99: Ada uses another assistant
    assert "39.00 EUR a month" not in report.words  # not all idle seats have a price
    home.settings["SEAT_PRICES"] = f"{LOGINS}:19,{IDS}:40"
    assert "of 6 seats, 78.00 a month" in report_of(home).words


@pytest.mark.slow
def test_seat_of_an_unknown_login_may_be_somebody_active(home: Home, filled: Path) -> None:
    """A seat without use has no row that would show that its login is unmatched."""
    url = _use(home, filled / "alone.db")
    put(url, LOGINS, {BEFORE: ["deb-m"], WEEK: ["deb-m"]})
    home.settings["SOURCES"] = f"{ANALYTICS},{LOGINS}"
    put_seats(url, {LOGINS: [Seat("ada-m"), Seat("deb-m")]})
    report = report_of(home)
    assert (report.number("people-together"), report.number("without")) == ("3", "0")
    put_seats(url, {LOGINS: [Seat("ada-mossgrave"), Seat("deb-m")]})
    report = report_of(home)
    assert (report.number("people-together"), report.number("without")) == ("3", "at most 1")
    assert "Copilot: of 1 person with a seat only a login or an id is known" in report.words


@pytest.mark.slow
def test_seats_are_unknown_where_days_are_missing(home: Home, gap: str) -> None:
    put_seats(gap, {LOGINS: [Seat("cyd-m")], IDS: [Seat("99")]})
    report = report_of(home, code=6)
    assert rows(report, "t-seats-and-their-use")["Copilot"][:2] == ["1", "unknown"]
    assert rows(report, "t-seats-and-their-use")["Cursor"][:2] == ["1", "1"]
    assert report.number("without") == "unknown"


@pytest.mark.slow
@pytest.mark.usefixtures("whole")
def test_only_figures_on_one_basis_are_beside_each_other(home: Home) -> None:
    report = report_of(home)
    assert LINES in MEANINGS
    assert rows(report, "t-counted-alike") == {SHOWN.title: ["0", "0", "-"]}
    compared = [name for name in report.charts if name.startswith("together-")]
    assert compared == ["together-week", "together-day", "together-count"]
    assert {"analytics-lines", f"{LOGINS}-lines", f"{IDS}-active"} <= set(report.charts)
    assert f"{IDS}-accepted" not in report.charts  # Cursor does not know completions


def billed(amount: str | None, estimated: str | None) -> CostFigures:
    exact = [None if each is None else Decimal(each) for each in (amount, estimated)]
    return CostFigures(billed=exact[0], estimated=exact[1])


def put_costs(
    url: str, source: str, figures: CostFigures, currency: str, window: Window = WEEK
) -> None:
    store = store_at(url)
    with store.locked(), store.opened():
        for day in window.days():
            # A day without rows has 0 for every metric, even if the source never knows it.
            costs = [Cost(ADA, Account.PERSON, "MODEL", "model-a", figures)] if day != GAP else []
            total = sum_costs(cost.figures for cost in costs)
            store.put_costs(source, CostDay(day, costs, total, currency), FETCHED)


@pytest.mark.slow
def test_billed_and_estimated_costs_never_meet(home: Home, whole: str) -> None:
    put_costs(whole, ANALYTICS, billed("3", "4"), "USD")
    put_costs(whole, IDS, billed(None, "5"), "EUR")
    report = report_of(home)
    assert rows(report, "t-billed-per-active-person") == {
        "Augment": ["18.00 USD", "2", "9.00 USD", "7 of 7"]
    }
    assert rows(report, "t-estimated-per-active-person") == {
        "Augment": ["24.00 USD", "2", "12.00 USD", "7 of 7"],
        "Cursor": ["30.00 EUR", "2", "15.00 EUR", "7 of 7"],
    }
    for chart in report.charts.values():
        assert len(chart.get("bars", ())) <= 1 or "amount" not in str(chart["bars"])
    assert f"{IDS}-cost-estimated" in report.charts
    for together in ("42.00", "48.00", "54.00"):
        assert together not in report.text


@pytest.mark.slow
def test_source_without_costs_of_these_days_is_not_left_out(home: Home, whole: str) -> None:
    """Its costs are unknown; without a row, the source would look free."""
    put_costs(whole, ANALYTICS, billed("3", None), "USD")
    put_costs(whole, IDS, billed("5", None), "USD", BEFORE)
    assert rows(report_of(home), "t-billed-per-active-person") == {
        "Augment": ["18.00 USD", "2", "9.00 USD", "7 of 7"],
        "Cursor": ["unknown", "2", "unknown", "0 of 7"],
    }


@pytest.mark.slow
def test_person_with_a_service_account_is_a_person_in_every_part(home: Home, whole: str) -> None:
    """Also if the service account was active last."""
    (home.path / "people.csv").write_text(f"{IDENTITIES}{CYD},cm,9,core,\ntriage-bot,cm,9,core,\n")
    weeks = Window(BEFORE.start, WEEK.end)
    put_costs(whole, ANALYTICS, billed("3", None), "USD", weeks)
    assert home.run("report", f"{weeks.start}", f"{weeks.end}", "--source", "all").code == 0
    report = read_report(home.data / REPORT)
    row = rows(report, "t-billed-per-active-person")["Augment"]
    assert row == ["39.00 USD", "3", "13.00 USD", "14 of 14"]
    assert report.number(f"{ANALYTICS}-cost-per-person") == row[2]
    assert "service account" not in str(report.tables[f"{ANALYTICS}-user-table"])


@pytest.mark.slow
@pytest.mark.usefixtures("whole")
def test_small_teams_are_not_shown_apart(home: Home) -> None:
    people = [f"p{number}@example.com,p{number},{100 + number},core," for number in range(3)]
    (home.path / "people.csv").write_text(IDENTITIES + "\n".join(people) + "\n")
    report = report_of(home)
    # If a team had only Deb, its figures would be those of all people less the other team's.
    assert "t-active-by-team" not in report.tables
    people += [f"q{number}@example.com,q{number},{200 + number},," for number in range(4)]
    people += ["triage-bot,triage-bot,300,,", "ci-bot,ci-bot,301,core,"]  # which are no people
    (home.path / "people.csv").write_text(IDENTITIES + "\n".join(people) + "\n")
    report = report_of(home)
    core = ["40% (2)", "40% (2)", "20% (1)", "40% (2)", "5"]
    others = ["20% (1)", "0% (0)", "20% (1)", "0% (0)", "5"]
    assert rows(report, "t-active-by-team") == {"core": core, "all others": others}
    assert "1 team is among all others, so that nothing here is of fewer than 5" in report.words
    home.settings["MIN_GROUP_SIZE"] = "6"
    assert "t-active-by-team" not in report_of(home).tables


@pytest.mark.slow
@pytest.mark.usefixtures("whole")
def test_pseudonyms_hold_on_a_page_of_several(home: Home) -> None:
    home.settings["PSEUDONYM_KEY_FILE"] = "key"
    (home.path / "key").write_text("a key of more than thirty-two letters, for a test\n")
    (home.path / "key").chmod(0o600)
    report = report_of(home)
    for name in (ADA, BEN, "ben-m", ">zed<", '"zed"'):
        assert name not in report.text
    assert report.number("several") == "at least 2"
    named = [set(rows(report, f"{source}-user-table")) for source in (ANALYTICS, IDS)]
    assert named[1] < named[0]  # an id gets the pseudonym of its address
    home.settings["REPORT_USERS"] = "false"
    assert "user-" not in report_of(home).words


def test_window_ends_on_the_newest_day_of_all() -> None:
    today = date(2026, 11, 2)
    late = [LAST - timedelta(at) for at in range(40)]
    new = [today - timedelta(at) for at in range(1, 5)]
    month = Window(LAST - timedelta(27), LAST)
    assert newest_common_window([late, new], today) == month
    stopped = [LAST - timedelta(30)]
    assert newest_common_window([late, new, stopped, []], today) == month
    assert newest_common_window([[today]], today) is None
    assert newest_common_window([new], today) == Window(new[-1], new[0])


def test_source_without_any_day_does_not_stop_the_page(home: Home, filled: Path) -> None:
    _use(home, filled / "alone.db")
    result = home.run("report", f"{WEEK.start}", f"{WEEK.end}")
    assert result.code == 6
    assert f"{LOGINS}: 7 of 7 days are missing" in result.err
    assert f"fetch them first from the source {LOGINS}, with backfill" in result.err
    assert f": {ANALYTICS}: {WEEK}: 7 of 7 days\n" in result.err
    assert "choose with --source" not in result.err, "this page is of all that were chosen"
    report = read_report(home.data / REPORT)
    assert rows(report, "t-assistant-by-assistant")["Augment"][0] == "2"
    assert rows(report, "t-assistant-by-assistant")["Cursor"][5] == "0 of 7"
