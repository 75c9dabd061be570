"""The sections of the page that compare groups of people: by editor, by language and by team."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from dashboard_scraper.model.listing import many
from dashboard_scraper.model.metrics import LINES, MESSAGES
from dashboard_scraper.report.figures import Group, ReportFigures
from dashboard_scraper.report.parts import Section, Table
from dashboard_scraper.report.plots import whole_notes
from dashboard_scraper.report.texts import (
    ACTIVE,
    OTHER_TEAMS,
    RATE_TERM,
    Term,
    hidden_teams_text,
    number,
    rate_cell,
    term_of,
)


class _Column(NamedTuple):
    term: Term
    cell: Callable[[Group], str]


def places_section(figures: ReportFigures) -> Section:
    """Who used which editors and which languages, if the store knows it."""
    title = "Editors and languages"
    stored = len(figures.now.stored)
    if not figures.editor_days:
        return Section(
            "places", title, notes=["Not known: the store has no such figures of these days."]
        )
    notes = []
    if figures.editor_days < stored:
        notes.append(
            f"Of {figures.editor_days} of {many(stored, 'day')}; the others have no such figures,"
            " or ones that are not those of their users."
        )
    notes += whole_notes(figures.now)
    tables = [
        ("Editors", _group_table(figures, "Editor", figures.editors)),
        ("Languages", _group_table(figures, "Language", figures.languages)),
    ]
    return Section("places", title, tables=tables, notes=notes)


def _group_table(figures: ReportFigures, head: str, groups: Sequence[Group]) -> Table:
    active = _Column(ACTIVE, lambda group: number(group.active))
    return _table_of(head, [*_used_columns(figures), active], groups, "")


def teams_section(figures: ReportFigures, groups: Sequence[Group]) -> Section:
    """Use by the teams of IDENTITY_FILE, and by people without a team there."""
    columns = [
        *_used_columns(figures),
        _Column(ACTIVE, lambda group: f"{number(group.active)} of {number(group.people)}"),
    ]
    if figures.measures.has_rate:
        columns.append(_Column(RATE_TERM, lambda group: rate_cell(group.shown, group.accepted)))
    nameless = OTHER_TEAMS if figures.hidden_teams else "no team"
    table = _table_of("Team", columns, groups, nameless)
    several = sum(group.people or 0 for group in groups) > figures.known
    notes = ["A person of several teams counts in each of them."] if several else []
    if figures.hidden_teams:
        notes.append(hidden_teams_text(figures.hidden_teams, figures.min_group_size))
    notes += whole_notes(figures.now)
    return Section("teams", "Teams", tables=[("Use by team", table)], notes=notes)


def _used_columns(figures: ReportFigures) -> list[_Column]:
    """The columns that compare groups of people: those of the two that the source knows."""
    columns = {
        LINES: lambda group: number(group.lines),
        MESSAGES: lambda group: number(group.messages),
    }
    return [
        _Column(term_of(metric), cell)
        for metric, cell in columns.items()
        if figures.measures.knows(metric)
    ]


def _table_of(
    head: str, columns: Sequence[_Column], groups: Sequence[Group], nameless: str
) -> Table:
    """A row for each group; if the first column has lines of code, it is also drawn as bars."""
    rows = [[group.name or nameless, *(cell(group) for _, cell in columns)] for group in groups]
    bars = _share_bars(groups) if columns[0].term.key == LINES.name else ()
    return Table([head, *(term for term, _ in columns)], rows, bars)


def _share_bars(groups: Sequence[Group]) -> list[float]:
    most = max((group.lines or 0 for group in groups), default=0)
    return [(group.lines or 0) / most if most else 0 for group in groups]
