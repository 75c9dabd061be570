"""What the settings say of the report; apart from what makes it, which takes longer to import."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard_scraper.model.tolerance import EXACT, Tolerance

REPORT = "report.html"
"""The name of the file, and of its template."""

MOST_DAYS = 3 * 366
"""Each takes about 1 KB of the page, and a place in every chart."""


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What the settings say of the page: whether it names users, and up to where they may be away
    from the source's own totals.
    """

    users: bool = True
    tolerance: Tolerance = EXACT
