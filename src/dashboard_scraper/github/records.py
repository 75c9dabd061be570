"""GitHub's own Copilot usage format, as its consumers read it: from figures to records.

Pure functions. Where a metric goes is in `PLACE_OF`. A cell is one counter of one feature that some
metric tells; every number of a record is a sum of cells. The top
level is the sum of the feature rows, always; the rows by language and feature are the same sums
taken apart; those by editor are the sums less the command line's, which is no editor. Every counter
is an integer: what the source did not say counts as 0, and `is_unknown` tells of whom.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

import msgspec

from dashboard_scraper.github.counters import Counter
from dashboard_scraper.model.figures import picker, values_of
from dashboard_scraper.model.metrics import BY_NAME, METRICS, Figures, Metric, parts_of

_encode = msgspec.json.Encoder().encode

UNKNOWN = "unknown"
_CLI_EDITOR = "cli"
_IDES = {"jetbrains": "intellij"}


class GithubFeature(Enum):
    """The features that our figures have a place in, in our order."""

    COMPLETION = "code_completion"
    ASK = "chat_panel_ask_mode"
    AGENT = "chat_panel_agent_mode"
    EDIT = "agent_edit"
    INLINE = "chat_inline"
    CLI = "copilot_cli"
    OTHERS = "others"  # remote agents: GitHub has no feature row for its cloud agent


@dataclass(frozen=True, slots=True)
class GithubPlace:
    """Where a metric counts in a record."""

    feature: GithubFeature
    counter: Counter


_CLI_INTERACTIONS = GithubPlace(GithubFeature.CLI, Counter.INTERACTIONS)

PLACE_OF: dict[Metric, GithubPlace] = {
    BY_NAME[name]: place
    for name, place in {
        "completions_count": GithubPlace(GithubFeature.COMPLETION, Counter.GENERATIONS),
        "completions_accepted": GithubPlace(GithubFeature.COMPLETION, Counter.ACCEPTANCES),
        "chat_messages": GithubPlace(GithubFeature.ASK, Counter.INTERACTIONS),
        "ide_agent_messages": GithubPlace(GithubFeature.AGENT, Counter.INTERACTIONS),
        "remote_agent_messages": GithubPlace(GithubFeature.OTHERS, Counter.INTERACTIONS),
        "cli_agent_interactive_messages": _CLI_INTERACTIONS,
        "cli_agent_non_interactive_messages": _CLI_INTERACTIONS,
        "completions_lines_of_code": GithubPlace(GithubFeature.COMPLETION, Counter.ADDED),
        "instruction_lines_of_code": GithubPlace(GithubFeature.INLINE, Counter.ADDED),
        "ide_agent_lines_of_code": GithubPlace(GithubFeature.EDIT, Counter.ADDED),
        "remote_agent_lines_of_code": GithubPlace(GithubFeature.OTHERS, Counter.ADDED),
        "cli_agent_lines_of_code": GithubPlace(GithubFeature.CLI, Counter.ADDED),
        "completions_suggested_lines_of_code": GithubPlace(
            GithubFeature.COMPLETION, Counter.SUGGESTED
        ),
    }.items()
}

CHAT_FEATURES = tuple(f for f in GithubFeature if f.value.startswith("chat_"))
AGENT_FEATURES = (GithubFeature.AGENT, GithubFeature.EDIT)
FLAGS: dict[str, tuple[GithubFeature, ...]] = {
    "used_agent": AGENT_FEATURES,
    "used_chat": CHAT_FEATURES,
    "used_cli": (GithubFeature.CLI,),
    "used_copilot_coding_agent": (GithubFeature.OTHERS,),
    "used_copilot_cloud_agent": (GithubFeature.OTHERS,),
}
"""What a user did at all, by the rows of which features there are."""

COUNTERS = tuple(Counter)
PLACES = tuple(
    place
    for feature in GithubFeature
    for counter in COUNTERS
    if (place := GithubPlace(feature, counter)) in PLACE_OF.values()
)
"""What the cells are, in their order."""

Cells = tuple[int, ...]
Row = tuple[int, ...]
"""The seven counters, in the order of COUNTERS."""

Rows = dict[GithubFeature, Row]
"""Those that are not all zero."""


def _cells_reader(feeds: Sequence[tuple[Metric, GithubPlace]]) -> Callable[[Figures], Cells]:
    """Adds up what feeds each cell."""
    fed = [(PLACES.index(place), METRICS.index(metric)) for metric, place in feeds]

    def cells_of(figures: Figures) -> Cells:
        cells, values = [0] * len(PLACES), values_of(figures)
        for cell, position in fed:
            cells[cell] += values[position] or 0
        return tuple(cells)

    return cells_of


# By editor and language, some figures are known by their parts alone.
_IN_DETAIL = {metric: (metric,) if metric.detailed else parts_of(metric) for metric in PLACE_OF}

cells_of_figures = _cells_reader([*PLACE_OF.items()])
_cells_of_part = _cells_reader(
    [(part, place) for metric, place in PLACE_OF.items() for part in _IN_DETAIL[metric]]
)
_told = picker(metric for metric in PLACE_OF if metric.required)
_added = [cell for cell, place in enumerate(PLACES) if place.counter is Counter.ADDED]


def is_unknown(figures: Figures) -> bool:
    """Whether a figure that every source tells is unknown, and counts as 0."""
    return None in _told(values_of(figures))


def rows_of(cells: Cells) -> Rows:
    """The feature rows, in GitHub's form."""
    rows: dict[GithubFeature, list[int]] = {}
    for place, count in zip(PLACES, cells, strict=True):
        if count:
            row = rows.setdefault(place.feature, [0] * len(COUNTERS))
            row[COUNTERS.index(place.counter)] = count
    return {feature: tuple(row) for feature, row in rows.items()}


def lines_added(cells: Cells) -> int:
    """What the top level will say of lines that were added."""
    return sum([cells[cell] for cell in _added])


class Part(msgspec.Struct, frozen=True):
    """What happened in one editor and language; only `detailed` figures are known."""

    editor: str
    language: str
    figures: Figures


def known_of_whole(part: Figures, whole: Figures | None) -> Figures:
    """A part's figures, without those that are unknown, and so 0, of the user's whole."""
    unknown = {
        each.name
        for metric, in_detail in _IN_DETAIL.items()
        if whole is not None and whole[metric] is None
        for each in in_detail
    }
    return msgspec.structs.replace(part, **dict.fromkeys(unknown)) if unknown else part


def totals_of(rows: Rows) -> dict[str, int]:
    """The top level: the sum of the feature rows."""
    return _seven(_sum(rows.values()))


def arrays_of(
    rows: Rows, parts: Iterable[Part] = (), *, merge_ides: bool = False
) -> dict[str, list[dict[str, Any]]]:
    """The five breakdowns; what the parts leave over, or all if they are too much, is unknown."""
    ides: dict[str, Row] = {}
    languages: dict[tuple[str, GithubFeature], Row] = {}
    chats: dict[str, Row] = {}
    for (editor, language, feature), row in _split(rows, parts).items():
        if feature is not GithubFeature.CLI:
            _add(ides, UNKNOWN if merge_ides else _ide_of(editor), row)
        _add(languages, (language, feature), row)
        if feature in CHAT_FEATURES:
            _add(chats, language, row)
    return {
        "totals_by_ide": [{"ide": ide, **_seven(row)} for ide, row in sorted(ides.items())],
        "totals_by_feature": [{"feature": f.value, **_seven(row)} for f, row in rows.items()],
        "totals_by_language_feature": [
            {"language": language, "feature": feature.value, **six}
            for (language, feature), row in sorted(languages.items(), key=_by_names)
            if any((six := _six(row)).values())
        ],
        "totals_by_language_model": [
            {"language": language, "model": UNKNOWN, **six}
            for language, row in sorted(chats.items())
            if any((six := _six(row)).values())
        ],
        "totals_by_model_feature": [
            {"model": UNKNOWN, "feature": feature.value, **_seven(row)}
            for feature, row in rows.items()
            if feature in CHAT_FEATURES
        ],
    }


def user_fields(
    cells: Cells, parts: Iterable[Part] = (), *, merge_ides: bool = False
) -> dict[str, Any]:
    """Of a user's record, all but what names the day, the report and the user."""
    rows = rows_of(cells)
    flags = {flag: not rows.keys().isdisjoint(features) for flag, features in FLAGS.items()}
    return {**totals_of(rows), **flags, **arrays_of(rows, parts, merge_ides=merge_ides)}


class UserTexts:
    """`user_fields` without parts, as JSON, ten times as fast: a month may have 280,000 of them.

    Records in which the same cells are zero differ in nothing but numbers, and every number is a
    sum of cells. Filled with powers of two, a record shows by itself which cells each number adds
    up; so one record of each such kind is made, and the others are printed like it.
    """

    def __init__(self) -> None:
        self._forms: dict[tuple[bool, ...], _Form] = {}

    def text_of(self, cells: Cells) -> bytes:
        """A whole JSON object."""
        kind = tuple(map(bool, cells))
        form = self._forms.get(kind)
        if form is None:
            form = self._forms[kind] = _form(kind)
        text, summed, order = form
        numbers = [*cells, *[sum([cells[cell] for cell in each]) for each in summed]]
        return text % tuple([numbers[number] for number in order])


_Form = tuple[bytes, list[list[int]], list[int]]
"""A text to fill in, the sums that are in it, and for each gap a cell or, after these, a sum."""


def _form(kind: tuple[bool, ...]) -> _Form:
    powers = tuple(there << cell for cell, there in enumerate(kind))
    text = _encode(user_fields(powers))
    gaps = re.compile(rb"(?<=:)[1-9]\d*")
    places = {1 << cell: cell for cell in range(len(kind))}
    summed: list[list[int]] = []
    order = []
    for number in map(int, gaps.findall(text)):
        if number not in places:
            places[number] = len(kind) + len(summed)
            summed.append([cell for cell in range(len(kind)) if number >> cell & 1])
        order.append(places[number])
    return gaps.sub(b"%d", text), summed, order


_Key = tuple[str, str, GithubFeature]
_K = TypeVar("_K")


def _split(rows: Rows, parts: Iterable[Part]) -> dict[_Key, Row]:
    """The feature rows by editor, language and feature."""
    split: dict[_Key, Row] = {}
    left = dict(rows)
    for part in parts:
        editor, language = part.editor.lower(), part.language.lower()
        for feature, row in rows_of(_cells_of_part(part.figures)).items():
            _add(split, (editor, language, feature), row)
            rest = tuple(a - b for a, b in zip(left.get(feature, row), row, strict=True))
            if feature not in rows or min(rest) < 0:  # more than there is: they are of no use
                return {(UNKNOWN, UNKNOWN, feature): whole for feature, whole in rows.items()}
            left[feature] = rest
    for feature, row in left.items():
        if any(row):
            _add(split, (UNKNOWN, UNKNOWN, feature), row)
    return split


def _add(rows: dict[_K, Row], key: _K, row: Row) -> None:
    before = rows.get(key)
    rows[key] = row if before is None else _sum((before, row))


def _sum(rows: Iterable[Row]) -> Row:
    return tuple(map(sum, zip(*rows, strict=True))) or (0,) * len(COUNTERS)


def _seven(row: Row) -> dict[str, int]:
    return {counter.value: count for counter, count in zip(COUNTERS, row, strict=True)}


def _six(row: Row) -> dict[str, int]:
    """Without the messages: the format has none by language."""
    seven = _seven(row)
    del seven[Counter.INTERACTIONS.value]
    return seven


def _by_names(item: tuple[tuple[str, GithubFeature], Row]) -> tuple[str, str]:
    (language, feature), _ = item
    return language, feature.value


def _ide_of(editor: str) -> str:
    """GitHub's name of an editor, lower-cased already; the command line is none."""
    return UNKNOWN if editor == _CLI_EDITOR else _IDES.get(editor, editor)
