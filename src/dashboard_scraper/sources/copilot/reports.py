"""A report: the call for its links, GitHub's answers if there is none, and its lines by day."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import date
from typing import IO

import msgspec

from dashboard_scraper.decoding import decodable, decoding
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.files import explained
from dashboard_scraper.model.dates import Window
from dashboard_scraper.sources.copilot.records import REPORT_DAYS
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.repeated_keys import refuse_repeated_keys

MOST_LINKS = 10_000


class NoReport(msgspec.Struct, frozen=True):
    """GitHub has no report. `face` is how it said so.

    The answer is `ambiguous` if GitHub gives the same one to those who may not see the report.
    """

    face: str
    ambiguous: bool = False


class _Links(msgspec.Struct):
    download_links: list[str]


@decodable
class _Day(_Links):
    report_day: date | None = None


@decodable
class _Period(_Links):
    report_start_day: date | None = None
    report_end_day: date | None = None


_OWN_FIELDS = ("download_links", "report_day", *REPORT_DAYS)


class Links(msgspec.Struct, frozen=True):
    """The links to all parts of a report, and the days that it covers."""

    urls: tuple[str, ...]
    days: Window


def links_in(
    endpoint: str, body: bytes | bytearray, asked: date | None, envelope: Envelope
) -> Links | NoReport:
    """What the report call answered: for the day `asked`, or without one for the latest days.

    ContractBroken for links to another day's report, and for anything that is not documented.
    """
    if body.lstrip()[:1] == b'"':
        with decoding(endpoint):
            msgspec.json.decode(body, type=str)
        return NoReport("a text in place of links")
    with decoding(endpoint):
        found = _decoded(body, one_day=asked is not None)
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    refuse_repeated_keys(endpoint, body)
    envelope.read(fields, _OWN_FIELDS)
    if not found.download_links:
        return NoReport("no links")
    _check_links(endpoint, found.download_links)
    return Links(tuple(found.download_links), _days_of(endpoint, found, asked))


def _decoded(body: bytes | bytearray, *, one_day: bool) -> _Day | _Period:
    if one_day:
        return msgspec.json.decode(body, type=_Day)
    return msgspec.json.decode(body, type=_Period)


def _check_links(endpoint: str, links: list[str]) -> None:
    if len(links) > MOST_LINKS:
        raise ContractBroken(f"{endpoint}: there are more than {MOST_LINKS:,} download_links")
    if len(set(links)) < len(links):
        raise ContractBroken(f"{endpoint}: a link occurs twice in download_links")


def _days_of(endpoint: str, found: _Day | _Period, asked: date | None) -> Window:
    if isinstance(found, _Day):
        if found.report_day is None or asked is None:
            raise ContractBroken(f"{endpoint}: the field report_day is missing")
        if found.report_day != asked:
            raise ContractBroken(
                f"{endpoint}: report_day is {found.report_day}, but {asked} was requested"
            )
        return Window(asked, asked)
    start, end = found.report_start_day, found.report_end_day
    if start is None or end is None or start > end:
        raise ContractBroken(f"{endpoint}: report_start_day and report_end_day are not a period")
    return Window(start, end)


def temporary_files() -> AbstractContextManager[None]:
    """Raise OutputFailed if a temporary file cannot be written, for example to a full disk."""
    return explained(f"a temporary file in {tempfile.gettempdir()}")


class _DayOf(msgspec.Struct):
    day: date


_DAY = msgspec.json.Decoder(_DayOf)


class Month:
    """The lines of a report of many days, by day, in temporary files: each day is read in its turn,
    so that only this day is in memory.
    """

    def __init__(self, endpoint: str, days: Window) -> None:
        self.days = days
        self._endpoint = endpoint
        self._files: dict[date, IO[bytes]] = {}
        self._lock = threading.Lock()

    def add(self, line: bytes) -> None:
        """Append a line to the file of its day."""
        with decoding(self._endpoint):
            day = _DAY.decode(line).day
        if day not in self.days:
            raise ContractBroken(
                f"{self._endpoint}: a record is of {day}, outside of the report's {self.days}"
            )
        with temporary_files():
            if day not in self._files:
                self._files[day] = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
            self._files[day].write(line + b"\n")

    def holds(self, day: date) -> bool:
        """Whether there are lines of the day that were not taken yet."""
        with self._lock:
            return day in self._files

    def take(self, day: date) -> Iterator[bytes]:
        """The lines of a day, which are then removed."""
        with self._lock:
            file = self._files.pop(day)
        with contextlib.closing(file):
            with temporary_files():
                file.seek(0)  # this writes what is still in memory
            for line in file:
                yield line.rstrip(b"\n")

    def close(self) -> None:
        """Delete what was not taken."""
        with self._lock:
            for file in self._files.values():
                file.close()
            self._files.clear()


@decodable
class _OwnMonth(msgspec.Struct):
    report_start_day: date
    report_end_day: date
    day_totals: list[msgspec.Raw]


def days_in_month(endpoint: str, body: bytes | bytearray, days: Window) -> list[msgspec.Raw]:
    """The records of the days in the tenant's own report of many days."""
    with decoding(endpoint):
        month = msgspec.json.decode(body, type=_OwnMonth)
    if (month.report_start_day, month.report_end_day) != (days.start, days.end):
        raise ContractBroken(
            f"{endpoint}: the report is of {month.report_start_day} to {month.report_end_day}, its"
            f" links were of {days}"
        )
    return month.day_totals
