"""The simulator itself, over real sockets: other tests rely on this."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from dashboard_scraper import simulator
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import DETAILED, Kind, parts_of
from dashboard_scraper.simulator import Fault, Organization, Paging, Simulator, gate
from dashboard_scraper.sources.dashboard.fields import (
    FIELDS,
    MONTHLY_ACTIVE_USERS,
    TENANT_TOTALS,
    USER_FIELD,
)

TODAY = date(2025, 10, 31)
DAY = date(2025, 10, 21)
COUNTS = tuple(m for m in FIELDS if m.kind is Kind.COUNT)


@pytest.fixture
def sim() -> Iterator[Simulator]:
    organization = Organization(users=60, today=TODAY, billing="credits")
    with Simulator(organization, rate_limit=False) as running:
        yield running


def compact(day: date) -> str:
    parts = {"year": day.year, "month": day.month, "day": day.day}
    return json.dumps(parts, separators=(",", ":"))


def dashboard(
    sim: Simulator,
    endpoint: str,
    start: str,
    end: str | None = None,
    cookie: str | None = None,
    **more: str,
) -> requests.Response:
    return requests.get(
        f"{sim.url}/api/{endpoint}",
        params={"startDate": start, "endDate": end or start, **more},
        headers={"Cookie": f"_session={cookie or sim.cookie}", "Connection": "close"},
        allow_redirects=False,
        timeout=300,
    )


def analytics(sim: Simulator, endpoint: str, **query: str) -> requests.Response:
    return requests.get(
        f"{sim.url}/analytics/v0/{endpoint}",
        params=query,
        headers={"Authorization": f"Bearer {sim.token}", "Connection": "close"},
        timeout=300,
    )


def users(sim: Simulator, start: date, end: date | None = None) -> list[dict[str, Any]]:
    answer = dashboard(sim, "user-feature-stats", compact(start), compact(end or start))
    rows: list[dict[str, Any]] = answer.json()["userFeatureStats"]
    return rows


def activity(sim: Simulator, start: date, end: date) -> list[dict[str, Any]]:
    """Every page of the Analytics API's user activity."""
    query = {"start_date": f"{start}", "end_date": f"{end}", "page_size": "10"}
    found: list[dict[str, Any]] = []
    while True:
        answer = analytics(sim, "user-activity", **query).json()
        found += answer["users"]
        if not answer["pagination"]["has_more"]:
            return found
        query["cursor"] = answer["pagination"]["next_cursor"]


def test_same_seed_gives_same_figures_in_any_order() -> None:
    forward, backward, other = (Organization(users=30, seed=s, today=TODAY) for s in (7, 7, 8))
    days = list(Window(DAY, TODAY).days())
    first = {day: forward.totals(Window(day, day)) for day in days}
    assert {day: backward.totals(Window(day, day)) for day in reversed(days)} == first
    assert other.totals(Window(DAY, DAY)) != first[DAY]


def test_figures_since_an_epoch_do_not_depend_on_the_date() -> None:
    """They are the same weeks later: what people did so long ago, and what it cost."""
    seen = []
    for today in (DAY, DAY + timedelta(weeks=5)):
        organization = Organization(users=9, today=today, epoch=today)
        seen.append(
            [
                (organization.totals(Window(day, day)), organization.costs.rows(day))
                for day in (today - timedelta(number) for number in range(9))
            ]
        )
    assert seen[0] == seen[1]


def test_tenant_totals_are_sums_of_users(sim: Simulator) -> None:
    start, end = DAY - timedelta(days=6), DAY
    rows = users(sim, start, end)
    messages = [FIELDS[m] for m in COUNTS if m.title.endswith("Messages")]
    by_title = {m.title: FIELDS[m] for m in COUNTS}
    sums = (
        sum(row[field] for row in rows for field in messages),
        sum(row[by_title["Tool Uses"]] for row in rows),
        sum(row[by_title["Total Modified Lines of Code"]] for row in rows),
    )
    totals = dashboard(sim, "tenant-feature-stats", compact(start), compact(end)).json()
    assert totals == dict(zip(TENANT_TOTALS, sums, strict=True))
    active = sum(any(row[FIELDS[m]] for m in COUNTS) for row in rows)
    monthly = dashboard(sim, "tenant-monthly-active-users", compact(start), compact(end)).json()
    assert 0 < active < len(rows)
    assert monthly == {MONTHLY_ACTIVE_USERS: active}


def test_figures_of_row_agree_with_each_other(sim: Simulator) -> None:
    title = {m.title: FIELDS[m] for m in FIELDS}
    (rate,) = (FIELDS[m] for m in FIELDS if m.kind is Kind.PERCENT)
    parts = [FIELDS[m] for m in COUNTS if "Lines" in m.title and not m.title.startswith("Total")]
    for row in users(sim, DAY - timedelta(days=20), DAY):
        shown, accepted = row[title["Completions"]], row[title["Accepted Completions"]]
        assert accepted <= shown
        assert row[rate] == (round(100 * accepted / shown, 2) if shown else None)
        assert row[title["Total Modified Lines of Code"]] == sum(row[field] for field in parts)


def test_range_is_sum_of_its_days(sim: Simulator) -> None:
    days = list(Window(DAY - timedelta(days=9), DAY).days())
    by_day = [{row[USER_FIELD]: row for row in users(sim, day)} for day in days]
    for row in users(sim, days[0], days[-1]):
        daily = [rows[row[USER_FIELD]] for rows in by_day if row[USER_FIELD] in rows]
        for metric in FIELDS:
            if metric.kind in (Kind.COUNT, Kind.DAYS):
                field = FIELDS[metric]
                assert row[field] == sum(one[field] for one in daily)


def test_both_apis_agree_on_the_people(sim: Simulator) -> None:
    start, end = DAY - timedelta(days=6), DAY
    official = {user.get("user_email"): user for user in activity(sim, start, end)}
    assert any("service_account_name" in user for user in activity(sim, start, end))
    for row in users(sim, start, end):
        metrics = official.get(row[USER_FIELD], {}).get("metrics", {})
        for metric in COUNTS:
            known = [m for m in (metric, *parts_of(metric)) if m in DETAILED]
            names = [m.name for m in known[:1] if m is metric] or [m.name for m in known]
            if names:
                total = sum(metrics.get(name, 0) for name in names)
                assert row[FIELDS[metric]] == total


def test_analytics_sums_agree_with_each_other(sim: Simulator) -> None:
    day = {"start_date": f"{DAY}", "end_date": f"{DAY}"}
    (usage,) = analytics(sim, "daily-usage", **day).json()["daily_usage"]
    people = activity(sim, DAY, DAY)
    query, parts = {"date": f"{DAY}", "page_size": "100"}, []
    while query:
        answer = analytics(sim, "daily-user-activity-by-editor-language", **query).json()
        parts += answer["records"]
        cursor = answer["pagination"]["next_cursor"]
        query = {**query, "cursor": cursor} if cursor else {}
    assert len(parts) > len(people)
    for name in (metric.name for metric in DETAILED):
        assert usage["metrics"][name] == sum(user["metrics"][name] for user in people)
        assert usage["metrics"][name] == sum(part["metrics"][name] for part in parts)
    (counted,) = analytics(sim, "dau-count", **day).json()["daily_active_user_counts"]
    assert counted["user_count"] == len(people)


@pytest.mark.parametrize("grouped", [("false", "false"), ("true", "false"), ("true", "true")])
def test_credits_add_up_however_they_are_grouped(sim: Simulator, grouped: tuple[str, str]) -> None:
    query = {"start_date": f"{DAY}", "end_date": f"{TODAY}", "page_size": "500"}
    plain = analytics(sim, "credit-usage-by-user", **query).json()["records"]
    by_date, by_model = grouped
    total, query = 0.0, {**query, "by_date": by_date, "by_model": by_model}
    while True:
        answer = analytics(sim, "credit-usage-by-user", **query).json()
        total += sum(record["credits_consumed"] for record in answer["records"])
        if not answer["pagination"]["has_more"]:
            break
        query["cursor"] = answer["pagination"]["next_cursor"]
    assert total == pytest.approx(sum(record["credits_consumed"] for record in plain))


def test_spaces_in_dates_or_double_slashes_give_no_data(sim: Simulator) -> None:
    spaced = json.dumps({"year": DAY.year, "month": DAY.month, "day": DAY.day})
    assert dashboard(sim, "user-feature-stats", spaced).json() == {}
    assert requests.get(f"{sim.url}//api/user-feature-stats", timeout=300).status_code == 404


def test_rolling_session_invalidates_old_values() -> None:
    with Simulator(Organization(users=3, today=TODAY), rolling=True) as sim:
        first = sim.cookie
        for _ in range(20):
            answer = dashboard(sim, "tenant-feature-stats", compact(DAY))
            assert answer.headers["Set-Cookie"].startswith(f"_session={sim.cookie};")
        assert dashboard(sim, "tenant-feature-stats", compact(DAY), cookie=first).status_code == 401
        plain = dashboard(sim, "tenant-feature-stats", compact(DAY), cookie=sim.cookie_decoded)
        assert plain.status_code == 200
        sim.expire()
        assert dashboard(sim, "tenant-feature-stats", compact(DAY)).status_code == 401


def test_two_sessions_in_one_request_are_refused(sim: Simulator) -> None:
    both = f"{sim.cookie}; _session={sim.cookie}"
    assert dashboard(sim, "tenant-feature-stats", compact(DAY), cookie=both).status_code == 401


def test_rate_limit_allows_burst_of_20(monkeypatch: pytest.MonkeyPatch) -> None:
    # Time stands still: a busy machine needs seconds for this many requests.
    monkeypatch.setattr(gate, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    with Simulator(Organization(users=3, today=TODAY)) as sim:
        answers = [analytics(sim, "dau-count") for _ in range(21)]
        assert [answer.status_code for answer in answers] == [200] * 20 + [429]
        assert answers[-1].headers["Retry-After"] == "6"
        assert analytics(sim, "credit-usage-by-user").status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        {"start_date": f"{TODAY}", "end_date": f"{TODAY}"},
        {"start_date": "2023-10-01", "end_date": "2023-10-02"},
        {"start_date": "2025-07-01", "end_date": "2025-09-29"},
        {"start_date": "20251020", "end_date": "2025-10-21"},
        {"page_size": "101"},
        {"cursor": "made-up"},
    ],
)
def test_parameters_out_of_bounds_are_refused(sim: Simulator, query: dict[str, str]) -> None:
    answer = analytics(sim, "user-activity", **query)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "InvalidArgument"


@pytest.mark.parametrize("style", ["next", "next-relative", "cursor"])
def test_pages_have_every_user_once(style: Any) -> None:
    paging = Paging(style=style, page_size=7, list_key="items")
    with Simulator(Organization(users=30, today=TODAY), paging=paging) as sim:
        found: list[str] = []
        more: dict[str, str] = {}
        while True:
            page = dashboard(sim, "user-feature-stats", compact(DAY), **more).json()
            found += [row[USER_FIELD] for row in page["items"]]
            cursor = page["pagination"]["next_cursor"] if style == "cursor" else page["next"]
            if cursor is None:
                break
            assert style != "next" or cursor.startswith(f"{sim.url}/api/")
            more = {"cursor": cursor.rpartition("cursor=")[2]}
        expected = [m.name for m in sim.organization.people if m.belongs(DAY, DAY)]
    assert found == expected


def test_revised_day_has_higher_figures_in_both_apis(sim: Simulator) -> None:
    def figures() -> tuple[int, int]:
        totals = dashboard(sim, "tenant-feature-stats", compact(DAY)).json()
        users = activity(sim, DAY, DAY)
        return sum(totals.values()), sum(sum(user["metrics"].values()) for user in users)

    before = figures()
    sim.revise(DAY)
    after = figures()
    assert after[0] > before[0]
    assert after[1] > before[1]


@pytest.mark.parametrize(
    "effect",
    [
        simulator.reset(),
        simulator.reset_mid_body(),
        simulator.cut_body("length"),
        simulator.cut_body("chunked"),
        simulator.cut_body("close"),
    ],
)
def test_broken_connection_recovers(
    sim: Simulator, effect: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    sim.add_fault(Fault(effect, endpoint="user-feature-stats", day=DAY, times=1, after=1))
    assert users(sim, DAY)
    with pytest.raises((requests.RequestException, ValueError)):
        users(sim, DAY)
    assert users(sim, DAY)
    assert sim.count("user-feature-stats", DAY) == 3
    sim.stop()
    assert capfd.readouterr().err == ""


def test_faults_change_the_data(sim: Simulator) -> None:
    field = FIELDS[COUNTS[0]]
    sim.add_fault(Fault(simulator.set_value(field, None, record=1)))
    sim.add_fault(Fault(simulator.add_field("novelty", 1)))
    sim.add_fault(Fault(simulator.repeat_user(changed=True)))
    rows = users(sim, DAY)
    assert [row[field] is None for row in rows[:3]] == [False, True, False]
    assert rows[0]["novelty"] == 1
    assert rows[-1][USER_FIELD] == rows[-2][USER_FIELD]
    assert rows[-1] != rows[-2]
    sim.clear_faults()
    sim.add_fault(Fault(simulator.status(503, retry_after="2"), times=1))
    assert dashboard(sim, "user-feature-stats", compact(DAY)).headers["Retry-After"] == "2"


def test_cursors_may_loop(sim: Simulator) -> None:
    sim.add_fault(Fault(simulator.alternate_cursors()))
    query = {"start_date": f"{DAY}", "end_date": f"{DAY}", "page_size": "5"}
    cursors = []
    for _ in range(6):
        query["cursor"] = analytics(sim, "user-activity", **query).json()["pagination"][
            "next_cursor"
        ]
        cursors.append(query["cursor"])
    assert cursors == cursors[:2] * 3
    assert len(set(cursors)) == 2


def test_stop_does_not_wait_for_hanging_requests(sim: Simulator) -> None:
    sim.add_fault(Fault(simulator.hang(60)))
    failures: list[Exception] = []

    def ask() -> None:
        try:
            users(sim, DAY)
        except requests.RequestException as error:
            failures.append(error)

    waiting = [threading.Thread(target=ask) for _ in range(3)]
    for thread in waiting:
        thread.start()
    deadline = time.monotonic() + 60
    while sim.count() < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    sim.stop()
    for thread in waiting:
        thread.join(timeout=30)
    assert len(failures) == 3
    assert sim.max_in_flight == 3
