"""Compare the figures of the dbt package's marts with those that the program itself reads."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import psycopg.rows

import dashboard_scraper
from dashboard_scraper.across.people import PeopleAcross
from dashboard_scraper.cli.wiring import audience_of
from dashboard_scraper.model.costs import COST_METRICS
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import COUNTS
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.store import store_of

Row = dict[str, Any]
Marts = dict[str, list[Row]]
MARTS = ("usage_by_day", "people_by_day", "people_across_sources", "costs_by_day")
_SCHEMA = "usage_models"
_MONTH = 28


class FiguresDiffer(Exception):
    """A mart has another figure than the store."""


def in_postgres(url: str) -> Marts:
    """The rows of each mart."""
    with psycopg.connect(url, row_factory=psycopg.rows.dict_row) as connection:
        return {name: connection.execute(_rows(name)).fetchall() for name in MARTS}


def in_duckdb(path: Path) -> Marts:
    """The rows of each mart."""
    with duckdb.connect(f"{path}", read_only=True) as connection:
        return {name: connection.sql(_rows(name)).to_arrow_table().to_pylist() for name in MARTS}


def _rows(mart: str) -> Any:
    return f"SELECT * FROM {_SCHEMA}.{mart}"


class _Comparison:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, what: str, found: object, wanted: object) -> None:
        self.count += 1
        if found != wanted or isinstance(found, float):
            raise FiguresDiffer(f"{what} is {found!r} in the mart, {wanted!r} in the store")


def compare(marts: Marts, settings: Settings) -> int:
    """Compare all figures; returns how many are the same. FiguresDiffer if one is not."""
    same = _Comparison()
    _compare_sums(marts, settings, same)
    _compare_people(marts, settings, same)
    _compare_gaps(marts, same)
    return same.count


def _stored(rows: list[Row], source: str) -> dict[date, Row]:
    return {row["day"]: row for row in rows if row["source"] == source and row["is_stored"]}


def _compare_gaps(marts: Marts, same: _Comparison) -> None:
    """Every metric of a day that is not stored is unknown."""
    for mart, metrics in (("usage_by_day", COUNTS), ("costs_by_day", COST_METRICS)):
        for row in marts[mart]:
            for metric in () if row["is_stored"] else metrics:
                same(f"{row['source']} {row['day']} {metric.name}", row[metric.name], None)


def _compare_sums(marts: Marts, settings: Settings, same: _Comparison) -> None:
    with dashboard_scraper.open_store(settings.store_url) as store:
        for source in store.sources():
            rows = _stored(marts["usage_by_day"], source)
            for day in store.days(min(rows), max(rows), source):
                row = rows[day.day]
                same(f"{source} {day.day} active users", row["active_users"], len(day.active))
                for metric in COUNTS:
                    same(f"{source} {day.day} {metric.name}", row[metric.name], day.sums[metric])
            costs = _stored(marts["costs_by_day"], source)
            for cost in store.costs(min(costs), max(costs), source) if costs else ():
                for each in COST_METRICS:
                    wanted = cost.sums[each]
                    found = costs[cost.day][each.name]
                    same(f"{source} {cost.day} {each.name}", found, wanted)
                    if isinstance(wanted, Decimal) and not isinstance(found, Decimal):
                        raise FiguresDiffer(f"{source} {cost.day} {each.name} is no decimal number")


def _compare_people(marts: Marts, settings: Settings, same: _Comparison) -> None:
    with store_of(settings).reading() as reader:
        sources = reader.sources()
        window = Window(
            min(row["day"] for row in marts["people_by_day"]),
            max(row["day"] for row in marts["people_by_day"]),
        )
        across = PeopleAcross(reader, sources, window, audience_of(settings))
    for row in marts["people_by_day"]:
        what = f"{row['source']} {row['day']} active people"
        same(what, row["active_people"], _people(across, [row["source"]], row["day"], 1))
        known = _people(across, [row["source"]], row["day"], _MONTH)
        same(f"{what} of 28 days", row["active_people_28"], known)
    for row in marts["people_across_sources"]:
        begun = {source: min(across.days(source)) for source in sources}
        same(f"{row['day']} people", row["active_people"], _together(across, begun, row["day"], 1))
        known = _together(across, begun, row["day"], _MONTH)
        same(f"{row['day']} people of 28 days", row["active_people_28"], known)


def _together(across: PeopleAcross, begun: dict[str, date], last: date, length: int) -> int | None:
    """The people in any source that has begun; None if one lacks a day, or none has begun."""
    found = 0
    for day in _days(last, length):
        there = [source for source, first in begun.items() if first <= day]
        if not there or any(day not in across.days(source) for source in there):
            return None
        for source in there:
            found |= across.active(source, day)
    return found.bit_count()


def _people(across: PeopleAcross, sources: Collection[str], last: date, length: int) -> int | None:
    """The people on any of the days that end with this one; None if a day is not stored."""
    found = 0
    for source in sources:
        stored = set(across.days(source))
        if not stored.issuperset(_days(last, length)):
            return None
        for day in _days(last, length):
            found |= across.active(source, day)
    return found.bit_count()


def _days(last: date, length: int) -> list[date]:
    return [last - timedelta(back) for back in range(length)]
