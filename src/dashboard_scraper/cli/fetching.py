"""Fetches days or a period according to the settings, and prints the paths it wrote."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from dashboard_scraper.cli.memory import prepare_for_many_records
from dashboard_scraper.cli.output import print_lines
from dashboard_scraper.cli.progress import day_progress
from dashboard_scraper.cli.wiring import (
    audience_of,
    caution_of,
    cost_rules_of,
    daily_export,
    outputs_of,
    rules_of,
)
from dashboard_scraper.clock import Clock, utc_now
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.dates import DAYS, Window, utc_day
from dashboard_scraper.people.people import People
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.sources.interface import MakeSource
from dashboard_scraper.sources.registry import info_of, products
from dashboard_scraper.store import Store, store_of
from dashboard_scraper.store.runs import NIGHTLY
from dashboard_scraper.sync.daily_metrics import backfill, run_daily_job
from dashboard_scraper.sync.day_fetching import Job
from dashboard_scraper.sync.period_metrics import Period, default_name, export_period

logger = logging.getLogger(__name__)


def fetch_period(
    settings: Settings, now: datetime, window: Window | None, out: Path | None
) -> None:
    """Fetch a period into one CSV: with dates, or the last LOOKBACK_DAYS days."""
    today = utc_day(now)
    asked_for = window is not None
    source = info_of(settings.source)
    window = window or source.last_days(settings, settings.lookback_days, today)
    source.check_period(window, today)
    target = (
        out.absolute()
        if out
        else (settings.export_dir / default_name(window, today, asked_for=asked_for))
    )
    # Not pathlib: its methods raise for a name that no file can have.
    if os.path.exists(target) and not os.path.isfile(target):  # noqa: PTH110, PTH113
        raise UsageError(f"--out: {target} is not a regular file; choose another name")
    selected = source.selection(settings)
    caution = caution_of(settings, lambda: now)
    period = Period(settings.source, window, now, target, selected, caution)
    audience = audience_of(settings)
    store = store_of(settings, audience.people)
    make_source = _source_maker(settings, store, lambda: now)
    rules, outputs = rules_of(settings), outputs_of(settings)
    paths, verdict = export_period(make_source, store, period, audience, outputs, rules)
    print_lines(paths)
    verdict.conclude()


def command_of(window: Window | None) -> str:
    """The name of a daily job in the table of runs."""
    return "daily" if window else NIGHTLY


def fetch_daily(
    settings: Settings, window: Window | None, *, refresh: bool = False, clock: Clock = utc_now
) -> None:
    """`--last-28-days`, and `--daily` with its window."""
    source = info_of(settings.source)
    source.check_days(settings)
    command = command_of(window)
    window = window or source.last_days(settings, DAYS, utc_day(clock()))
    export = daily_export(settings, window, None)
    job = _job_of(settings, command, clock, export.audience.people, _load_outputs)
    make_source = _source_maker(settings, job.store, clock)
    verdict = run_daily_job(job, make_source, export, refresh=refresh)
    print_lines(export.results())
    verdict.conclude()


def backfill_days(settings: Settings, window: Window, clock: Clock = utc_now) -> None:
    """`backfill`."""
    info_of(settings.source).check_days(settings)
    job = _job_of(settings, "backfill", clock, audience_of(settings).people)
    verdict = backfill(job, _source_maker(settings, job.store, clock), window)
    verdict.conclude()


def _load_outputs() -> None:
    """Import what will write the files: all formats and the page's templates take time."""
    from dashboard_scraper.exports import bundle  # noqa: F401, PLC0415
    from dashboard_scraper.report.render import load_assets  # noqa: PLC0415

    load_assets()
    products()  # an export removes earlier files that are named after another product


def _source_maker(settings: Settings, store: Store, clock: Clock) -> MakeSource:
    source = info_of(settings.source)
    return lambda: source.open(settings, store, clock)


def _job_of(
    settings: Settings,
    command: str,
    clock: Clock,
    people: People,
    meanwhile: Callable[[], None] = lambda: None,
) -> Job:
    """The job that the settings describe."""
    prepare_for_many_records()
    store = store_of(settings, people)
    caution = caution_of(settings, clock)
    return Job(
        store,
        settings.source,
        command,
        settings.export_dir,
        settings.days_at_once,
        caution,
        settings.recheck_days,
        cost_rules_of(settings, clock),
        clock,
        day_progress,
        rules_of(settings),
        meanwhile,
    )
