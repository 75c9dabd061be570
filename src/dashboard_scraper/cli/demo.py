"""Runs the real program against a simulated source on this machine, with made-up users."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from dashboard_scraper.cli.fetching import backfill_days, fetch_daily
from dashboard_scraper.cli.reporting import write_report
from dashboard_scraper.cli.several import for_each_source
from dashboard_scraper.cli.sign_in import store_session
from dashboard_scraper.cli.wiring import read_settings
from dashboard_scraper.clock import Clock, utc_now
from dashboard_scraper.csv_text import render
from dashboard_scraper.model.dates import DAYS, utc_day
from dashboard_scraper.model.metrics import MESSAGES
from dashboard_scraper.model.seat_prices import SeatPrice, SeatPrices
from dashboard_scraper.people.identity import HEADER
from dashboard_scraper.publication import Publication
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.settings.groups import sqlite_url
from dashboard_scraper.settings.library_settings import Libraries
from dashboard_scraper.simulator import Billing, Fault, Organization, Simulator, raise_total
from dashboard_scraper.simulator.assistants import Assistants
from dashboard_scraper.simulator.copilot_api import ENTERPRISE as COPILOT_ENTERPRISE
from dashboard_scraper.sources.dashboard.cookie_auth import SESSION_COOKIE
from dashboard_scraper.sources.dashboard.cookie_paste import parse_paste
from dashboard_scraper.sources.registry import (
    ALL_SOURCES,
    ANALYTICS,
    CLAUDE_CODE,
    COPILOT,
    CURSOR,
    DASHBOARD,
    info_of,
)
from dashboard_scraper.sources.rest.urls import host_of
from dashboard_scraper.store import store_of

_FOLDER, _PEOPLE = "demo", "people.csv"
# The report compares 28 days with the 28 before them, whose trailing figures need 28 more.
_DAYS_STORED = 3 * DAYS
# At the Analytics API's real rate limit, the demo would take an hour.
_CLOCK_SCALE = 1000
_TEAMS = ("platform", "payments", "mobile", "data", "design-systems")
_TEAMLESS = 12  # one person in this many
_CLAUDE_CODE_LATE = 1  # o'clock: before this hour, its report does not have yesterday
_DAYS_AGO, _TOO_MANY = 12, 17
_SPIKE_AGO = 5  # days, at least
_SEATS = {COPILOT: SeatPrice(Decimal(19), "USD"), CURSOR: SeatPrice(Decimal(40), "USD")}


_Access = Callable[[Simulator], dict[str, Any]]


def _analytics(simulator: Simulator) -> dict[str, Any]:
    return {
        "augment_api_token": SecretStr(simulator.token),
        "analytics_api_base_url": simulator.url,
        "analytics_requests_per_minute": 10 * _CLOCK_SCALE,
        "cost_requests_per_minute": 30 * _CLOCK_SCALE,
        "analytics_ready_hour": 0,
        "fetch_editor_language": "true",
    }


def _claude_code(simulator: Simulator) -> dict[str, Any]:
    return {
        "claude_code_api_key": SecretStr(simulator.claude_code.key),
        "claude_code_api_base_url": simulator.url,
        "claude_code_requests_per_minute": 30 * _CLOCK_SCALE,
    }


def _copilot(simulator: Simulator) -> dict[str, Any]:
    return {
        "copilot_ready_days": 3,  # after that, a day without a report certainly had no activity
        "copilot_token": SecretStr(simulator.copilot.token),
        "copilot_api_base_url": simulator.url,
        "copilot_enterprise": COPILOT_ENTERPRISE,
        "copilot_requests_per_minute": 75 * _CLOCK_SCALE,
    }


def _cursor(simulator: Simulator) -> dict[str, Any]:
    return {
        "cursor_api_key": SecretStr(simulator.cursor.key),
        "cursor_api_base_url": simulator.url,
        "cursor_requests_per_minute": 20 * _CLOCK_SCALE,
        "cursor_events_per_minute": 60 * _CLOCK_SCALE,
        "cursor_ready_hour": 0,
    }


_ACCESS: Mapping[str, _Access] = {
    ANALYTICS: _analytics,
    COPILOT: _copilot,
    CURSOR: _cursor,
    CLAUDE_CODE: _claude_code,
    DASHBOARD: lambda simulator: {"metrics_api_base_url": simulator.url},
}
"""The settings with which each source is read from the simulator."""
DEMO_SOURCES = tuple(_ACCESS)
_ALL = tuple(name for name in DEMO_SOURCES if name != DASHBOARD)
"""The sources of `--source all`: the dashboard would repeat the figures of the Analytics API."""


def run_demo(
    home: Path,
    log_level: str | None,
    *,
    users: int,
    seed: int,
    source: str,
    billing: Billing,
    clock: Clock = utc_now,
) -> None:
    """Fill a store of its own with 84 days, and run the 28-day job on it, for one source or for
    all; then write the page that compares them.
    """
    clock = clock_of(source, clock)
    now = clock()
    today = utc_day(now)
    organization = Organization(users=users, seed=seed, today=today, billing=billing)
    with Simulator(organization, clock_scale=_CLOCK_SCALE) as simulator:
        simulator.add_fault(_day_that_does_not_add_up(today))
        with suppress(LookupError):  # in a tiny organization, nobody may have costs on this day
            simulator.plant_spike(_wednesday_before(today))
        settings = demo_settings(simulator, read_settings(home, log_level), source)
        _remove_store(settings)
        write_people(settings, organization, source)
        if source == DASHBOARD:
            pasted = f"{SESSION_COOKIE}={simulator.cookie}"
            cookies = parse_paste(pasted, host_of(simulator.url))
            store_session(settings, cookies, today, check=True)

        def fetch(settings: Settings) -> None:
            days = info_of(settings.source).last_days(settings, _DAYS_STORED, today)
            backfill_days(settings, days, clock)
            fetch_daily(settings, None, clock=clock)

        for_each_source(settings, fetch)
    if source == ALL_SOURCES:
        write_report(settings, None, now)


def clock_of(source: str, clock: Clock) -> Clock:
    """A clock that, with Claude Code before one o'clock, is two hours behind and so shows the day
    before. Its report does not have yesterday yet: the demo's run would fail.
    """
    has_claude_code = source in (CLAUDE_CODE, ALL_SOURCES)
    if not has_claude_code or clock().astimezone(UTC).hour >= _CLAUDE_CODE_LATE:
        return clock
    return lambda: clock() - timedelta(hours=1 + _CLAUDE_CODE_LATE)


def people_rows(organization: Organization, source: str) -> list[tuple[str, ...]]:
    """The rows of an IDENTITY_FILE; for all sources, with the colleagues who do not use Augment."""
    if source != ALL_SOURCES:
        return team_rows(organization)
    colleagues = {each.email: each for each in Assistants(organization).colleagues}
    rows: list[tuple[str, ...]] = [
        (email, login, f"{colleagues[email].account}" if email in colleagues else number, team)
        for email, login, number, team in team_rows(organization)
    ]
    others = [each for each in colleagues.values() if each.member is None]
    # The last of them is not listed: the program does not know who that is.
    rows += [
        (each.email, each.login, f"{each.account}", _team_of(each.index)) for each in others[:-1]
    ]
    return rows


def team_rows(organization: Organization) -> list[tuple[str, ...]]:
    """The rows of an IDENTITY_FILE: most people are in teams of unequal sizes, some in none."""
    return [
        (
            member.name,
            member.name.partition("@")[0].replace(".", "-"),
            str(member.index + 1),
            "" if member.service else _team_of(member.index),
        )
        for member in organization.members
    ]


def _team_of(index: int) -> str:
    return _TEAMS[index**2 // 3 % len(_TEAMS)] if index % _TEAMLESS else ""


def demo_settings(simulator: Simulator, own: Settings, source: str) -> Settings:
    """Defaults for all settings except the paths: the user's own are for another organization."""
    folder = own.export_dir / _FOLDER
    names = _ALL if source == ALL_SOURCES else (source,)
    access: dict[str, Any] = {}
    for name in names:
        access |= _ACCESS[name](simulator)
    settings = Settings.model_construct(
        metrics_source=source,
        sources=names if source == ALL_SOURCES else (),
        cookie_file=folder / "secrets" / "cookies.json",
        export_dir=folder,
        output_mode=own.output_mode,
        store_url=sqlite_url(folder / "usage.db"),
        identity_file=folder / _PEOPLE,
        enterprise_id=own.enterprise_id,
        reconcile="warn",  # for `_day_that_does_not_add_up`
        seat_prices=SeatPrices({name: price for name, price in _SEATS.items() if name in names}),
        **access,
    )
    return settings.using(Libraries(direct=True))  # a proxy cannot reach the simulator


def _remove_store(settings: Settings) -> None:
    """Another seed is another organization, whose days must not be mixed with these."""
    store = settings.export_dir / "usage.db"
    with store_of(settings).locked():
        for suffix in ("", "-wal", "-shm"):
            store.with_name(f"{store.name}{suffix}").unlink(missing_ok=True)


def write_people(settings: Settings, organization: Organization, source: str) -> None:
    """Write the IDENTITY_FILE of these settings."""
    with Publication(settings.file_mode) as publication:
        file = settings.export_dir / _PEOPLE
        publication.add(file, render(HEADER, people_rows(organization, source)))
        publication.publish()


def _wednesday_before(today: date) -> date:
    """A Wednesday of the last two weeks: most people work on it."""
    return today - timedelta(days=_SPIKE_AGO + (today.weekday() - 2 - _SPIKE_AGO) % 7)


def _day_that_does_not_add_up(today: date) -> Fault:
    """On this day, the Analytics API's total of messages exceeds the sum of its users."""
    messages = MESSAGES.name
    day = today - timedelta(days=_DAYS_AGO)
    return Fault(raise_total(day, messages, _TOO_MANY), "daily-usage")
