"""From GitHub's records to the figures of the catalogue.

The figures of a feature are those of its row. A feature without a row was not used, if the rows add
up to the record's own counters; if they do not, or if GitHub put some features together as
`others`, it is unknown. In that case a feature with two rows is unknown, too: one may be a
repetition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from dashboard_scraper.model.figures import accept_rate, maker
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.meanings import BASES, Meaning, Meanings
from dashboard_scraper.model.metrics import (
    ACCEPT_RATE,
    ACTIVE_DAYS,
    BY_NAME,
    USER_COUNT,
    Figures,
    Metric,
    Totals,
)
from dashboard_scraper.sources.copilot.records import Counters, DayRecord, FeatureRow, Record

INTERACTIONS = "user_initiated_interaction_count"
GENERATIONS = "code_generation_activity_count"
ACCEPTANCES = "code_acceptance_activity_count"
SUGGESTED = "loc_suggested_to_add_sum"
SUGGESTED_TO_DELETE = "loc_suggested_to_delete_sum"
ADDED = "loc_added_sum"
DELETED = "loc_deleted_sum"
COUNTERS = (
    INTERACTIONS,
    GENERATIONS,
    ACCEPTANCES,
    SUGGESTED,
    SUGGESTED_TO_DELETE,
    ADDED,
    DELETED,
)
CREDITS = "ai_credits_used"
OTHERS = "others"
_CLI = "copilot_cli"
_OF_NO_METRIC = frozenset(("copilot_app",))
"""Known features that are only in the record's own counters."""
CLI_MESSAGES = f"{_CLI}_{INTERACTIONS}"
"""The name of the command line's prompts: unlike the catalogue, GitHub does not distinguish those
typed by hand from those of scripts.
"""


class _Place(msgspec.Struct, frozen=True):
    """The counter and the features whose rows add up to a metric; without features, the metric is
    the record's own counter.
    """

    counter: str
    features: tuple[str, ...] = ()
    definition: str = ""

    @property
    def field(self) -> str:
        """The field's name in documents."""
        return f"{self.counter} of {', '.join(self.features)}" if self.features else self.counter


_PLACES: dict[Metric, _Place] = {
    BY_NAME[name]: place
    for name, place in {
        "completions_count": _Place(GENERATIONS, ("code_completion",)),
        "completions_accepted": _Place(ACCEPTANCES, ("code_completion",)),
        "completions_suggested_lines_of_code": _Place(SUGGESTED, ("code_completion",)),
        "completions_lines_of_code": _Place(ADDED, ("code_completion",)),
        "chat_messages": _Place(
            INTERACTIONS,
            ("chat_panel_ask_mode", "chat_panel_unknown_mode", "chat_inline"),
            "Prompts in chat without edits (ask or unknown mode), and in inline chat",
        ),
        "ide_agent_messages": _Place(
            INTERACTIONS,
            (
                "chat_panel_agent_mode",
                "chat_panel_edit_mode",
                "chat_panel_plan_mode",
                "chat_panel_custom_mode",
            ),
            "Prompts in agent, edit and plan mode, and to custom agents",
        ),
        "ide_agent_lines_of_code": _Place(
            ADDED, ("agent_edit",), "Lines that agents and edit mode wrote into files"
        ),
        "cli_agent_lines_of_code": _Place(
            ADDED,
            (_CLI,),
            "Lines that the command line wrote; in Copilot's figures since 2026-04-10",
        ),
        "total_messages": _Place(
            INTERACTIONS,
            definition="Prompts that the user sent in any feature; those of the command line since"
            " 2026-04-10, those of the app since 2026-07-28",
        ),
        "generations": _Place(GENERATIONS),
        "acceptances": _Place(ACCEPTANCES),
        "suggested_lines_of_code": _Place(
            SUGGESTED, definition="Lines suggested by all features except agents' edits"
        ),
        "suggested_lines_to_delete": _Place(SUGGESTED_TO_DELETE),
        "total_modified_lines_of_code": _Place(
            ADDED,
            definition="Lines added by accepted completions, applied blocks of code, agents and the"
            " command line",
        ),
        "lines_deleted": _Place(DELETED),
    }.items()
}

MEANINGS: Meanings = {
    metric: Meaning(place.field, place.definition, BASES.get(metric))
    for metric, place in _PLACES.items()
} | {
    ACTIVE_DAYS: Meaning(
        "a record of the day", "Days with a record, whatever it counts", BASES[ACTIVE_DAYS]
    ),
    ACCEPT_RATE: Meaning(
        "code_acceptance_activity_count and code_generation_activity_count of code_completion",
        basis=BASES[ACCEPT_RATE],
    ),
}

_FEATURES = _OF_NO_METRIC.union(*(place.features for place in _PLACES.values()))
_OWN = {place.counter: metric for metric, place in _PLACES.items() if not place.features}
_SHOWN, _ACCEPTED = BY_NAME["completions_count"], BY_NAME["completions_accepted"]
_MADE = (*_PLACES, ACTIVE_DAYS, ACCEPT_RATE)
_make = maker(_MADE)
_count: dict[str, Callable[[Counters], int]] = {
    name: (lambda row, name=name: getattr(row, name)) for name in COUNTERS  # type: ignore[misc]
}


def figures_of(record: Record) -> Figures:
    """The figures in a user's record. The user was active, since GitHub has a record."""
    rows = _by_feature(record.totals_by_feature)
    whole = _is_whole(record)
    values = [_value(record, rows, place, whole) for place in _PLACES.values()]
    found = dict(zip(_PLACES, values, strict=True))
    rate = accept_rate(found[_SHOWN], found[_ACCEPTED])
    return _make([*values, 1, None if rate is None else round(rate, 2)])


def extra_of(record: Record) -> dict[str, Cell]:
    """The prompts of the command line, if they are known."""
    rows = _by_feature(record.totals_by_feature)
    prompts = _value(record, rows, _Place(INTERACTIONS, (_CLI,)), _is_whole(record))
    return {} if prompts is None else {CLI_MESSAGES: prompts}


def totals_of(record: Counters) -> Totals:
    """The seven counters of a whole day."""
    return {_OWN[counter].name: getattr(record, counter) for counter in COUNTERS}


def totals_beside(record: DayRecord, users: int) -> Totals:
    """The totals to which this many users with a record must add up.

    The number of active users is among them only if there are fewer records than that: it leaves
    out people who used only the command line, but these have records.
    """
    active = record.daily_active_users
    return totals_of(record) | ({USER_COUNT.name: active} if users < active else {})


NO_ACTIVITY: Totals = {metric.name: 0 for metric in _OWN.values()}


def _by_feature(rows: Iterable[FeatureRow]) -> dict[str, list[FeatureRow]]:
    found: dict[str, list[FeatureRow]] = {}
    for row in rows:
        found.setdefault(row.feature, []).append(row)
    return found


def _is_whole(record: Record) -> bool:
    """Whether every feature that was used has a row of its own."""
    rows = record.totals_by_feature
    if any(row.feature == OTHERS for row in rows):
        return False
    return all(
        sum(getattr(row, counter) for row in rows) == getattr(record, counter)
        for counter in COUNTERS
    )


def _value(
    record: Record, rows: dict[str, list[FeatureRow]], place: _Place, whole: bool
) -> int | None:
    if not place.features:
        count: int = getattr(record, place.counter)
        return count
    if not whole and any(len(rows.get(feature, ())) != 1 for feature in place.features):
        return None
    counts: list[int] = [
        getattr(row, place.counter) for feature in place.features for row in rows.get(feature, ())
    ]
    return sum(counts)


def unknown_features(record: Record) -> set[str]:
    """The features that this program does not know, as logs name them: a known feature may be among
    them under a new name, and then looks unused.
    """
    found = {row.feature for row in record.totals_by_feature} - _FEATURES - {OTHERS}
    return {f"totals_by_feature.{feature}" for feature in found}
