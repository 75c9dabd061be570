"""The panels over `/metrics`, in PromQL."""

from __future__ import annotations

from dashboard_scraper.model.doubts import DoubtKind
from grafana_panels import Json, Panel, Section, lines, table

_PREFIX = "dashboard_scraper"
_BY_SOURCE = "{{source}}"
_BY_TEAM = "{{source}}: {{team}}"
_ABOUT_TEAMS = (
    "Of IDENTITY_FILE, where Prometheus has a token. Teams of fewer than MIN_GROUP_SIZE people are"
    " among those without a name. Unknown while one of the 28 days is missing."
)


def _figure(name: str) -> str:
    return f'{_PREFIX}_{name}{{job="dashboard-scraper"}}'


def _target(expression: str, legend: str = _BY_SOURCE) -> Json:
    return {"expr": expression, "legendFormat": legend, "range": True}


def _table_of(expression: str) -> Json:
    return {"expr": expression, "format": "table", "instant": True}


def _age(name: str) -> str:
    return f"time() - {_figure(name)}"


def _series(title: str, expression: str, unit: str = "short", description: str = "") -> Panel:
    return lines(title, [_target(expression)], unit=unit, description=description, width=8)


def _freshness() -> list[Panel]:
    return [
        _series(
            "Age of the newest complete day", _age("newest_complete_day_end_timestamp_seconds"), "s"
        ),
        _series("Time since the last run", _age("last_run_end_timestamp_seconds"), "s"),
        _series(
            "Time since a run last got everything", _age("last_success_timestamp_seconds"), "s"
        ),
        _series(
            "Exit code of the last run",
            _figure("last_run_exit_code"),
            description="0: complete. docs/troubleshooting.md explains the others.",
        ),
        _series("Days that the last run could not fetch", _figure("last_run_days_failed")),
        _series("Age of the newest costs", _age("newest_cost_day_end_timestamp_seconds"), "s"),
    ]


def _completeness() -> list[Panel]:
    doubts = [
        _target(_figure(f"{kind.word}_days"), f"{_BY_SOURCE}: {kind.word}") for kind in DoubtKind
    ]
    return [
        _series("Missing days", _figure("missing_days")),
        lines("Days in doubt", doubts, width=8),
        _series("Days whose costs do not add up", _figure("cost_unreconciled_days")),
    ]


def _teams() -> list[Panel]:
    return [
        lines(title, [_target(_figure(name), _BY_TEAM)], description=_ABOUT_TEAMS)
        for title, name in (
            ("Active people of each team in the newest 28 days", "team_active_people"),
            ("People of each team", "team_people"),
        )
    ]


def _service() -> list[Panel]:
    answers = [_target('up{job="dashboard-scraper"}', "{{instance}}")]
    return [
        _series("People and service accounts", _figure("people")),
        _series("User-days", _figure("rows")),
        lines("serve answers", answers, width=8),
        table(
            "Alerts",
            [_table_of('ALERTS{alertname=~"DashboardScraper.+"}')],
            description="Without rows, none is firing or pending.",
        ),
        table("Open notices", [_table_of(f"{_figure('open_notices')} > 0")]),
    ]


def status_sections() -> list[Section]:
    """What a monitor sees; lines end while `serve` does not answer."""
    return [
        Section("Freshness", _freshness()),
        Section("Completeness", _completeness()),
        Section("Teams", _teams()),
        Section("Store and service", _service()),
    ]
