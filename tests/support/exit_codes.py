"""After which exit codes a job may be started again by itself."""

from __future__ import annotations

from dashboard_scraper import errors

AGAIN = {errors.SourceUnavailable, errors.DaysMissing, errors.LockHeld}
"""Those errors after which a later attempt may go better by itself."""


def final_exit_codes() -> set[int]:
    """Those after which somebody has to do something first."""
    every = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.ScraperError)
    }
    return every - {kind.exit_code for kind in AGAIN}
