"""In ten kinds of organizations, users, teams, seats and the whole add up to the results of SQL."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

import pytest
import requests

from conftest import Home
from dashboard_scraper.github.counters import Counter
from dashboard_scraper.github.records import AT_LEAST, PLACE_OF
from dashboard_scraper.model.metrics import COUNTS
from dashboard_scraper.model.usage import EditorLanguageUsage, UserUsage
from dashboard_scraper.sources.dashboard.fields import FIELDS
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import DetailStatus, store_at
from filled_store import FETCHED, SOURCE, figures_of, put
from github_requests import ENTERPRISE, LAST, path_of
from github_schemas import Json, team_rows, user_records, whole_record
from serving import SECONDS, Served, serving

KEY = "k" * 40
_VALIDATED = 200  # a record takes a millisecond
SEVEN = {counter.value: counter for counter in Counter}
KNOWN = [metric.name for metric in PLACE_OF]
ONE = ["ada@example.com"]
PEOPLE = [f"user{number:04}@example.com" for number in range(9)]
MANY = [f"user{number:04}@example.com" for number in range(1500)]
IDENTITIES = "email,login,id,team\n" + "".join(
    f"{name},{name.partition('@')[0]},{number},{team}\n"
    for number, name in enumerate(PEOPLE[:6], start=1)
    for team in ("core", "web")[: number % 3]
)


@dataclass(frozen=True)
class Kind:
    """What is special about an organization."""

    people: list[str] = field(default_factory=lambda: PEOPLE)
    backs: list[int] = field(default_factory=lambda: [*range(31)])
    settings: Mapping[str, str] = field(default_factory=dict)
    identities: str = ""
    source: str = SOURCE
    editors: bool = False
    unknown: frozenset[str] = frozenset()

    @property
    def days(self) -> list[date]:
        return [LAST - timedelta(back) for back in self.backs]


KINDS = {
    "one person": Kind(ONE),
    "days with gaps": Kind(backs=[*range(0, 31, 2), 7]),
    "an installation of 3 days": Kind(backs=[0, 1, 2]),
    "1,500 people": Kind(MANY, [0, 1]),
    "several editors a day": Kind(
        backs=[0, 1, 5], editors=True, settings={"GITHUB_REPORTS_MERGE_IDES": "false"}
    ),
    "no identity file": Kind([*PEOPLE[:5], "Ünï@example.com"], [0, 3, 29]),
    "teams": Kind(identities=IDENTITIES),
    "service accounts left out": Kind(
        [*PEOPLE, "triage-bot", "release-bot"], settings={"INCLUDE_SERVICE_ACCOUNTS": "false"}
    ),
    "pseudonyms": Kind(settings={"PSEUDONYM_KEY_FILE": "key"}, identities=IDENTITIES),
    "the dashboard": Kind(
        source=DASHBOARD,
        unknown=frozenset(metric.name for metric in COUNTS if metric not in FIELDS),
    ),
}


def user_day(name: str, draw: random.Random, kind: Kind) -> UserUsage:
    """The figures of a user: half of the people are active, each in some ways."""
    chosen = draw.sample(KNOWN, 4) if draw.random() < 0.5 else []
    counts: dict[str, int | None] = {each: draw.randrange(1, 40) for each in chosen}
    counts |= dict.fromkeys(kind.unknown)
    return UserUsage(name, figures_of(**counts), service="@" not in name)


def fill(home: Home, kind: Kind) -> None:
    draw = random.Random(7)
    url = f"sqlite:///{home.data / 'usage.db'}"
    days = {day: [user_day(name, draw, kind) for name in kind.people] for day in kind.days}
    put(url, days, kind.source)
    if kind.editors:
        store = store_at(url)
        with store.locked(), store.opened():
            for day, users in days.items():
                store.put_editor_languages(
                    kind.source, day, [*map(half, users)], DetailStatus.COMPLETE, FETCHED
                )


def half(user: UserUsage) -> EditorLanguageUsage:
    """Half of somebody's activity, in an editor; the rest is in an unknown one."""
    messages = user.figures.chat_messages or 0
    return EditorLanguageUsage(user.user, "VSCode", "Go", figures_of(chat_messages=messages // 2))


def summed(kind: Kind) -> str:
    """SQL for the seven counters of a day and the number of active people."""
    counters = []
    for counter in SEVEN.values():
        metrics = [metric for metric, place in PLACE_OF.items() if place.counter is counter]
        terms = [
            f"coalesce({', '.join([m.name, *([AT_LEAST[m].name] if m in AT_LEAST else [])])}, 0)"
            for m in metrics
        ]
        counters.append(f"sum({' + '.join(terms) or 0})")
    active = " or ".join(f"{metric.name} > 0" for metric in COUNTS)
    people = "service_account = 0" if "INCLUDE_SERVICE_ACCOUNTS" in kind.settings else "1"
    columns = ", ".join(["day", *counters, f"sum({active})"])
    return f"select {columns} from user_day where {people} group by day"


def in_sql(home: Home, kind: Kind) -> dict[str, list[int]]:
    with sqlite3.connect(home.data / "usage.db") as connection:
        rows = connection.execute(summed(kind)).fetchall()
    connection.close()
    return {row[0]: [*row[1:]] for row in rows}


def numbers_of(records: list[Json]) -> list[int]:
    return [sum(record[counter] for record in records) for counter in SEVEN]


def users_in(server: Served) -> list[Json]:
    """All records of the 28-day report, from all its downloads."""
    links = server.json(path_of(ENTERPRISE, "users-28-day"))["download_links"]
    lines = b"".join(requests.get(link, timeout=SECONDS).content for link in links).splitlines()
    user_records(b"\n".join([*lines[:_VALIDATED], b""]))
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.slow
def test_users_teams_and_whole_add_up_to_sql(home: Home, name: str) -> None:
    kind = KINDS[name]
    home.settings |= {"METRICS_SOURCE": kind.source, **kind.settings}
    (home.path / "key").write_text(KEY)
    (home.path / "key").chmod(0o600)
    if kind.identities:
        (home.path / "people.csv").write_text(kind.identities)
        home.settings["IDENTITY_FILE"] = "people.csv"
    fill(home, kind)
    expected = in_sql(home, kind)
    with serving(home) as server:
        records = users_in(server)
        whole = whole_record(server.report(path_of(ENTERPRISE, "enterprise-28-day")))
        check_days(records, whole, expected)
        check_seats(server, kind, whole)
        if kind.identities and "PSEUDONYM_KEY_FILE" not in kind.settings:
            check_teams(server, records, whole)
        assert " ERROR " not in server.log


def check_days(records: list[Json], whole: Json, expected: dict[str, list[int]]) -> None:
    in_window = {day for day in expected if day >= whole["report_start_day"]}
    assert {total["day"] for total in whole["day_totals"]} == in_window
    for total in whole["day_totals"]:
        of_day = [record for record in records if record["day"] == total["day"]]
        *numbers, active = expected[total["day"]]
        assert numbers_of([total]) == numbers_of(of_day) == numbers
        assert total["daily_active_users"] == len(of_day) == active
        for each in (*of_day, total):
            rows = each["totals_by_feature"]
            assert numbers_of(rows) == numbers_of([each])
    days = {total["day"]: total for total in whole["day_totals"]}
    people = {record["user_id"] for record in records}
    assert days[f"{LAST}"]["monthly_active_users"] == len(people)


def check_seats(server: Served, kind: Kind, whole: Json) -> None:
    seats: list[Json] = []
    page, total = 0, 1
    while len(seats) < total:
        page += 1
        answer = server.json(f"/orgs/acme/copilot/billing/seats?per_page=100&page={page}")
        seats += answer["seats"]
        total = answer["total_seats"]
    left_out = "INCLUDE_SERVICE_ACCOUNTS" in kind.settings
    assert total == sum("@" in each or not left_out for each in kind.people)
    assert len({seat["assignee"]["id"] for seat in seats}) == total
    breakdown = server.json("/orgs/acme/copilot/billing")["seat_breakdown"]
    active = whole["day_totals"][-1]["monthly_active_users"]
    assert (breakdown["active_this_cycle"], breakdown["inactive_this_cycle"]) == (
        active,
        total - active,
    )


def check_teams(server: Served, records: list[Json], whole: Json) -> None:
    """Everybody in a team, counted once, and everybody else add up to the whole."""
    rows = team_rows(server.report(path_of(ENTERPRISE, "user-teams-1-day")))
    members: dict[str, set[int]] = {}
    for row in rows:
        members.setdefault(row["slug"], set()).add(row["user_id"])
    assert members.keys() == {team["slug"] for team in server.json("/orgs/acme/teams")}
    for slug, ids in members.items():
        listed = server.json(f"/enterprises/acme/teams/{slug}/memberships")
        assert {each["id"] for each in listed} == ids
    assert members["core"] & members["web"]
    in_a_team = set().union(*members.values())
    teams = [record for record in records if record["user_id"] in in_a_team]
    others = [record for record in records if record["user_id"] not in in_a_team]
    assert teams
    assert others
    both = zip(numbers_of(teams), numbers_of(others), strict=True)
    assert [one + other for one, other in both] == numbers_of(whole["day_totals"])
