"""What the settings say of the report; apart from what makes it, which takes longer to import."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dashboard_scraper.identity import Identities
from dashboard_scraper.pseudonyms import Rename, shown_users
from dashboard_scraper.usage import UserUsage

REPORT = "report.html"
"""The name of the file, and of its template."""

MOST_DAYS = 3 * 366
"""Each takes about 1 KB of the page, and a place in every chart."""


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What the settings say of the page: who is on it, under which names, and in which teams."""

    rename: Rename
    service_accounts: bool = True
    identities: Identities | None = None
    users: bool = True

    def shown(self, users: Iterable[UserUsage]) -> list[UserUsage]:
        """The users that outputs have, under the names that they have there."""
        return shown_users(users, self.rename, service_accounts=self.service_accounts)

    def shown_names(self, accounts: Iterable[tuple[str, bool]]) -> list[str]:
        """Names there of those that are shown, of names and whether each is a service account."""
        return [
            self.rename(name) for name, service in accounts if self.service_accounts or not service
        ]
