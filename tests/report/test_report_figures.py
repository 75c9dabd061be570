"""The report's figures agree with the store, the CSV and the Copilot JSON."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conftest import WEEK, WEEK_JOB, Home, Start, twelve_users, yesterday
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import COUNTS, LINES, METRICS, Kind, Metric, Whole, parts_of
from dashboard_scraper.model.usage import DayUsage, EditorLanguageUsage, UserUsage
from dashboard_scraper.report.options import REPORT
from dashboard_scraper.simulator import Organization, Simulator
from dashboard_scraper.store import DetailStatus, store_at
from databases import on_sqlite
from filled_store import FETCHED, SOURCE, put, user
from made_up_days import LAST, MONTH, TWO_MONTHS, figures_of, store_days, users
from report_reading import Report, read_report
from stored_days import sql

MESSAGES = parts_of(next(metric for metric in COUNTS if metric.whole is Whole.MESSAGES))
RATE = next(metric for metric in METRICS if metric.kind is Kind.PERCENT)
SHOWN, ACCEPTED = "completions_count", "completions_accepted"
DAYS = list(MONTH.days())


def report_of(home: Home, *words: str, code: int = 0) -> Report:
    result = home.run("report", *words)
    assert result.code == code, result.err
    assert "Traceback" not in result.err
    return read_report(home.data / REPORT)


def shown(number: int) -> str:
    return f"{number:,}"


def csv_rows(paths: Iterable[Path]) -> list[dict[str, str]]:
    return [
        row for path in paths for row in csv.DictReader(path.read_text("utf-8-sig").splitlines())
    ]


def records(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_bytes())
    return found


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """A daily export from the dashboard, and the page of its store."""
    home = Home(tmp_path_factory.mktemp("week"))
    with Simulator(twelve_users()) as simulator:
        home.settings["METRICS_API_BASE_URL"] = simulator.url + "/"
        home.sign_in(simulator)
        (folder,) = home.run(*WEEK_JOB).paths
    return folder, report_of(home)


@pytest.mark.slow
def test_report_csv_and_json_agree(week: tuple[Path, Report]) -> None:
    folder, report = week
    whole = records(folder / "copilot_metrics_aggregated.json")
    rows = csv_rows(sorted(folder.glob("*.csv")))
    for key, counter, metrics in (
        ("total_messages", "user_initiated_interaction_count", MESSAGES),
        (LINES.name, "loc_added_sum", (LINES,)),
        (SHOWN, "code_generation_activity_count", _named(SHOWN)),
        (ACCEPTED, "code_acceptance_activity_count", _named(ACCEPTED)),
    ):
        by_csv = sum(int(row[metric.title]) for row in rows for metric in metrics)
        assert by_csv == sum(record[counter] for record in whole)
        assert report.number(key) == shown(by_csv), key
    assert report.number("active") == shown(len(whole))
    table = {row[0]: row for row in report.rows or []}
    for record in whole:
        _, messages, lines, days, _, *completions, _, _ = table[record["user_login"]]
        assert messages == record["user_initiated_interaction_count"]
        assert lines == record["loc_added_sum"]
        assert completions[0] == record["code_generation_activity_count"]
        assert completions[1] == record["code_acceptance_activity_count"]
        active = [row for row in rows if row["User"] == record["user_login"]]
        assert days == sum(row["Active Days"] == "1" for row in active)
    assert len(table) == len(whole)


def _named(name: str) -> list[Any]:
    return [metric for metric in COUNTS if metric.name == name]


@pytest.mark.slow
def test_each_day_agrees_with_its_files(week: tuple[Path, Report]) -> None:
    folder, report = week
    active = report.column("t-active", "Daily active people")
    assert len(active) == len(WEEK)
    for day, count in active.items():
        rows = csv_rows([folder / f"augment_metrics_{day}.csv"])
        assert int(count) == len(records(folder / f"copilot_metrics_{day}.json"))
        for table, metrics in (("t-messages", MESSAGES), ("t-lines", parts_of(LINES))):
            for metric in metrics:
                cell = report.column(table, metric.title)[day]
                assert cell == shown(sum(int(row[metric.title]) for row in rows))


@pytest.mark.slow
def test_rates_agree_with_the_csv(home: Home, start: Start) -> None:
    start(Organization(users=40))
    day = yesterday() - timedelta(yesterday().weekday())  # a Monday: somebody works
    (folder,) = home.run("--daily", str(day), str(day)).paths
    report = report_of(home, str(day))
    reported = report.column("user-table", RATE.title)
    rows = {row["User"]: row for row in csv_rows(folder.glob("*.csv"))}
    assert any(rows[name][RATE.title] for name in reported)
    for name, text in reported.items():
        by_csv = rows[name][RATE.title]
        assert bool(text) == bool(by_csv)
        if text:
            assert re.fullmatch(r"\d+\.\d%", text)
            assert float(text.strip("%")) == pytest.approx(float(by_csv.strip("%")), abs=0.0551)


@on_sqlite
@pytest.mark.slow
def test_analytics_sums_and_editors_add_up(home: Home, api: Simulator, store_url: str) -> None:
    assert home.settings["STORE_URL"] == store_url
    home.settings["FETCH_EDITOR_LANGUAGE"] = "true"
    monday = yesterday() - timedelta(yesterday().weekday() + 7)  # whole days of work
    window = [f"{monday}", f"{monday + timedelta(2)}"]
    (folder,) = home.run("--daily", *window).paths
    report = report_of(home, *window)
    rows = csv_rows(sorted(folder.glob("*.csv")))
    lines = sum(int(row[LINES.title]) for row in rows)
    assert api.requests
    assert report.number(LINES.name) == shown(lines)
    for table in ("t-editors", "t-languages"):
        assert sum_of(report, table) == shown(lines)
    places = {place for member in api.organization.members for place in member.places}
    for table, known in (
        ("t-languages", {language for language, _, _ in places} | {"Unknown"}),
        ("t-editors", {editor for _, editor, _ in places} | {"CLI"}),
    ):
        assert {row[0] for row in report.tables[table][1:]} <= known
    assert "This source does not report Instruction Lines of Code." in report.words
    home.settings["INCLUDE_SERVICE_ACCOUNTS"] = "false"
    people = report_of(home, *window)
    assert people.number(LINES.name) != report.number(LINES.name)
    assert sum_of(people, "t-editors") == people.number(LINES.name)
    day = next(
        day for day, count in people.column("t-active", "Daily active people").items() if int(count)
    )
    of_day = report_of(home, day)
    words = report_of(home, window[0], f"{monday + timedelta(3)}", code=6).words
    assert "1 missing day left out" in words
    assert "have no such figures" not in words  # they are known for all stored days
    sql(store_url, f"UPDATE day_ledger SET editor_language = 'unreconciled' WHERE day = '{day}'")
    fewer = report_of(home, *window)
    assert "Of 2 of 3 days" in fewer.words
    whole, one, rest = (number_of(each, LINES) for each in (people, of_day, fewer))
    assert whole == rest
    assert sum_of(fewer, "t-editors") == shown(whole - one)


@pytest.mark.slow
def test_editors_of_a_left_out_service_account_are_not_its_persons(
    home: Home, store_url: str
) -> None:
    both = [user("ada@example.com", **{LINES.name: 3}), user("bot", **{LINES.name: 4})]
    put(store_url, {LAST: both})
    usages = [
        EditorLanguageUsage(each.user, editor, "Python", each.figures)
        for each, editor in zip(both, ("VSCode", "Vim"), strict=True)
    ]
    store = store_at(store_url)
    with store.locked(), store.opened():
        store.put_editor_languages(SOURCE, LAST, usages, DetailStatus.COMPLETE, FETCHED)
    people = home.path / "people.csv"
    people.write_text("email,login,id\nada@example.com,ada,7\nbot,ada,7\n")
    home.settings |= {"STORE_URL": store_url, "IDENTITY_FILE": f"{people}"}
    for shown, editors in (("true", {"VSCode": "3", "Vim": "4"}), ("false", {"VSCode": "3"})):
        home.settings["INCLUDE_SERVICE_ACCOUNTS"] = shown
        report = report_of(home, f"{LAST}", "--source", SOURCE)
        assert report.column("t-editors", LINES.title) == editors


def number_of(report: Report, metric: Metric) -> int:
    return int(report.number(metric.name).replace(",", ""))


def sum_of(report: Report, table: str) -> str:
    reported = report.column(table, LINES.title).values()
    return shown(sum(int(text.replace(",", "")) for text in reported))


def active_sql(days: Iterable[date]) -> str:
    counted = " OR ".join(f"{metric.name} > 0" for metric in COUNTS)
    listed = ", ".join(f"'{day}'" for day in days)
    return f"FROM user_day WHERE ({counted}) AND day IN ({listed})"


def check_against_store(home: Home, report: Report, days: list[date]) -> None:
    """Compare the numbers at the top and those of each day with SQL over the table."""
    url = home.settings["STORE_URL"]
    stored = [date.fromisoformat(row[0]) for row in sql(url, "SELECT day FROM day_ledger")]
    ((people,),) = sql(url, f"SELECT COUNT(DISTINCT user_login) {active_sql(days)}")
    gaps = [day for day in days if day not in stored]
    assert report.number("active") == ("at least " if gaps else "") + shown(people)
    for key, metrics in (
        ("total_messages", MESSAGES),
        (LINES.name, (LINES,)),
        (ACCEPTED, _named(ACCEPTED)),
        (SHOWN, _named(SHOWN)),
    ):
        summed = "+".join(metric.name for metric in metrics)
        ((total,),) = sql(url, f"SELECT COALESCE(SUM({summed}), 0) {active_sql(days)}")
        assert report.number(key) == shown(total), key
    reported = report.column("t-active", "Daily active people")
    assert list(reported) == list(map(str, days))
    for day in days:
        ((count,),) = sql(url, f"SELECT COUNT(*) {active_sql([day])}")
        assert reported[str(day)] == ("" if day in gaps else shown(count))
        week = [day - timedelta(back) for back in range(7)]
        ((distinct,),) = sql(url, f"SELECT COUNT(DISTINCT user_login) {active_sql(week)}")
        known = set(week) <= set(stored)
        text = report.column("t-distinct", "Weekly active people")[str(day)]
        if day in stored:
            assert text == (shown(distinct) if known else "unknown")
        else:
            assert text == ""


@pytest.mark.slow
def test_gaps_are_as_in_the_store(home: Home) -> None:
    missing, empty = [DAYS[3], DAYS[4], DAYS[20]], [DAYS[7], DAYS[13]]
    store_days(home, users(5), TWO_MONTHS, missing=missing, empty=empty)
    report = report_of(home, code=6)
    check_against_store(home, report, DAYS)
    remarks = report.column("t-messages", "Remark")
    assert [day for day, text in remarks.items() if "missing" in text] == list(map(str, missing))
    idle = [
        day for day, text in report.column("t-active", "Daily active people").items() if text == "0"
    ]
    assert [day for day, text in remarks.items() if "nobody" in text] == idle
    assert set(map(str, empty)) <= set(idle)
    assert "25 of 28 days are in the store" in report.words
    assert report.number("new") == report.number("lapsed") == "unknown"
    assert "Newly active:" not in report.words
    assert "against" not in report.words.split("How many people")[0]
    sums_and_people = 4 + 3 + 2  # at the top, for messages, and for code
    assert report.words.count("25 of 28 days only") == sums_and_people
    spread = report.words.split("How use is spread")[1]
    charts_without_days = 3
    assert spread.count("\u00d7 3 missing days left out") == charts_without_days
    assert (
        spread.count(f"\u25cb With {len(idle)} days on which nobody was active")
        == charts_without_days
    )
    kinds = report.words.split("What they do")[1].split("How use is spread")[0]
    assert not re.search(r"[+\u2212]\d+%|no change|% before", kinds)
    assert report.tables["t-spread-days"][0] == ["Active Days", "People"]


@pytest.mark.slow
def test_day_of_five_thousand_people_is_small(home: Home) -> None:
    """And its page agrees with the store."""
    figures = figures_of(dict.fromkeys((metric.name for metric in MESSAGES), 12345))

    def all_active(usage: DayUsage) -> DayUsage:
        return DayUsage(usage.day, [UserUsage(name, figures) for name in users(5000)], {})

    store_days(home, [], Window(LAST, LAST), change=all_active)
    report = report_of(home)
    check_against_store(home, report, [LAST])
    assert len(report.text.encode()) < 3e6
    assert report.rows is not None
    assert len(report.rows) == 5000
    assert report.numbers["active-week"] == ["unknown"]
    assert "Compared with" not in report.words
    assert "No day of the period before is in the store, so nothing is compared" in report.words


@pytest.mark.slow
def test_period_without_activity_has_zeros(home: Home) -> None:
    store_days(home, [], TWO_MONTHS)
    report = report_of(home)
    check_against_store(home, report, DAYS)
    assert report.number("active") == report.number("total_messages") == "0"
    assert report.words.count("nobody was active") >= 2
    assert report.number(RATE.name) == "none"
    assert "Compared with 3 February to 2 March 2025." in report.words


def test_people_who_come_and_go_are_counted(home: Home) -> None:
    before, now = Window(LAST - timedelta(1), LAST - timedelta(1)), Window(LAST, LAST)
    one = figures_of({"chat_messages": 1})

    def only(*names: str) -> Any:
        return lambda usage: DayUsage(usage.day, [UserUsage(name, one) for name in names], {})

    store_days(home, [], before, change=only("ada@example.com", "bob@example.com"))
    store_days(home, [], now, change=only("bob@example.com", "cy@example.com", "di@example.com"))
    report = report_of(home, str(LAST))
    assert [report.number(key) for key in ("new", "stayed", "lapsed")] == ["2", "1", "1"]
    assert "+50% against 2 before" in report.words
    assert "Newly active: 2" in report.words
    named = "cy@example.com di@example.com Lapsed: 1"
    assert named in report.words
    assert "ada@example.com" in report.words.split("Lapsed: 1")[1]
    home.settings["REPORT_USERS"] = "false"
    assert "@example.com" not in report_of(home, str(LAST)).text


@pytest.mark.slow
def test_distributions_agree_with_the_users(home: Home) -> None:
    """And those of the period before agree with a page of that period."""
    store_days(home, users(40), TWO_MONTHS)
    now = report_of(home)
    check_against_store(home, now, DAYS)
    rows = now.rows or []
    for days, people in now.column("t-spread-days", "People").items():
        assert int(people) == sum(row[3] == int(days) for row in rows), days
    assert sum(map(int, now.column("t-spread-messages", "People").values())) == len(rows)
    active = now.column("t-active", "Daily active people")
    for weekday, (name, mean) in enumerate(now.column("t-weekday", "Daily active people").items()):
        counts = [int(count) for day, count in active.items() if is_weekday(day, weekday)]
        assert float(mean) == pytest.approx(sum(counts) / 4, abs=0.06), name
    before = report_of(home, str(TWO_MONTHS.start), str(MONTH.start - timedelta(1)))
    for table in ("t-spread-days", "t-spread-messages", "t-weekday"):
        title = now.tables[table][0][1]
        assert now.column(table, "The period before") == before.column(table, title), table


def is_weekday(day: str, weekday: int) -> bool:
    return date.fromisoformat(day).weekday() == weekday


def test_people_are_counted_in_their_bar(home: Home) -> None:
    sent = [0, 1, 9, 10, 29, 30, 99, 100, 299, 300, 999, 1000, 2999, 3000, 70_000]
    counts = [{"chat_messages": count, "completions_count": 1} for count in sent]

    def exactly(usage: DayUsage) -> DayUsage:
        named = zip(users(len(sent)), map(figures_of, counts), strict=True)
        return DayUsage(usage.day, [UserUsage(name, figures) for name, figures in named], {})

    store_days(home, [], Window(LAST, LAST), change=exactly)
    reported = report_of(home).column("t-spread-messages", "People")
    assert reported == {
        "0": "1",
        "1\u20139": "2",
        "10\u201329": "2",
        "30\u201399": "2",
        "100\u2013299": "2",
        "300\u2013999": "2",
        "1,000\u20132,999": "2",
        "3,000+": "2",
    }


@pytest.mark.slow
def test_unknown_figure_makes_its_sums_unknown(home: Home) -> None:
    def without_chat(usage: DayUsage) -> DayUsage:
        if usage.day != DAYS[2]:
            return usage
        first = msgspec.structs.replace(usage.users[0], figures=figures_of({"chat_messages": None}))
        return DayUsage(usage.day, [first, *usage.users[1:]], {})

    store_days(home, users(5), MONTH, change=without_chat)
    report = report_of(home)
    chat = report.column("t-messages", "Chat Messages")
    assert [day for day, text in chat.items() if text == "unknown"] == [str(DAYS[2])]
    for key in ("total_messages", "top-share", "median"):
        assert report.number(key) == "unknown", key
    assert report.number(LINES.name) != "unknown"
    rows = {row[0]: row for row in report.rows or []}
    assert rows[users(1)[0]][1] is None
    assert "1 person left out: a figure is unknown" in report.words
    for chart, gaps in (("messages", [2]), ("lines", []), ("active", [])):
        drawn = report.charts[chart]["days"]
        assert [place for place, day in enumerate(drawn) if day["gap"]] == gaps, chart


@pytest.mark.slow
def test_chart_of_messages_that_are_all_unknown_is_gaps_and_not_zeros(home: Home) -> None:
    """Also for the period before, which has no days."""
    unknown = figures_of(dict.fromkeys(kind.name for kind in MESSAGES))

    def without_messages(usage: DayUsage) -> DayUsage:
        return DayUsage(usage.day, [UserUsage(user, unknown) for user in users(2)], {})

    store_days(home, users(2), MONTH, change=without_messages)
    report = report_of(home)
    chart = report.charts["messages"]
    assert all(day["gap"] for day in chart["days"])
    assert chart["before"] == []
    assert set(report.column("t-messages", "Total Messages").values()) == {"unknown"}


@pytest.mark.slow
def test_kind_that_is_unknown_of_everybody_once_is_reported(home: Home) -> None:
    """Each day's sum and each person's sum are unknown, but the source does report the metric."""

    def without_one(usage: DayUsage) -> DayUsage:
        found = [
            UserUsage(user, figures_of({"chat_messages": chat}))
            for user, chat in zip(users(2), (None, 3)[:: (-1) ** usage.day.day], strict=True)
        ]
        return DayUsage(usage.day, found, {})

    store_days(home, users(2), MONTH, change=without_one)
    report = report_of(home)
    assert set(report.column("t-messages", "Chat Messages").values()) == {"unknown"}
    assert "This source does not report" not in report.words


@pytest.mark.parametrize("length", [1, 32, 90])
@pytest.mark.slow
def test_period_of_any_length_is_drawn_by_day(length: int, home: Home) -> None:
    window = Window(LAST - timedelta(length - 1), LAST)
    store_days(home, users(3), window)
    report = report_of(home, str(window.start), str(window.end))
    assert len(report.tables["t-active"]) == length + 1
    rows = report.rows or []
    for label, people in report.column("t-spread-days", "People").items():
        first, last = (int(end) for end in (label.split("\u2013") * 2)[:2])
        assert int(people) == sum(first <= row[3] <= last for row in rows), label
    assert len(rows) == int(report.number("active"))


@pytest.mark.slow
def test_unknown_rate_is_not_one_without_completions(home: Home) -> None:
    """The day is a gap, as the legend says; a missing day of the period before is unknown."""

    def change(usage: DayUsage) -> DayUsage:
        shown = {LAST: None, DAYS[-2]: 0}.get(usage.day, 4)
        figures = figures_of({SHOWN: shown, ACCEPTED: 0, "chat_messages": 1})
        return DayUsage(usage.day, [UserUsage(user, figures) for user in users(1)], {})

    store_days(home, users(1), TWO_MONTHS, change=change, missing=[TWO_MONTHS.start])
    report = report_of(home)
    rates = report.column("t-rate", RATE.title)
    chart = report.charts["rate"]
    assert [rates[f"{day}"] for day in DAYS[-3:]] == ["0.0%", "none", "unknown"]
    assert [day["gap"] for day in chart["days"][-3:]] == [False, False, True]
    assert report.words.count("\u25a8 unknown") == 1
    tips = [tip.splitlines() for tip in chart["tips"]]
    assert [tips[0][-1], tips[1][-1]] == [
        "the period before: unknown",
        "the period before: 0.0%",
    ]
    assert [tip[1] for tip in tips[-2:]] == ["rate: none", "rate: unknown"]
