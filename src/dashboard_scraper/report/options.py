"""The report's options, in a module of their own since the others take longer to import."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard_scraper.model.tolerance import EXACT, Tolerance

REPORT = "report.html"
"""The name of the file and of its template."""

MOST_DAYS = 3 * 366
"""The longest period of a page: each day takes about 1 KB, and a place in every chart."""


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """Whether the page has a table of users, the tolerance beyond which users and the source's
    totals count as different, and how long after its end a day's costs are settled.
    """

    users: bool = True
    tolerance: Tolerance = EXACT
    cost_settle_days: int = 0
