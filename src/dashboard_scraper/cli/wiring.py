"""Builds the objects that commands work with from the settings."""

from __future__ import annotations

import logging
from decimal import Decimal
from functools import partial
from pathlib import Path

from dashboard_scraper.clock import Clock
from dashboard_scraper.errors import UsageError
from dashboard_scraper.exports.daily_export import DailyExport, Outputs
from dashboard_scraper.github.kinds import GithubOptions
from dashboard_scraper.logs import configure_logging
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.reconciliation import Rules
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.identity import Identities, people_of, read_identities
from dashboard_scraper.people.people import People
from dashboard_scraper.people.pseudonyms import rename_of
from dashboard_scraper.people.roster import Roster, read_roster
from dashboard_scraper.report.options import ReportOptions
from dashboard_scraper.settings.config import Settings, load_settings
from dashboard_scraper.sources.registry import lag_days_of
from dashboard_scraper.store import Store, store_of
from dashboard_scraper.store.settling import Settling
from dashboard_scraper.sync.cost_rules import CostRules
from dashboard_scraper.sync.revisions import Caution

logger = logging.getLogger(__name__)


def read_settings(home: Path, log_level: str | None, **overrides: object) -> Settings:
    """Read the settings and configure logging at their level, or at the command line's."""
    if log_level:
        overrides["log_level"] = log_level
    settings = load_settings(home, **overrides)
    configure_logging(settings.log_level, settings.log_format)
    for remark in settings.remarks:
        logger.warning("%s", remark)
    return settings


def daily_export(settings: Settings, window: Window, folder: Path | None) -> DailyExport:
    """The export of a window, into `folder` or the window's usual folder."""
    outputs = outputs_of(settings)
    return DailyExport(
        window,
        folder or outputs.of_window(window),
        outputs,
        settings.source,
        settings.settle_days,
        settings.cost_settle_days,
        settings.enterprise_id,
        audience_of(settings),
        github_options(settings),
        report_options(settings),
        settings.reconcile_tolerance,
    )


def outputs_of(settings: Settings) -> Outputs:
    """Where and how output files are written."""
    return Outputs(settings.export_dir, settings.file_mode, settings.retention_exports)


def report_options(settings: Settings) -> ReportOptions:
    """The options of the report; UsageError if ROSTER_FILE is invalid."""
    return ReportOptions(
        settings.report_users,
        settings.reconcile_tolerance,
        settings.settle_days,
        settings.cost_settle_days,
        settings.seat_prices,
        settings.min_group_size,
        roster_of(settings),
    )


def roster_of(settings: Settings) -> Roster | None:
    """Who should be using what, from ROSTER_FILE if it is set; UsageError if it is invalid."""
    if settings.roster_file is None:
        return None
    return read_roster(settings.roster_file, people_of(identities_of(settings)))


def existing_store(settings: Settings, people: People) -> Store:
    """The store, which joins these people; UsageError if there is none yet."""
    store = store_of(settings, people)
    if not store.exists():
        raise UsageError(f"there is no store at {store.shown}; fix STORE_URL")
    return store


def identities_of(settings: Settings) -> Identities:
    """The persons in IDENTITY_FILE, if it is set; UsageError if the file is invalid."""
    return read_identities(settings.identity_file) if settings.identity_file else {}


def rules_of(settings: Settings) -> Rules:
    """How a run treats days in doubt."""
    return Rules(settings.reconcile_tolerance, warn_of_unreconciled=settings.reconcile == "warn")


def settling_of(settings: Settings) -> Settling:
    """When counts and costs are expected and final."""
    lag_of = partial(lag_days_of, settings)
    return Settling(settings.settle_days, settings.cost_settle_days, lag_of)


def caution_of(settings: Settings, clock: Clock) -> Caution:
    """The rules for accepting an answer that differs from an earlier one."""
    confirmations = settings.revision_confirmations
    return Caution(
        settings.revision_limit / 100,
        confirmations,
        settings.settle_days,
        clock,
        settings.reconcile_tolerance,
    )


def cost_rules_of(settings: Settings, clock: Clock) -> CostRules:
    """When costs are final, and when an answer may lack some."""
    limit = Decimal(f"{settings.revision_limit}") / 100
    return CostRules(settings.cost_settle_days, settings.revision_confirmations, limit, clock)


def github_options(settings: Settings) -> GithubOptions:
    """The options of GitHub's reports."""
    return GithubOptions(
        enterprise_id=settings.enterprise_id,
        organization_id=settings.organization_id,
        merge_ides=settings.github_reports_merge_ides,
        users_28_day_files=settings.github_reports_users_28_day,
        with_credits=settings.github_reports_credits,
    )


def audience_of(settings: Settings) -> Audience:
    """Whom outputs show, which addresses belong to one person, and the name to show; UsageError if
    IDENTITY_FILE or PSEUDONYM_KEY_FILE is invalid.

    With pseudonyms, IDENTITY_FILE is only used to merge a person's addresses: logins, ids and teams
    would reveal who somebody is.
    """
    identities = identities_of(settings)
    people = people_of(identities).of(settings.source)
    readable = settings.allow_readable_secrets
    rename = rename_of(settings.pseudonym_key_file, people.key, allow_readable=readable)
    if settings.pseudonym_key_file and identities:
        logger.info("with pseudonyms, the logins, ids and teams of IDENTITY_FILE are not exported")
        identities = {}
    return Audience(rename, settings.include_service_accounts, identities, people)
