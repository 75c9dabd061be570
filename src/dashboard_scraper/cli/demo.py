"""Runs the real program against a simulated source on this machine, with made-up users."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

from pydantic import SecretStr
from urllib3.util import parse_url

from dashboard_scraper.cli.fetching import backfill_days, fetch_daily
from dashboard_scraper.cli.sign_in import store_session
from dashboard_scraper.cli.wiring import read_settings
from dashboard_scraper.clock import utc_now
from dashboard_scraper.csv_text import render
from dashboard_scraper.files import Publication
from dashboard_scraper.model.dates import DAYS, last_complete_days, utc_day
from dashboard_scraper.model.metrics import MESSAGES
from dashboard_scraper.people.identity import HEADER
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.settings.groups import sqlite_url
from dashboard_scraper.settings.library_settings import Libraries
from dashboard_scraper.simulator import Billing, Fault, Organization, Simulator, raise_total
from dashboard_scraper.sources.dashboard.cookie_auth import SESSION_COOKIE
from dashboard_scraper.sources.dashboard.cookie_paste import parse_paste
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import store_of

_FOLDER, _PEOPLE = "demo", "people.csv"
# The report shows 28 days beside the 28 before them, whose trailing figures need 28 more.
_DAYS_STORED = 3 * DAYS
# At the Analytics API's real rate limit, the demo would take an hour.
_CLOCK_SCALE = 1000
_TEAMS = ("platform", "payments", "mobile", "data", "design-systems")
_TEAMLESS = 12  # one person in so many
_DAYS_AGO, _TOO_MANY = 12, 17
_SPIKE_AGO = 5  # days, at least


def run_demo(
    home: Path, log_level: str | None, *, users: int, seed: int, source: str, billing: Billing
) -> None:
    """Fill a store of its own with 84 days, and run the 28-day job on it."""
    today = utc_day(utc_now())
    organization = Organization(users=users, seed=seed, today=today, billing=billing)
    with Simulator(organization, clock_scale=_CLOCK_SCALE) as simulator:
        simulator.add_fault(_day_that_does_not_add_up(today))
        with suppress(LookupError):  # in a tiny organization, nobody may have costs on that day
            simulator.plant_spike(_wednesday_before(today))
        settings = _settings_for(simulator, read_settings(home, log_level), source)
        _remove_store(settings)
        _write_people(settings, organization)
        if source == DASHBOARD:
            host = parse_url(simulator.url).host or ""
            cookies = parse_paste(f"{SESSION_COOKIE}={simulator.cookie}", host)
            store_session(settings, cookies, today, check=True)
        backfill_days(settings, last_complete_days(_DAYS_STORED, today))
        fetch_daily(settings, None)


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


def _settings_for(simulator: Simulator, own: Settings, source: str) -> Settings:
    """Defaults for all settings but the paths: the user's own are for another dashboard."""
    folder = own.export_dir / _FOLDER
    settings = Settings.model_construct(
        metrics_source=source,
        metrics_api_base_url=simulator.url,
        cookie_file=folder / "secrets" / "cookies.json",
        augment_api_token=SecretStr(simulator.token),
        analytics_api_base_url=simulator.url,
        analytics_requests_per_minute=10 * _CLOCK_SCALE,
        cost_requests_per_minute=30 * _CLOCK_SCALE,
        analytics_ready_hour=0,
        fetch_editor_language="true",
        export_dir=folder,
        output_mode=own.output_mode,
        store_url=sqlite_url(folder / "usage.db"),
        identity_file=folder / _PEOPLE,
        enterprise_id=own.enterprise_id,
        reconcile="warn",  # for `_day_that_does_not_add_up`
    )
    return settings.using(Libraries(direct=True))  # a proxy cannot reach the simulator


def _remove_store(settings: Settings) -> None:
    """Another seed is another organization, whose days must not be mixed with an earlier demo's."""
    store = settings.export_dir / "usage.db"
    with store_of(settings).locked():
        for suffix in ("", "-wal", "-shm"):
            store.with_name(f"{store.name}{suffix}").unlink(missing_ok=True)


def _write_people(settings: Settings, organization: Organization) -> None:
    with Publication(settings.file_mode) as publication:
        file = settings.export_dir / _PEOPLE
        publication.add(file, render(HEADER, team_rows(organization)))
        publication.publish()


def _wednesday_before(today: date) -> date:
    """A Wednesday of the last two weeks: most people work on it."""
    return today - timedelta(days=_SPIKE_AGO + (today.weekday() - 2 - _SPIKE_AGO) % 7)


def _day_that_does_not_add_up(today: date) -> Fault:
    """On this day, the Analytics API's total of messages exceeds the sum of its users."""
    messages = MESSAGES.name
    day = today - timedelta(days=_DAYS_AGO)
    return Fault(raise_total(day, messages, _TOO_MANY), "daily-usage")
