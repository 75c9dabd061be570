"""The differences in SQL, and in the queries, between Grafana's two kinds of databases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Dialect:
    """How one database writes what every query needs; `{}` stands for a day, or for two of them.

    `begin` and `end` are the first and the last day of the dashboard's time range, in UTC. In
    `expected`, `{}` is the number of days by which a source is later than yesterday.
    """

    name: str
    title: str
    datasource: str
    begin: str
    end: str
    yesterday: str
    expected: str
    calendar: str
    time: str
    plus: str
    days_between: str
    least: str
    greatest: str
    real: str
    text: str

    def query(self, sql: str, *, is_long: bool = False) -> dict[str, Any]:
        """The target of a panel. A `is_long` result has a row for each moment and label."""
        raise NotImplementedError


class _Postgresql(Dialect):
    def query(self, sql: str, *, is_long: bool = False) -> dict[str, Any]:
        return {
            "editorMode": "code",
            "format": "time_series" if is_long else "table",
            "rawQuery": True,
            "rawSql": sql,
        }


class _Sqlite(Dialect):
    """For the plugin frser-sqlite-datasource. Its frontend makes `queryText` from `rawQueryText` by
    replacing the variables; it reads a number in a time column as seconds. A column has the type of
    its first value, so columns that may have decimals must be REAL from the start.
    """

    def query(self, sql: str, *, is_long: bool = False) -> dict[str, Any]:
        return {
            "queryText": sql,
            "queryType": "time series" if is_long else "table",
            "rawQueryText": sql,
            "timeColumns": ["time"],
        }


POSTGRESQL = _Postgresql(
    name="postgresql",
    title="PostgreSQL",
    datasource="grafana-postgresql-datasource",
    begin="($__timeFrom()::timestamptz AT TIME ZONE 'UTC')::date",
    end="($__timeTo()::timestamptz AT TIME ZONE 'UTC')::date",
    yesterday="((now() AT TIME ZONE 'UTC')::date - 1)",
    expected="((now() AT TIME ZONE 'UTC')::date - 1 - {})",
    calendar="SELECT {0} + n FROM generate_series(0, {1} - {0}) AS n",
    time="({}::timestamp AT TIME ZONE 'UTC') AS \"time\"",
    plus="({} + {})",
    days_between="({1} - {0})",
    least="LEAST({}, {})",
    greatest="GREATEST({})",
    real="{}",
    text="to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')",
)
SQLITE = _Sqlite(
    name="sqlite",
    title="SQLite",
    datasource="frser-sqlite-datasource",
    begin="date($__from / 1000, 'unixepoch')",
    end="date($__to / 1000, 'unixepoch')",
    yesterday="date('now', '-1 day')",
    expected="date('now', '-1 day', -({}) || ' days')",
    calendar="SELECT {0} AS day WHERE {0} <= {1}"
    " UNION ALL SELECT date(day, '+1 day') FROM calendar WHERE day < {1}",
    time="CAST(strftime('%s', {}) AS INTEGER) AS time",
    plus="date({}, '{:+} days')",
    days_between="CAST(julianday({1}) - julianday({0}) AS INTEGER)",
    least="min({}, {})",
    greatest="max({})",
    real="CAST({} AS REAL)",
    text="strftime('%Y-%m-%d %H:%M', {})",
)
DIALECTS = (POSTGRESQL, SQLITE)
