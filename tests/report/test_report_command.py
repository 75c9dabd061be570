"""`report`: which days and users it shows, and when the file is written or set aside."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from conftest import Home, today, yesterday
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import METRICS, USER_COUNT
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.report.options import REPORT
from dashboard_scraper.simulator import Fault, Simulator, status
from made_up_days import LAST, MONTH, TWO_MONTHS, figures_of, store_days, user_days, users
from report_reading import Report, read_report, without_code

SCRIPT = "</script><script>alert(1)</script>"
DAYS = list(MONTH.days())
TWO_DAYS = (f"{yesterday() - timedelta(1)}", f"{yesterday()}")


def report_of(home: Home, *words: str, code: int = 0) -> Report:
    result = home.run("report", *words)
    assert result.code == code, result.err
    assert "Traceback" not in result.err
    if not code:
        assert (result.pages, result.paths) == ([home.data / REPORT], [])
    return read_report(home.data / REPORT)


@pytest.mark.slow
def test_default_is_the_newest_28_days(home: Home) -> None:
    store_days(home, users(3), TWO_MONTHS)
    assert list(report_of(home).column("t-active", "Daily active people")) == list(map(str, DAYS))


@pytest.mark.slow
def test_young_store_begins_with_its_first_day(home: Home) -> None:
    store_days(home, users(3), Window(LAST - timedelta(9), LAST))
    assert len(report_of(home).column("t-active", "Daily active people")) == 10


def test_today_is_left_out(home: Home) -> None:
    store_days(home, users(3), Window(yesterday(), today()))
    assert list(report_of(home).column("t-active", "Daily active people")) == [str(yesterday())]


@pytest.mark.slow
def test_dates_select_a_day_or_a_period(home: Home) -> None:
    store_days(home, users(3), Window(DAYS[4], DAYS[9]))
    day, other = DAYS[4], DAYS[9].strftime("%m-%d-%Y")
    assert list(report_of(home, str(day)).column("t-active", "Remark")) == [str(day)]
    assert len(report_of(home, str(day), other).column("t-active", "Remark")) == 6


@pytest.mark.slow
def test_axis_has_the_year_where_a_month_comes_twice(home: Home) -> None:
    store_days(home, users(3), Window(LAST, LAST))
    for back, year in ((335, " %Y"), (27, "")):
        first = LAST - timedelta(back)
        days = report_of(home, f"{first}", f"{LAST}", code=6).charts["active"]["days"]
        for day, shown in ((first, days[0]), (LAST, days[-1])):
            assert shown["label"] == f"{day.day} {day:%b{year}}"


@pytest.mark.slow
def test_same_store_gives_the_same_bytes(home: Home) -> None:
    store_days(home, users(9), MONTH)
    assert report_of(home).text == report_of(home).text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("2025-13-01",), "not a date"),
        (("2025-03-02", "2025-03-01"), "swap the dates"),
        ((str(today()),), "has not ended yet"),
        (("2025-03-01", "2025-03-02", "2025-03-03"), "unrecognized"),
        (("2022-01-01", "2025-03-30"), "1,185 days; a page shows 1098 at most"),
        (("0001-01-02", "2025-03-30"), "days; a page shows 1098 at most"),
    ],
)
def test_wrong_dates_are_refused(words: tuple[str, ...], message: str, home: Home) -> None:
    store_days(home, users(3), Window(LAST, LAST))
    result = home.run("report", *words)
    assert result.code == 2
    assert message in result.err
    assert home.files() == set()


def test_missing_store_is_an_error(home: Home) -> None:
    result = home.run("report")
    assert (result.code, home.files()) == (2, set())
    assert "there is no store" in result.err


def test_missing_days_set_the_earlier_page_aside(home: Home) -> None:
    store_days(home, users(3), Window(LAST, LAST))
    report_of(home)
    result = home.run("report", "2024-01-01", "2024-01-05")
    assert result.code == 6
    assert "5 of 5 days are missing" in result.err
    assert home.files() == {f"{REPORT}.stale"}


def test_advice_names_the_other_source(home: Home) -> None:
    store_days(home, users(3), Window(LAST, LAST))
    result = home.run("report", "--source", "analytics")
    assert result.code == 6
    assert "but has some of dashboard" in result.err


@pytest.mark.slow
def test_any_name_is_text(home: Home) -> None:
    window = Window(LAST - timedelta(4), LAST)
    store_days(home, users(4), window)
    scripts = report_of(home).tags.count("script")
    store_days(home, [SCRIPT, 'a"b&amp;c@example.com', *users(2)], window)
    report = report_of(home)
    assert SCRIPT not in report.text
    assert report.tags.count("script") == scripts
    assert {SCRIPT, 'a"b&amp;c@example.com'} <= {row[0] for row in report.rows or []}
    assert SCRIPT in report.column("user-table", "Active Days")


@pytest.mark.slow
def test_any_team_is_text(home: Home) -> None:
    people = home.path / "people.csv"
    people.write_text(f"email,login,id,team\n{users(1)[0]},u,1,{SCRIPT}\n")
    home.settings |= {"IDENTITY_FILE": str(people), "MIN_GROUP_SIZE": "1"}
    store_days(home, users(3), MONTH)
    report = report_of(home)
    assert SCRIPT not in report.text
    assert list(report.column("t-use-by-team", "Active people")) == [SCRIPT, "no team"]


@pytest.mark.slow
def test_page_loads_nothing_and_forbids_it(home: Home) -> None:
    store_days(home, users(3), MONTH)
    report = report_of(home)
    assert {link for link in report.links if not link.startswith("#")} == {"data:,"}
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', report.text)
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    markup = without_code(report.text)
    assert not re.search(r"\bstyle=|\bon[a-z]+=|@import|url\((?!#)", markup)
    (style,) = re.findall(r"<style>(.*?)</style>", report.text, flags=re.DOTALL)
    assert not re.search(r"@import|url\(", style)


@pytest.mark.slow
def test_small_teams_are_not_shown_apart(home: Home) -> None:
    """And they cannot be computed by subtracting the shown teams from all people."""
    people = home.path / "people.csv"
    teams = ["red"] * 6 + ["blue"] * 2 + [""] * 3
    rows = [
        f"{name},u{place},{place + 1},{team}"
        for place, (name, team) in enumerate(zip(users(11), teams, strict=True))
    ]
    people.write_text("\n".join(["email,login,id,team", *rows]))
    home.settings["IDENTITY_FILE"] = str(people)
    store_days(home, users(11), Window(LAST, LAST))
    report = report_of(home)
    assert set(report.column("t-use-by-team", "Active people")) == {"red", "all others"}
    assert "1 team is among all others, so that nothing here is of fewer than 5" in report.words
    home.settings["MIN_GROUP_SIZE"] = "7"
    assert "t-use-by-team" not in report_of(home).tables


@pytest.mark.slow
def test_service_accounts_do_not_hide_that_few_people_are_in_no_team(home: Home) -> None:
    people = home.path / "people.csv"
    *team, alone = users(7)
    rows = [f"{name},u{place},{place + 1},red" for place, name in enumerate(team)]
    people.write_text("\n".join(["email,login,id,team", *rows]))
    home.settings["IDENTITY_FILE"] = str(people)
    bots = [
        UserUsage(f"bot-{number}", figures_of({"chat_messages": 5}), service=True)
        for number in range(4)
    ]

    def with_bots(day: DayUsage) -> DayUsage:
        return dataclasses.replace(day, users=[*bots, *day.users])

    store_days(home, [*team, alone], Window(LAST, LAST), change=with_bots)
    assert "t-use-by-team" not in report_of(home).tables


@pytest.mark.slow
def test_person_of_two_teams_counts_in_both(home: Home) -> None:
    ada, bob, cy = users(3)
    people = home.path / "people.csv"
    rows = [f"{ada},ada,1,red", f"{bob},bob,2,red", f"{bob},bob,2,blue"]
    people.write_text("\n".join(["email,login,id,team", *rows]))
    home.settings |= {"IDENTITY_FILE": str(people), "MIN_GROUP_SIZE": "1"}
    store_days(home, [ada.title(), bob, cy], MONTH)
    report = report_of(home)
    by_user = {row[0].lower(): row[2] for row in report.rows or []}
    lines = report.column("t-use-by-team", "Total Modified Lines of Code")
    assert lines == {
        "blue": f"{by_user[bob]:,}",
        "red": f"{by_user[ada] + by_user[bob]:,}",
        "no team": f"{by_user[cy]:,}",
    }
    assert set(report.column("t-use-by-team", "Active people").values()) == {"1 of 1", "2 of 2"}


@pytest.mark.slow
def test_missing_teams_and_editors_are_left_out(home: Home) -> None:
    store_days(home, users(3), MONTH)
    report = report_of(home)
    assert not {"t-use-by-team", "t-editors"} & report.tables.keys()
    assert "Not known: the store has no such figures" in report.words


@pytest.mark.slow
def test_names_can_be_left_out(home: Home) -> None:
    store_days(home, users(3), MONTH)
    home.settings["REPORT_USERS"] = "false"
    report = report_of(home)
    assert "@example.com" not in report.text
    assert report.rows is None
    assert report.number("active") == "3"


@pytest.mark.slow
def test_key_gives_users_pseudonyms(home: Home) -> None:
    key = home.path / "key"
    key.write_text("0123456789abcdef" * 4)
    key.chmod(0o600)
    home.settings["PSEUDONYM_KEY_FILE"] = str(key)
    store_days(home, users(3), TWO_MONTHS)
    report = report_of(home)
    assert "@example.com" not in report.text
    assert [row for row in report.rows or [] if not row[0].startswith("user-")] == []
    assert (report.number("active"), report.number("known")) == ("3", "3")
    assert report.column("t-distinct", "Monthly active people")[str(LAST)] == "3"


@pytest.mark.parametrize("included", [True, False])
@pytest.mark.slow
def test_service_accounts_are_marked_or_left_out(included: bool, home: Home) -> None:
    def with_account(usage: DayUsage) -> DayUsage:
        account = UserUsage("nightly", figures_of({"chat_messages": 5}), service=True)
        return DayUsage(usage.day, [account, *usage.users], {})

    home.settings["INCLUDE_SERVICE_ACCOUNTS"] = str(included).lower()
    three_months = Window(LAST - timedelta(83), LAST)
    store_days(home, users(3), three_months, change=with_account)
    report = report_of(home)
    assert [row[0] for row in report.rows or [] if row[-1]] == ["nightly"] * included
    assert report.number("active") == report.number("known") == str(3 + included)
    monthly = report.column("t-distinct", "Monthly active people")
    assert monthly[str(LAST)] == str(3 + included)
    before = report.charts["distinct"]["before"]
    assert {count for line in before for count in line["values"]} == {3 + included}
    messages = sum(row[1] for row in report.rows or [])
    assert report.number("total_messages") == f"{messages:,}"
    chat = report.column("t-messages", "Chat Messages")[str(MONTH.end)]
    rows = user_days(users(3), MONTH.end)
    counts = [user.figures.chat_messages or 0 for user in rows] + [5] * included
    assert chat == str(sum(counts))
    assert ("nightly service account" in report.column("user-table", "Active Days")) == included


@pytest.mark.slow
def test_unreconciled_day_is_marked(home: Home) -> None:
    def other_total(usage: DayUsage) -> DayUsage:
        return dataclasses.replace(
            usage, totals={USER_COUNT.name: 77} if usage.day == DAYS[5] else {}
        )

    store_days(home, users(3), MONTH, change=other_total)
    report = report_of(home)
    assert (
        f"{DAYS[5]}: Daily active people: the source says 77, the users' sum is 3" in report.words
    )
    for table in ("t-active", "t-distinct", "t-messages", "t-lines", "t-accepted", "t-rate"):
        marked = [day for day, text in report.column(table, "Remark").items() if text]
        assert str(DAYS[5]) in marked, table
    charts_without_days = 3
    note = "! With 1 day on which users and the source's own totals disagree"
    assert report.words.count(note) == charts_without_days


@pytest.mark.slow
def test_every_number_has_its_footnote(home: Home) -> None:
    store_days(home, users(3), MONTH)
    report = report_of(home)
    notes = dict(re.findall(r'id="about-([\w-]+)"><dt>.*?</dt><dd>(.*?)</dd>', report.text))
    assert set(re.findall(r'href="#about-([\w-]+)"', report.text)) <= set(notes)
    assert set(report.numbers) <= set(notes)
    definitions = {metric.name: metric.definition for metric in METRICS}
    of_metrics = {key: text for key, text in notes.items() if key in definitions}
    assert of_metrics == {key: definitions[key] for key in of_metrics}
    assert len(of_metrics) > 15


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    return found


@pytest.mark.slow
def test_daily_export_vouches_for_its_page(home: Home, sim: Simulator) -> None:
    result = home.run("--daily", *TWO_DAYS)
    (folder,) = result.paths
    assert result.pages == [folder / REPORT]
    assert sim.requests
    listed = manifest(folder)["report"]
    page = (folder / REPORT).read_bytes()
    assert listed == {
        "name": REPORT,
        "size": len(page),
        "sha256": hashlib.sha256(page).hexdigest(),
    }
    # The page's own run has not ended, so the footer has no runs yet.
    text = re.sub("<footer>.*</footer>\n", "", report_of(home).text, flags=re.DOTALL)
    assert listed["sha256"] == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.slow
def test_failed_day_is_a_gap_in_the_page(home: Home, sim: Simulator) -> None:
    """Even if an earlier run has stored it."""
    day = yesterday()
    (folder,) = home.run("--daily", *TWO_DAYS).paths
    sim.add_fault(Fault(status(400), "user-feature-stats", day))
    result = home.run("--daily", *TWO_DAYS, "--refresh")
    assert result.code == 6, result.err
    report = read_report(folder / REPORT)
    assert report.column("t-active", "Remark")[str(day)].startswith("missing")
    assert report.column("t-active", "Daily active people")[str(day)] == ""
    assert manifest(folder)["report"]["size"] == len(report.text.encode())


@pytest.mark.usefixtures("csv_and_page")
@pytest.mark.slow
def test_export_too_long_for_a_page_has_none(home: Home) -> None:
    store_days(home, users(1), Window(LAST, LAST))
    out = home.path / "out"
    out.mkdir()
    (out / REPORT).write_text("of another window")
    result = home.run("export", str(LAST - timedelta(1098)), str(LAST), "--out", str(out))
    assert result.code == 6
    assert "report.html is not written: it shows at most 1098 days" in result.err
    assert not (out / REPORT).exists()
    assert (out / f"{REPORT}.stale").exists()
    assert manifest(out)["report"] is None
    for first, pages in ((LAST, [out / REPORT]), (LAST - timedelta(1097), [])):
        result = home.run("export", str(first), str(LAST), "--out", str(out))
        assert result.pages == pages  # the second page is not printed, since days are missing
        assert (out / REPORT).exists()


def test_failed_run_sets_the_page_aside(home: Home, sim: Simulator) -> None:
    (folder,) = home.run("--daily", *TWO_DAYS).paths
    sim.expire()
    assert home.run("--daily", *TWO_DAYS, "--refresh").code == 3
    assert not (folder / REPORT).exists()
    assert (folder / f"{REPORT}.stale").is_file()
