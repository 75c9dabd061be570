"""What the page is made of, as the template shows it: sections of numbers, charts and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard_scraper.report.charts import BarChart, DayChart
from dashboard_scraper.report.texts import Term


@dataclass(frozen=True, slots=True)
class Number:
    """A number with its name, what it is compared to, and what makes it uncertain."""

    term: Term
    value: str
    detail: str = ""
    change: str = ""
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Texts in rows; the first cell of each is its name. Headers that are terms are explained.

    `bars` stand in the second column: of each row, how much of the column's width (0 to 1).
    """

    headers: Sequence[str | Term]
    rows: Sequence[Sequence[str]]
    bars: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Key:
    """What a colour or a kind of line stands for; with the period's number where there is one."""

    style: str
    term: Term | None
    title: str
    value: str = ""
    share: str = ""
    change: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart, what it says in words, and its figures as a table; `full` takes a whole row."""

    name: str
    title: str
    chart: DayChart | BarChart
    table: Table
    keys: Sequence[Key] = ()
    marks: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    full: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, and numbers, charts, tables and notes under it."""

    name: str
    title: str
    numbers: Sequence[Number] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[tuple[str, Table]] = ()
    notes: Sequence[str] = ()
