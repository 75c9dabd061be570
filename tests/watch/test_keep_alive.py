"""`keep-alive` sends one small request, and stores what is renewed."""

from __future__ import annotations

import pytest

from conftest import Home, Start
from dashboard_scraper.simulator import Fault, Simulator, status
from sessions import saved_cookies

SESSION = "_session"
SMALLEST = "tenant-monthly-active-users"


def test_keep_alive_sends_one_small_request(home: Home, start: Start) -> None:
    sim = start(rolling=True)
    before = saved_cookies(home)
    result = home.run("keep-alive")
    assert result.code == 0, result.err
    assert [request.endpoint for request in sim.requests] == [SMALLEST]
    assert saved_cookies(home) == {SESSION: sim.cookie}
    assert saved_cookies(home) != before
    assert result.out == ""


def test_session_that_is_over_exits_with_3(home: Home, sim: Simulator) -> None:
    sim.expire()
    result = home.run("keep-alive")
    assert result.code == 3
    assert "the session has expired" in result.err
    assert "--auth" in result.err


def test_dashboard_out_of_reach_exits_with_4(home: Home, sim: Simulator) -> None:
    home.settings["MAX_RETRIES"] = "0"
    before = saved_cookies(home)
    sim.add_fault(Fault(status(503)))
    assert home.run("keep-alive").code == 4
    assert saved_cookies(home) == before


@pytest.mark.usefixtures("api")
def test_source_with_a_token_needs_no_use(home: Home, api: Simulator) -> None:
    """The same timer can run on every machine, but naming such a source is a mistake."""
    quiet = home.run("keep-alive")
    assert (quiet.code, api.count()) == (0, 0)
    assert "nothing to do" in quiet.err
    named = home.run("keep-alive", "--source", "analytics")
    assert (named.code, api.count()) == (2, 0)
    assert "analytics has no session to keep alive" in named.err


def test_only_sources_with_a_session_are_used(home: Home, sim: Simulator) -> None:
    home.settings |= {"SOURCES": "dashboard,copilot", "COPILOT_TOKEN": "x"}
    assert home.run("keep-alive").code == 0
    assert [request.endpoint for request in sim.requests] == [SMALLEST]


def test_health_check_needs_no_process(home: Home, sim: Simulator) -> None:
    result = home.run("watch", "--healthy")
    assert (result.code, sim.count()) == (8, 0)
    assert "watch has never run here" in result.err


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("SCHEDULE", "5 3 * *", "write five fields"),
        ("STORE_URL", "iceberg:///lake", "STORE_URL names a lake"),
        ("IDENTITY_FILE", "missing.csv", "missing.csv"),
        ("NOTIFY_URLS", "nonsense", "NOTIFY_URLS"),
        ("SCRAPE_ENDPOINTS", "tenant-feature-stats", "SCRAPE_ENDPOINTS"),
    ],
)
def test_wrong_setting_ends_watch_at_its_start(
    home: Home, sim: Simulator, name: str, value: str, complaint: str
) -> None:
    home.settings[name] = value
    result = home.run("watch")
    assert (result.code, sim.count()) == (2, 0)
    assert complaint in result.err


def test_address_without_server_is_refused(home: Home) -> None:
    result = home.run("watch", "--port", "0")
    assert result.code == 2
    assert "--host, --port and --insecure need --serve" in result.err
