"""GitHub's reports from a store: who has a record, what the totals add up, and who was active."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from dashboard_scraper.github.counters import Counter
from dashboard_scraper.github.kinds import GithubOptions, Report, Scope, Subject
from dashboard_scraper.github.records import (
    AGENT_FEATURES,
    CHAT_FEATURES,
    COUNTERS,
    PLACE_OF,
    GithubFeature,
)
from dashboard_scraper.github.reports import GithubReports, persons_in
from dashboard_scraper.model.dates import DAYS, Window
from dashboard_scraper.model.figures import NOTHING_KNOWN
from dashboard_scraper.model.metrics import DETAILED, LINES, Figures
from dashboard_scraper.model.usage import EditorLanguageUsage, UserUsage
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.identity import Person, people_of
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import DetailStatus, store_at
from databases import on_sqlite
from filled_store import (
    FETCHED,
    LAST,
    MONTH,
    SOURCE,
    active,
    put,
    remarked,
    report_of,
    some_days,
    user,
)
from github_schemas import Json, team_rows, user_records, whole_record

SEVEN = [counter.value for counter in COUNTERS]
BREAKDOWNS = ("ide", "feature", "language_feature", "language_model", "model_feature")
ARRAYS = [f"totals_by_{name}" for name in BREAKDOWNS]
USERS, WHOLE, TEAMS = Subject.USERS, Subject.WHOLE, Subject.TEAMS


def options(**others: Any) -> GithubOptions:
    return GithubOptions("283613", **others)


def without_days(record: Json) -> Json:
    return {name: value for name, value in record.items() if not name.startswith("report_")}


@on_sqlite
@pytest.mark.slow
def test_every_active_user_day_has_one_record(store_url: str) -> None:
    days = some_days(28)
    put(store_url, days)
    records = user_records(report_of(store_url, USERS, MONTH))
    expected = [(f"{day}", name) for day in sorted(days) for name in sorted(active(days[day]))]
    assert [(record["day"], record["user_login"]) for record in records] == expected
    assert 20 < len(expected) < 28 * 7
    assert {(r["report_start_day"], r["report_end_day"]) for r in records} == {
        (f"{MONTH.start}", f"{MONTH.end}")
    }
    assert {record["enterprise_id"] for record in records} == {"283613"}
    assert not any("organization_id" in record for record in records)


@on_sqlite
@pytest.mark.slow
def test_daily_reports_have_the_monthly_records(store_url: str) -> None:
    put(store_url, some_days(28))
    month = user_records(report_of(store_url, USERS, MONTH))
    of_days = [r for day in MONTH.days() for r in user_records(report_of(store_url, USERS, day))]
    assert of_days == [without_days(record) for record in month]


@on_sqlite
def test_service_accounts_can_be_left_out(store_url: str) -> None:
    put(store_url, {LAST: [user("ada@example.com", chat_messages=2), user("bot", chat_messages=3)]})
    for shown in (True, False):
        audience = Audience(service_accounts=shown)
        records = user_records(report_of(store_url, USERS, LAST, audience=audience))
        whole = whole_record(report_of(store_url, WHOLE, LAST, audience=audience))
        assert [r["user_login"] for r in records] == ["ada@example.com", "bot"][: 1 + shown]
        assert whole["daily_active_users"] == whole["monthly_active_users"] == 1 + shown
        assert whole["user_initiated_interaction_count"] == (5 if shown else 2)


@on_sqlite
def test_two_spellings_of_an_address_share_a_record(store_url: str) -> None:
    both = [user("Ada@example.com", chat_messages=2), user("ada@example.com", chat_messages=3)]
    put(store_url, {LAST: both})
    (record,) = user_records(report_of(store_url, USERS, LAST))
    assert record["user_initiated_interaction_count"] == 5
    assert whole_record(report_of(store_url, WHOLE, LAST))["daily_active_users"] == 1


@on_sqlite
def test_two_spellings_are_one_person_everywhere(
    store_url: str,
) -> None:
    """In editors and languages, in credits, and in the days on which the person was active."""
    before = LAST - timedelta(1)
    both = [user("Ada@example.com", chat_messages=2), user("ada@example.com", chat_messages=4)]
    put(store_url, {before: both[:1], LAST: both})
    put_editors(store_url, LAST, both)
    store = store_at(store_url)
    with store.locked(), store.opened():
        store.put_credits(SOURCE, LAST, {each.user: 1.25 for each in both}, FETCHED)
    first, last = user_records(report_of(store_url, USERS, MONTH, options(with_credits=True)))
    assert (first["user_id"], first["user_login"]) == (last["user_id"], last["user_login"])
    assert last["ai_credits_used"] == 2.5
    ides = {row["ide"]: row["user_initiated_interaction_count"] for row in last["totals_by_ide"]}
    assert ides == {"vscode": 3, "intellij": 3}
    whole = whole_record(report_of(store_url, WHOLE, LAST))
    counts = {name: count for name, count in whole.items() if name.endswith("active_users")}
    assert set(counts.values()) == {1}, counts


@on_sqlite
def test_what_a_left_out_service_account_did_is_not_its_persons(store_url: str) -> None:
    """Neither its editors, which would be more than the person's own use, nor its credits."""
    both = [user("ada@example.com", chat_messages=4), user("bot", chat_messages=6)]
    put(store_url, {LAST: both})
    put_editors(store_url, LAST, both)
    store = store_at(store_url)
    with store.locked(), store.opened():
        store.put_credits(SOURCE, LAST, {each.user: 1.25 for each in both}, FETCHED)
    identities = {each.user: Person("ada", 7) for each in both}
    audience = Audience(service_accounts=False, identities=identities, people=people_of(identities))
    (record,) = user_records(
        report_of(store_url, USERS, LAST, options(with_credits=True), audience=audience)
    )
    assert (record["user_login"], record["ai_credits_used"]) == ("ada", 1.25)
    ides = {row["ide"]: row["user_initiated_interaction_count"] for row in record["totals_by_ide"]}
    assert ides == {"vscode": 2, "intellij": 2}


def added_up(records: list[Json]) -> Json:
    """The counters and breakdowns of records on users, added up."""
    found: Json = {name: sum(record[name] for record in records) for name in SEVEN}
    clis = [record["totals_by_cli"] for record in records if "totals_by_cli" in record]
    found["totals_by_cli"] = sum(cli["prompt_count"] for cli in clis) if clis else None
    arrays = [name for record in records for name in record if name in ARRAYS]
    for array in sorted(set(arrays)):
        rows: dict[tuple[str, ...], dict[str, int]] = {}
        for row in (row for record in records for row in record[array]):
            key = tuple(value for value in row.values() if isinstance(value, str))
            sums = rows.setdefault(key, {})
            for name, value in row.items():
                if not isinstance(value, str):
                    sums[name] = sums.get(name, 0) + value
        found[array] = rows
    return found


def taken_apart(whole: Json) -> Json:
    """The counters and breakdowns of the record on the whole."""
    return added_up([whole])


def put_editors(url: str, day: date, users: list[UserUsage]) -> None:
    """Store half of each user's figures under one editor and language, half under another."""
    rows = []
    for each in users:
        placed = [metric for metric in DETAILED if metric in PLACE_OF]
        counts = counts_of(**{metric.name: _half(each.figures[metric]) for metric in placed})
        for editor, language in (("VSCode", "Python"), ("JetBrains", "Go")):
            rows.append(EditorLanguageUsage(each.user, editor, language, counts))
    store = store_at(url)
    with store.locked(), store.opened():
        store.put_editor_languages(SOURCE, day, rows, DetailStatus.COMPLETE, FETCHED)


def _half(figure: object) -> int:
    return figure // 2 if isinstance(figure, int) else 0


@pytest.mark.slow
def test_totals_are_the_sums_of_the_users(store_url: str) -> None:
    chosen = options(organization_id="77", merge_ides=False)
    scope = Scope.ORGANIZATION
    days = some_days(28)
    put(store_url, days)
    for day in list(days)[:9]:
        put_editors(store_url, day, days[day])
    month = whole_record(report_of(store_url, WHOLE, MONTH, chosen, scope))
    assert [each["day"] for each in month["day_totals"]] == [f"{day}" for day in MONTH.days()]
    for each in month["day_totals"][-11:]:  # nine of them have editors
        day = date.fromisoformat(each["day"])
        records = user_records(report_of(store_url, USERS, day, chosen, scope))
        if records:
            assert taken_apart(each) == added_up(records)
        else:
            assert [each[name] for name in SEVEN] == [0] * 7
        assert whole_record(report_of(store_url, WHOLE, day, chosen, scope)) == each
        ids = {"77"} if scope is Scope.ORGANIZATION else {None}
        assert {each.get("organization_id"), *(r.get("organization_id") for r in records)} == ids
    assert month.get("organization_id") == ids.pop()
    ides = {row["ide"] for each in month["day_totals"] for row in each["totals_by_ide"]}
    assert ides == {"vscode", "intellij", "unknown"}


@on_sqlite
@pytest.mark.slow
def test_active_users_are_distinct_over_trailing_days(store_url: str) -> None:
    days = some_days(60, users=9)
    put(store_url, days)
    areas = {
        "": (),
        "_chat": CHAT_FEATURES,
        "_agent": AGENT_FEATURES,
        "_cli": (GithubFeature.CLI,),
        "_copilot_cloud_agent": (GithubFeature.REMOTE,),
    }

    def count(area: str, day: date, length: int) -> int:
        trailing = (day - timedelta(back) for back in range(length))
        return len(set().union(*(active(days[each], *areas[area]) for each in trailing)))

    for record in whole_record(report_of(store_url, WHOLE, MONTH))["day_totals"]:
        day = date.fromisoformat(record["day"])
        for prefix, length in (("daily", 1), ("weekly", 7), ("monthly", 28)):
            for area in areas:
                number = record.get(f"{prefix}_active{area}_users")
                if number is not None:
                    assert number == count(area, day, length), (prefix, area, day)
        for prefix, length in (("daily", 1), ("weekly", 7), ("monthly", 28)):
            name = f"{prefix}_active_cli_users"
            assert record.get(name, 0) == count("_cli", day, length)
            assert record.get(name) != 0, "without any, GitHub leaves it out"


@on_sqlite
@pytest.mark.slow
def test_counts_without_older_days_are_remarked(store_url: str) -> None:
    put(store_url, some_days(55))
    assert not any("active users" in text for text in remarked(store_url, WHOLE, MONTH)[1])
    old = LAST - timedelta(40)
    (remark,) = [t for t in remarked(store_url, WHOLE, old)[1] if "active users" in t]
    first = LAST - timedelta(54)
    missing = DAYS - (old - first).days - 1
    assert f"without {missing} days" in remark
    assert f"to {first - timedelta(1)}" in remark


@on_sqlite
@pytest.mark.slow
def test_missing_day_has_no_record_and_empty_one_zeros(store_url: str) -> None:
    missing, empty = LAST - timedelta(3), LAST - timedelta(5)
    days = some_days(28) | {empty: []}
    del days[missing]
    put(store_url, days)
    month = whole_record(report_of(store_url, WHOLE, MONTH))["day_totals"]
    records = {record["day"]: record for record in month}
    assert records.keys() == {f"{day}" for day in MONTH.days()} - {f"{missing}"}
    zero = records[f"{empty}"]
    assert [zero[name] for name in SEVEN] == [0] * 7
    assert zero["daily_active_users"] == 0 < zero["weekly_active_users"]
    assert [zero[name] for name in zero if name.startswith("totals_by")] == [[]] * 5
    assert report_of(store_url, USERS, empty) == b""
    assert report_of(store_url, WHOLE, missing) == report_of(store_url, USERS, missing) == b""


def counts_of(**counts: int) -> Figures:
    """Figures by editor and language: these counts, and 0 for all others."""
    zeros = dict.fromkeys((metric.name for metric in DETAILED), 0)
    return replace(NOTHING_KNOWN, **{**zeros, **counts})


@on_sqlite
@pytest.mark.parametrize("status", DetailStatus)
@pytest.mark.slow
def test_editors_are_used_only_if_they_add_up(store_url: str, status: DetailStatus) -> None:
    name = "ada@example.com"
    put(store_url, {LAST: [user(name, chat_messages=5), user("bot", chat_messages=2)]})
    store = store_at(store_url)
    with store.locked(), store.opened():
        rows = [
            EditorLanguageUsage(name, "VSCode", "Python", counts_of(chat_messages=3)),
            EditorLanguageUsage(name, "JetBrains", "Go", counts_of(chat_messages=2)),
            EditorLanguageUsage("bot", "Vim", "Go", counts_of(chat_messages=2)),
        ]
        store.put_editor_languages(SOURCE, LAST, rows, status, FETCHED)
    audience = Audience(service_accounts=False)
    (record,) = user_records(report_of(store_url, USERS, LAST, audience=audience))
    whole = whole_record(report_of(store_url, WHOLE, LAST, audience=audience))
    used = status is DetailStatus.COMPLETE
    expected = {"vscode": 3, "intellij": 2} if used else {"unknown": 5}
    apart = options(merge_ides=False)
    for each in (record, whole_record(report_of(store_url, WHOLE, LAST, apart, audience=audience))):
        found = {r["ide"]: r["user_initiated_interaction_count"] for r in each["totals_by_ide"]}
        assert found == expected
    (row,) = whole["totals_by_ide"]
    assert (row["ide"], row["user_initiated_interaction_count"]) == ("unknown", 5)


@on_sqlite
def test_unknown_figure_costs_nobody_else_their_editors(store_url: str) -> None:
    """An unknown figure is not compared with its parts; the totals are still the users' sums."""
    lines = next(m for m in DETAILED if m in PLACE_OF and PLACE_OF[m].counter is Counter.ADDED)
    ada = user("ada@example.com", chat_messages=1, **{lines.name: None})
    bob = user("bob@example.com", chat_messages=1, **{lines.name: 10})
    put(store_url, {LAST: [ada, bob]})
    store = store_at(store_url)
    with store.locked(), store.opened():
        rows = [
            EditorLanguageUsage(name, "VSCode", "Python", counts_of(**{lines.name: count}))
            for name, count in (("ada@example.com", 5), ("bob@example.com", 10))
        ]
        store.put_editor_languages(SOURCE, LAST, rows, DetailStatus.COMPLETE, FETCHED)
    records = user_records(report_of(store_url, USERS, LAST))
    whole = whole_record(report_of(store_url, WHOLE, LAST, options(merge_ides=False)))
    assert taken_apart(whole) == added_up(records)


@on_sqlite
def test_unknown_suggested_lines_count_in_the_whole_as_in_users(store_url: str) -> None:
    """For one user these are the accepted lines, for the other the ones that the source reports."""
    lines = "completions_suggested_lines_of_code"
    ada = user("ada@example.com", completions_lines_of_code=5, **{lines: None})
    bob = user("bob@example.com", completions_lines_of_code=7, **{lines: 9})
    put(store_url, {LAST: [ada, bob]})
    records = user_records(report_of(store_url, USERS, LAST))
    whole = whole_record(report_of(store_url, WHOLE, LAST))
    assert [record["loc_suggested_to_add_sum"] for record in records] == [5, 9]
    assert whole["loc_suggested_to_add_sum"] == 14


@on_sqlite
def test_credits_appear_only_if_enabled(store_url: str) -> None:
    names = ("ada@example.com", "bob@example.com")
    put(store_url, {LAST: [user(name, chat_messages=5) for name in names]})
    store = store_at(store_url)
    with store.locked(), store.opened():
        store.put_credits(SOURCE, LAST, {names[0]: 1.25}, FETCHED)
    plain = user_records(report_of(store_url, USERS, LAST))
    assert not any("ai_credits_used" in record for record in plain)
    records = user_records(report_of(store_url, USERS, LAST, options(with_credits=True)))
    assert [record.get("ai_credits_used") for record in records] == [1.25, None]
    whole = whole_record(report_of(store_url, WHOLE, LAST, options(with_credits=True)))
    assert "ai_credits_used" not in whole
    assert [{**r, "ai_credits_used": 0} for r in records] == [
        {**r, "ai_credits_used": 0} for r in plain
    ]


@on_sqlite
@pytest.mark.parametrize("scope", Scope)
def test_teams_have_a_row_per_person_and_team(store_url: str, scope: Scope) -> None:
    people = {
        "ada@example.com": Person("ada-l", 11, ("core", "web")),
        "bob@example.com": Person("bob-m", 12),
        "cyd@example.com": Person("cyd-n", 13, ("web",)),
        "eve@example.com": Person("eve-o", 14, ("web",)),
    }
    present = ["Ada@example.com", "bob@example.com", "cyd@example.com"]
    put(store_url, {LAST: [user(name, chat_messages=1) for name in present]})
    chosen, audience = options(organization_id="77"), Audience(identities=people)
    rows = team_rows(report_of(store_url, TEAMS, LAST, chosen, scope, audience))
    assert [(r["user_id"], r["user_login"], r["slug"], r["day"]) for r in rows] == [
        (11, "ada-l", "core", f"{LAST}"),
        (11, "ada-l", "web", f"{LAST}"),
        (13, "cyd-n", "web", f"{LAST}"),
    ]
    name, value = {"enterprise": ("enterprise_id", "283613")}.get(
        scope.value, ("organization_id", "77")
    )
    assert all(row[name] == value for row in rows)
    assert rows[1]["team_id"] == rows[2]["team_id"] != rows[0]["team_id"] > 0
    assert report_of(store_url, TEAMS, LAST + timedelta(1), chosen, scope, audience) == b""


@on_sqlite
@pytest.mark.slow
def test_differing_totals_are_remarked_once(store_url: str) -> None:
    total = LINES.name
    required = next(m.name for m in DETAILED if m in PLACE_OF and m.required)
    lines = {"completions_lines_of_code": 4, total: 9}
    days = {LAST - timedelta(back): [user("ada@example.com", **lines)] for back in range(28)}
    days[LAST].append(user("bob@example.com", **{required: None}))
    put(store_url, days)
    _, remarks = remarked(store_url, USERS, MONTH)
    assert len(remarks) == 2
    assert "of 28 user-days" in remarks[0]
    assert f"such as of ada@example.com on {MONTH.start}" in remarks[0]
    assert "is 9, the sum of the features is 4" in remarks[0]
    assert "unknown figures of 1 user-day are 0" in remarks[1]
    unknown = user_records(report_of(store_url, USERS, LAST))[1]
    assert unknown["user_login"] == "bob@example.com"
    assert unknown["totals_by_feature"] == []
    assert whole_record(report_of(store_url, WHOLE, LAST))["daily_active_users"] == 2


@on_sqlite
@pytest.mark.slow
def test_same_figures_give_the_same_bytes(store_url: str) -> None:
    put(store_url, some_days(28))
    before = [report_of(store_url, subject, MONTH) for subject in (USERS, WHOLE)]
    put(store_url, some_days(28))
    assert [report_of(store_url, subject, MONTH) for subject in (USERS, WHOLE)] == before


@on_sqlite
@pytest.mark.slow
def test_older_windows_have_reports_too(store_url: str) -> None:
    window, days = Window(LAST - timedelta(60), LAST - timedelta(33)), some_days(61)
    put(store_url, {day: days[day] for day in [*window.days(), LAST]})
    records = user_records(report_of(store_url, USERS, window))
    assert {record["report_end_day"] for record in records} == {f"{window.end}"}


@on_sqlite
def test_whole_has_every_sum_that_the_ledger_has(store_url: str) -> None:
    """Also a metric that the source did not have when the program was written."""
    lines = "completions_suggested_lines_of_code"
    ada = user("ada@example.com", completions_lines_of_code=5, **{lines: 9})
    put(store_url, {LAST: [ada]}, DASHBOARD)
    with store_at(store_url).reading() as reader:
        persons = persons_in(reader, DASHBOARD, Audience())
        reports = GithubReports(reader, DASHBOARD, Audience(), GithubOptions("1"), persons)
        report = Report(Scope.ENTERPRISE, WHOLE, Window(LAST, LAST), latest=False)
        whole = whole_record(b"".join(reports.chunks(report)))
    assert whole["loc_suggested_to_add_sum"] == 9
