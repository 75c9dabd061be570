"""Days in doubt are marked in everything that is made from them, with the reason."""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta

import pyarrow.parquet
import pytest
import requests

from conftest import Home
from dashboard_scraper.clock import utc_now
from dashboard_scraper.github.kinds import GithubOptions, Scope, Subject
from dashboard_scraper.github.views import GithubViews
from dashboard_scraper.model.doubts import DoubtKind
from dashboard_scraper.model.tolerance import read_tolerance
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.store import store_at
from dashboard_scraper.store.cache import StoreCache
from dashboard_scraper.store.settling import Settling
from filled_store import LAST, MONTH, SOURCE, put, some_days
from report_reading import read_report
from serving import SECONDS, Served, serving
from stored_days import mark, sql

WRONG, SUSPICIOUS, HELD, ALL, NOBODY = (LAST - timedelta(days) for days in (3, 5, 7, 9, 11))
DIFFERENCE = '{"metric":"total_messages","users":30,"tenant":37}'
DIFFERENT = "total_messages is 37, the users' sum is 30"
WHY, NEWER = "weniger als üblich:\n a 'third'", "70 users -> 0"
WHY_SHOWN = "weniger als üblich: a 'third'"
DOUBTS = [
    f"{NOBODY} suspicious: {WHY_SHOWN}",
    f"{ALL} unreconciled: {DIFFERENT}",
    f"{ALL} suspicious: {WHY_SHOWN}",
    f"{ALL} held: {NEWER}",
    f"{HELD} held: {NEWER}",
    f"{SUSPICIOUS} suspicious: {WHY_SHOWN}",
    f"{WRONG} unreconciled: {DIFFERENT}",
]
HEADER = "; ".join(doubt.partition(":")[0] for doubt in DOUBTS)
WINDOW = (f"{MONTH.start}", f"{MONTH.end}")


@pytest.fixture
def doubtful(home: Home) -> Home:
    """A home with 28 days in the store, some in doubt for one reason, and one for all reasons."""
    url = f"sqlite:///{home.data / 'usage.db'}"
    home.settings |= {"METRICS_SOURCE": SOURCE, "STORE_URL": url}
    put(url, some_days(len(MONTH), users=3) | {NOBODY: []})
    for days, column, words in (
        ((WRONG, ALL), "unreconciled", f"[{DIFFERENCE}]"),
        ((SUSPICIOUS, ALL, NOBODY), "suspicious", WHY),
        ((HELD, ALL), "held", NEWER),
    ):
        for day in days:
            mark(url, day, column, words)
    return home


@pytest.mark.slow
def test_export_marks_days_in_doubt(doubtful: Home) -> None:
    """In manifest, notes and page."""
    run = doubtful.run("export", *WINDOW)
    assert run.code == 9
    (folder,) = run.paths
    manifest = json.loads((folder / "manifest.json").read_text())
    days = {day["day"]: day for day in manifest["days"]}
    marks = ("unreconciled", "suspicious", "held")
    shown = {day: {name: of[name] for name in marks if name in of} for day, of in days.items()}
    everything = {"unreconciled": [json.loads(DIFFERENCE)], "suspicious": WHY, "held": NEWER}
    assert shown[f"{ALL}"] == everything
    assert [day for day in shown if shown[day]] == [
        f"{day}" for day in (NOBODY, ALL, HELD, SUSPICIOUS, WRONG)
    ]
    notes = (folder / manifest["notes"]["name"]).read_text().splitlines()
    assert notes[notes.index("", 3) + 1 :] == DOUBTS
    assert f"{DoubtKind.HELD.word}: {DoubtKind.HELD.meaning}" in notes
    words = read_report(run.pages[0]).words
    assert f"Suspicious: {NOBODY}: {WHY_SHOWN}; {ALL}: " in words
    assert f"are held, and not in force: {ALL}: {NEWER}; {HELD}: {NEWER}" in words
    assert words.count("the source says 37, the users' sum is 30") == 2


@pytest.mark.slow
def test_export_names_doubts_about_days_before_its_own(doubtful: Home) -> None:
    """Weekly and monthly counts cover 27 days before a report's own. Days before the first that is
    stored are no news; days that are missing after it are.
    """
    url, gap = doubtful.settings["STORE_URL"], [f"{LAST - timedelta(days)}" for days in (20, 19)]
    run = doubtful.run("export", f"{MONTH.start}")
    (folder,) = run.paths
    assert run.code == 0
    manifest = json.loads((folder / "manifest.json").read_text())
    assert len(manifest["days_before_github_reports"]) == 27
    assert not manifest["notes"]
    for day in gap:
        sql(url, f"DELETE FROM day_ledger WHERE day = '{day}'")
    run = doubtful.run("export", f"{LAST}")
    (folder,) = run.paths
    assert run.code == 0
    manifest = json.loads((folder / "manifest.json").read_text())
    before = {day["day"]: day for day in manifest["days_before_github_reports"]}
    assert [*before] == [*gap, *(f"{day}" for day in (NOBODY, ALL, HELD, SUSPICIOUS, WRONG))]
    assert [before[day]["status"] for day in gap] == ["missing", "missing"]
    assert before[f"{HELD}"]["held"] == NEWER
    notes = (folder / manifest["notes"]["name"]).read_text().splitlines()
    assert notes[notes.index("", 3) + 1 :] == [*DOUBTS, f"{gap[0]} to {gap[1]} missing"]


@pytest.mark.slow
def test_parquet_marks_days_in_doubt(doubtful: Home) -> None:
    """In each row, or in the metadata of files without rows."""
    run = doubtful.run("export", *WINDOW, "--format", "parquet")
    assert run.code == 9
    marks = {"unreconciled": DIFFERENT, "suspicious": WHY_SHOWN, "held": NEWER}
    expected = {
        ALL: marks,
        NOBODY: {"suspicious": WHY_SHOWN},
        HELD: {"held": NEWER},
        LAST: {},
    }
    for day, shown in expected.items():
        file = run.paths[0] / f"day={day}" / "user_days.parquet"
        table = pyarrow.parquet.read_table(file, partitioning=None)
        assert table.num_rows == (0 if day == NOBODY else 4)
        for name in marks:
            assert set(table.column(name).to_pylist()) == {shown.get(name)} - (
                {shown.get(name)} if day == NOBODY else set()
            )
        metadata = {name.decode(): words.decode() for name, words in table.schema.metadata.items()}
        assert metadata.pop("content")
        assert metadata == shown


EARLIER = "X-Usage-Earlier-Doubts"
"""The days before the report's own that its weekly and monthly counts cover."""


def header_of(answer: requests.Response, name: str = "X-Usage-Doubts") -> str | None:
    assert answer.status_code == 200
    return answer.headers.get(name)


@pytest.mark.slow
def test_server_marks_days_in_doubt(doubtful: Home) -> None:
    """In a header, and as numbers for monitors."""
    with serving(doubtful) as server:
        reports = "/enterprises/acme/copilot/metrics/reports"
        latest = f"{reports}/users-28-day/latest"
        seat = "members/user0@example.com/copilot"
        for path in (
            latest,
            "/enterprises/acme/copilot/billing/seats",
            f"/enterprises/acme/{seat}",
            f"/orgs/a/{seat}",
            "/orgs/a/copilot/billing",
        ):
            assert header_of(server.get(path)) == HEADER, path
        for day, shown in ((HELD, f"{HELD} held"), (LAST, None)):
            one = f"{reports}/enterprise-1-day?day={day}"
            assert header_of(server.get(one)) == shown
            link = server.link(one)
            for method in ("GET", "HEAD"):
                answer = requests.request(method, link, timeout=SECONDS)
                assert header_of(answer) == shown, method
                before = [each for each in HEADER.split("; ") if each < f"{day}"]
                assert header_of(answer, EARLIER) == "; ".join(before), method
        assert header_of(requests.get(server.link(latest), timeout=SECONDS)) == HEADER
        assert gauges(server) == {"unreconciled": 2, "suspicious": 3, "held": 2}
        sql(doubtful.settings["STORE_URL"], f"UPDATE day_ledger SET held = '{NEWER}'")
        long = header_of(server.get(latest)) or ""
        assert long.endswith(f"; {ALL} unreconciled and 13 more")
        assert long.isascii()
        assert len(long) < 600


def gauges(server: Served) -> dict[str, float]:
    lines = server.get("/metrics").text.splitlines()
    name = 'dashboard_scraper_{}_days{{source="' + SOURCE + '"}} '
    return {
        kind.word: float(line.removeprefix(name.format(kind.word)))
        for kind in DoubtKind
        for line in lines
        if line.startswith(name.format(kind.word))
    }


@pytest.mark.slow
def test_server_ignores_tolerated_differences(doubtful: Home) -> None:
    store = store_at(doubtful.settings["STORE_URL"])

    def shown(percent: int) -> list[str]:
        tolerance = read_tolerance(f"total_messages={percent}")
        options = GithubOptions("1")
        with contextlib.closing(store):
            views = GithubViews(
                StoreCache(store),
                SOURCE,
                Audience(),
                options,
                Settling(3, 7),
                utc_now,
                tolerance,  # type: ignore[arg-type]
            )
            _, caveats = views.of_day(Scope.ENTERPRISE, Subject.USERS, ALL)
            return [f"{doubt}" for doubt in caveats.doubts]

    assert shown(18) == DOUBTS[1:4]  # 7 of 37 are 18.9 percent
    assert shown(19) == DOUBTS[2:4]


@pytest.mark.slow
def test_status_marks_days_in_doubt(doubtful: Home) -> None:
    shown = doubtful.run("status")
    assert shown.code == 0
    assert "  3 days: suspicious\n" in shown.out
    assert f"    {SUSPICIOUS}: {WHY_SHOWN}\n" in shown.out
    assert "  2 days: newer figures are held\n" in shown.out
    assert f"    {HELD}: {NEWER}\n" in shown.out
    (line,) = (line for line in shown.out.splitlines() if line.startswith(f"  {LAST:%Y-%m}"))
    signs = dict(zip(MONTH.days(), line[-len(MONTH) :], strict=True))
    assert {day: sign for day, sign in signs.items() if sign in "!*%"} == {
        **dict.fromkeys((ALL, WRONG), "!"),
        **dict.fromkeys((SUSPICIOUS, NOBODY), "*"),
        HELD: "%",
    }
    (source,) = json.loads(doubtful.run("status", "--json").out)["sources"]
    assert source["held"] == [{"day": f"{day}", "reason": NEWER} for day in (ALL, HELD)]
    assert [each["day"] for each in source["suspicious"]] == [
        f"{day}" for day in (NOBODY, ALL, SUSPICIOUS)
    ]
    warned = doubtful.run("status", "--max-age", "9999d").err
    assert f"days that are suspicious: {NOBODY}, {ALL}, {SUSPICIOUS}\n" in warned
    assert f"days of which newer figures are held: {ALL}, {HELD}\n" in warned
