"""Write the dashboards of Grafana: `python tools/grafana_dashboards.py [ANOTHER_FOLDER]`.

The dashboards over the store are the same for PostgreSQL and SQLite, except for the dialect; the
one over `/metrics` is for Prometheus. Names, titles and definitions come from the catalogue.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import grafana_queries as queries
from dashboard_scraper.model.costs import (
    BILLED,
    COST_METRICS,
    CREDITS,
    ESTIMATED,
    TOKEN_METRICS,
    CostMetric,
)
from dashboard_scraper.model.doubts import DoubtKind
from dashboard_scraper.model.metrics import (
    ACCEPT_RATE,
    ACCEPTED,
    COUNTS,
    LINES,
    MESSAGES,
    SHOWN,
    Metric,
    Unit,
    parts_of,
)
from grafana_dialects import DIALECTS, Dialect
from grafana_panels import Json, Panel, Section, laid_out, lines, numbers, states, table
from grafana_prometheus import status_sections

FOLDER = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboards"
_SCHEMA_VERSION = 39
_COLORS = {
    "complete": "green",
    "empty": "blue",
    "missing": "dark-red",
    DoubtKind.UNRECONCILED.word: "red",
    DoubtKind.SUSPICIOUS.word: "orange",
    DoubtKind.HELD.word: "yellow",
}
_GAPS = "A gap is a day that is not stored. A red point is a day in doubt: it does not add up, is"
_GAPS += " suspicious, or has a held revision."
_PEOPLE = "People are counted once, whatever their spelling; service accounts are not people."


def _about(metrics: Iterable[Metric | CostMetric]) -> str:
    listed = "\n".join(f"- **{metric.title}**: {metric.definition}" for metric in metrics)
    return f"{listed}\n\n{_GAPS}"


def _activity(dialect: Dialect, title: str, metrics: Sequence[Metric]) -> Panel:
    sql = queries.activity(dialect, metrics)
    return lines(title, [dialect.query(sql)], description=_about(metrics))


def _kinds(dialect: Dialect) -> list[Panel]:
    """A panel for each unit; messages and lines have one for the whole and its parts."""
    messages, code = (MESSAGES, *parts_of(MESSAGES)), (LINES, *parts_of(LINES))
    rate = queries.accept_rate(dialect, SHOWN, ACCEPTED, ACCEPT_RATE.title)
    panels = [
        _activity(dialect, "Messages by kind", messages),
        _activity(dialect, "Lines of code by kind", code),
        _activity(dialect, "Completions", (SHOWN, ACCEPTED)),
        lines(
            ACCEPT_RATE.title,
            [dialect.query(rate)],
            description=f"{ACCEPT_RATE.definition}.\n\n{_GAPS}",
            unit="percent",
            decimals=1,
        ),
    ]
    shown = {*messages, *code, SHOWN, ACCEPTED}
    for unit in Unit:
        others = [metric for metric in COUNTS if metric.unit is unit and metric not in shown]
        if others:
            title = f"Further {unit.value}" if unit is Unit.LINES else unit.value.capitalize()
            panels.append(_activity(dialect, title, others))
    return panels


def _adoption(dialect: Dialect) -> list[Panel]:
    people = queries.active_people(dialect)
    known = f"{_PEOPLE} 7 and 28 days are unknown where one of these days is missing."
    return [
        lines(
            "Active people",
            [dialect.query(people)],
            width=18,
            description=f"{known} Listed users are those that the source lists.\n\n{_GAPS}",
        ),
        numbers(
            "Seats",
            [dialect.query(queries.seats(dialect))],
            width=6,
            description="As the source reports them now; unknown where it does not know seats. A"
            " seat is used where its holder was active in the last 28 days of the range that are"
            " expected by now.",
        ),
    ]


def _costs(dialect: Dialect) -> list[Panel]:
    """Billed and estimated amounts never share an axis, and neither do two currencies."""
    groups: list[tuple[str, Sequence[CostMetric]]] = [
        (f"{BILLED.title} ($currency)", [BILLED]),
        (f"{ESTIMATED.title} ($currency)", [ESTIMATED]),
        ("Tokens", TOKEN_METRICS),
        (CREDITS.title, [CREDITS]),
    ]
    assert {m for _, group in groups for m in group} <= {*COST_METRICS}
    return [
        lines(
            title,
            [dialect.query(queries.costs(dialect, metrics))],
            description=_about(metrics),
        )
        for title, metrics in groups
    ]


def usage_sections(dialect: Dialect) -> list[Section]:
    """One source at a time."""
    return [
        Section(
            "Is it complete?",
            [
                states(
                    "Days",
                    [dialect.query(queries.states(dialect))],
                    _COLORS,
                    width=24,
                    height=5,
                    description="Every day since the source's first one, up to the newest that is"
                    " expected by now: yesterday, or of Copilot two days earlier.",
                ),
                _freshness(dialect),
            ],
        ),
        Section("Adoption", _adoption(dialect)),
        Section("Activity by kind", _kinds(dialect)),
        Section("Costs", _costs(dialect)),
        Section(
            "Runs",
            [
                table("Newest runs", [dialect.query(queries.runs(dialect))]),
                table("Still so", [dialect.query(queries.notices(dialect))]),
            ],
        ),
    ]


def _freshness(dialect: Dialect) -> Panel:
    return table(
        "Freshness",
        [dialect.query(queries.freshness(dialect))],
        width=24,
        height=6,
        description="Of all days of each source, whatever the time range. An exit code other than 0"
        " is explained in docs/troubleshooting.md.",
    )


def comparison_sections(dialect: Dialect) -> list[Section]:
    """Figures of several sources that may be shown side by side; nothing is added up."""
    panels = [
        lines(
            title,
            [
                dialect.query(queries.active_people_by_source(dialect, value), is_long=True)
                for value in values
            ],
            description=f"{_PEOPLE} Each source has its own rule for who is active. A gap is a day"
            " that this source lacks, or a window that lacks one.",
            display_name="${__field.labels.source}",
            marks="B",
        )
        for title, *values in (
            ("People who were active on the day", queries.TODAY, queries.TODAY_IN_DOUBT),
            ("People who were active in 7 days", queries.LAST_WEEK),
            ("People who were active in 28 days", queries.LAST_MONTH),
        )
    ]
    panels.append(
        table(
            "Active people and days of the time range",
            [dialect.query(queries.days_used_by_source(dialect))],
            description="Unknown where the source lacks a day of the time range.",
        )
    )
    return [Section("Freshness", [_freshness(dialect)]), Section("People", panels)]


def _variable(name: str, label: str, sql: str, dialect: Dialect) -> Json:
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": _datasource(dialect.datasource),
        "includeAll": False,
        "multi": False,
        "refresh": 1,
        "sort": 0,
        "query": sql,
    }


def _datasource(kind: str) -> Json:
    return {"type": kind, "uid": "${datasource}"}


def _dashboard(
    uid: str,
    title: str,
    kind: str,
    sections: Iterable[Section],
    variables: Sequence[Json] = (),
) -> Json:
    choice = {"type": "datasource", "name": "datasource", "label": "Data source", "query": kind}
    return {
        "uid": f"dashboard-scraper-{uid}",
        "title": title,
        "tags": ["dashboard-scraper"],
        "timezone": "utc",
        "editable": True,
        "graphTooltip": 1,
        "schemaVersion": _SCHEMA_VERSION,
        "time": {"from": "now-90d", "to": "now"},
        "templating": {"list": [choice, *variables]},
        "panels": laid_out(sections, _datasource(kind)),
    }


def dashboards() -> dict[str, Json]:
    """All dashboards by file name."""
    made = {}
    for dialect in DIALECTS:
        variables = [
            _variable("source", "Source", queries.SOURCES, dialect),
            _variable("currency", "Currency", queries.CURRENCIES, dialect),
        ]
        made[f"{dialect.name}/usage.json"] = _dashboard(
            f"usage-{dialect.name}",
            "AI coding assistants: usage",
            dialect.datasource,
            usage_sections(dialect),
            variables,
        )
        made[f"{dialect.name}/comparison.json"] = _dashboard(
            f"comparison-{dialect.name}",
            "AI coding assistants: side by side",
            dialect.datasource,
            comparison_sections(dialect),
        )
    made["prometheus/status.json"] = _dashboard(
        "status", "AI coding assistants: status", "prometheus", status_sections()
    )
    return made


def text_of(dashboard: Json) -> str:
    """The content of a dashboard's file."""
    return f"{json.dumps(dashboard, indent=2)}\n"


def main(folder: Path) -> None:
    """Write the dashboards; all are made before the first is written."""
    made = {name: text_of(dashboard) for name, dashboard in dashboards().items()}
    for name, text in made.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
