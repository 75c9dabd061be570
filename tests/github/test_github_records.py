"""GitHub's mapping of a user-day: where each figure counts, and that sums match for any figures."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard_scraper.github.records import (
    AT_LEAST,
    COUNTERS,
    PLACE_OF,
    PLACES,
    Cells,
    Part,
    arrays_of,
    cells_of_figures,
    is_unknown,
    known_of_whole,
    lines_added,
    rows_of,
    text_of,
    user_fields,
)
from dashboard_scraper.model.columns import sum_of
from dashboard_scraper.model.metrics import (
    BY_NAME,
    COUNTS,
    DETAILED,
    MAX_COUNT,
    METRICS,
    Figures,
    Metric,
    parts_of,
)
from github_schemas import SCHEMAS, Json, validator

SEVEN = [counter.value for counter in COUNTERS]
SIX = SEVEN[1:]
MESSAGES, GENERATED, ACCEPTED = SEVEN[:3]
SUGGESTED, ADDED = SEVEN[3], SEVEN[5]
FLAGS = {
    "code_completion": set[str](),
    "chat_panel_ask_mode": {"used_chat"},
    "chat_panel_agent_mode": {"used_chat", "used_agent"},
    "agent_edit": {"used_agent"},
    "chat_inline": {"used_chat"},
    "copilot_cli": {"used_cli"},
}
# The documented mapping.
MAPPING = {
    "completions_count": ("code_completion", GENERATED),
    "completions_accepted": ("code_completion", ACCEPTED),
    "completions_suggested_lines_of_code": ("code_completion", SUGGESTED),
    "completions_lines_of_code": ("code_completion", ADDED),
    "chat_messages": ("chat_panel_ask_mode", MESSAGES),
    "ide_agent_messages": ("chat_panel_agent_mode", MESSAGES),
    "ide_agent_lines_of_code": ("agent_edit", ADDED),
    "instruction_lines_of_code": ("chat_inline", ADDED),
    "cli_agent_interactive_messages": ("copilot_cli", MESSAGES),
    "cli_agent_non_interactive_messages": ("copilot_cli", MESSAGES),
    "cli_agent_lines_of_code": ("copilot_cli", ADDED),
    "remote_agent_messages": ("chat_panel_agent_mode", MESSAGES),
    "remote_agent_lines_of_code": ("agent_edit", ADDED),
}
REMOTE_FLAGS = {"used_copilot_coding_agent", "used_copilot_cloud_agent"}
IDES = {"JetBrains": "intellij", "CLI": "unknown"}
counts = st.one_of(st.none(), st.just(0), st.integers(0, 9), st.integers(0, MAX_COUNT))
figures = st.builds(Figures, **{metric.name: counts for metric in COUNTS})
editors = st.sampled_from(["VSCode", "JetBrains", "CLI", "Vim", "Unknown", 'É"d\\'])
languages = st.sampled_from(["Python", "C#", "Unknown", "python", "TypeScript"])
small = st.one_of(st.none(), st.integers(0, 9))
detailed = st.builds(Figures, **{metric.name: small for metric in DETAILED})
parts = st.lists(st.builds(Part, editors, languages, detailed), max_size=4)


def of(**counts: int) -> Figures:
    """A user-day with these figures; all others are 0."""
    return msgspec.structs.replace(sum_of(()), **counts)


def summed(rows: list[dict[str, Any]], counters: list[str]) -> list[int]:
    return [sum(row[counter] for row in rows) for counter in counters]


def assert_closed(fields: dict[str, Any]) -> None:
    """Check the sums that the format promises for any record."""
    top = [fields[counter] for counter in SEVEN]
    by_feature = fields["totals_by_feature"]
    assert summed(by_feature, SEVEN) == top
    assert summed(fields["totals_by_language_feature"], SIX) == top[1:]
    cli = summed([row for row in by_feature if row["feature"] == "copilot_cli"], SEVEN)
    ides = summed(fields["totals_by_ide"], SEVEN)
    assert ides == [whole - part for whole, part in zip(top, cli, strict=True)]
    chats = [row for row in by_feature if row["feature"].startswith("chat_")]
    assert [{**row, "model": "unknown"} for row in chats] == fields["totals_by_model_feature"]
    assert summed(fields["totals_by_language_model"], SIX) == summed(chats, SIX)
    for name, rows in fields.items():
        for row in rows if isinstance(rows, list) else ():
            numbers = [value for value in row.values() if not isinstance(value, str)]
            assert any(numbers), (name, row)
            assert all(type(number) is int for number in numbers)


@pytest.mark.parametrize("name", [metric.name for metric in COUNTS])
def test_metric_counts_only_in_its_place(name: str) -> None:
    fields = user_fields(cells_of_figures(of(**{name: 7})))
    flags = {flag for flag, used in fields.items() if used is True}
    if name not in MAPPING:
        assert fields["totals_by_feature"] == []
        assert (flags, [fields[counter] for counter in SEVEN]) == (set(), [0] * 7)
        return
    feature, counter = MAPPING[name]
    row = {"feature": feature, **dict.fromkeys(SEVEN, 0), counter: 7}
    assert fields["totals_by_feature"] == [row]
    assert flags == (REMOTE_FLAGS if name.startswith("remote") else FLAGS[feature])
    messages = 7 if counter == MESSAGES else 0
    tokens = {"prompt_tokens_sum": 0, "output_tokens_sum": 0, "avg_tokens_per_request": None}
    cli = {"session_count": 0, "request_count": messages, "prompt_count": messages}
    expected = {**cli, "token_usage": tokens} if feature == "copilot_cli" else None
    assert fields.get("totals_by_cli") == expected


def test_remote_agents_add_to_agents_of_editor() -> None:
    counts = {"ide_agent_messages": 1, "remote_agent_messages": 2, "chat_messages": 4}
    lines = {"ide_agent_lines_of_code": 8, "remote_agent_lines_of_code": 16}
    fields = user_fields(cells_of_figures(of(**counts, **lines)))
    assert_closed(fields)
    found = {row["feature"]: (row[MESSAGES], row[ADDED]) for row in fields["totals_by_feature"]}
    assert [*found.items()] == [
        ("chat_panel_ask_mode", (4, 0)),
        ("chat_panel_agent_mode", (3, 0)),
        ("agent_edit", (0, 24)),
    ]


def test_unknown_suggested_lines_are_at_least_accepted_ones() -> None:
    """As 0, they would be fewer than the accepted ones: many lines accepted out of none."""
    known = of(completions_lines_of_code=5, completions_suggested_lines_of_code=9)
    unknown = msgspec.structs.replace(known, completions_suggested_lines_of_code=None)
    nothing = msgspec.structs.replace(unknown, completions_lines_of_code=None)
    for row, expected in ((known, 9), (unknown, 5), (nothing, 0)):
        fields = user_fields(cells_of_figures(row))
        assert fields[SUGGESTED] == expected
        assert_closed(fields)
    split = Part(
        "Vim", "Go", of(completions_lines_of_code=2, completions_suggested_lines_of_code=1)
    )
    split = msgspec.structs.replace(split, figures=known_of_whole(split.figures, unknown))
    by_ide = ides_of(user_fields(cells_of_figures(unknown), [split]))
    assert {ide: row[3] for ide, row in by_ide.items()} == {"vim": 2, "unknown": 3}


def test_command_line_messages_add_up() -> None:
    cells = cells_of_figures(
        of(cli_agent_interactive_messages=3, cli_agent_non_interactive_messages=4)
    )
    (row,) = user_fields(cells)["totals_by_feature"]
    assert row[MESSAGES] == 7


@given(figures)
@pytest.mark.slow
def test_sums_close_for_any_figures(row: Figures) -> None:
    cells = cells_of_figures(row)
    fields = user_fields(cells)
    assert_closed(fields)
    assert lines_added(cells) == fields[ADDED]


@given(figures, parts)
@pytest.mark.slow
def test_sums_close_for_any_editors_and_languages(row: Figures, split: list[Part]) -> None:
    """Whether these parts are less or more than the whole."""
    fields = user_fields(cells_of_figures(row), split)
    assert_closed(fields)
    merged = arrays_of(rows_of(cells_of_figures(row)), split, merge_ides=True)
    assert len(merged["totals_by_ide"]) <= 1
    assert_closed(fields | merged)


def figures_of(part: Figures) -> Figures:
    """The figures of a user-day that consists of this part only."""

    def count_of(metric: Metric) -> int:
        known = (metric,) if metric in DETAILED else parts_of(metric)
        return sum(part[each] or 0 for each in known)

    return of(**{metric.name: count_of(metric) for metric in PLACE_OF})


@given(parts, detailed)
@pytest.mark.slow
def test_parts_count_under_editor_and_language(split: list[Part], rest: Figures) -> None:
    """The rest counts as unknown; each part adds to the sums like a user-day of its own."""
    everything = [*split, Part("unknown", "unknown", rest)]
    sums = {m.name: sum(each.figures[m] or 0 for each in everything) for m in DETAILED}
    whole = Figures(**sums)  # type: ignore[arg-type]
    ides: dict[str, list[int]] = {}
    languages: dict[tuple[str, str], list[int]] = {}
    for each in everything:
        ide = IDES.get(each.editor, each.editor.lower())
        for row in user_fields(cells_of_figures(figures_of(each.figures)))["totals_by_feature"]:
            counted = [row[counter] for counter in SEVEN]
            if row["feature"] != "copilot_cli":
                ides[ide] = [a + b for a, b in zip(ides.get(ide, [0] * 7), counted, strict=True)]
            if any(counted[1:]):
                key = each.language.lower(), row["feature"]
                before = languages.get(key, [0] * 6)
                languages[key] = [a + b for a, b in zip(before, counted[1:], strict=True)]
    fields = user_fields(cells_of_figures(figures_of(whole)), split)
    assert_closed(fields)
    assert ides_of(fields) == ides
    assert {
        (row["language"], row["feature"]): [row[counter] for counter in SIX]
        for row in fields["totals_by_language_feature"]
    } == languages


@given(st.tuples(*(st.one_of(st.just(0), st.integers(0, 3 * MAX_COUNT)) for _ in PLACES)))
@pytest.mark.slow
def test_templates_print_what_the_encoder_does(cells: Cells) -> None:
    encoded = msgspec.json.encode(user_fields(cells))
    expected = encoded[1:-1]
    assert text_of(cells) == expected
    assert text_of(cells) == expected, "printed like one that was made before"
    assert json.loads(encoded)


def part(editor: str, language: str, **counts: int) -> Part:
    return Part(editor, language, of(**counts))


def ides_of(fields: dict[str, Any]) -> dict[str, list[int]]:
    return {row["ide"]: [row[counter] for counter in SEVEN] for row in fields["totals_by_ide"]}


def test_editors_have_githubs_names() -> None:
    """But the command line is not an editor."""
    cells = cells_of_figures(of(chat_messages=10, cli_agent_interactive_messages=5))
    split = [
        part("VSCode", "Python", chat_messages=1),
        part("JetBrains", "Go", chat_messages=2),
        part("NeoVim", "Go", chat_messages=3),
        part("CLI", "Go", chat_messages=3, cli_agent_interactive_messages=5),
    ]
    found = {ide: row[0] for ide, row in ides_of(user_fields(cells, split)).items()}
    assert found == {"vscode": 1, "intellij": 2, "neovim": 3, "unknown": 4}
    whole = arrays_of(rows_of(cells), split, merge_ides=True)
    merged = {ide: row[0] for ide, row in ides_of(whole).items()}
    assert merged == {"unknown": 10}


def test_languages_are_lower_cased() -> None:
    """And what the parts leave over is unknown."""
    cells = cells_of_figures(of(completions_lines_of_code=10))
    split = [part("VSCode", "Python", completions_lines_of_code=6), part("Vim", "python")]
    rows = user_fields(cells, split)["totals_by_language_feature"]
    assert {row["language"]: row[ADDED] for row in rows} == {"python": 6, "unknown": 4}


def test_parts_beyond_the_whole_are_discarded() -> None:
    cells = cells_of_figures(of(completions_lines_of_code=10))
    split = [
        part("VSCode", "Python", completions_lines_of_code=6),
        part("Vim", "Go", completions_lines_of_code=5),
    ]
    rows = user_fields(cells, split)["totals_by_language_feature"]
    assert {row["language"]: row[ADDED] for row in rows} == {"unknown": 10}


def test_unknown_required_figure_is_detected() -> None:
    known = of()
    assert not is_unknown(known)
    for name in MAPPING:
        row = msgspec.structs.replace(known, **{name: None})
        assert is_unknown(row) == BY_NAME[name].required, name


def test_part_of_an_unknown_figure_is_unknown() -> None:
    """Even if the unknown figure is not mapped to the format."""
    part = of()
    assert known_of_whole(part, None) == part
    for metric in METRICS:
        whole = msgspec.structs.replace(of(), **{metric.name: None})
        known = known_of_whole(part, whole)
        lost = {each for each in COUNTS if known[each] is None}
        parts = {metric} if metric in DETAILED else set(parts_of(metric))
        counted = metric.name in MAPPING and metric not in AT_LEAST
        assert lost == (parts if counted else set()), metric.name


def user_record() -> Json:
    fields = user_fields(cells_of_figures(of(chat_messages=2, completions_count=3)))
    ids = {"day": "2026-10-31", "enterprise_id": "1", "user_id": 2**31 - 1, "user_login": "ada-l"}
    return {**ids, **fields}


BROKEN: dict[str, tuple[str, object]] = {
    "integer with a fraction of zero": (MESSAGES, 2.0),
    "boolean for a counter": (MESSAGES, True),
    "negative counter": (ADDED, -1),
    "unknown counter": (ADDED, None),
    "text for a counter": (ADDED, "1"),
    "no user": ("user_id", 0),
    "user of more than 31 bits": ("user_id", 2**31),
    "user as text": ("user_id", "12"),
    "enterprise as number": ("enterprise_id", 1),
    "organization as number": ("organization_id", 1),
    "day in another form": ("day", "31-10-2026"),
    "no day of the calendar": ("day", "2026-02-30"),
    "window without an end": ("report_start_day", "2026-10-04"),
    "flag as number": ("used_chat", 1),
    "breakdown that is null": ("totals_by_ide", None),
    "row without its counters": ("totals_by_feature", [{"feature": "agent_edit"}]),
    "feature of the other mapping": (
        "totals_by_feature",
        [{"feature": "chat_panel", **dict.fromkeys(SEVEN, 1)}],
    ),
}


@pytest.mark.parametrize(("name", "value"), BROKEN.values(), ids=BROKEN)
def test_schema_rejects_what_breaks_consumers(name: str, value: object) -> None:
    assert validator("github-user-record").is_valid(user_record())
    assert not validator("github-user-record").is_valid({**user_record(), name: value})


def test_schema_requires_each_field_and_allows_more() -> None:
    record = user_record()
    assert validator("github-user-record").is_valid({**record, "pull_requests": {}})
    for name in record.keys() - {"totals_by_cli"}:
        lacking = {other: value for other, value in record.items() if other != name}
        assert not validator("github-user-record").is_valid(lacking), name


def test_both_schemas_agree_on_shared_fields() -> None:
    user, whole = (
        json.loads((SCHEMAS / f"github-{kind}-record.schema.json").read_bytes())["$defs"]
        for kind in ("user", "enterprise")
    )
    assert user.items() <= whole.items()
