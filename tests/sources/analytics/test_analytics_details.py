"""Faults in editors, languages and credits lose nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from analytics_runs import (
    AGGREGATED,
    COUNT,
    CREDITS,
    DAY,
    EDITORS,
    ELSEWHERE,
    METADATA,
    MOST,
    SOUND,
    USER_COUNT_PATH,
    WINDOW,
    Json,
    Left,
    Logged,
    add_to,
    assert_whole,
    both,
    day_files,
    failure,
    left_by,
    opened,
    refused,
    twice,
    without,
)
from conftest import Home
from dashboard_scraper.errors import (
    ContractBroken,
    ScraperError,
    SignInRequired,
    SourceUnavailable,
    UsageError,
)
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import Figures
from dashboard_scraper.model.usage import EditorLanguageUsage
from dashboard_scraper.simulator import (
    Fault,
    Organization,
    Simulator,
    cut_body,
    html,
    null_body,
    redirect,
    rename_key,
    repeat_user,
    reset,
    status,
)
from dashboard_scraper.simulator.faults import Effect
from dashboard_scraper.simulator.fields import analytics_metrics
from dashboard_scraper.sources.registry import ANALYTICS
from dashboard_scraper.store import DetailStatus, store_at
from effects import in_place, put
from stored_days import backfill, fetch, march, settings_of


@pytest.fixture
def detailed(home: Home, spring: Simulator) -> Simulator:
    home.settings["FETCH_EDITOR_LANGUAGE"] = "true"
    return spring


def stored_editors(home: Home, day: date) -> list[EditorLanguageUsage]:
    with store_at(settings_of(home).store_url).reading() as reader:
        return reader.editor_languages(ANALYTICS, day)


def editors_of(organization: Organization, day: date) -> list[EditorLanguageUsage]:
    """The organization's own figures."""
    found = []
    for index, total in organization.totals(Window(day, day)).items():
        member = organization.members[index]
        for part in organization.by_editor(member, total.counts):
            counts: dict[str, Any] = dict(analytics_metrics(part.counts))
            figures = Figures(**counts)
            found.append(EditorLanguageUsage(member.name, part.editor, part.language, figures))
    return sorted(found, key=lambda usage: (usage.user, usage.editor, usage.language))


def assert_editors(home: Home, sim: Simulator, *days: date) -> None:
    """Editors of these days are completely stored, and none of the other day."""
    rows = {day: row.editor_language for day, (row, _) in left_by(home).days.items()}
    for day in (SOUND, DAY):
        expected = editors_of(sim.organization, day) if day in days else []
        assert stored_editors(home, day) == expected
        assert rows.get(day) == (DetailStatus.COMPLETE if day in days else None)


DETAIL_FAULTS: dict[str, tuple[Effect, type[ScraperError], int, set[date]]] = {
    "429": (status(429), SourceUnavailable, 2, set()),
    "503": (status(503), SourceUnavailable, 2, set()),
    "reset": (reset(), SourceUnavailable, 2, set()),
    "cut": (cut_body("close"), SourceUnavailable, 2, set()),
    "400": (status(400), UsageError, 1, set()),
    "401": (status(401), SignInRequired, 1, set()),
    "403": (status(403), SignInRequired, 1, set()),
    "404": (status(404), ContractBroken, 2, {SOUND}),
    "page": (html(), ContractBroken, 2, {SOUND}),
    "null": (null_body(), ContractBroken, 2, {SOUND}),
    "redirect": (redirect(ELSEWHERE), ContractBroken, 2, {SOUND}),
}


@pytest.mark.parametrize("name", DETAIL_FAULTS)
def test_fault_of_editors_is_reported(home: Home, detailed: Simulator, name: str) -> None:
    effect, kind, requests, _ = DETAIL_FAULTS[name]
    detailed.add_fault(Fault(effect, EDITORS, DAY))
    with opened(home) as source:
        assert type(failure(lambda: source.fetch_editor_languages(DAY))) is kind
    assert detailed.count(EDITORS) == (1 if kind is ContractBroken else requests)


@pytest.mark.parametrize("name", ["503", "null"])
@pytest.mark.slow
def test_fault_of_editors_costs_only_these(
    home: Home, detailed: Simulator, undisturbed: Left, name: str
) -> None:
    """The newest day is fetched first. Users are stored and exported, and the error is reported."""
    effect, kind, requests, days = DETAIL_FAULTS[name]
    detailed.add_fault(Fault(effect, EDITORS, DAY))
    error = failure(lambda: fetch(home, SOUND, DAY))
    assert type(error) is kind
    assert f"editors and languages of {DAY} could not be fetched" in str(error)
    assert detailed.count(EDITORS) == requests
    left = left_by(home).files
    for file in (*day_files(SOUND, DAY), AGGREGATED):
        assert left[file] == undisturbed.files[file]
    assert_editors(home, detailed, *days)
    detailed.clear_faults()
    fetch(home, SOUND, DAY)
    assert_editors(home, detailed, SOUND, DAY)


RECORD = ("records", 1)
SHAPES_OF_EDITORS: dict[str, tuple[Effect, str]] = {
    "list renamed": (rename_key("records", "rows"), "records"),
    "list null": (put("records", value=None), "records"),
    "editor missing": (without(*RECORD, "editor"), "editor"),
    "editor null": (put(*RECORD, "editor", value=None), "editor"),
    "editor empty": (put(*RECORD, "editor", value=""), "editor"),
    "language missing": (without(*RECORD, "language"), "language"),
    "language a number": (put(*RECORD, "language", value=3), "language"),
    "no identity": (without(*RECORD, "user_email"), "none of"),
    "both identities": (put(*RECORD, "service_account_name", value="triage-9"), "both of"),
    "metrics missing": (without(*RECORD, "metrics"), "metrics"),
    "metric missing": (without(*RECORD, "metrics", COUNT), COUNT),
    "metric negative": (put(*RECORD, "metrics", COUNT, value=-1), COUNT),
    "metric null": (put(*RECORD, "metrics", COUNT, value=None), COUNT),
    "record twice with two figures": (repeat_user(changed=True), "twice"),
    "pagination missing": (without("pagination"), "pagination"),
    "more without a cursor": (put("pagination", "has_more", value=True), "next_cursor"),
    "a page token": (put("next_page_token", value="x"), "next_page_token"),
    "users counted otherwise": (in_place(add_to(USER_COUNT_PATH, 1)), "returned_user_count"),
    "users not counted": (without(*USER_COUNT_PATH), "returned_user_count"),
    "all records lost": (put("records", value=[]), "returned_user_count"),
}


@pytest.mark.parametrize("name", SHAPES_OF_EDITORS)
def test_unknown_shape_of_editors_is_refused(home: Home, detailed: Simulator, name: str) -> None:
    effect, words = SHAPES_OF_EDITORS[name]
    detailed.add_fault(Fault(effect, EDITORS))
    with opened(home) as source:
        assert words in refused(source, EDITORS)
    assert detailed.count(EDITORS) == 1


@pytest.mark.slow
def test_refused_editors_are_not_stored(home: Home, detailed: Simulator) -> None:
    detailed.add_fault(Fault(SHAPES_OF_EDITORS["metric negative"][0], EDITORS))
    assert type(failure(lambda: backfill(home, DAY, DAY))) is ContractBroken
    assert left_by(home).days.keys() == {DAY}
    assert_editors(home, detailed)


def add_to_part(body: Json) -> None:
    body["records"][0]["metrics"][COUNT] += 1


def part_of_a_stranger(body: Json) -> None:
    body["records"].append({**body["records"][0], "user_email": "nobody@example.com"})
    body["metadata"]["returned_user_count"] += 1


@pytest.mark.parametrize("change", [add_to_part, part_of_a_stranger])
@pytest.mark.slow
def test_unreconciled_editors_are_stored_and_logged(
    home: Home, detailed: Simulator, logged: Logged, change: Callable[[Json], None]
) -> None:
    detailed.add_fault(Fault(in_place(change), EDITORS, DAY))
    fetch(home, SOUND, DAY)
    assert detailed.count(EDITORS, DAY) == 2
    assert left_by(home).days[DAY][0].editor_language is DetailStatus.UNRECONCILED
    assert left_by(home).days[SOUND][0].editor_language is DetailStatus.COMPLETE
    assert stored_editors(home, DAY) != editors_of(detailed.organization, DAY)
    (warning,) = logged(logging.WARNING)
    assert warning.startswith(f"{DAY}: editors and languages do not add up")


def count_records(body: Json) -> None:
    body["metadata"]["returned_user_count"] = len(body["records"])


@pytest.mark.slow
def test_records_counted_as_users_keep_the_editors(
    home: Home, detailed: Simulator, logged: Logged
) -> None:
    """The field is not documented: if it counts records on every day, that is logged once."""
    detailed.add_fault(Fault(in_place(count_records), EDITORS))
    fetch(home, SOUND, DAY)
    assert_editors(home, detailed, SOUND, DAY)
    assert {row.editor_language for row, _ in left_by(home).days.values()} == {
        DetailStatus.COMPLETE
    }
    (warning,) = logged(logging.WARNING)
    assert "returned_user_count is the number of records" in warning


def test_lost_record_is_noticed_where_records_are_counted(home: Home, detailed: Simulator) -> None:
    detailed.add_fault(Fault(both(in_place(count_records), without("records", 0)), EDITORS))
    with opened(home) as source:
        assert "returned_user_count" in refused(source, EDITORS)


@pytest.mark.slow
def test_reconciled_editors_have_no_warning(
    home: Home, detailed: Simulator, logged: Logged
) -> None:
    detailed.add_fault(Fault(in_place(add_to_part), EDITORS, DAY, times=1))
    fetch(home, SOUND, DAY)
    assert_editors(home, detailed, SOUND, DAY)
    assert logged(logging.WARNING) == []


@pytest.fixture
def credited(home: Home, spring: Simulator) -> Simulator:
    home.settings["FETCH_CREDITS"] = "true"
    return spring


def stored_credits(home: Home, day: date) -> dict[str, float]:
    with store_at(settings_of(home).store_url).reading() as reader:
        return reader.credits_of(ANALYTICS, day)


def credits_of(organization: Organization, day: date) -> dict[str, float]:
    """The organization's own figures."""
    totals = organization.totals(Window(day, day)).items()
    return {organization.members[i].name: total.counts.credits / 100 for i, total in totals}


def assert_credits(home: Home, sim: Simulator, *days: date) -> None:
    rows = {day: row.credits for day, (row, _) in left_by(home).days.items()}
    for day in (SOUND, DAY):
        assert stored_credits(home, day) == (
            credits_of(sim.organization, day) if day in days else {}
        )
        assert rows.get(day) == (DetailStatus.COMPLETE if day in days else None)


@pytest.mark.slow
def test_absent_credits_are_no_failure(
    home: Home, credited: Simulator, undisturbed: Left, logged: Logged
) -> None:
    credited.add_fault(Fault(status(404), CREDITS))
    fetch(home, SOUND, DAY)
    assert_whole(left_by(home), undisturbed)
    assert credited.count(CREDITS) == 1
    lines = [*logged(logging.INFO), *logged(logging.WARNING), *logged(logging.ERROR)]
    (line,) = (line for line in lines if "credits" in line)
    assert line in logged(logging.INFO)
    credited.clear_faults()
    credited.add_fault(Fault(status(403), CREDITS))
    with opened(home) as source:
        assert source.fetch_credits(WINDOW) is None


CREDIT_FAULTS: dict[str, tuple[Effect, type[ScraperError], int]] = {
    "429": (status(429), SourceUnavailable, 2),
    "503": (status(503), SourceUnavailable, 2),
    "reset": (reset(), SourceUnavailable, 2),
    "cut": (cut_body("close"), SourceUnavailable, 2),
    "400": (status(400), UsageError, 1),
    "401": (status(401), SignInRequired, 1),
    "page": (html(), ContractBroken, 1),
    "null": (null_body(), ContractBroken, 1),
    "redirect": (redirect(ELSEWHERE), ContractBroken, 1),
}


@pytest.mark.parametrize("name", CREDIT_FAULTS)
def test_fault_of_credits_is_reported(home: Home, credited: Simulator, name: str) -> None:
    effect, kind, requests = CREDIT_FAULTS[name]
    credited.add_fault(Fault(effect, CREDITS))
    with opened(home) as source:
        assert type(failure(lambda: source.fetch_credits(WINDOW))) is kind
    assert credited.count(CREDITS) == requests


@pytest.mark.slow
def test_fault_of_credits_costs_only_these(
    home: Home, credited: Simulator, undisturbed: Left
) -> None:
    effect, kind, requests = CREDIT_FAULTS["503"]
    credited.add_fault(Fault(effect, CREDITS))
    error = failure(lambda: fetch(home, SOUND, DAY))
    assert type(error) is kind
    assert f"credits of {WINDOW} could not be fetched" in str(error)
    assert credited.count(CREDITS) == requests
    assert left_by(home) == undisturbed
    credited.clear_faults()
    fetch(home, SOUND, DAY)
    assert_credits(home, credited, SOUND, DAY)


SHAPES_OF_CREDITS: dict[str, tuple[Effect, str]] = {
    "list renamed": (rename_key("records", "rows"), "records"),
    "credits missing": (without(*RECORD, "credits_consumed"), "credits_consumed"),
    **{
        f"credits {value!r}": (
            put(*RECORD, "credits_consumed", value=value),
            "credits_consumed",
        )
        for value in (-0.5, MOST * 2, "1.5", None, True, [1])
    },
    "date missing": (without(*RECORD, "date"), "date"),
    "date outside": (put(*RECORD, "date", value=f"{march(7)}"), f"{march(7)}"),
    "no identity": (without(*RECORD, "user_email"), "none of"),
    "both identities": (put(*RECORD, "service_account_name", value="triage-9"), "both of"),
    "record twice with two figures": (
        in_place(lambda body: twice(body, "records", credits_consumed=0.125)),
        "twice",
    ),
    "pagination missing": (without("pagination"), "pagination"),
    "more without a cursor": (put("pagination", "has_more", value=True), "next_cursor"),
    "a page token": (put("next_page_token", value="x"), "next_page_token"),
    "all records lost": (put("records", value=[]), "returned_user_count"),
    "a user lost": (in_place(lambda body: body["records"].pop()), "returned_user_count"),
}


@pytest.mark.parametrize("name", SHAPES_OF_CREDITS)
def test_unknown_shape_of_credits_is_refused(home: Home, credited: Simulator, name: str) -> None:
    effect, words = SHAPES_OF_CREDITS[name]
    credited.add_fault(Fault(effect, CREDITS))
    with opened(home) as source:
        assert words in refused(source, CREDITS)


@pytest.mark.slow
def test_refused_credits_are_not_stored(home: Home, credited: Simulator) -> None:
    credited.add_fault(Fault(SHAPES_OF_CREDITS["credits -0.5"][0], CREDITS))
    assert type(failure(lambda: backfill(home, DAY, DAY))) is ContractBroken
    assert left_by(home).days.keys() == {DAY}
    assert_credits(home, credited)


@pytest.mark.parametrize("endpoint", [EDITORS, CREDITS])
def test_details_of_other_days_are_refused(home: Home, detailed: Simulator, endpoint: str) -> None:
    with opened(home) as source:
        for name, (effect, words) in METADATA.items():
            detailed.clear_faults()
            detailed.add_fault(Fault(effect, endpoint))
            assert words in refused(source, endpoint), name


@pytest.mark.parametrize("credits_consumed", [0, 0.0, 7, 1234.5678])
def test_credits_are_stored_unchanged(
    home: Home, credited: Simulator, credits_consumed: float
) -> None:
    credited.add_fault(Fault(put(*RECORD, "credits_consumed", value=credits_consumed), CREDITS))
    backfill(home, DAY, DAY)
    expected = credits_of(credited.organization, DAY)
    changed = [user for user, value in stored_credits(home, DAY).items() if value != expected[user]]
    assert [stored_credits(home, DAY)[user] for user in changed] == [credits_consumed]


def rename_first(field: str) -> Effect:
    """Add a NUL to the first record's name, in every record with this name."""

    def change(body: Json) -> None:
        records = next(iter(value for value in body.values() if isinstance(value, list)))
        name = records[0][field]
        for record in records:
            if record.get(field) == name:
                record[field] = f"{name}\0"

    return in_place(change)


NAMES_WITH_NUL: dict[str, tuple[str, str]] = {
    "an editor": (EDITORS, "editor"),
    "a language": (EDITORS, "language"),
}


@pytest.mark.parametrize("name", NAMES_WITH_NUL)
def test_name_with_nul_is_refused(home: Home, detailed: Simulator, name: str) -> None:
    """PostgreSQL cannot store a NUL, and the result must not depend on the database."""
    endpoint, field = NAMES_WITH_NUL[name]
    detailed.add_fault(Fault(rename_first(field), endpoint))
    with opened(home) as source:
        refused(source, endpoint)
