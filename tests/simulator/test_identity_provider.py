"""The simulated identity provider asks for what it should, and remembers only what it may."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from dashboard_scraper.simulator import IdentityProvider, Simulator
from dashboard_scraper.simulator.gate import COOKIE_NAME


@pytest.fixture
def identity() -> Iterator[IdentityProvider]:
    with IdentityProvider() as started:
        yield started


@pytest.fixture
def sim(identity: IdentityProvider) -> Iterator[Simulator]:
    with Simulator(identity=identity) as started:
        yield started


def shown(answer: requests.Response) -> str:
    """The title of the page after all redirects."""
    return answer.text.partition("<title>")[2].partition("</title>")[0]


def test_sign_in_needs_password_and_second_factor(
    sim: Simulator, identity: IdentityProvider
) -> None:
    with requests.Session() as person:
        right = {"user": identity.user, "password": identity.password}
        assert shown(person.get(sim.url)) == "Sign in"
        wrong = person.post(f"{identity.url}/password", {**right, "password": "guess"})
        assert (shown(wrong), wrong.status_code) == ("Wrong password", 403)
        assert shown(person.post(f"{identity.url}/password", right)) == "Second factor"
        assert shown(person.post(f"{identity.url}/factor", {"code": "0"})) == "Wrong code"
        code = {"code": identity.code, "remember": "yes"}
        assert shown(person.post(f"{identity.url}/factor", code)) == "Dashboard"
        assert sim.cookie in person.cookies.values()
        asked = len(identity.requests)

        sim.expire()
        assert shown(person.get(sim.url)) == "Dashboard"
        assert len(identity.requests) == asked + 1

        identity.end_sign_ins()
        sim.shorten_session(0.0)
        person.get(sim.url)
        sim.shorten_session(60.0)
        assert shown(person.post(f"{identity.url}/password", right)) == "Dashboard"

        identity.end_sign_ins(devices=True)
        sim.expire()
        assert shown(person.get(sim.url)) == "Sign in"
        assert shown(person.post(f"{identity.url}/password", right)) == "Second factor"


def test_code_is_valid_once(sim: Simulator, identity: IdentityProvider) -> None:
    refused = requests.get(f"{sim.url}/auth/callback?code=guess", timeout=300)
    assert refused.status_code == 403
    assert COOKIE_NAME not in refused.cookies
    assert not identity.redeem("guess")
