"""The dashboards' queries, run as Grafana runs them: macros and variables in, rows out."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from dashboard_scraper.model.dates import Window, end_of_day, start_of_day
from tree import ROOT

FOLDER = ROOT / "deploy" / "grafana" / "dashboards"
Row = dict[str, Any]
Json = dict[str, Any]


def dashboard(kind: str, name: str) -> Json:
    """A committed dashboard."""
    found: Json = json.loads((FOLDER / kind / f"{name}.json").read_text(encoding="utf-8"))
    return found


def panels(found: Json) -> Iterator[Json]:
    """The dashboard's panels, except for the titles of rows."""
    yield from (panel for panel in found["panels"] if panel["type"] != "row")


class Grafana:
    """What a dashboard shows of a store in a time range, with these variables."""

    def __init__(self, store_url: str, window: Window, variables: Mapping[str, str]) -> None:
        self._url = store_url
        self._window = window
        self._variables = variables
        self.kind = "sqlite" if store_url.startswith("sqlite") else "postgresql"

    def panel(self, name: str, title: str, query: str = "A") -> list[Row]:
        """The rows of a panel's query."""
        (found,) = (each for each in panels(dashboard(self.kind, name)) if each["title"] == title)
        (target,) = (each for each in found["targets"] if each["refId"] == query)
        return self.rows(self.sql(target))

    def sql(self, target: Json) -> str:
        """The text that the data source has sent to the database."""
        text: str = target["rawQueryText"] if self.kind == "sqlite" else target["rawSql"]
        return self.expanded(text)

    def expanded(self, text: str) -> str:
        """Replace variables as Grafana's frontend quotes them, then the data source's macros."""
        for name, value in self._variables.items():
            quoted = value.replace("'", "''")
            text = text.replace(f"${{{name}:sqlstring}}", f"'{quoted}'")
        begin, end = start_of_day(self._window.start), end_of_day(self._window.end)
        if self.kind == "sqlite":
            text = text.replace("$__from", f"{begin.timestamp() * 1000:.0f}")
            text = text.replace("$__to", f"{end.timestamp() * 1000 - 1:.0f}")
        else:
            text = text.replace("$__timeFrom()", f"'{begin:%Y-%m-%dT%H:%M:%SZ}'")
            last = datetime.fromtimestamp(end.timestamp() - 1, UTC)
            text = text.replace("$__timeTo()", f"'{last:%Y-%m-%dT%H:%M:%SZ}'")
        assert "$" not in text, text
        return text

    def rows(self, sql: str) -> list[Row]:
        """The answer, in which the column `time` has days instead of moments."""
        names, answer = self._sqlite(sql) if self.kind == "sqlite" else self._postgresql(sql)
        assert len({*names}) == len(names)
        return [{n: _plain(n, v) for n, v in zip(names, values, strict=True)} for values in answer]

    def _sqlite(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        path = make_url(self._url).database
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            cursor = connection.execute(sql)
            names, answer = [column[0] for column in cursor.description], cursor.fetchall()
        for name, column in zip(names, zip(*answer, strict=True), strict=bool(answer)):
            # The plugin uses the type of the first value for all, and would cut off decimals.
            kinds = {type(value) for value in column} - {type(None)}
            assert len(kinds) <= 1, f"{name} has values of {kinds}"
        return names, answer

    def _postgresql(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        with psycopg.connect(self._url) as connection:
            connection.execute("SET TIME ZONE 'America/New_York'")  # whatever the role's is
            cursor = connection.execute(sql.encode())
            return [column.name for column in cursor.description or ()], cursor.fetchall()


def _plain(name: str, value: Any) -> Any:
    if name == "time":
        moment = value if isinstance(value, datetime) else datetime.fromtimestamp(value, UTC)
        day = moment.astimezone(UTC)
        assert (day.hour, day.minute) == (0, 0)
        return day.date()
    return float(value) if isinstance(value, Decimal) else value


def variables_in(text: str) -> set[str]:
    """The variables and macros that a text uses."""
    return set(re.findall(r"\$\{?(\w+)", text))


def column(rows: list[Row], name: str) -> dict[date, Any]:
    """A column by day."""
    return {row["time"]: row[name] for row in rows}
