"""ROSTER_FILE: the company's list of who should be using what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import msgspec

from dashboard_scraper.errors import UsageError
from dashboard_scraper.people.people import People
from dashboard_scraper.people.people_file import numbered_rows, read_rows
from dashboard_scraper.sources.registry import SOURCES, info_of

COLUMNS = ("email", "name", "team", "seats", "started", "left")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_NAME = "ROSTER_FILE"


class Colleague(msgspec.Struct, frozen=True):
    """A person as the roster lists them.

    `seats` are the sources of the assistants for which the person has a seat; `left` is the
    person's last day in the company.
    """

    email: str
    name: str = ""
    team: str = ""
    seats: frozenset[str] = frozenset()
    started: date | None = None
    left: date | None = None

    def had_left(self, day: date) -> bool:
        """Whether the person was no longer there on the day."""
        return self.left is not None and self.left < day

    def had_started(self, day: date) -> bool:
        """Whether the person was already there on the day."""
        return self.started is None or self.started <= day


class Roster(msgspec.Struct, frozen=True):
    """The people of ROSTER_FILE by their keys (`People.key`), in the order of the file.

    `has_seats` says whether the file has a column of seats: without one, it says nothing about
    seats.
    """

    people: Mapping[str, Colleague]
    has_seats: bool


def read_roster(path: Path, people: People) -> Roster:
    """Read a ROSTER_FILE: a CSV whose first row names its columns, some of COLUMNS in any order.

    Raises UsageError, with the row, if the file cannot be read, has an unknown column or assistant
    or an invalid date, or lists a person twice, even under two addresses that `people` joins.
    """
    header, *rows = read_rows(_NAME, path, COLUMNS)
    names = [name.strip().lower() for name in header]
    if "email" not in names or len({*names}) < len(names) or not {*names} <= {*COLUMNS}:
        raise UsageError(
            f"{_NAME}: {path}: the header must have email, and may have each of"
            f" {', '.join(COLUMNS[1:])}, once; it is {','.join(header)[:100]}"
        )
    found: dict[str, Colleague] = {}
    first: dict[str, int] = {}
    anywhere = people.of("")
    for number, where, cells in numbered_rows(_NAME, path, rows, len(names)):
        colleague = _colleague(where, dict(zip(names, cells, strict=True)))
        key = anywhere.key(colleague.email)
        if key in found:
            raise UsageError(
                f"{where}: {colleague.email} is the person of row {first[key]}"
                f" ({found[key].email}); write one row for each person"
            )
        found[key], first[key] = colleague, number
    return Roster(found, "seats" in names)


def _colleague(where: str, cells: dict[str, str]) -> Colleague:
    email = cells["email"]
    local, at, domain = email.partition("@")
    if not (local and at and domain) or "@" in domain or any(map(str.isspace, email)):
        raise UsageError(f"{where}: {email[:80]!r} is not an e-mail address")
    started, left = (_date(where, name, cells.get(name, "")) for name in ("started", "left"))
    if started and left and left < started:
        raise UsageError(f"{where}: left on {left}, before started on {started}")
    seats = frozenset(
        _source(where, seat.strip()) for seat in cells.get("seats", "").split(";") if seat.strip()
    )
    return Colleague(email, cells.get("name", ""), cells.get("team", ""), seats, started, left)


def _date(where: str, column: str, text: str) -> date | None:
    if not text:
        return None
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise UsageError(f"{where}: {column} is {text[:40]!r}; write a day as 2026-11-30")


def _source(where: str, name: str) -> str:
    if name.lower() not in SOURCES:
        raise UsageError(
            f"{where}: {name[:40]!r} is not an assistant; write some of {', '.join(SOURCES)},"
            " with semicolons between them"
        )
    return name.lower()


def sources_alike(source: str) -> frozenset[str]:
    """The sources of the same assistant: a seat for one is a seat for all of them."""
    if source not in SOURCES:
        return frozenset({source})
    product = info_of(source).product
    return frozenset(each for each in SOURCES if info_of(each).product == product)
