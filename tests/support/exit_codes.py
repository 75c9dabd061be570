"""The exit codes after which a job may be started again without a person."""

from __future__ import annotations

from dashboard_scraper import errors

AGAIN = {errors.SourceUnavailable, errors.DaysMissing, errors.LockHeld}
"""Those errors after which a later attempt may go better by itself."""


def final_exit_codes() -> set[int]:
    """The exit codes after which a person has to act first."""
    every = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.ScraperError)
    }
    return every - {kind.exit_code for kind in AGAIN}
