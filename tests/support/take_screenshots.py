"""Takes the screenshots of the report for the README, with made-up figures of fixed days.

python tests/support/take_screenshots.py FOLDER
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from selenium.webdriver.common.by import By

import browser
from dashboard_scraper.cli.demo import demo_settings, team_rows, write_people
from dashboard_scraper.cli.fetching import backfill_days
from dashboard_scraper.cli.several import for_each_source
from dashboard_scraper.cli.wiring import audience_of, report_options
from dashboard_scraper.csv_text import render
from dashboard_scraper.errors import DaysMissing
from dashboard_scraper.exports.report_file import write_page
from dashboard_scraper.model.dates import Window
from dashboard_scraper.people.identity import HEADER
from dashboard_scraper.settings.config import Settings, load_settings
from dashboard_scraper.simulator import Organization, Simulator
from dashboard_scraper.sources.registry import ALL_SOURCES
from dashboard_scraper.store import store_at

TODAY = date(2026, 11, 2)
WIDTHS = {1280: "f-together-day", 768: "f-together-day", 360: "f-together-week"}
"""The widths of the screenshots, with the chart after which each ends."""
_BELOW = 24


def page_in(home: Path, users: int = 240, weeks: int = 12) -> Path:
    """The report of an organization with this many weeks in the store."""
    organization = Organization(users=users, seed=7, today=TODAY)
    people = home / "people.csv"
    people.write_bytes(render(HEADER, team_rows(organization)))
    now = datetime(TODAY.year, TODAY.month, TODAY.day, 12, tzinfo=UTC)
    with Simulator(organization, rate_limit=False) as simulator:
        settings = load_settings(
            home,
            analytics_api_base_url=simulator.url,
            augment_api_token=simulator.token,
            analytics_requests_per_minute=60000,
            analytics_burst=1000,
            fetch_editor_language="true",
            identity_file=people,
        )
        window = Window(TODAY - timedelta(7 * weeks), TODAY - timedelta(1))
        backfill_days(settings, window, lambda: now)
    audience, options = audience_of(settings), report_options(settings)
    store, target = store_at(settings.store_url), home / "report.html"
    write_page(store, [settings.source], None, audience, options, target, TODAY)
    return target


def page_of_all(home: Path) -> Path:
    """The report of every assistant of an organization."""
    organization = Organization(users=240, seed=7, today=TODAY)
    now = datetime(TODAY.year, TODAY.month, TODAY.day, 12, tzinfo=UTC)
    with Simulator(organization, rate_limit=False) as simulator:
        settings = demo_settings(simulator, load_settings(home), ALL_SOURCES)
        settings.export_dir.mkdir(parents=True)
        write_people(settings, organization, ALL_SOURCES)
        window = Window(TODAY - timedelta(12 * 7), TODAY - timedelta(1))

        def fetch(each: Settings) -> None:
            with contextlib.suppress(DaysMissing):  # Copilot publishes days later than others
                backfill_days(each, window, lambda: now)

        for_each_source(settings, fetch)
    audience, options = audience_of(settings), report_options(settings)
    store, target = store_at(settings.store_url), home / "report.html"
    write_page(store, settings.covered, None, audience, options, target, TODAY)
    return target


def main(folder: Path) -> None:
    """Write a screenshot for each width, light and dark."""
    with tempfile.TemporaryDirectory() as home, browser.started() as chromium:
        page = page_of_all(Path(home))
        for width, section in WIDTHS.items():
            for dark in (False, True):
                browser.show(chromium, width, dark=dark)
                browser.open_page(chromium, page)
                last = chromium.find_element(By.ID, section).rect
                height = int(last["y"] + last["height"]) + _BELOW
                browser.show(chromium, width, height=height, dark=dark)
                name = f"report-{width}{'-dark' if dark else ''}.png"
                (folder / name).write_bytes(chromium.get_screenshot_as_png())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
