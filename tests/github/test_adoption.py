"""Adoption phases and engagement with features, compared with a slow count by the same rules."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta

import pytest

from dashboard_scraper.github.kinds import Subject
from dashboard_scraper.github.records import GithubFeature
from dashboard_scraper.model.dates import DAYS
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.sources.registry import DASHBOARD
from databases import on_sqlite
from filled_store import LAST, MONTH, active, put, report_of, some_days, user
from github_schemas import Json, user_records, whole_record

USERS, WHOLE = Subject.USERS, Subject.WHOLE
CODE = (GithubFeature.COMPLETION, GithubFeature.AGENT, GithubFeature.EDIT)
CLI, REMOTE = (GithubFeature.CLI,), (GithubFeature.REMOTE,)
NAMES = ["No Cohort", "Phase 1", "Phase 2", "Phase 3"]
AVERAGES = {
    "avg_user_initiated_interactions": "user_initiated_interaction_count",
    "avg_code_generation_activities": "code_generation_activity_count",
    "avg_code_acceptance_activities": "code_acceptance_activity_count",
    "avg_loc_added": "loc_added_sum",
    "avg_loc_deleted": "loc_deleted_sum",
}
COUNTS = {"completions_count": 1, "chat_messages": 2}

Days = dict[date, list[UserUsage]]


def on_two_days(days: Days, day: date, *features: GithubFeature) -> set[str]:
    found = Counter(
        name for back in range(DAYS) for name in active(days[day - timedelta(back)], *features)
    )
    return {name for name, count in found.items() if count >= 2}


def phases_of(days: Days, day: date) -> dict[str, int]:
    """The phase number of everybody who was active in 28 days."""
    everybody = set().union(*(active(days[day - timedelta(back)]) for back in range(DAYS)))
    code, cli, remote = (on_two_days(days, day, *each) for each in (CODE, CLI, REMOTE))

    def number(name: str) -> int:
        agents = (name in cli) + (name in remote)
        return agents + 1 if agents else int(name in code)

    return {name: number(name) for name in everybody}


def varied_days(count: int) -> Days:
    """Days on which each of twelve people uses some of their usual features, or nothing."""
    draw = random.Random(3)
    habits = [
        ["chat_messages"],
        ["completions_count", "ide_agent_messages", "ide_agent_lines_of_code"],
        ["completions_count", "cli_agent_interactive_messages"],
        ["remote_agent_messages", "cli_agent_lines_of_code", "chat_messages"],
    ]
    return {
        LAST
        - timedelta(back): [
            user(
                f"user{number:02}@example.com",
                **{
                    each: draw.randrange(1, 9) for each in habits[number % 4] if draw.random() < 0.2
                },
            )
            for number in range(12)
        ]
        for back in range(count)
    }


@on_sqlite
@pytest.mark.slow
def test_phases_follow_githubs_rules(store_url: str) -> None:
    days = varied_days(60)
    put(store_url, days)
    month = whole_record(report_of(store_url, WHOLE, MONTH))
    seen = set()
    for total in month["day_totals"][::9]:
        day = date.fromisoformat(total["day"])
        expected = phases_of(days, day)
        records = user_records(report_of(store_url, USERS, day))
        for record in records:
            number = expected[record["user_login"]]
            phase = {"phase_number": number, "phase": NAMES[number], "version": "v1"}
            assert record["ai_adoption_phase"] == phase
        population = Counter(expected.values())
        for number, entry in enumerate(total["totals_by_ai_adoption_phase"]):
            there = [r for r in records if r["ai_adoption_phase"]["phase_number"] == number]
            assert (entry["phase_number"], entry["phase"]) == (number, NAMES[number])
            assert entry["users_in_phase_28d"] == population[number]
            assert entry["total_engaged_users"] == len(there)
            for name, counter in AVERAGES.items():
                mean = sum(record[counter] for record in there) / max(1, len(there))
                assert entry[name] == pytest.approx(mean, abs=0.005)
        seen |= set(population)
        assert whole_record(report_of(store_url, WHOLE, day)) == total
    assert seen == {0, 1, 2, 3}


@on_sqlite
@pytest.mark.slow
def test_engagement_is_of_users_on_two_days(store_url: str) -> None:
    days = some_days(60, users=9)
    put(store_url, days)
    month = whole_record(report_of(store_url, WHOLE, MONTH))
    engagement = month["copilot_feature_engagement"]
    assert engagement["active_user_count"] == month["day_totals"][-1]["monthly_active_users"]
    counts = {
        each["feature"]: each["engaged_user_count"] for each in engagement["totals_by_feature"]
    }
    assert counts == {
        feature.value if feature is not GithubFeature.REMOTE else "copilot_cloud_agent": len(
            on_two_days(days, LAST, feature)
        )
        for feature in (GithubFeature.COMPLETION, GithubFeature.EDIT, *REMOTE, *CLI)
    }


def fields_of(store_url: str) -> tuple[Json, Json]:
    """The first record on users and the record on the whole, for the last day."""
    users = user_records(report_of(store_url, USERS, LAST))
    return users[0], whole_record(report_of(store_url, WHOLE, MONTH))


@on_sqlite
def test_missing_day_makes_phases_unknown(store_url: str) -> None:
    """They could be too low, since the use on that day may be the one that counts."""
    days = {day: [user("ada@example.com", **COUNTS)] for day in MONTH.days()}
    put(store_url, {day: users for day, users in days.items() if day != MONTH.start})
    record, month = fields_of(store_url)
    assert "ai_adoption_phase" not in record
    assert "copilot_feature_engagement" not in month
    assert not any("totals_by_ai_adoption_phase" in total for total in month["day_totals"])
    put(store_url, {MONTH.start: days[MONTH.start]})
    record, month = fields_of(store_url)
    assert record["ai_adoption_phase"]["phase_number"] == 1
    assert "copilot_feature_engagement" in month
    known = ["totals_by_ai_adoption_phase" in total for total in month["day_totals"]]
    assert known == [False] * 27 + [True]


@on_sqlite
def test_two_spellings_are_one_person_in_a_phase(store_url: str) -> None:
    """Each spelling was used on one day, so the person was active on two."""
    days: Days = {day: [] for day in MONTH.days()}
    days[MONTH.start] = [user("Ada@example.com", cli_agent_interactive_messages=1)]
    days[LAST] = [
        user("ada@example.com", cli_agent_interactive_messages=3),
        user("Ada@example.com", chat_messages=4),
    ]
    put(store_url, days)
    record, month = fields_of(store_url)
    assert record["ai_adoption_phase"]["phase"] == "Phase 2"
    (second,) = [
        each
        for each in month["day_totals"][-1]["totals_by_ai_adoption_phase"]
        if each["phase_number"] == 2
    ]
    assert (second["total_engaged_users"], second["users_in_phase_28d"]) == (1, 1)
    assert second["avg_user_initiated_interactions"] == 7.0


@on_sqlite
def test_phase_of_somebody_whom_another_source_spells_otherwise(store_url: str) -> None:
    """All sources of a store share the numbers of names; the other's spelling came first."""
    put(store_url, {LAST: [user("ada@example.com", **COUNTS)]}, DASHBOARD)
    put(store_url, {day: [user("Ada@example.com", **COUNTS)] for day in MONTH.days()})
    record, month = fields_of(store_url)
    assert record["ai_adoption_phase"]["phase"] == "Phase 1"
    phases = month["day_totals"][-1]["totals_by_ai_adoption_phase"]
    assert [each["total_engaged_users"] for each in phases] == [0, 1, 0, 0]
