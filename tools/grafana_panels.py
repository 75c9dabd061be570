"""Panels of Grafana, in its JSON format: a gap in the data is a gap in the line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grafana_queries import IN_DOUBT

WIDTH = 24
Json = dict[str, Any]
_LEGEND: Json = {
    "calcs": [],
    "displayMode": "list",
    "placement": "bottom",
    "showLegend": True,
}


@dataclass(frozen=True)
class Panel:
    """A panel that is this many columns of 24 wide, and the queries of its targets."""

    title: str
    kind: str
    targets: Sequence[Json]
    width: int = 12
    height: int = 8
    description: str = ""
    unit: str = "short"
    decimals: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    custom: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[Json] = ()
    mappings: Sequence[Json] = ()
    display_name: str = ""

    def json(self, number: int, place: Json, datasource: Json) -> Json:
        """The panel at its place."""
        defaults: Json = {
            "color": {"mode": "palette-classic"},
            "custom": dict(self.custom),
            "mappings": list(self.mappings),
            "noValue": "unknown",
            "unit": self.unit,
        }
        if self.decimals is not None:
            defaults["decimals"] = self.decimals
        if self.display_name:
            defaults["displayName"] = self.display_name
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": datasource,
            "gridPos": place,
            "fieldConfig": {"defaults": defaults, "overrides": list(self.overrides)},
            "options": dict(self.options),
            "targets": [
                {"refId": chr(ord("A") + index), "datasource": datasource, **target}
                for index, target in enumerate(self.targets)
            ],
        }


def _points(matcher: str, name: str, title: str) -> Json:
    """Red points for one series, or for the series of one query."""
    properties = {
        "custom.drawStyle": "points",
        "custom.pointSize": 12,
        "color": {"mode": "fixed", "fixedColor": "red"},
        "displayName": title,
    }
    return {
        "matcher": {"id": matcher, "options": name},
        "properties": [{"id": key, "value": value} for key, value in properties.items()],
    }


def lines(title: str, targets: Sequence[Json], marks: str = "", **options: Any) -> Panel:
    """Lines that end where a day is missing; days in doubt have a red point. The points are a
    column of their own; if there is a series for each source, they are the query `marks`.
    """
    points = (
        _points("byFrameRefID", marks, f"${{__field.labels.source}}: {IN_DOUBT.lower()}")
        if marks
        else _points("byName", IN_DOUBT, IN_DOUBT)
    )
    return Panel(
        title,
        "timeseries",
        targets,
        options={
            "legend": _LEGEND,
            "tooltip": {"mode": "multi", "sort": "none"},
        },
        custom={
            "drawStyle": "line",
            "fillOpacity": 0,
            "lineInterpolation": "linear",
            "lineWidth": 2,
            "pointSize": 5,
            "showPoints": "always",  # a single day between two gaps has no line
            "spanNulls": False,
        },
        overrides=[points],
        **options,
    )


def table(title: str, targets: Sequence[Json], **options: Any) -> Panel:
    """A table; without rows, it says that there are none."""
    return Panel(
        title,
        "table",
        targets,
        options={"cellHeight": "sm", "frameIndex": 0, "showHeader": True},
        custom={"align": "auto", "inspect": False},
        **options,
    )


def numbers(title: str, targets: Sequence[Json], **options: Any) -> Panel:
    """The last value of each column; NULL is shown as unknown."""
    return Panel(
        title,
        "stat",
        targets,
        options={
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "percentChangeColorMode": "standard",
            "reduceOptions": {"calcs": ["last"], "fields": "", "values": False},
            "showPercentChange": False,
            "textMode": "value_and_name",
            "wideLayout": True,
        },
        **options,
    )


def states(title: str, targets: Sequence[Json], colors: Mapping[str, str], **options: Any) -> Panel:
    """A band with the state of each day."""
    mapping = {
        state: {"color": color, "index": index, "text": state}
        for index, (state, color) in enumerate(colors.items())
    }
    return Panel(
        title,
        "state-timeline",
        targets,
        options={
            "alignValue": "left",
            "legend": _LEGEND,
            "mergeValues": True,
            "rowHeight": 0.9,
            "showValue": "never",
            "tooltip": {"mode": "single", "sort": "none"},
        },
        custom={"fillOpacity": 80, "lineWidth": 0},
        mappings=[{"type": "value", "options": mapping}],
        **options,
    )


@dataclass(frozen=True)
class Section:
    """A row's title and the panels below it."""

    title: str
    panels: Sequence[Panel]


def laid_out(sections: Iterable[Section], datasource: Json) -> list[Json]:
    """All panels with their places: from left to right, starting again below when a row is full."""
    found: list[Json] = []
    top = 0
    for section in sections:
        place = {"h": 1, "w": WIDTH, "x": 0, "y": top}
        found.append(
            {
                "id": len(found) + 1,
                "type": "row",
                "title": section.title,
                "collapsed": False,
                "gridPos": place,
                "panels": [],
            }
        )
        top, left, height = top + 1, 0, 0
        for panel in section.panels:
            if left + panel.width > WIDTH:
                top, left, height = top + height, 0, 0
            place = {"h": panel.height, "w": panel.width, "x": left, "y": top}
            found.append(panel.json(len(found) + 1, place, datasource))
            left, height = left + panel.width, max(height, panel.height)
        top += height
    return found
