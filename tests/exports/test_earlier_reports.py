"""GitHub's reports of single days in exports after the first: unchanged days are not made again."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from operator import methodcaller
from pathlib import Path

import pytest

from conftest import Home
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.usage import DayUsage, EditorLanguageUsage, UserUsage
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import DetailStatus, Store, store_at
from made_up_days import FETCHED, LAST, TWO_MONTHS, figures_of, store_days, user_days, users

DAYS = Window(LAST - timedelta(2), LAST)
NEW = "new@example.com"
BEFORE = DAYS.start - timedelta(days=10)
LATER = FETCHED + timedelta(hours=1)


@pytest.fixture(scope="module")
def two_months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a home with two months of six people, and one more on the last day; tests use
    copies.
    """
    home = Home(tmp_path_factory.mktemp("two_months"))

    def join(usage: DayUsage) -> DayUsage:
        joined = UserUsage(NEW, figures_of({"chat_messages": 1}))
        return DayUsage(LAST, [joined, *usage.users], {}) if usage.day == LAST else usage

    store_days(home, users(6), TWO_MONTHS, change=join)
    return home.data


@pytest.fixture
def stored(home: Home, two_months: Path) -> Home:
    """A home with these two months; GitHub's reports have both scopes."""
    shutil.copytree(two_months, home.data)
    home.settings |= {"STORE_URL": f"sqlite:///{home.data / 'usage.db'}", "ORGANIZATION_ID": "17"}
    return home


def export(home: Home, window: Window, out: str = "") -> Path:
    """The folder of GitHub's reports; an export to another folder, `out`, finds no earlier file."""
    own = home.settings | ({"EXPORT_DIR": out} if out else {})
    before, home.settings = home.settings, own
    try:
        result = home.run("export", f"{window.start}", f"{window.end}")
    finally:
        home.settings = before
    assert result.code == 0, result.err
    folder = f"daily_exports_{window.start}_to_{window.end}"
    return (home.path / out if out else home.data) / folder / "github_reports"


def on_users(folder: Path, day: date) -> list[Path]:
    found = sorted(folder.glob(f"*users-1-day_{day}.ndjson"))
    assert len(found) == 2, found
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_reports_of_unchanged_days_are_taken(stored: Home, reads: Counter[str]) -> None:
    """Also in a window of another length: no row is read, and no line made."""
    first = export(stored, DAYS)
    reads.clear()
    longer = export(stored, Window(DAYS.start - timedelta(days=1), LAST))
    assert {*reads} == {f"{DAYS.start - timedelta(days=1)}"}
    for day in DAYS.days():
        for before, after in zip(on_users(first, day), on_users(longer, day), strict=True):
            assert after.samefile(before)
    assert contents(longer) == contents(
        export(stored, Window(DAYS.start - timedelta(days=1), LAST), "anew")
    )


@pytest.mark.slow
def test_remarks_stay_where_reports_are_taken(stored: Home) -> None:
    """Every export says what the format cannot show of a day, not only the first."""
    people = user_days(users(5), LAST)
    odd = UserUsage(
        "odd@example.com", figures_of({"chat_messages": None, "total_modified_lines_of_code": 7})
    )
    put(stored, lambda store: store.put(DASHBOARD, DayUsage(LAST, [*people, odd]), FETCHED))
    said = []
    for _ in range(2):
        result = stored.run("export", f"{DAYS.start}", f"{DAYS.end}")
        said.append(re.findall("in GitHub's reports, .* user-day .*", result.err))
    assert said[0] == said[1]
    assert len(said[0]) == 2


def put(home: Home, change: Callable[[Store], object]) -> None:
    store = store_at(home.settings["STORE_URL"])
    with store.locked(), store.opened():
        change(store)


def _revise_before(home: Home) -> None:
    """The new person used a remote agent on two earlier days: that changes the adoption phase."""
    for day in (BEFORE, BEFORE + timedelta(days=1)):
        agent = figures_of({"remote_agent_messages": 3, "remote_agent_lines_of_code": 5})
        usage = DayUsage(day, [UserUsage(NEW, agent), *user_days(users(6), day)])
        put(home, methodcaller("put", DASHBOARD, usage, LATER))


def _add_details(home: Home) -> None:
    figures = user_days(users(6), LAST)[0].figures
    usage = EditorLanguageUsage(users(6)[0], "vscode", "python", figures)
    put(
        home,
        lambda store: store.put_editor_languages(
            DASHBOARD, LAST, [usage], DetailStatus.COMPLETE, FETCHED
        ),
    )


def _add_credits(home: Home) -> None:
    consumed = dict.fromkeys(users(6), 1.5)
    put(home, lambda store: store.put_credits(DASHBOARD, LAST, consumed, FETCHED))


def _spell_long_before(home: Home) -> None:
    """The login is the first spelling that was ever stored."""
    people = [UserUsage(users(6)[0].upper(), figures_of({"chat_messages": 1}))]
    usage = DayUsage(TWO_MONTHS.start - timedelta(days=1), people)
    put(home, lambda store: store.put(DASHBOARD, usage, FETCHED))


def _name_organization(home: Home) -> None:
    home.settings["ORGANIZATION_ID"] = "18"


@pytest.mark.parametrize(
    "change",
    [
        _revise_before,
        _add_details,
        _add_credits,
        _spell_long_before,
        _name_organization,
    ],
)
@pytest.mark.slow
def test_report_of_what_changed_is_written_again(
    stored: Home, change: Callable[[Home], None]
) -> None:
    """The rows are the same, but the lines are not: the export is as if there were none before."""
    stored.settings["GITHUB_REPORTS_CREDITS"] = "true"
    before = contents(export(stored, DAYS))
    change(stored)
    after = contents(export(stored, DAYS))
    lines = {name for name in before if "users-1-day" in name and before[name] != after[name]}
    assert lines
    assert after == contents(export(stored, DAYS, "anew"))
