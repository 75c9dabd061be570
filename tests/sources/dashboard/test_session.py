"""The session during runs: renewed by the server, expired, never logged."""

from __future__ import annotations

import pytest

from conftest import WEEK_JOB, Home, Result, Start, left_after_failure
from dashboard_scraper.simulator import Fault, Simulator, html, redirect, set_cookie
from dashboard_scraper.simulator import status as answer_status
from dashboard_scraper.sources.dashboard.cookie_auth import SESSION_COOKIE
from dashboard_scraper.sources.rest.urls import origin_of
from saved_cookies import save_cookies
from sessions import (
    AUTH,
    FORMS,
    GRACE,
    ONE_DAY,
    SHAPES,
    SIGN_IN,
    assert_no_secret,
    saved_cookies,
    sent,
)

pytestmark = pytest.mark.usefixtures("csv_alone")

# Renewal


@pytest.mark.parametrize("concurrency", [1, 16])
@pytest.mark.slow
def test_rolling_session_is_stored(concurrency: int, home: Home, start: Start) -> None:
    """If other requests overtake a request, its cookie may no longer be valid: then it is sent
    again with the newest one.
    """
    sim = start(rolling=True)
    save_cookies(
        home.cookie_file, {"theme": "dark", SESSION_COOKIE: sim.cookie}, origin_of(sim.url)
    )
    home.settings |= {"MAX_CONCURRENCY": str(concurrency), "LOG_LEVEL": "DEBUG"}
    results = [home.run("--last-28-days"), home.run(*ONE_DAY), home.run("--last-28-days")]
    assert [result.code for result in results] == [0, 0, 0]
    assert {request.status for request in sim.requests} <= {200, 200 if concurrency == 1 else 401}
    assert sim.count() > 3 * GRACE
    assert {tuple(name for name, _ in cookies) for cookies in sent(sim)} == {
        ("theme", SESSION_COOKIE)
    }
    assert saved_cookies(home).keys() == {"theme", SESSION_COOKIE}
    if concurrency == 1:
        assert saved_cookies(home) == {"theme": "dark", SESSION_COOKIE: sim.cookie}
    assert_no_secret(sim, *(result.err + result.out for result in results))


def test_empty_cookie_erases_nothing(home: Home, sim: Simulator) -> None:
    sim.add_fault(Fault(set_cookie("theme=light; Path=/"), times=1))
    sim.add_fault(Fault(set_cookie("_session=; Path=/")))
    assert home.run(*ONE_DAY).code == 0
    assert saved_cookies(home) == {SESSION_COOKIE: sim.cookie, "theme": "light"}
    assert sent(sim)[-1] == [(SESSION_COOKIE, sim.cookie), ("theme", "light")]


def test_anonymous_session_is_not_stored(home: Home, sim: Simulator) -> None:
    sim.add_fault(Fault(html()))
    sim.add_fault(Fault(set_cookie("_session=anonymous; Path=/")))
    assert home.run(*ONE_DAY).code == 3
    assert saved_cookies(home) == {SESSION_COOKIE: sim.cookie}


# The end of a session


def assert_told_to_sign_in(result: Result) -> None:
    assert (result.code, result.out) == (3, "")
    assert SIGN_IN in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("shape", "form"), [*((shape, "one day") for shape in SHAPES), ("401", "28 days")]
)
@pytest.mark.slow
def test_expired_session_ends_the_run(shape: str, form: str, home: Home, start: Start) -> None:
    sim = start(expired_shape=shape)
    home.settings["MAX_CONCURRENCY"] = "4"
    assert home.run(*FORMS[form]).code == 0
    before = {name: (home.data / name).read_bytes() for name in home.files()}
    requests = sim.count()
    sim.expire()
    result = home.run(*FORMS[form])
    assert_told_to_sign_in(result)
    assert 1 <= sim.count() - requests <= (1 if form == "one day" else 4)
    left = left_after_failure({*before})
    assert home.files() == left
    for name, content in before.items():
        stale = f"{name}.stale"
        assert (home.data / (stale if stale in left else name)).read_bytes() == content
    assert_no_secret(sim, result.err)


@pytest.mark.parametrize(
    ("form", "shape", "good"),
    [("one day", "401", 1), ("28 days", "redirect", 10), ("28 days", "html", 27)],
)
@pytest.mark.slow
def test_session_that_expires_midway_leaves_no_file(
    form: str, shape: str, good: int, home: Home, start: Start
) -> None:
    sim = start(expired_shape=shape, expire_after=good)
    home.settings["MAX_CONCURRENCY"] = "4"
    assert_told_to_sign_in(home.run(*FORMS[form]))
    assert good < sim.count() <= good + 4, [r.status for r in sim.requests]
    assert home.files() == set()


@pytest.mark.slow
def test_debug_log_has_no_secret(home: Home, sim: Simulator) -> None:
    home.settings |= {"LOG_LEVEL": "DEBUG", "MAX_RETRIES": "1"}
    signin = f"/signin?session={sim.cookie}"
    elsewhere = f"https://me:{sim.cookie}@app.example.org/?session={sim.cookie}"
    renewal = f"_session={sim.cookie_decoded[::-1]}; Path=/"
    for effect, times, words in (
        (answer_status(500), 3, WEEK_JOB),
        (redirect(signin), 1, WEEK_JOB),
        (redirect(elsewhere), 1, (AUTH,)),
        (set_cookie(renewal), 1, (AUTH,)),
        (set_cookie(renewal), 1, tuple(ONE_DAY)),
    ):
        sim.clear_faults()
        sim.add_fault(Fault(effect, times=times))
        result = home.run(*words, stdin=sim.cookie if words == (AUTH,) else "")
        assert "DEBUG" in result.err
        assert_no_secret(sim, result.err, result.out)
