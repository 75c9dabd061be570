"""How `serve` logs accesses, without naming anybody, and how many accesses a token may have."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from githubkit import GitHub, TokenAuthStrategy
from githubkit.exception import RateLimitExceeded

from conftest import Home
from crash_child import until
from dashboard_scraper.cli.serving import app_of
from dashboard_scraper.log_repeats import Repeats, never_repeats
from dashboard_scraper.server.access import Access, Credentials
from dashboard_scraper.server.guard import Door, GuardedRoute
from dashboard_scraper.server.rates import Rates
from dashboard_scraper.settings.config import load_settings
from dashboard_scraper.store import store_at
from filled_store import SOURCE, put
from github_requests import LAST, USERS, error_of, some_day
from serving import SECONDS, Served, serving

AUDIT = "dashboard_scraper.audit"
IDENTITIES = "email,login,id,team\nada@example.com,ada-l,1001,secret-team\n"
PERSONAL = ("ada", "1001", "secret-team", "acme-corp", "bob", "127.0.0.1", "example.com")
PARAMETERS = {"login": "ada-l", "team": "secret-team", "slug": "acme-corp", "number": "1001"}


def home_with_people(home: Home, **settings: str) -> Home:
    put(f"sqlite:///{home.data / 'usage.db'}", {LAST: some_day(1)})
    (home.path / "people.csv").write_text(IDENTITIES)
    home.settings |= {"METRICS_SOURCE": SOURCE, "IDENTITY_FILE": "people.csv", **settings}
    home.settings["ORGANIZATION_ID"] = "77"
    return home


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = Home(tmp_path_factory.mktemp("audit"))
    with serving(home_with_people(home, LOG_FORMAT="json")) as server:
        yield server


def lines(served: Served) -> list[dict[str, Any]]:
    """The audit lines in a JSON log."""
    found = [json.loads(line) for line in served.log.splitlines()]
    return [line for line in found if line["logger"] == AUDIT]


def routes(home: Home) -> list[GuardedRoute]:
    """Every route of the server."""
    settings = load_settings(home.path, metrics_source=SOURCE)
    access = Access(Credentials.of_token("x" * 43, "any"))
    app = app_of(settings, store_at(settings.store_url), access, "127.0.0.1")
    return [route for route in app.routes if isinstance(route, GuardedRoute)]


def path_of(route: GuardedRoute) -> str:
    """A path of this route, with names of people, teams and organizations."""
    filled = re.sub(r"{(\w+)(?::\w+)?}", lambda name: PARAMETERS.get(name[1], "ada-l"), route.path)
    return f"{filled}?day={LAST}" if filled.endswith("-1-day") else filled


@pytest.mark.slow
def test_line_of_every_route_names_nobody(served: Served) -> None:
    known = routes(served.home)
    named = {route.path for route in known} | {"unknown"}
    assert len(known) > 25
    for route in known:
        path = served.link(USERS) if route.needs.door is Door.LINK else path_of(route)
        assert served.get(path.removeprefix(served.address)).status_code < 500, route.path
    served.get("/bob@example.com")
    # The line is written once the answer is sent: a client may have sent its next request by then.
    until(lambda: named <= {line["route"] for line in lines(served)}, SECONDS)
    for line in lines(served):
        text = json.dumps({name: line[name] for name in line if name not in ("time", "request")})
        assert not any(word in text.replace(line["request"], "") for word in PERSONAL), line


def test_line_has_who_and_how_much(served: Served) -> None:
    answer = served.get("/user", **{"Accept-Encoding": "identity"})
    number = answer.headers["X-GitHub-Request-Id"]
    until(lambda: any(line["request"] == number for line in lines(served)), SECONDS)
    (line,) = [each for each in lines(served) if each["request"] == number]
    assert line["level"] == "INFO"
    assert line["milliseconds"] >= 0
    expected = {"token": "SERVE_TOKEN_FILE", "method": "GET", "route": "/user", "status": 200}
    assert {name: line[name] for name in expected} == expected
    assert line["bytes"] == len(answer.content)
    assert line["message"].startswith("token=SERVE_TOKEN_FILE method=GET route=/user status=200 ")


def test_every_access_with_a_token_has_its_line(served: Served) -> None:
    """Even the third of equal accesses, while repeated accesses by strangers are only counted."""
    answers = [served.get("/user") for _ in range(3)]
    numbers = {answer.headers["X-GitHub-Request-Id"] for answer in answers}
    until(lambda: numbers <= {line["request"] for line in lines(served)}, SECONDS)


@pytest.mark.slow
def test_download_is_logged_under_token_of_its_link(served: Served) -> None:
    link, plain = served.link(USERS), {"Accept-Encoding": ""}
    answers = [requests.get(url, headers=plain, timeout=SECONDS) for url in (link, f"{link}0")]
    numbers = [answer.headers["X-GitHub-Request-Id"] for answer in answers]
    until(lambda: {*numbers} <= {line["request"] for line in lines(served)}, SECONDS)
    by_number = {line["request"]: line for line in lines(served)}
    right, wrong = (by_number[number] for number in numbers)
    size = len(answers[0].content)
    assert (right["token"], right["status"], right["bytes"]) == ("SERVE_TOKEN_FILE", 200, size)
    assert (wrong["token"], wrong["status"], wrong["route"]) == (None, 403, right["route"])


def test_no_access_with_a_token_is_left_out() -> None:
    """While lines that strangers can repeat are only counted."""
    record = logging.LogRecord(AUDIT, logging.INFO, "", 0, "the same", (), None)
    repeats = Repeats()
    assert [repeats.filter(record) for _ in range(3)] == [True, False, False]
    vars(record).update(never_repeats())
    assert all(repeats.filter(record) for _ in range(3))


# Limits of requests


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Four requests a minute, and addresses in the log."""
    home = home_with_people(Home(tmp_path_factory.mktemp("limited")))
    home.settings |= {"SERVE_REQUESTS_PER_MINUTE": "4", "SERVE_LOG_ADDRESSES": "true"}
    with serving(home) as server:
        yield server


def added(limited: Served, name: str) -> str:
    """A new token, returned once it is valid."""
    token = limited.home.run("tokens", "add", name, "--scope", "reports").out.strip()
    sent = f"Bearer {token}"
    until(lambda: limited.get("/rate_limit", Authorization=sent).status_code == 200, SECONDS)
    return sent


def test_requests_over_the_limit_are_429(limited: Served) -> None:
    other = added(limited, "other")
    for name in ("one", "two"):  # the minute may end during the first, which is then half spent
        token = added(limited, name)
        answers = [limited.get("/user", Authorization=token) for _ in range(5)]
        rate = limited.get("/rate_limit", Authorization=token).json()["rate"]
        if {answer.headers["X-RateLimit-Reset"] for answer in answers} == {f"{rate['reset']}"}:
            break
    assert [answer.status_code for answer in answers] == [200] * 4 + [429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == [*"32100"]
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"4"}
    assert "rate limit exceeded" in error_of(answers[-1], 429)
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert (rate["limit"], rate["remaining"], rate["used"]) == (4, 0, 4)
    assert limited.get("/user", Authorization=other).status_code == 200
    assert limited.get("/healthz").status_code == 200


@pytest.mark.slow
def test_github_client_understands_the_limit(limited: Served) -> None:
    token = added(limited, "three").removeprefix("Bearer ")
    options: dict[str, Any] = {"base_url": limited.address, "auto_retry": False}
    with (
        GitHub(TokenAuthStrategy(token), **options) as client,
        pytest.raises(RateLimitExceeded) as refused,
    ):
        for _ in range(9):
            client.rest.users.get_authenticated()
    assert refused.value.retry_after.total_seconds() <= 60


def test_addresses_are_logged_where_wanted(limited: Served) -> None:
    limited.get("/healthz")
    until(lambda: "route=/healthz status=200" in limited.log, SECONDS)
    line = next(each for each in limited.log.splitlines() if "route=/healthz status" in each)
    assert f" INFO {AUDIT}: token=- method=GET route=/healthz status=200 bytes=" in line
    assert line.endswith(" client=127.0.0.1")


def test_limit_is_of_each_minute_and_token() -> None:
    now = [600.0]
    rates = Rates(2, clock=lambda: now[0])
    assert [rates.take("a")[1] for _ in range(2)] == [0, 0]
    now[0] = 630.5
    rate, seconds = rates.take("a")
    assert (rate.remaining, rate.used, rate.reset, seconds) == (0, 2, 660, 30)
    assert rates.take("b")[1] == 0
    now[0] = 660.0
    assert rates.take("a")[0].remaining == 1
