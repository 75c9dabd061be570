"""One answer about users: collected from its pages, and judged as a whole."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.logs import Once
from dashboard_scraper.model.figures import lacks_required
from dashboard_scraper.model.metrics import REQUIRED
from dashboard_scraper.model.usage import OtherRecords, UserUsage
from dashboard_scraper.sources.dashboard.fields import FIELDS
from dashboard_scraper.sources.dashboard.user_records import Reading, decode_records, usage_of
from dashboard_scraper.sources.rest.distinct import DistinctUsers
from dashboard_scraper.sources.rest.pagination import Page, refuse_too_many

# Only one thread at a time decodes a page: more would not be faster, and each needs memory.
_DECODING = threading.Lock()


def _emptied(records: list[Any]) -> Iterator[Any]:
    """Yield each record after removing it from the list: they need as much memory as the users."""
    records.reverse()
    while records:
        yield records.pop()


class UsersAnswer:
    """The users in one answer, or records of another API behind the same URL."""

    def __init__(self, reading: Reading, reported: Once) -> None:
        self._reading = reading
        self._reported = reported
        self._users = DistinctUsers(reading.endpoint)
        self._others: list[dict[str, Any]] = []
        self._gone = set(FIELDS)

    def __len__(self) -> int:
        return len(self._users) + len(self._others)

    def add(self, page: Page) -> int:
        """Decode a page and add its records; returns how many there are."""
        with _DECODING:
            decoded = decode_records(self._reading, page)
            if isinstance(decoded, OtherRecords):
                self._others += decoded.records
                count = len(decoded.records)
            else:
                records, extras = decoded
                count = len(records)
                for record, extra in zip(_emptied(records), extras, strict=False):
                    usage = usage_of(self._reading, record, extra, self._gone)
                    self._report_unknown(usage)
                    self._users.add(usage, record.user)
        refuse_too_many(self._reading.endpoint, len(self))
        return count

    def result(self) -> list[UserUsage] | OtherRecords:
        """Every user, sorted by name, after the last page."""
        endpoint = self._reading.endpoint
        if self._others and len(self._users):
            raise ContractBroken(f"{endpoint}: some records are user statistics, some are not")
        if self._others:
            return OtherRecords(self._others)
        if len(self._users):
            self._judge_gone(endpoint)
        return self._users.by_name()

    def _report_unknown(self, usage: UserUsage) -> None:
        if lacks_required(usage.figures):
            for metric in REQUIRED:
                if usage.figures[metric] is None:
                    self._reported.warn("%s is unknown for some users", FIELDS[metric])

    def _judge_gone(self, endpoint: str) -> None:
        """A field without a value in any record has probably been renamed."""
        for metric, field in FIELDS.items():
            if metric not in self._gone:
                continue
            if metric.required:
                raise ContractBroken(
                    f"{endpoint}: no record has a value for {field}; has the field been renamed?"
                )
            if field not in self._reading.oddities:
                self._reported.warn("no record has a value for %s", field)
