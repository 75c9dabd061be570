"""The simulated Claude Code Analytics API: who may request what, and how its pages follow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
import requests

from dashboard_scraper.simulator import Organization, Simulator
from dashboard_scraper.simulator.claude_code import API_KEYS, rows
from dashboard_scraper.simulator.claude_code_api import PATH, VERSION

TODAY = date(2026, 3, 20)
DAY = date(2026, 3, 4)


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(Organization(users=12, today=TODAY), rate_limit=False) as simulator:
        yield simulator


def ask(
    sim: Simulator, query: dict[str, str], headers: dict[str, str] | None = None
) -> requests.Response:
    signed = {"x-api-key": sim.claude_code.key, "anthropic-version": VERSION}
    return requests.get(
        sim.url + PATH,
        {"starting_at": f"{DAY}", **query},
        headers={**signed, **(headers or {})},
        timeout=300,
    )


def records(sim: Simulator) -> list[Any]:
    found: list[Any] = ask(sim, {"limit": "1000"}).json()["data"]
    return found


def test_record_is_one_actor_and_terminal(sim: Simulator) -> None:
    assert len(records(sim)) == len(rows(sim.organization, DAY))
    (row,) = [r for r in records(sim) if r["actor"].get("api_key_name")][:1]
    assert row["actor"] == {"type": "api_actor", "api_key_name": API_KEYS[0]}
    assert row["date"] == f"{DAY}T00:00:00Z"


def test_pages_show_the_day_as_it_was_at_first(sim: Simulator) -> None:
    whole = records(sim)
    first = ask(sim, {"limit": "2"}).json()
    sim.revise(DAY)
    found, page = first["data"], first["next_page"]
    while page:
        following = ask(sim, {"limit": "2", "page": page}).json()
        found, page = [*found, *following["data"]], following["next_page"]
    assert found == whole
    assert records(sim) != whole


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({"x-api-key": "other"}, {}, 401),
        ({"anthropic-version": "1"}, {}, 400),
        ({}, {"ending_at": f"{DAY}"}, 400),
        ({}, {"starting_at": "yesterday"}, 400),
        ({}, {"limit": "1001"}, 400),
        ({}, {"page": "page_00000000.20"}, 400),
    ],
)
def test_wrong_request_is_refused(
    sim: Simulator, headers: dict[str, str], query: dict[str, str], status: int
) -> None:
    answer = ask(sim, query, headers)
    assert answer.status_code == status
    assert answer.json()["type"] == "error"
