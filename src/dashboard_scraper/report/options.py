"""The report's options, in a separate module since the others take longer to import."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from dashboard_scraper.model.seat_prices import NO_PRICES, SeatPrices
from dashboard_scraper.model.tolerance import EXACT, Tolerance
from dashboard_scraper.people.groups import MIN_GROUP_SIZE

if TYPE_CHECKING:
    from dashboard_scraper.people.roster import Roster

REPORT = "report.html"
"""The name of the report's file and of its template."""

MOST_DAYS = 3 * 366
"""The longest period of a page, in days: each day takes about 1 KB, and space in every chart."""


class ReportOptions(msgspec.Struct, frozen=True):
    """Whether the page has a table of users, the tolerance beyond which users and the source's
    totals count as different, how many days after its end a day's counts and its costs are settled,
    what a seat of each source costs per month, the size below which a team is not shown separately,
    and who should be using what.
    """

    users: bool = True
    tolerance: Tolerance = EXACT
    settle_days: int = 0
    cost_settle_days: int = 0
    seat_prices: SeatPrices = NO_PRICES
    min_group_size: int = MIN_GROUP_SIZE
    roster: Roster | None = None
