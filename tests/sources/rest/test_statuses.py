"""Every HTTP status: retried, or a certain error, for both sources and their totals."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

import pytest

from both_sources import Asking, asking, each, is_dashboard
from conftest import Home, Start
from dashboard_scraper.errors import (
    ContractBroken,
    ScraperError,
    SignInRequired,
    SourceUnavailable,
    UsageError,
)
from dashboard_scraper.simulator import Fault, interim, redirect, status
from dashboard_scraper.sources.rest.statuses import Meaning, meaning_of

__all__ = ["each"]

USERS = ("user-feature-stats", "user-activity")
# Retried: what a server, or something before it, says about the moment, not about the request.
PASSING = (202, 408, 421, 423, 425, 429, 500, 502, 503, 504, 507, 509, 529, 599)
OF_A_DELIVERY_NETWORK = (520, 521, 522, 523, 524, 525, 526, 527, 530)
# Never retried: the answer would be the same, or was not requested.
REFUSED = (
    *(201, 203, 204, 205, 206, 207, 208, 226),
    *(300, 301, 302, 303, 304, 305, 307, 308),  # here without a Location
    *(402, 404, 405, 406, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 422, 424, 426, 428),
    *(431, 451, 501, 505, 506, 508, 510, 600, 999),
)
ENDING: dict[int, type[ScraperError]] = {
    401: SignInRequired,
    403: SignInRequired,
    407: UsageError,
    511: SourceUnavailable,
}


def test_statuses_are_all_decided() -> None:
    """Every status that Python knows is in one of the lists; 1xx are no answers."""
    listed = {200, 400, *PASSING, *REFUSED, *ENDING}
    assert {s.value for s in HTTPStatus if s.value >= 200} <= listed
    retried = {Meaning.RETRY, Meaning.RETRY_ELSEWHERE, Meaning.SLOW_DOWN}
    assert {code for code in range(200, 1000) if meaning_of(code) in retried} >= {
        *PASSING,
        *OF_A_DELIVERY_NETWORK,
    }


def some(each: Asking, codes: Iterable[int]) -> list[int]:
    """All codes for the users of each source; a few for its totals, which the same code fetches."""
    return list(codes) if each.endpoint in USERS else list(codes)[::8]


def refused(each: Asking) -> ScraperError:
    with pytest.raises(ScraperError) as caught:
        each.ask()
    return caught.value


@pytest.mark.slow
def test_temporary_status_costs_one_request(each: Asking) -> None:
    expected = each.ask()
    for code in some(each, (*PASSING, *OF_A_DELIVERY_NETWORK)):
        each.sim.clear_faults()
        each.sim.add_fault(Fault(status(code), each.endpoint, times=1))
        before = each.requests()
        assert each.ask() == expected, code
        assert each.requests() - before == 2, code


def test_permanent_temporary_status_is_unavailable(each: Asking) -> None:
    for code in (408, 425, 429, 503, 520):
        each.sim.clear_faults()
        each.sim.add_fault(Fault(status(code), each.endpoint))
        before = each.requests()
        error = refused(each)
        assert type(error) is SourceUnavailable
        assert f"HTTP {code}; gave up after 2 attempts" in str(error)
        assert each.requests() - before == 2, code


@pytest.mark.slow
def test_other_status_is_not_retried(each: Asking) -> None:
    kinds: dict[int, type[ScraperError]] = dict.fromkeys(REFUSED, ContractBroken) | ENDING
    kinds[400] = ContractBroken if is_dashboard(each.endpoint) else UsageError
    for code in some(each, kinds):
        kind = kinds[code]
        each.sim.clear_faults()
        each.sim.add_fault(Fault(status(code), each.endpoint, times=1))
        before = each.requests()
        error = refused(each)
        assert type(error) is kind, code
        assert f"{code}" in str(error)
        assert each.requests() - before == 1, code


@pytest.mark.parametrize("code", [100, 102, 103])
def test_interim_responses_are_skipped(each: Asking, code: int) -> None:
    expected = each.ask()
    each.sim.add_fault(Fault(interim(code, 3), each.endpoint))
    before = each.requests()
    assert each.ask() == expected
    assert each.requests() - before == 1


def test_change_of_protocol_is_refused(home: Home, start: Start, start_api: Start) -> None:
    users = asking("user-feature-stats", home, start, start_api)
    users.sim.add_fault(Fault(interim(101), users.endpoint))
    assert "HTTP 101" in str(refused(users))


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(each: Asking, code: int) -> None:
    """For a session, it is a sign-in; for a token, which has none, it is not the API."""
    each.sim.add_fault(Fault(redirect("/signin?to=x", code), each.endpoint, times=1))
    before = each.requests()
    error = refused(each)
    assert type(error) is (SignInRequired if is_dashboard(each.endpoint) else ContractBroken)
    assert f"HTTP {code}" in str(error)
    assert each.requests() - before == 1
