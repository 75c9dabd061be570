"""What the commands do, once the command line is read; stdout gets the paths that they wrote."""

from __future__ import annotations

import logging
import os
import sys
from datetime import date, datetime
from pathlib import Path

from urllib3.util import parse_url

from dashboard_scraper import copilot_converter as copilot
from dashboard_scraper.analytics_client import refuse_unfinished
from dashboard_scraper.config import Endpoint, Settings
from dashboard_scraper.cookie_auth import (
    SESSION_COOKIE,
    SESSION_OVER,
    SIGN_IN,
    SIGN_IN_AGAIN,
    Cookies,
    CookieSession,
)
from dashboard_scraper.cookie_paste import parse_paste
from dashboard_scraper.csv_days import window_of_file, window_of_options
from dashboard_scraper.csv_import import read_users
from dashboard_scraper.daily_metrics import Clock, Job, backfill, run_daily_job
from dashboard_scraper.date_utils import DAYS, Window, last_complete_days, utc_day
from dashboard_scraper.errors import ScraperError, SignInRequired, UsageError
from dashboard_scraper.figures import is_active
from dashboard_scraper.files import (
    Publication,
    behind_links,
    make_folder,
    remove_leftovers_beside,
    replaced_or_set_aside,
)
from dashboard_scraper.http import origin_of
from dashboard_scraper.people import People
from dashboard_scraper.period_metrics import Period, default_name, export_period
from dashboard_scraper.progress import day_progress
from dashboard_scraper.revisions import Caution
from dashboard_scraper.running import (
    audience_of,
    daily_export,
    outputs_of,
    prepare_for_many_records,
    rules_of,
    tell,
    utc_now,
)
from dashboard_scraper.sources import check_session, source_maker
from dashboard_scraper.store import store_of
from dashboard_scraper.terminal import read_hidden
from dashboard_scraper.usage import ANALYTICS, DASHBOARD

logger = logging.getLogger(__name__)

_PASTE_LIMIT = 1 << 20

_HOW_TO_SIGN_IN = f"""\
How to sign in:
  1. Open {{base_url}} in your browser and log in.
  2. Open the developer tools (F12, or Cmd+Option+I), and there
     Application > Cookies > the dashboard (in Firefox: Storage > Cookies).
  3. Copy the value of the cookie {SESSION_COOKIE}.
  4. Paste it here and press Enter. It is not shown.
Also taken: {SESSION_COOKIE}=VALUE, a whole Cookie header, JSON, a row of the table of cookies, a
line of a cookies.txt, and "Copy as cURL", "as PowerShell" or "as fetch (Node.js)".
"""


def sign_in(settings: Settings, today: date, *, check: bool) -> None:
    """Try the session that is pasted or piped in, and store it."""
    if sys.stdin is None:
        raise UsageError("standard input is closed; pipe the cookie in, or use a terminal")
    if sys.stdin.isatty():
        sys.stderr.write(_HOW_TO_SIGN_IN.format(base_url=settings.metrics_api_base_url))
        text = read_hidden("Session cookie: ")
    else:
        text = _read_piped()
    keep_session(settings, parse_paste(text, _host(settings)), today, check=check)


def _host(settings: Settings) -> str:
    return parse_url(settings.metrics_api_base_url).host or ""


def keep_session(settings: Settings, cookies: Cookies, today: date, *, check: bool) -> None:
    """Replace the stored session by this one, once the dashboard has accepted it."""
    origin = origin_of(settings.metrics_api_base_url)
    session = CookieSession(settings.cookie_file, origin, cookies)
    if check:
        _prove(settings, session, today)
    session.store()
    logger.info("the session is saved in %s", settings.cookie_file)


def _prove(settings: Settings, session: CookieSession, today: date) -> None:
    """Raise what `check_session` raises, in words for somebody whose paste is not saved then."""
    stays = "; the stored one stays" if settings.cookie_file.exists() else ""
    try:
        check_session(settings, today, session)
    except SignInRequired as error:
        reason = f"{error}".replace(SESSION_OVER, "the dashboard does not accept it")
        reason = reason.replace(SIGN_IN_AGAIN, SIGN_IN)
        raise SignInRequired(f"the pasted session is not saved{stays}: {reason}") from error
    except ScraperError as error:
        raise type(error)(
            f"the pasted session could not be tried, and is not saved{stays}: {error};"
            " --auth --no-check saves it without trying"
        ) from error


def _read_piped() -> str:
    data = sys.stdin.buffer.read(_PASTE_LIMIT + 1)
    if len(data) > _PASTE_LIMIT:
        raise UsageError("standard input is too long for a cookie; pipe in the cookie alone")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError("standard input is no text; copy the cookie again") from None


def fetch_period(
    settings: Settings, now: datetime, window: Window | None, out: Path | None
) -> None:
    """The forms with dates, and the one without any."""
    today = utc_day(now)
    asked_for = window is not None
    window = window or last_complete_days(settings.lookback_days, today)
    if settings.source == ANALYTICS:
        refuse_unfinished(window, today)
    elif window.end == today:
        logger.warning("%s is not over yet, in UTC: its figures will still grow", today)
    target = (
        out.absolute()
        if out
        else (settings.export_dir / default_name(window, today, asked_for=asked_for))
    )
    # os.path: pathlib's methods raise for a name that no file can have.
    if os.path.exists(target) and not os.path.isfile(target):  # noqa: PTH110, PTH113
        raise UsageError(f"--out: {target} is no ordinary file; choose another name")
    selected = settings.scrape_endpoints
    if settings.source == ANALYTICS:
        selected = frozenset({Endpoint.USERS, Endpoint.TENANT})
    period = Period(window, now, target, selected, caution_of(settings, lambda: now))
    audience = audience_of(settings)
    store = store_of(settings, audience.people)
    make_source = source_maker(settings, store, lambda: now)
    rules, outputs = rules_of(settings), outputs_of(settings)
    paths, verdict = export_period(make_source, store, period, audience, outputs, rules)
    tell(paths)
    verdict.conclude()


def fetch_daily(
    settings: Settings, window: Window | None, *, refresh: bool = False, clock: Clock = utc_now
) -> None:
    """`--last-28-days`, and `--daily` with its window."""
    _check_users_selected(settings)
    window = window or last_complete_days(DAYS, utc_day(clock()))
    export = daily_export(settings, window, None)
    job = job_of(settings, clock, export.audience.people)
    make_source = source_maker(settings, job.store, clock)
    verdict = run_daily_job(job, make_source, export, refresh=refresh)
    tell(export.results())
    verdict.conclude()


def backfill_days(settings: Settings, window: Window, clock: Clock = utc_now) -> None:
    """`backfill`."""
    _check_users_selected(settings)
    job = job_of(settings, clock, audience_of(settings).people)
    backfill(job, source_maker(settings, job.store, clock), window).conclude()


def _check_users_selected(settings: Settings) -> None:
    if settings.source == DASHBOARD and Endpoint.USERS not in settings.scrape_endpoints:
        raise UsageError(f"fetching days needs {Endpoint.USERS.value} in SCRAPE_ENDPOINTS")


def job_of(settings: Settings, clock: Clock, people: People) -> Job:
    """How the settings want days to be fetched."""
    prepare_for_many_records()
    store = store_of(settings, people)
    caution = caution_of(settings, clock)
    workers, recheck_days = settings.max_concurrency, settings.recheck_days
    return Job(store, workers, caution, recheck_days, clock, day_progress, rules_of(settings))


def caution_of(settings: Settings, clock: Clock) -> Caution:
    """How far the settings believe an answer that differs from an earlier one."""
    confirmations = settings.revision_confirmations
    return Caution(
        settings.revision_limit / 100,
        confirmations,
        settings.settle_days,
        clock,
        settings.reconcile_tolerance,
    )


def convert(
    settings: Settings,
    file: Path,
    days: tuple[date | None, date | None, date | None],
    out: Path | None,
) -> None:
    """Convert a CSV of the dashboard's columns; `days` are --day, --start and --end."""
    window = window_of_options(*days) or window_of_file(file)
    target = out.absolute() if out else file.absolute().with_suffix(".json")
    if behind_links(target) == behind_links(file):
        raise UsageError(f"{file} would be written over; give --out another name")
    audience = audience_of(settings)
    with replaced_or_set_aside([target]):
        users = audience.shown(read_users(file), len(window))
        if not users:
            logger.warning("%s has a header alone: no users", file.name)
        persons = [audience.person_of_shown(user.user) for user in users]
        ids = copilot.reported_user_ids(persons)
        records = [
            copilot.convert(user, window.end, window, settings.enterprise_id, ids[person])
            for user, person in zip(users, persons, strict=True)
            if is_active(user.figures)
        ]
        make_folder(target.parent, settings.file_mode)
        remove_leftovers_beside([target])
        with Publication(settings.file_mode) as publication:
            publication.add(target, copilot.json_chunks(records))
            publication.publish()
    logger.info("%s: %d users, %d with activity", window, len(users), len(records))
    tell([target])
