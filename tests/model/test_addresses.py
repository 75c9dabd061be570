"""Names of users as they are read: characters that nobody sees do not make a new person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from both_sources import DAY, active_users_of, asking, users_of
from conftest import Home, Start, warnings
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.addresses import LONGEST, cleaned
from dashboard_scraper.people.people import person_key
from dashboard_scraper.simulator import Fault, Simulator, set_value
from dashboard_scraper.simulator.exchange import Answer, Request
from dashboard_scraper.simulator.faults import Effect
from dashboard_scraper.sources.dashboard.fields import USER_FIELD
from stored_days import backfill, stored_users

USERS, ACTIVITY = "user-feature-stats", "user-activity"
EMAIL, ACCOUNT = "user_email", "service_account_name"
Users = Callable[[Home], list[Any]]
Log = pytest.LogCaptureFixture
ADA = "ada@example.com"
SPELLINGS = {
    "blanks around": f"  {ADA}\t",
    "no-break space": f"\u00a0{ADA}\u3000",
    "line break": f"{ADA}\r\n",
    "zero-width space": f"{ADA}\u200b",
    "byte order mark": f"\ufeff{ADA}",
    "soft hyphen": "a\u00adda@example.com",
    "bidi marks": f"\u202a{ADA}\u202c",
    "joiner": "ada\u200d@example.com",
    "NUL": "ada\0@example.com",
    "line separator": f"{ADA}\u2028",
    "filler": f"{ADA}\u3164",
    "variation selector": f"{ADA}\ufe0f",
}
UNSEEN = ("", " ", "\u200b", "\ufeff \u00ad", "\0")


SOURCES = [(USERS, USER_FIELD, users_of), (ACTIVITY, EMAIL, active_users_of)]


@pytest.mark.parametrize("name", SPELLINGS)
def test_what_nobody_sees_is_not_in_a_name(name: str) -> None:
    assert cleaned(SPELLINGS[name]) == ADA
    assert person_key(SPELLINGS[name]) == person_key(ADA)


def test_what_can_be_seen_stays() -> None:
    """Capitals, letters of any script, and inner blanks; letters with accents are composed."""
    for name in ("Ada@Example.com", "ада@example.com", "nightly build", "張@example.com"):
        assert cleaned(name) == name
    assert cleaned("zoe\u0308@example.com") == "zo\u00eb@example.com"


@pytest.mark.parametrize(("endpoint", "field", "users"), SOURCES)
def test_invisible_characters_are_removed_from_names(
    home: Home, start: Start, start_api: Start, caplog: Log, endpoint: str, field: str, users: Users
) -> None:
    """The figures belong to the same person; white space needs no warning."""
    sim = asking(endpoint, home, start, start_api).sim
    expected = users(home)
    sim.add_fault(Fault(respelt(field, lambda name: f" {name}\n"), endpoint))
    assert users(home) == expected
    assert warnings(caplog) == []
    sim.clear_faults()
    sim.add_fault(Fault(respelt(field, lambda name: f"{name}\u200b\ufeff"), endpoint))
    assert users(home) == expected
    (warning,) = warnings(caplog)
    number = sum(not user.service for user in expected)
    assert f"{number} names had invisible characters (U+200B, U+FEFF)" in warning
    assert "@" not in warning


def respelt(field: str, spell: Callable[[str], str]) -> Effect:
    def effect(answer: Answer, request: Request) -> Answer:
        body = msgspec.json.decode(answer.body)
        records = next(value for value in body.values() if isinstance(value, list))
        for number, record in enumerate(records):
            if field in record:
                answer = set_value(field, spell(record[field]), number)(answer, request)
        return answer

    return effect


def test_name_of_a_service_account_is_cleaned_too(home: Home, api: Simulator) -> None:
    expected = active_users_of(home)
    assert any(user.service for user in expected)
    api.add_fault(Fault(respelt(ACCOUNT, lambda name: f"\u2060{name} "), ACTIVITY))
    assert active_users_of(home) == expected


@pytest.mark.parametrize(("endpoint", "field", "users"), SOURCES)
def test_two_figures_of_one_person_are_refused(
    home: Home, start: Start, start_api: Start, endpoint: str, field: str, users: Users
) -> None:
    sim = asking(endpoint, home, start, start_api).sim
    first, second = sorted(user.user for user in users(home) if not user.service)[:2]
    sim.add_fault(
        Fault(respelt(field, lambda name: f"{first}\u200b" if name == second else name), endpoint)
    )
    with pytest.raises(ContractBroken) as caught:
        users(home)
    assert f"{endpoint}: " in str(caught.value)
    assert "\\u200b'" in str(caught.value)
    assert "came twice, with different figures" in str(caught.value)
    assert {first, f"{first}\\u200b"} <= set(caught.value.names)


@pytest.mark.parametrize(("endpoint", "field", "users"), SOURCES)
def test_invisible_name_is_refused(
    home: Home, start: Start, start_api: Start, endpoint: str, field: str, users: Users
) -> None:
    sim = asking(endpoint, home, start, start_api).sim
    for name in UNSEEN:
        sim.clear_faults()
        sim.add_fault(Fault(set_value(field, name, record=2), endpoint))
        with pytest.raises(ContractBroken, match=endpoint) as caught:
            users(home)
        assert field in str(caught.value)


@pytest.mark.parametrize(("endpoint", "field", "users"), SOURCES)
@pytest.mark.slow
def test_too_long_name_is_refused(
    home: Home, start: Start, start_api: Start, endpoint: str, field: str, users: Users
) -> None:
    """The message shows only the beginning."""
    sim = asking(endpoint, home, start, start_api).sim
    longest = "a" * (LONGEST - 12) + "@example.com"
    sim.add_fault(Fault(set_value(field, longest, record=2), endpoint))
    assert longest in {user.user for user in users(home)}
    for length in (LONGEST + 1, 5_000_000):
        sim.add_fault(Fault(set_value(field, "a" * length, record=2), endpoint))
        with pytest.raises(ContractBroken, match=f"{endpoint}: {field}: .*{length:,}") as caught:
            users(home)
        assert len(str(caught.value)) < 200
        assert caught.value.names[0] in str(caught.value), "or pseudonyms would miss it"


@pytest.mark.slow
def test_spellings_of_two_nights_are_one_person(home: Home, sim: Simulator, store_url: str) -> None:
    """Whatever invisible characters the address had on one of them."""
    assert store_url
    now = datetime.now(UTC)
    backfill(home, DAY, DAY, now)
    before = stored_users(home)
    sim.add_fault(Fault(respelt(USER_FIELD, lambda name: f"\ufeff{name}\u200b"), USERS))
    backfill(home, DAY, DAY, now)
    assert stored_users(home) == before
