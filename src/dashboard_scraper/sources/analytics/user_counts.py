"""Compares the number of users that the Analytics API says it returned with those that came."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.listing import listed


class UserCounts:
    """The `returned_user_count` of each page, and the number of users on it."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._reported: list[int | None] = []
        self._here: list[int] = []
        self._new: list[int] = []
        self._records: list[int] = []
        self._seen: set[str] = set()

    def add(self, reported: int | None, names: Sequence[str]) -> None:
        """Add a page, whose records have these names."""
        here = set(names)
        self._reported.append(reported)
        self._here.append(len(here))
        self._new.append(len(here - self._seen))
        self._records.append(len(names))
        self._seen |= here

    def check(self) -> bool:
        """Whether it counts users; False if it counts records, of which a user may have several.

        It may count the users of each page, the users of each page that no earlier page had, or
        those of the whole answer; or the records of each page or of the whole answer.
        ContractBroken if it is none of these: then something is missing.
        """
        users = (self._here, self._new, self._everywhere(len(self._seen)))
        if self._reported in users:
            return True
        if self._reported in (self._records, self._everywhere(sum(self._records))):
            return False
        reported = listed(["no number" if n is None else n for n in self._reported])
        raise ContractBroken(
            f"{self._endpoint}: metadata.returned_user_count is {reported}, but"
            f" {len(self._seen)} users came on {len(self._reported)} pages"
        )

    def _everywhere(self, count: int) -> list[int]:
        return [count] * len(self._reported)
