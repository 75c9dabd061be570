"""`serve` shows the page at `/`: who may see it, its figures, and how a browser shows it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import requests

import browser
from conftest import Home
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.report.options import REPORT
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import store_at
from made_up_days import FETCHED, LAST, MONTH, store_days, user_days, users
from report_reading import read_text
from serving import SECONDS, Served, serving
from several_sources import store_all

WEEK = Window(LAST - timedelta(6), LAST)
PAGE = "/"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = Home(tmp_path_factory.mktemp("page"))
    store_days(home, users(5), MONTH)
    with serving(home) as server:
        yield server


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@pytest.mark.slow
def test_page_equals_report_file(served: Served) -> None:
    assert served.home.run("report").code == 0
    answer = served.get(PAGE)
    assert (answer.status_code, answer.content) == (
        200,
        (served.home.data / REPORT).read_bytes(),
    )
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    head = served.get(PAGE, "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(answer.content))


@pytest.mark.slow
def test_page_of_several_sources_equals_its_file(home: Home) -> None:
    store_all(home)
    assert home.run("report").code == 6
    with serving(home) as server:
        assert server.get(PAGE).content == (home.data / REPORT).read_bytes()


@pytest.mark.slow
def test_browser_is_asked_for_token(served: Served) -> None:
    answer = requests.get(served.address + PAGE, timeout=SECONDS)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert "@example.com" not in answer.text
    api = requests.get(f"{served.address}/user/orgs", timeout=SECONDS)
    assert api.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("name", ["", "ada", "a b"])
@pytest.mark.slow
def test_token_as_password_opens_page(name: str, served: Served) -> None:
    sent = requests.get(served.address + PAGE, auth=(name, served.token), timeout=SECONDS)
    assert sent.status_code == 200
    assert served.get(PAGE, Authorization=basic(f"{name}:{served.token}")).status_code == 200


@pytest.mark.parametrize(
    "sent_for",
    [
        lambda _token: "Basic",
        lambda _token: "Basic ",
        lambda _token: "Basic !!!",
        lambda _token: "Basic //79",  # not UTF-8
        lambda token: f"Basic {token}",
        lambda token: f"Basic ada:{token}",
        basic,
        lambda token: basic(f"{token}:"),
        lambda token: basic(f"ada:{token} x"),
        lambda token: basic(f"ada:{token[:-1]}"),
        lambda token: basic(f"ada:{token}").replace(" ", " !"),
        lambda _token: basic("ada:wrong"),
        lambda _token: basic(":"),
    ],
)
def test_other_credentials_are_refused(sent_for: Callable[[str], str], served: Served) -> None:
    answer = served.get(PAGE, Authorization=sent_for(served.token))
    assert answer.status_code == 401
    assert "@example.com" not in answer.text


@pytest.mark.slow
def test_log_has_no_credentials(served: Served) -> None:
    served.get(PAGE, Authorization=basic(f"ada:{served.token}"))
    assert served.token not in served.log
    assert base64.b64encode(f"ada:{served.token}".encode()).decode() not in served.log


@pytest.mark.slow
def test_page_shows_new_and_changed_days_at_once(home: Home) -> None:
    store_days(home, users(3), WEEK)
    store = store_at(home.settings["STORE_URL"])
    with serving(home) as server:
        first = server.get(PAGE).text
        assert server.get(PAGE).text == first
        day = LAST + timedelta(1)
        for names in (users(3), users(9)):
            with store.locked(), store.opened():
                store.put(DASHBOARD, DayUsage(day, user_days(names, day), {}), FETCHED)
            report = read_text(server.get(PAGE).text)
            column = report.column("t-active", "Daily active people")
            assert list(column)[-1] == str(day)
            assert report.number("known") == str(len(names))


@pytest.mark.slow
def test_missing_day_is_a_gap(home: Home) -> None:
    gap = LAST - timedelta(2)
    store_days(home, users(3), WEEK, missing=[gap])
    with serving(home) as server:
        report = read_text(server.get(PAGE).text)
    assert report.column("t-active", "Remark")[str(gap)].startswith("missing")
    assert f"Missing, and shown as gaps: {gap}" in report.words


@pytest.mark.slow
def test_page_without_days_says_so(home: Home) -> None:
    with serving(home) as server:
        answer = server.get(PAGE)
    assert answer.status_code == 404
    assert "no day has been fetched yet" in answer.text


@pytest.mark.slow
def test_page_follows_pseudonyms_and_report_users(home: Home) -> None:
    store_days(home, users(3), WEEK)
    home.settings["REPORT_USERS"] = "false"
    with serving(home) as server:
        report = read_text(server.get(PAGE).text)
    assert report.rows is None
    assert "@example.com" not in report.text


@pytest.mark.skipif(not browser.is_there(), reason="no chromium and chromedriver")
@pytest.mark.slow
def test_browser_shows_page_without_more_requests(served: Served) -> None:
    address = served.address.replace("//", f"//ada:{served.token}@") + PAGE
    with browser.started(loopback=True) as chromium:
        browser.requests_of(chromium)
        chromium.get(address)
        assert chromium.title.startswith("Augment Code usage")
        asked = browser.requests_of(chromium)
        assert [url for url in asked if not url.startswith("data:")] == [address]
        assert browser.console_of(chromium) == []
        assert chromium.execute_script("return document.querySelectorAll('.bars rect').length")
