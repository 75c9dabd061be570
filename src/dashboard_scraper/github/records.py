"""GitHub's own Copilot usage format: pure functions from figures to records.

`PLACE_OF` maps each metric to one counter of one feature, called a cell; every number of a record
is a sum of cells. The top level is always the sum of the feature rows; all rows by language and
feature have the same sum. The rows by editor lack the command line's cells, since it is not an
editor. Consumers expect integers, so unknown figures count as 0, or as another figure that is their
lower bound (`AT_LEAST`); `is_unknown` detects them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar

import msgspec

from dashboard_scraper.github.counters import Counter
from dashboard_scraper.json_templates import Templates
from dashboard_scraper.model.columns import sum_of_column
from dashboard_scraper.model.figures import picker, values_of
from dashboard_scraper.model.metrics import BY_NAME, METRICS, Count, Figures, Metric, parts_of

_encode = msgspec.json.Encoder().encode

UNKNOWN = "unknown"
_CLI_EDITOR = "cli"
_IDES = {"jetbrains": "intellij"}


class GithubFeature(Enum):
    """The features to which any metric is mapped, in the order of the rows."""

    COMPLETION = "code_completion"
    ASK = "chat_panel_ask_mode"
    AGENT = "chat_panel_agent_mode"
    EDIT = "agent_edit"
    INLINE = "chat_inline"
    CLI = "copilot_cli"
    REMOTE = "remote_agent"  # ours: GitHub has no feature for its cloud agent, see SHOWN_AS


class GithubPlace(msgspec.Struct, frozen=True):
    """The counter and the feature row that a metric adds to."""

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
        "remote_agent_messages": GithubPlace(GithubFeature.REMOTE, Counter.INTERACTIONS),
        "cli_agent_interactive_messages": _CLI_INTERACTIONS,
        "cli_agent_non_interactive_messages": _CLI_INTERACTIONS,
        "completions_lines_of_code": GithubPlace(GithubFeature.COMPLETION, Counter.ADDED),
        "instruction_lines_of_code": GithubPlace(GithubFeature.INLINE, Counter.ADDED),
        "ide_agent_lines_of_code": GithubPlace(GithubFeature.EDIT, Counter.ADDED),
        "remote_agent_lines_of_code": GithubPlace(GithubFeature.REMOTE, Counter.ADDED),
        "cli_agent_lines_of_code": GithubPlace(GithubFeature.CLI, Counter.ADDED),
        "completions_suggested_lines_of_code": GithubPlace(
            GithubFeature.COMPLETION, Counter.SUGGESTED
        ),
    }.items()
}

SHOWN_AS = {
    GithubPlace(GithubFeature.REMOTE, Counter.INTERACTIONS): GithubFeature.AGENT,
    GithubPlace(GithubFeature.REMOTE, Counter.ADDED): GithubFeature.EDIT,
}
"""The rows in which remote agents appear. GitHub counts its cloud agent only in flags and numbers
of users. Tools call these two features agentic; no other suitable feature is called that.
"""

AT_LEAST = {
    BY_NAME["completions_suggested_lines_of_code"]: BY_NAME["completions_lines_of_code"],
}
"""A lower bound for a figure that is unknown. All accepted lines were suggested before: with 0
suggested lines, tools would show that none were accepted.
"""

CHAT_FEATURES = tuple(f for f in GithubFeature if f.value.startswith("chat_"))
AGENT_FEATURES = (GithubFeature.AGENT, GithubFeature.EDIT)
FLAGS: dict[str, tuple[GithubFeature, ...]] = {
    "used_agent": AGENT_FEATURES,
    "used_chat": CHAT_FEATURES,
    "used_cli": (GithubFeature.CLI,),
    "used_copilot_coding_agent": (GithubFeature.REMOTE,),
    "used_copilot_cloud_agent": (GithubFeature.REMOTE,),
}
"""A flag of a user's record is true if there is any activity in one of these features."""

COUNTERS = tuple(Counter)
PLACES = tuple(
    place
    for feature in GithubFeature
    for counter in COUNTERS
    if (place := GithubPlace(feature, counter)) in PLACE_OF.values()
)
"""The place of each cell, in the order of the cells."""

Cells = tuple[int, ...]
Column = Sequence[int]
Row = tuple[int, ...]
"""The seven counters, in the order of COUNTERS."""

Rows = dict[GithubFeature, Row]
"""The feature rows that are not all zero."""


def _cells_reader(feeds: Sequence[tuple[Metric, GithubPlace]]) -> Callable[[Figures], Cells]:
    """A function that adds up the metrics of each cell; an unknown metric counts as 0."""
    fed: dict[GithubPlace, list[int]] = {place: [] for place in PLACES}
    for metric, place in feeds:
        fed[place].append(METRICS.index(metric))
    # The first metric of each cell (or the None after all values), then the others.
    firsts = [positions[0] if positions else len(METRICS) for positions in fed.values()]
    further = [(cell, p) for cell, positions in enumerate(fed.values()) for p in positions[1:]]
    pick = operator.itemgetter(*firsts, *(position for _, position in further))
    added_to = [cell for cell, _ in further]

    def cells_of(figures: Figures) -> Cells:
        cells = [value or 0 for value in pick((*values_of(figures), None))]
        for cell, value in zip(added_to, cells[len(PLACES) :], strict=True):
            cells[cell] += value
        return tuple(cells[: len(PLACES)])

    return cells_of


# By editor and language, sources report only some metrics; others are sums of their parts.
_FED_TO = {place: [m for m, fed in PLACE_OF.items() if fed == place] for place in PLACES}
_IN_DETAIL = {metric: (metric,) if metric.detailed else parts_of(metric) for metric in PLACE_OF}

_known_cells_of = _cells_reader([*PLACE_OF.items()])
_cells_of_part = _cells_reader(
    [(part, place) for metric, place in PLACE_OF.items() for part in _IN_DETAIL[metric]]
)
_BOUNDS = [(PLACES.index(PLACE_OF[m]), m.name, other.name) for m, other in AT_LEAST.items()]
MAPPED_REQUIRED = [metric for metric in PLACE_OF if metric.required]
MAPPED_LINES = [metric for metric, place in PLACE_OF.items() if place.counter is Counter.ADDED]
_required_in = picker(MAPPED_REQUIRED)
_added = [cell for cell, place in enumerate(PLACES) if place.counter is Counter.ADDED]


def cells_of_figures(figures: Figures) -> Cells:
    """The cells of a user's figures or, by the same rule, of the sums of several users' figures."""
    cells = _known_cells_of(figures)
    for cell, metric, other in _BOUNDS:
        if getattr(figures, metric) is None:
            cells = (*cells[:cell], getattr(figures, other) or 0, *cells[cell + 1 :])
    return cells


def columns_of_cells(values: Mapping[Metric, Sequence[Count]], users: int) -> list[Column]:
    """`cells_of_figures` for many users: a column for each cell, from a column for each metric that
    the source knows.
    """
    return [
        [*map(sum, zip(*columns, strict=True))] if len(columns) > 1 else columns[0]
        for fed in _FED_TO.values()
        if (columns := [_known_column(values, metric, users) for metric in fed])
    ]


def _known_column(
    values: Mapping[Metric, Sequence[Count]], metric: Metric, users: int
) -> Sequence[int]:
    column = values.get(metric, [None] * users)
    if sum_of_column(column) is not None:
        return column  # type: ignore[return-value]  # without None it has a sum
    other = AT_LEAST.get(metric)
    least = _known_column(values, other, users) if other else [0] * users
    pairs = zip(column, least, strict=True)
    return [at_least if count is None else count for count, at_least in pairs]


def is_unknown(figures: Figures) -> bool:
    """Whether a figure that every source reports is unknown, so that it counts as 0."""
    return None in _required_in(values_of(figures))


def rows_of(cells: Cells) -> Rows:
    """The feature rows that the cells belong to."""
    rows: dict[GithubFeature, list[int]] = {}
    for place, count in zip(PLACES, cells, strict=True):
        if count:
            row = rows.setdefault(place.feature, [0] * len(COUNTERS))
            row[COUNTERS.index(place.counter)] = count
    return {feature: tuple(row) for feature, row in rows.items()}


def lines_added(cells: Cells) -> int:
    """The lines added at the top level of the record."""
    return sum([cells[cell] for cell in _added])


def columns_of_lines_added(cells: Sequence[Column]) -> list[int]:
    """The same for many users, from `columns_of_cells`."""
    return [*map(sum, zip(*(cells[cell] for cell in _added), strict=True))]


class Part(msgspec.Struct, frozen=True):
    """A user's figures in one editor and language; only `detailed` metrics are known."""

    editor: str
    language: str
    figures: Figures


def known_of_whole(part: Figures, whole: Figures | None) -> Figures:
    """A part's figures, without those that are unknown for the user as a whole.

    In the whole, these count as 0 or as their lower bound, and parts must not add up to more.
    """
    unknown = {
        each.name
        for metric, in_detail in _IN_DETAIL.items()
        if whole is not None and whole[metric] is None
        for each in in_detail
    }
    if not unknown:
        return part
    known = msgspec.structs.replace(part, **dict.fromkeys(unknown))
    bounds = {name: getattr(known, other) for _, name, other in _BOUNDS if name in unknown}
    return msgspec.structs.replace(known, **bounds)


def totals_of(rows: Rows) -> dict[str, int]:
    """The top level: the sum of the feature rows."""
    return _seven(_sum(rows.values()))


def cli_of(rows: Rows) -> dict[str, Any]:
    """`totals_by_cli`, which GitHub leaves out if nobody used the command line.

    A message is a prompt, and at least one request. Sessions and tokens are unknown.
    """
    if GithubFeature.CLI not in rows:
        return {}
    messages = rows[GithubFeature.CLI][COUNTERS.index(Counter.INTERACTIONS)]
    tokens = {"prompt_tokens_sum": 0, "output_tokens_sum": 0, "avg_tokens_per_request": None}
    counts = {"session_count": 0, "request_count": messages, "prompt_count": messages}
    return {"totals_by_cli": {**counts, "token_usage": tokens}}


def shown_rows(rows: Rows) -> Rows:
    """The rows under GitHub's features, in their order."""
    if GithubFeature.REMOTE not in rows:
        return rows
    shown: Rows = {
        feature: row for feature, row in rows.items() if feature is not GithubFeature.REMOTE
    }
    for place, feature in SHOWN_AS.items():
        index = COUNTERS.index(place.counter)
        if count := rows[place.feature][index]:
            row: Row = tuple(count * (position == index) for position in range(len(COUNTERS)))
            _add(shown, feature, row)
    return {feature: shown[feature] for feature in GithubFeature if feature in shown}


def arrays_of(
    rows: Rows, parts: Iterable[Part], *, merge_ides: bool = False
) -> dict[str, list[dict[str, Any]]]:
    """The five breakdowns by editor, language, feature and model.

    Activity that the parts do not cover has the editor and language `unknown`. If the parts add up
    to more than the rows, that is everything.
    """
    rows = shown_rows(rows)
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


def user_fields(cells: Cells, parts: Iterable[Part] = ()) -> dict[str, Any]:
    """A user's record without the fields that identify the day, the report and the user."""
    rows = rows_of(cells)
    flags = {flag: not rows.keys().isdisjoint(features) for flag, features in FLAGS.items()}
    return {**totals_of(rows), **flags, **arrays_of(rows, parts), **cli_of(rows)}


def text_of(cells: Cells) -> bytes:
    """`user_fields` without parts, as JSON without the braces, many times as fast: a month may have
    280,000 records.

    Records with the same zero cells differ only in their numbers.
    """
    return _TEMPLATES.text(cells, tuple(map(bool, cells)))


def texts_of(
    before: Iterable[bytes], cells: Sequence[Column], after: Iterable[bytes]
) -> Iterator[bytes]:
    """The same for many users, from `columns_of_cells`, each between two other texts."""
    return _TEMPLATES.texts(before, cells, after)


_TEMPLATES = Templates(
    lambda cells: _encode(user_fields(tuple([cell or 0 for cell in cells])))[1:-1], len(PLACES)
)


_Key = tuple[str, str, GithubFeature]
_K = TypeVar("_K")


def _split(rows: Rows, parts: Iterable[Part]) -> dict[_Key, Row]:
    """The feature rows split by editor, language and feature; the rest is under `unknown`."""
    split: dict[_Key, Row] = {}
    left = dict(rows)
    for part in parts:
        editor, language = part.editor.lower(), part.language.lower()
        for feature, row in shown_rows(rows_of(_cells_of_part(part.figures))).items():
            _add(split, (editor, language, feature), row)
            rest = tuple(a - b for a, b in zip(left.get(feature, row), row, strict=True))
            if feature not in rows or min(rest) < 0:  # more than the whole: discard all parts
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
    """The counters without messages: the format has no messages by language."""
    seven = _seven(row)
    del seven[Counter.INTERACTIONS.value]
    return seven


def _by_names(item: tuple[tuple[str, GithubFeature], Row]) -> tuple[str, str]:
    (language, feature), _ = item
    return language, feature.value


def _ide_of(editor: str) -> str:
    """GitHub's name of an editor, from its lower-case name; the command line is not an editor."""
    return UNKNOWN if editor == _CLI_EDITOR else _IDES.get(editor, editor)
