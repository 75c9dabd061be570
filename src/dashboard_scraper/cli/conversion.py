"""Converts a CSV of the dashboard's columns to Copilot JSON."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from msgspec.structs import replace

from dashboard_scraper.cli.output import print_lines
from dashboard_scraper.cli.wiring import audience_of
from dashboard_scraper.errors import UsageError
from dashboard_scraper.exports import copilot_converter as copilot
from dashboard_scraper.exports.csv_days import window_of_file, window_of_options
from dashboard_scraper.exports.csv_import import read_users
from dashboard_scraper.files import (
    behind_links,
    make_folder,
    remove_leftovers_beside,
    replaced_or_set_aside,
)
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import is_active, values_of
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.people import is_pseudonym
from dashboard_scraper.people.pseudonyms import as_they_are
from dashboard_scraper.publication import Publication
from dashboard_scraper.settings.config import Settings

logger = logging.getLogger(__name__)


def convert(
    settings: Settings,
    file: Path,
    days: tuple[date | None, date | None, date | None],
    out: Path | None,
) -> None:
    """Write the JSON, and print its path; `days` are --day, --start and --end."""
    if not file.name:
        raise UsageError(f"{file} is not a file; name the CSV to convert")
    window = window_of_options(*days) or _window_named_by(file)
    target = out.absolute() if out else file.absolute().with_suffix(".json")
    if behind_links(target) == behind_links(file):
        raise UsageError(f"{file} would be overwritten; choose another name with --out")
    # The CSV is not from the source that is set: a name without `@` in it is a service account's.
    audience = audience_of(settings).of("")
    with replaced_or_set_aside([target]):
        rows = read_users(file)
        if all(is_pseudonym(row.user) for row in rows):  # from an export with pseudonyms
            audience = replace(audience, rename=as_they_are)
        _warn_of_other_days(rows, window)
        users = audience.shown(rows, len(window))
        if not users:
            logger.warning("%s has no users, only a header", file.name)
        lines = _lines(rows, users, audience)
        stamp = copilot.stamp_of(window.end, window, settings.enterprise_id)
        make_folder(target.parent, settings.file_mode)
        remove_leftovers_beside([target])
        with Publication(settings.file_mode) as publication:
            publication.add(target, copilot.json_array(stamp, lines))
            publication.publish()
    logger.info("%s: %d users, %d with activity", window, len(users), len(lines))
    print_lines([target])


def _lines(
    rows: Iterable[UserUsage], users: Sequence[UserUsage], audience: Audience
) -> list[bytes]:
    """The records, without stamp, of the active users among those that the rows show."""
    persons = [audience.person_of_shown(user.user) for user in users]
    ids = copilot.reported_user_ids(persons)
    flags = copilot.flags_by_name(rows, audience, audience.person)
    return [
        copilot.line_of(
            copilot.head_of(ids[person], user.user), values_of(user.figures), flags[person]
        )
        for user, person in zip(users, persons, strict=True)
        if is_active(user.figures)
    ]


def _window_named_by(file: Path) -> Window:
    try:
        return window_of_file(file)
    except UsageError:
        if not file.exists():
            raise UsageError(f"{file} does not exist") from None
        raise


def _warn_of_other_days(users: Iterable[UserUsage], window: Window) -> None:
    """Warn, since the sums of a month would pass for those of a day."""
    most, user = max(
        ((each.figures.active_days or 0, each.user) for each in users), default=(0, "")
    )
    if most > len(window):
        logger.warning(
            "%s was active on %d days, which is more than there are in %s: give the days of the"
            " CSV with --day, or with --start and --end",
            user,
            most,
            window,
        )
