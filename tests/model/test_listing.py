"""Lists in messages, logs and manifests have a limited length, however long their items are."""

from __future__ import annotations

import json
import logging
from datetime import date, timedelta

import pytest

from conftest import Home, Start
from dashboard_scraper.errors import DaysMissing
from dashboard_scraper.logs import Once, configure_logging
from dashboard_scraper.model.listing import NAMED_AT_MOST, listed, listed_days
from dashboard_scraper.simulator import Fault, Organization, Simulator, raw_body
from stored_days import TODAY, USERS, backfill, fetch, march

Capture = pytest.CaptureFixture[str]
logger = logging.getLogger("dashboard_scraper.of_a_test")


def test_warning_lists_a_limited_number_of_names(capsys: Capture) -> None:
    configure_logging("INFO", "text")
    once = Once(logger)
    for number in range(20_001):
        once.warn("unknown field %s", f"field{number}")
        once.warn("unknown field %s", f"field{number}")
    once.warn("another matter %s", "field1")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == NAMED_AT_MOST + 2
    assert "unknown field field19" in lines[NAMED_AT_MOST - 1]
    assert "unknown field (and others)" in lines[NAMED_AT_MOST]
    assert "another matter field1" in lines[-1]


def test_days_are_listed_as_ranges_and_so_many_of_them() -> None:
    first = date(2000, 1, 1)

    def days(*numbers: int) -> list[date]:
        return [first + timedelta(number) for number in numbers]

    assert listed_days([]) == ""
    assert listed_days(days(0)) == "2000-01-01"
    assert listed_days(days(5, 0, 1, 3)) == "2000-01-01 to 2000-01-02, 2000-01-04, 2000-01-06"
    assert listed_days(days(*range(9802))) == "2000-01-01 to 2026-11-01"
    assert listed_days(days(*range(0, 12, 2))).endswith(", 2000-01-09 and 1 more range")
    assert listed_days(days(*range(0, 9802, 2))).endswith(", 2000-01-09 and 4,896 more ranges")


def test_names_are_listed_up_to_a_number_and_a_length() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(range(9802)).endswith("18, 19 and 9,782 more")
    assert listed(["x" * 10**6]) == f"{'x' * 200}... (999,800 more characters)"


@pytest.fixture
def spring(start: Start) -> Simulator:
    """A simulator whose today is the 10th of March, 2025."""
    return start(Organization(users=2, today=TODAY))


@pytest.mark.slow
def test_reason_is_short_in_log_and_manifest(
    home: Home, spring: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    keys = json.dumps({f"{'k' * 300}{number}": 1 for number in range(2000)})
    spring.add_fault(Fault(raw_body(keys.encode()), USERS, march(4)))
    with pytest.raises(DaysMissing):
        fetch(home, march(3), march(4))
    assert max(len(text) for text in caplog.messages) < 10_000
    (manifest,) = home.data.glob("*/manifest.json")
    reason = json.loads(manifest.read_bytes())["days"][1]["reason"]
    assert reason.startswith("user-feature-stats: found no list of records")
    assert reason.endswith("more characters)")
    assert len(reason) < 1100


@pytest.mark.slow
def test_days_that_fail_are_named_up_to_a_number(
    home: Home, spring: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    first = TODAY - timedelta(31)
    backfill(home, first, first)
    spring.add_fault(Fault(raw_body(b"null"), USERS))
    with pytest.raises(DaysMissing, match="30 of 31 days are missing: "):
        backfill(home, first, march(9))
    errors = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert len(errors) == NAMED_AT_MOST + 1
    assert errors[-2].startswith("2025-02-27 failed: ")
    assert errors[-1] == "10 more days failed: 2025-02-28 to 2025-03-09"
