"""Pages and redirects instead of data: a sign-in, or something between us and the source."""

from __future__ import annotations

import pytest

from both_sources import Asking, each, is_dashboard, users_of
from conftest import Home, Start
from dashboard_scraper.errors import (
    ContractBroken,
    ScraperError,
    SignInRequired,
    SourceUnavailable,
)
from dashboard_scraper.simulator import Fault, Simulator, html, page, raw_body, redirect, status
from dashboard_scraper.simulator.faults import Effect
from dashboard_scraper.sources.rest.shown import cleaned, shown_name

__all__ = ["each"]

CHECK = page("Just a moment...", 403, "cloudflare")
BLOCKED: dict[str, tuple[Effect, list[str]]] = {
    "bot check": (CHECK, ["HTTP 403", "'Just a moment...'", "Server cloudflare"]),
    "bot check, 200": (page("Just a moment..."), ["HTTP 200", "'Just a moment...'"]),
    "filter, 200": (page("Web access blocked by policy"), ["HTTP 200", "blocked by policy"]),
    "filter, 403, no title": (page("", 403), ["HTTP 403", "without a title"]),
    "mitigated": (page("Welcome", 200, "", ("cf-mitigated", "challenge")), ["'Welcome'"]),
    "captive portal": (page("Hotel Wi-Fi", 511), ["HTTP 511", "'Hotel Wi-Fi'", "the network"]),
    "gateway elsewhere": (
        redirect("https://gateway.filter.example/auth?url=x", 307),
        ["HTTP 307", "gateway.filter.example", "REDACTED", "if it is your own sign-in"],
    ),
}


def refused(each: Asking, effect: Effect) -> ScraperError:
    each.sim.clear_faults()
    each.sim.add_fault(Fault(effect, each.endpoint))
    with pytest.raises(ScraperError) as caught:
        each.ask()
    return caught.value


@pytest.mark.slow
def test_what_stands_between_is_no_expired_session(each: Asking) -> None:
    """Exit 4: the source could not be reached. The page is named, and requested only once."""
    for name, (effect, words) in BLOCKED.items():
        before = each.requests()
        error = refused(each, effect)
        assert type(error) is SourceUnavailable, name
        for word in (each.endpoint, "does not help", *words):
            assert word in str(error), name
        assert "expired" not in str(error)
        assert each.requests() - before == 1, name


def aged(seconds: str) -> Effect:
    return lambda answer, _request: answer.with_headers(("Age", seconds))


def test_answer_that_a_cache_got_before_today_is_refused(each: Asking) -> None:
    error = refused(each, aged("86400"))
    assert type(error) is SourceUnavailable
    assert f"{each.endpoint}: the answer is from a cache, and 24 hours old" in str(error)
    assert each.sim.requests[-1].headers["cache-control"] == "no-cache"


def test_age_of_now_is_no_refusal(each: Asking) -> None:
    for age in ("0", "", "-90000", "yesterday"):
        each.sim.clear_faults()
        each.sim.add_fault(Fault(aged(age), each.endpoint))
        assert each.ask()


def test_bot_check_with_temporary_status_is_retried(each: Asking) -> None:
    error = refused(each, page("Checking your browser", 503, "ddos-guard"))
    assert type(error) is SourceUnavailable
    for word in ("HTTP 503", "'Checking your browser'", "ddos-guard", "after 2 attempts"):
        assert word in str(error)


def test_json_403_is_an_account_without_the_right(each: Asking) -> None:
    error = refused(each, status(403))
    assert type(error) is SignInRequired
    assert "may not see the figures (HTTP 403)" in str(error)


def test_401_is_a_sign_in_whatever_its_page(each: Asking) -> None:
    assert type(refused(each, page("Access denied", 401))) is SignInRequired


def test_sign_in_page_is_an_expired_session(each: Asking) -> None:
    """For a token, which has no sign-in page, it means that this is not the API."""
    session = is_dashboard(each.endpoint)
    for code, of_token in ((200, ContractBroken), (403, SourceUnavailable)):
        error = refused(each, html(code))
        assert type(error) is (SignInRequired if session else of_token)
        assert each.endpoint in str(error) or session


def test_other_page_names_both_possibilities(home: Home, sim: Simulator) -> None:
    """An application's own page may mean an expired session, whatever its title."""
    for effect in (page("Augment"), raw_body(b"\n <html></html>", "text/plain")):
        sim.clear_faults()
        sim.add_fault(Fault(effect))
        with pytest.raises(SignInRequired, match=r"has expired.*HTTP 200.*does not help.*--auth"):
            users_of(home)


@pytest.mark.parametrize(
    ("location", "sure"),
    [
        ("/signin?to=x", True),
        ("/", True),
        ("https://login.example.com/?to=x", False),
        ("https://gw.example.com/auth", False),
    ],
)
def test_redirect_elsewhere_names_both_causes(
    home: Home, sim: Simulator, location: str, sure: bool
) -> None:
    """A single sign-on is on another host, and so are many gateways."""
    sim.add_fault(Fault(redirect(location)))
    with pytest.raises(SignInRequired, match=r"has expired .sent to.*--auth") as caught:
        users_of(home)
    assert ("does not help" in str(caught.value)) is not sure
    assert "to=x" not in str(caught.value)


def test_redirect_to_itself_is_no_new_address(home: Home, sim: Simulator) -> None:
    sim.add_fault(Fault(redirect("/api/user-feature-stats?again=1")))
    with pytest.raises(ContractBroken, match="redirects to itself"):
        users_of(home)


def test_page_is_reported_on_one_short_line(home: Home, start: Start) -> None:
    """A title may repeat what was sent, or contain control sequences for the terminal."""
    sim = start()
    title = f"blocked \x1b[31m\n {sim.cookie} <b> &lt;i&gt; {'word ' * 100}"
    sim.add_fault(Fault(page(title, 200, "x" * 500)))
    result = home.run("2025-10-21")
    assert result.code == 4, result.err
    (line,) = result.err.splitlines()
    assert "titled 'blocked" in line
    assert len(line) < 600
    assert "\x1b" not in line
    assert sim.cookie not in line


def test_cleaned_text_is_visible_and_short() -> None:
    assert cleaned(" a\tb\x00c \u202e d ", 80) == "a b c d"
    assert cleaned("x" * 33, 80) == "…"
    assert cleaned("ab " * 40, 10) == "ab ab ab …"


@pytest.mark.parametrize(
    "name",
    [
        "metadata.monthly_active_copilot_cloud_agent_users",
        "totalNoninteractiveCliAgentMessagesInTimePeriod",
    ],
)
def test_long_name_of_a_field_is_shown(name: str) -> None:
    assert shown_name(name) == name


def test_what_is_too_long_for_a_name_is_not_shown() -> None:
    assert shown_name(f"metadata.{'x1' * 17}") == "metadata.…"
    assert len(shown_name("k" * 100_000)) == 60
