"""Checks how many users the Analytics API says that it returned, against those that came."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.listing import listed


class UserCounts:
    """`returned_user_count` of each page, and how many users came on it."""

    def __init__(self, endpoint: str, *, one_record_each: bool = False) -> None:
        """`one_record_each`: a user has one record in an answer, so records may be counted."""
        self._endpoint = endpoint
        self._one_record_each = one_record_each
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

    def check(self) -> None:
        """ContractBroken unless the numbers fit one of the meanings that the field can have.

        These are the users of the page, those that no earlier page had, and those of the whole
        answer. A user who came twice may have been counted twice.
        """
        everywhere = [len(self._seen)] * len(self._reported)
        records = self._records if self._one_record_each else everywhere
        if self._reported not in (self._here, self._new, everywhere, records):
            reported = listed(["no number" if n is None else n for n in self._reported])
            raise ContractBroken(
                f"{self._endpoint}: metadata.returned_user_count is {reported}, but"
                f" {len(self._seen)} users came on {len(self._reported)} pages"
            )
