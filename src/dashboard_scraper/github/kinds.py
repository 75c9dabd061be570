"""The kinds of GitHub's reports, and the options for all of them."""

from __future__ import annotations

from enum import Enum

import msgspec

from dashboard_scraper.model.dates import DAYS, Window


class Scope(Enum):
    """Whom a report covers; reports on the whole are named after it, such as `enterprise-1-day`."""

    ENTERPRISE = "enterprise"
    ORGANIZATION = "organization"


class Subject(Enum):
    """What a report's records are about; other reports are named after it: `users-1-day`."""

    WHOLE = ""
    USERS = "users"
    TEAMS = "user-teams"


class Report(msgspec.Struct, frozen=True):
    """One of GitHub's reports: a `latest` one covers 28 days, any other a single day.

    With `part`, only the records of these days: a report on many users has several downloads.
    `merge_ides`: in a report on the whole, one row stands for all editors.
    """

    scope: Scope
    subject: Subject
    window: Window
    latest: bool
    part: Window | None = None
    merge_ides: bool = False

    @property
    def days(self) -> Window:
        """The days of its records."""
        return self.part or self.window

    @property
    def name(self) -> str:
        """GitHub's name for it, such as `users-1-day`."""
        return f"{self.subject.value or self.scope.value}-{DAYS if self.latest else 1}-day"


class GithubOptions(msgspec.Struct, frozen=True):
    """Options of GitHub's reports; without `organization_id` there are no reports on an
    organization.

    `merge_ides`: whether reports on the whole have one row for all editors, unless a reader asks
    for something else.
    """

    enterprise_id: str
    organization_id: str | None = None
    merge_ides: bool = True
    users_28_day_files: bool = False
    with_credits: bool = False

    def ids(self, scope: Scope) -> dict[str, str]:
        """The fields of every record that identify the enterprise and organization."""
        ids = {"enterprise_id": self.enterprise_id}
        if scope is Scope.ORGANIZATION and self.organization_id:
            ids["organization_id"] = self.organization_id
        return ids
