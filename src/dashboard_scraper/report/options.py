"""What the settings say of the report; apart from what makes it, which takes longer to import."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dashboard_scraper.identity import Identities
from dashboard_scraper.pseudonyms import Rename, shown_users
from dashboard_scraper.usage import UserUsage

REPORT = "report.html"
"""The name of the file, and of its template."""


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
