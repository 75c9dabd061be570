"""Requests to `serve`: GitHub's paths, the days that are served, and the answers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from conftest import Home
from dashboard_scraper.model.dates import DAYS, Window
from filled_store import SOURCE, put, user
from serving import SECONDS, Served

TODAY = datetime.now(UTC).date()
LAST = TODAY - timedelta(2)
MONTH = Window(LAST - timedelta(DAYS - 1), LAST)
NAMES = ["ada@example.com", "bob@example.com", "cyd@example.com", "triage-bot"]
REPORTS = "/{}/acme/copilot/metrics/reports/{}"
SEAT = {
    "assignee",
    "assigning_team",
    "created_at",
    "last_activity_at",
    "last_activity_editor",
    "last_authenticated_at",
    "pending_cancellation_date",
    "plan_type",
    "updated_at",
}
"""GitHub's fields of a seat, but for `organization`, which not every answer has."""
ENTERPRISE, ORGANIZATION = "enterprises", "orgs"
WHOLE = {ENTERPRISE: "enterprise", ORGANIZATION: "organization"}
OF_A_DAY = [
    (of, name.format(WHOLE[of]))
    for of in WHOLE
    for name in ("{}-1-day", "users-1-day", "user-teams-1-day")
]
OF_A_MONTH = [
    (of, name.format(WHOLE[of])) for of in WHOLE for name in ("{}-28-day", "users-28-day")
]


USERS = f"/enterprises/acme/copilot/metrics/reports/users-1-day?day={LAST}"


def with_a_day(path: Path, **settings: str) -> Home:
    """A home whose store has LAST, with one person."""
    home = Home(path, {"METRICS_SOURCE": SOURCE, **settings})
    put(f"sqlite:///{home.data / 'usage.db'}", {LAST: [user("ada@example.com", chat_messages=1)]})
    return home


def path_of(of: str, name: str, day: date | str | None = LAST) -> str:
    path = REPORTS.format(of, name)
    return f"{path}/latest" if "28" in name else f"{path}?day={day}"


def some_day(number: int) -> list[Any]:
    """Everybody did something on every day, except on the old day without anybody."""
    return [
        user(name, chat_messages=number + i, completions_count=1) for i, name in enumerate(NAMES)
    ]


def error_of(answer: requests.Response, status: int) -> str:
    """The message of an error in GitHub's form."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body.keys() == {"message", "documentation_url", "status"}
    assert body["status"] == str(status)
    assert answer.headers["Content-Type"].startswith("application/json")
    return str(body["message"])


def figures_of_metrics(served: Served) -> dict[str, float]:
    """The figures of the only source, by name without the prefix."""
    answer = requests.get(f"{served.address}/metrics", timeout=SECONDS)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    parsed = text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]
    samples = [sample for family in parsed for sample in family.samples]
    assert len({sample.labels["source"] for sample in samples}) == 1
    assert len({sample.name for sample in samples}) == len(samples)
    return {each.name.removeprefix("dashboard_scraper_"): each.value for each in samples}
