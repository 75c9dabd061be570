"""The parts of the page that the template shows: sections of numbers, charts and tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal

import msgspec

from dashboard_scraper.report.charts import BarChart, DayChart
from dashboard_scraper.report.texts import Term
from dashboard_scraper.report.users import UserTable


class Amount(msgspec.Struct, frozen=True):
    """An amount, rounded as it is shown, and `exact` with every digit for the HTML attributes."""

    text: str
    exact: str

    def __str__(self) -> str:
        return self.text


class Number(msgspec.Struct, frozen=True):
    """A number with its term, a detail, the change since the period before, and any caveat."""

    term: Term
    value: str | Amount
    detail: str = ""
    change: str = ""
    warning: str = ""


class Table(msgspec.Struct, frozen=True):
    """Rows of text, whose first cell is the row's name; a header that is a Term gets a footnote.
    `bars` are drawn in the second column, one per row, as shares of its width (0 to 1). The text
    `lead` comes first; a `full` table is as wide as the page.
    """

    headers: Sequence[str | Term]
    rows: Sequence[Sequence[str | Amount]]
    bars: Sequence[float | Decimal] = ()
    lead: str = ""
    full: bool = False


class Key(msgspec.Struct, frozen=True):
    """A legend entry: what a colour or kind of line means, and perhaps the period's number."""

    style: str
    term: Term | None
    title: str
    value: str = ""
    share: str = ""
    change: str = ""


class Figure(msgspec.Struct, frozen=True):
    """A chart with its legend, notes and figures as a table; `full` is as wide as the page."""

    name: str
    title: str
    chart: DayChart | BarChart
    table: Table
    keys: Sequence[Key] = ()
    marks: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    full: bool = False


class Section(msgspec.Struct, frozen=True):
    """A heading with the numbers, charts, tables and notes under it."""

    name: str
    title: str
    numbers: Sequence[Number] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[tuple[str, Table]] = ()
    notes: Sequence[str] = ()

    def terms(self) -> Iterator[Term]:
        """The terms that link to their definitions."""
        yield from terms_of(self.numbers)
        for figure in self.figures:
            yield from (key.term for key in figure.keys if key.term)
        tables = [figure.table for figure in self.figures] + [table for _, table in self.tables]
        for table in tables:
            yield from (head for head in table.headers if isinstance(head, Term))


class Coverage(msgspec.Struct, frozen=True):
    """How complete one source is, on one line: its strip of days and sentences about it."""

    label: str
    style: str
    strip: Sequence[tuple[str, str, str]]
    texts: Sequence[str]


class TogetherPart(msgspec.Struct, frozen=True):
    """The part of the page that compares its sources."""

    missing: bool
    coverage: Sequence[Coverage]
    tiles: Sequence[Number]
    sections: Sequence[Section]

    def terms(self) -> Iterator[Term]:
        """The terms that link to their definitions."""
        yield from terms_of(self.tiles)
        for section in self.sections:
            yield from section.terms()


def terms_of(numbers: Iterable[Number]) -> list[Term]:
    """The terms of the numbers."""
    return [number.term for number in numbers]


class SourcePart(msgspec.Struct, frozen=True):
    """Everything on the page about one source.

    `prefix` makes its ids unique if the page has several sources; `level` is the level of its
    headings. `strip` has a style, a mark and a description of each day.
    """

    name: str
    label: str
    title: str
    style: str
    prefix: str
    level: int
    fetched: date | None
    missing: bool
    completeness: Sequence[str]
    strip: Sequence[tuple[str, str, str]]
    tiles: Sequence[Number]
    sections: Sequence[Section]
    users: UserTable | None

    def terms(self) -> Iterator[Term]:
        """The terms that link to their definitions, including those of the columns of the users'
        table.
        """
        yield from terms_of(self.tiles)
        for section in self.sections:
            yield from section.terms()
        yield from self.users.terms if self.users else ()
