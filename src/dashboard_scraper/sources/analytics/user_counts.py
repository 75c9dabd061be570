"""Checks how many users the Analytics API says that it returned, against those that came."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.listing import listed


class UserCounts:
    """`returned_user_count` of each page, and how many users came on it."""

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

        Users are those of the page, those that no earlier page had, or those of the whole answer,
        and records are those of the page or of the whole answer. ContractBroken if it is none of
        these: then something is missing.
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
