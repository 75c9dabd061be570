"""The brief's Copilot mapping: every counter, the sums, unknown figures, ids, the aggregate."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conftest import Home, yesterday
from dashboard_scraper.exports.copilot_converter import (
    WindowTotals,
    convert,
    head_of,
    json_array,
    line_of,
    stamp_of,
    user_ids,
)
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import added, counts_of, is_active, values_of
from dashboard_scraper.model.metrics import COUNTS as COUNT_METRICS
from dashboard_scraper.model.metrics import METRICS, Figures, Kind
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.simulator import Fault, Simulator, raw_body
from dashboard_scraper.sources.dashboard.fields import FIELDS, USER_FIELD
from dashboard_scraper.store import UserSums

DAY = date(2024, 12, 11)
REPORT = Window(date(2024, 11, 14), DAY)
NAMES = {metric.title: metric.name for metric in METRICS}
COUNTS = [metric.title for metric in COUNT_METRICS]

# The brief's example, with the agents' messages and lines spread over their kinds.
EXAMPLE = {
    "Completions": 450,
    "Accepted Completions": 180,
    "Chat Messages": 25,
    "Agent Messages": 40,
    "Remote Agent Messages": 10,
    "Interactive CLI Agent Messages": 6,
    "Non-Interactive CLI Agent Messages": 4,
    "Tool Uses": 120,
    "Total Modified Lines of Code": 850,
    "Completion Lines of Code": 500,
    "Instruction Lines of Code": 100,
    "Agent Lines of Code": 200,
    "Remote Agent Lines of Code": 30,
    "CLI Agent Lines of Code": 20,
}
EXAMPLE_RECORD = """
{
  "report_start_day": "2024-11-14",
  "report_end_day": "2024-12-11",
  "day": "2024-12-11",
  "enterprise_id": "283613",
  "user_id": 3045693125,
  "user_login": "user@example.com",
  "user_initiated_interaction_count": 85,
  "code_generation_activity_count": 450,
  "code_acceptance_activity_count": 180,
  "loc_suggested_to_add_sum": 500,
  "loc_suggested_to_delete_sum": 0,
  "loc_added_sum": 850,
  "loc_deleted_sum": 0,
  "totals_by_feature": [
    {
      "feature": "code_completion",
      "user_initiated_interaction_count": 0,
      "code_generation_activity_count": 450,
      "code_acceptance_activity_count": 180,
      "loc_suggested_to_add_sum": 500,
      "loc_suggested_to_delete_sum": 0,
      "loc_added_sum": 500,
      "loc_deleted_sum": 0
    },
    {
      "feature": "chat_panel",
      "user_initiated_interaction_count": 25,
      "code_generation_activity_count": 0,
      "code_acceptance_activity_count": 0,
      "loc_suggested_to_add_sum": 0,
      "loc_suggested_to_delete_sum": 0,
      "loc_added_sum": 0,
      "loc_deleted_sum": 0
    },
    {
      "feature": "agent_edit",
      "user_initiated_interaction_count": 60,
      "code_generation_activity_count": 0,
      "code_acceptance_activity_count": 0,
      "loc_suggested_to_add_sum": 0,
      "loc_suggested_to_delete_sum": 0,
      "loc_added_sum": 250,
      "loc_deleted_sum": 0
    }
  ],
  "used_agent": true,
  "used_chat": true
}
"""
SEVEN = list(json.loads(EXAMPLE_RECORD)["totals_by_feature"][0])[1:]

AGENT_MESSAGES = {
    "Agent Messages",
    "Remote Agent Messages",
    "Interactive CLI Agent Messages",
    "Non-Interactive CLI Agent Messages",
}
AGENT_LINES = {"Agent Lines of Code", "Remote Agent Lines of Code", "CLI Agent Lines of Code"}
# The brief's table: the columns that each counter of a feature sums up; all others are 0.
MAPPING = {
    ("code_completion", "code_generation_activity_count"): {"Completions"},
    ("code_completion", "code_acceptance_activity_count"): {"Accepted Completions"},
    ("code_completion", "loc_suggested_to_add_sum"): {"Completion Lines of Code"},
    ("code_completion", "loc_added_sum"): {"Completion Lines of Code"},
    ("chat_panel", "user_initiated_interaction_count"): {"Chat Messages"},
    ("agent_edit", "user_initiated_interaction_count"): AGENT_MESSAGES,
    ("agent_edit", "loc_added_sum"): AGENT_LINES,
}

COLLIDING = ("quillon.ambervale917@example.com", "tamsin.mossgrave492@example.com")
NATURAL_OF_BOTH = 2186269671


def usage(user: str, counts: dict[str, int | None]) -> UserUsage:
    """A user with these counts; all other figures are unknown."""
    named: dict[str, Any] = {NAMES[title]: count for title, count in counts.items()}
    return UserUsage(user, Figures(**named))


def record(counts: dict[str, int | None]) -> dict[str, Any]:
    return convert(usage("ada@example.com", counts), DAY, REPORT, "1", 1)


def records_of(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """The records that the lines make in a file of the window."""
    text = b"".join(json_array(stamp_of(DAY, REPORT, "1"), lines))
    found: list[dict[str, Any]] = json.loads(text)
    return found


def unless_unknown(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def independent_id(address: str) -> int:
    return int.from_bytes(hashlib.md5(address.lower().encode()).digest()[:4], "big")


def test_example_of_the_brief_is_converted() -> None:
    user = usage("user@example.com", {**EXAMPLE})
    ids, _ = user_ids([user.user])
    made = convert(user, DAY, REPORT, "283613", ids[user.user])
    expected = json.loads(EXAMPLE_RECORD)
    assert made == expected
    assert list(made) == list(expected)
    for row, expected_row in zip(
        made["totals_by_feature"], expected["totals_by_feature"], strict=True
    ):
        assert list(row) == list(expected_row)


ANY_COUNTS = st.fixed_dictionaries(
    {title: st.none() | st.just(0) | st.integers(0, 10**12) for title in COUNTS}
)


@settings(deadline=None)
@given(ANY_COUNTS)
@example(dict.fromkeys(COUNTS))
@example(dict.fromkeys(COUNTS, 0))
@pytest.mark.slow
def test_unknown_is_never_zero_in_any_sum(
    counts: dict[str, int | None],
) -> None:
    made = record(counts)
    rows = {row["feature"]: row for row in made["totals_by_feature"]}
    assert list(rows) == ["code_completion", "chat_panel", "agent_edit"]
    for feature, row in rows.items():
        assert list(row) == ["feature", *SEVEN]
        for counter in SEVEN:
            titles = MAPPING.get((feature, counter), set())
            assert row[counter] == unless_unknown([counts[title] for title in titles])
    for counter in SEVEN:
        total = unless_unknown([row[counter] for row in rows.values()])
        if counter == "loc_added_sum":
            total = counts["Total Modified Lines of Code"]
        assert made[counter] == total


@settings(deadline=None)
@given(ANY_COUNTS)
@pytest.mark.slow
def test_flags_follow_their_own_activity(
    counts: dict[str, int | None],
) -> None:
    made = record(counts)
    assert made["used_chat"] is bool(counts["Chat Messages"])
    assert made["used_agent"] is any(counts[title] for title in AGENT_MESSAGES | AGENT_LINES)


@pytest.mark.parametrize(
    ("address", "number"),
    [
        ("ada@example.com", 0x3E3417D7),
        ("Ada@Example.COM", 0x3E3417D7),
        (COLLIDING[0], NATURAL_OF_BOTH),
        (COLLIDING[1], NATURAL_OF_BOTH),
    ],
)
def test_user_id_is_from_the_address_md5(address: str, number: int) -> None:
    """The first eight hexadecimal digits of the MD5 of the lower-cased address."""
    assert user_ids([address]) == ({address: number}, [])
    assert independent_id(address) == number


@pytest.mark.parametrize("seed", range(5))
def test_first_in_the_alphabet_keeps_a_shared_id(
    seed: int,
) -> None:
    """In any order of the addresses."""
    keeper, yielding = COLLIDING
    people = [f"user{number}@example.com" for number in range(50)]
    addresses = [*COLLIDING, *people]
    random.Random(seed).shuffle(addresses)
    ids, collisions = user_ids(addresses)
    assert collisions == [COLLIDING]
    assert ids[keeper] == NATURAL_OF_BOTH
    assert ids[yielding] == independent_id(f"{yielding}#2")
    assert all(ids[person] == independent_id(person) for person in people)


def test_each_spelling_gets_its_own_id() -> None:
    spellings = ["ada@example.com", "ADA@example.com", "Ada@example.com"]
    ids, collisions = user_ids(spellings)
    assert ids == {
        "ADA@example.com": independent_id("ada@example.com"),
        "Ada@example.com": independent_id("ada@example.com#2"),
        "ada@example.com": independent_id("ada@example.com#3"),
    }
    assert collisions == [("ADA@example.com", name) for name in sorted(spellings)[1:]]


def test_replacement_id_is_nobody_elses_own() -> None:
    natural = f"{COLLIDING[1]}#2"
    ids, _ = user_ids([*COLLIDING, natural])
    assert ids[natural] == independent_id(natural)
    assert ids[COLLIDING[1]] == independent_id(f"{COLLIDING[1]}#3")


ADDRESSES = st.sampled_from(
    [*COLLIDING, COLLIDING[1].upper(), f"{COLLIDING[1]}#2", "ada@example.com", "Ada@example.com"]
) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@settings(deadline=None)
@given(st.lists(ADDRESSES, max_size=20), st.randoms())
@pytest.mark.slow
def test_ids_are_unique_and_natural_if_free(addresses: list[str], order: random.Random) -> None:
    ids, _ = user_ids(addresses)
    assert ids.keys() == set(addresses)
    assert len(set(ids.values())) == len(ids)
    naturals = [independent_id(address) for address in ids]
    for address, number in ids.items():
        if naturals.count(independent_id(address)) == 1:
            assert number == independent_id(address)
    shuffled = [*addresses, *addresses]
    order.shuffle(shuffled)
    assert user_ids(shuffled)[0] == ids


@pytest.mark.slow
def test_id_collision_is_logged_with_both_names(home: Home, sim: Simulator) -> None:
    """And every file has two different ids."""
    counts = {field: 1 for metric, field in FIELDS.items() if metric.kind is Kind.COUNT}
    body = {"userFeatureStats": [{USER_FIELD: name, **counts} for name in reversed(COLLIDING)]}
    sim.add_fault(Fault(raw_body(json.dumps(body).encode()), "user-feature-stats"))
    days = Window(yesterday() - timedelta(2), yesterday())
    result = home.run("--daily", f"{days.start}", f"{days.end}")
    assert result.code == 11, "all days are equal"
    (line,) = [line for line in result.err.splitlines() if "same user_id" in line]
    assert f"{COLLIDING[0]} and {COLLIDING[1]}" in line
    expected = {
        COLLIDING[0]: NATURAL_OF_BOTH,
        COLLIDING[1]: independent_id(f"{COLLIDING[1]}#2"),
    }
    assert str(expected[COLLIDING[1]]) in line
    files = list(home.folder_of(days).glob("copilot_metrics_*.json"))
    assert len(files) == 3 + 1
    for file in files:
        records = json.loads(file.read_bytes())
        assert {each["user_login"]: each["user_id"] for each in records} == expected


DAYS_OF_ONE_USER = st.lists(ANY_COUNTS, min_size=1, max_size=5)


def totals_of(days: list[list[UserUsage]]) -> WindowTotals:
    """The totals of some days, from each user's sums in the store: only days with activity."""
    figures: dict[str, list[Figures]] = {}
    for user in itertools.chain.from_iterable(days):
        if is_active(user.figures):
            figures.setdefault(user.user, []).append(user.figures)
    sums = []
    for name, each in sorted(figures.items()):
        columns = list(zip(*map(counts_of, each), strict=True))
        there = [[count for count in column if count is not None] for column in columns]
        known = tuple(sum(counts) if counts else None for counts in there)
        sums.append(UserSums(name, tuple(map(added, columns)), known))
    return WindowTotals(sums, lambda name: name)


@settings(deadline=None)
@given(DAYS_OF_ONE_USER)
@example([{**dict.fromkeys(COUNTS, 1), "Chat Messages": None}, dict.fromkeys(COUNTS, 0)])
@example([dict.fromkeys(COUNTS, 1), {**dict.fromkeys(COUNTS, 0), "Chat Messages": None}])
@pytest.mark.slow
def test_window_record_sums_its_days(
    days: list[dict[str, int | None]],
) -> None:
    """A flag is set if it is set on any day."""
    totals = totals_of([[usage("ada@example.com", counts)] for counts in days])
    made = records_of(totals.lines({"ada@example.com": head_of(7, "ada@example.com")}))
    if not any(count for counts in days for count in counts.values()):
        return  # users without any known activity are tested with the daily job
    summed = {title: unless_unknown([counts[title] for counts in days]) for title in COUNTS}
    daily = [record(counts) for counts in days]
    expected = record(summed) | {
        "user_id": 7,
        "used_agent": any(each["used_agent"] for each in daily),
        "used_chat": any(each["used_chat"] for each in daily),
    }
    assert made == [expected]


def test_window_records_are_of_active_users() -> None:
    """And of those who may have been active, sorted by address."""
    zeros: dict[str, int | None] = dict.fromkeys(COUNTS, 0)
    resting = [usage(name, zeros) for name in ("zoe", "ada", "bo", "cy")]
    working = [
        usage("zoe", {**zeros, "Tool Uses": 1}),
        usage("ada", {**zeros, "Completions": 1}),
        usage("cy", {**zeros, "Chat Messages": None}),
    ]
    totals = totals_of([resting, working])
    ids = {"zoe": 1, "ada": 2, "bo": 3, "cy": 4}
    found = records_of(totals.lines({name: head_of(number, name) for name, number in ids.items()}))
    assert [each["user_login"] for each in found] == ["ada", "cy", "zoe"]
    assert [each["user_initiated_interaction_count"] for each in found] == [0, None, 0]


@pytest.mark.parametrize("number", [0, 1, 2, 499, 500, 501, 1000, 1001])
def test_records_are_one_json_array_by_line(number: int) -> None:
    lines = (b'"n":%d}' % n for n in range(number))
    text = b"".join(json_array(b'{"day":"2024-12-11"', lines)).decode()
    assert json.loads(text) == [{"day": "2024-12-11", "n": n} for n in range(number)]
    assert text.endswith("]\n")
    assert len(text.splitlines()) == (number + 2 if number else 1)


def test_chunks_of_a_large_array_are_small() -> None:
    pieces = list(json_array(b'{"a":1', (b'"n":%d}' % n for n in range(5000))))
    assert max(map(len, pieces)) < sum(map(len, pieces)) / 5


known_or_not = st.one_of(st.none(), st.just(0), st.integers(0, 9), st.integers(0, 2**63 - 1))
some_figures = st.builds(Figures, **{metric.name: known_or_not for metric in COUNT_METRICS})
odd_names = st.one_of(st.text(min_size=1), st.sampled_from(['É"d\\%d', "a:5@example.com", "%b"]))


@given(some_figures, odd_names, st.integers(0, 2**32 - 1), st.text(max_size=9))
@settings(max_examples=12, deadline=None)
def test_lines_are_what_the_encoder_prints(
    figures: Figures, name: str, number: int, enterprise: str
) -> None:
    """Also with unknown figures, large numbers and names with any characters."""
    record = convert(UserUsage(name, figures), DAY, REPORT, enterprise, number)
    line = line_of(head_of(number, name), values_of(figures))
    stamp = stamp_of(DAY, REPORT, enterprise)
    assert b"%b,%b" % (stamp, line) == msgspec.json.encode(record)
    assert b"\n" not in line, "else lines could not be told apart"


def test_lines_of_a_day_take_another_stamp() -> None:
    """Lines joined by line breaks can get another stamp, as the docstring of `json_array` says."""
    lines = [
        line_of(head_of(n, f"{n}\n"), values_of(usage("", {**EXAMPLE}).figures)) for n in (1, 2)
    ]
    other = stamp_of(DAY, Window(DAY, DAY), "1")
    spliced = b"[\n%b,%b\n]\n" % (other, b"\n".join(lines).replace(b"\n", b",\n%b," % other))
    assert spliced == b"".join(json_array(other, lines))
    assert len(json.loads(spliced)) == 2
