"""Sums that the database computes, or that the ledger already has: always those of the rows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import pytest

from dashboard_scraper.errors import StoreFailed
from dashboard_scraper.model.figures import counts_of, is_active
from dashboard_scraper.model.metrics import BY_NAME, COUNTS, REQUIRED, Count, Metric
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.store import store_at
from filled_store import LAST, SOURCE, put, user
from stored_days import sql

FIRST = LAST - timedelta(1)
SUGGESTED = BY_NAME["completions_suggested_lines_of_code"]
WRITTEN = BY_NAME["completions_lines_of_code"]
AT_LEAST = {SUGGESTED: WRITTEN}

# Ben's chat messages are unknown; only Ada's suggested lines are known.
PEOPLE = [
    user("ada@example.com", chat_messages=2, **{SUGGESTED.name: 9, WRITTEN.name: 4}),
    user("ben@example.com", chat_messages=None, **{SUGGESTED.name: None, WRITTEN.name: 3}),
    user("nightly", chat_messages=5, **{SUGGESTED.name: None, WRITTEN.name: 1}),
]


def known_sum(users: Iterable[UserUsage], metric: Metric) -> Count:
    """The sum of the known values; None if none is known."""
    figures = [each.figures for each in users]
    other = AT_LEAST.get(metric, metric)
    known = [each[other] if each[metric] is None else each[metric] for each in figures]
    counts: list[int] = [each for each in known if each is not None]
    return sum(counts) if counts else None


@pytest.mark.parametrize("service", [True, False])
def test_sums_of_a_day_are_those_of_its_rows(store_url: str, service: bool) -> None:
    """If somebody's figure is unknown, the ledger has no sum, but the rows have one."""
    put(store_url, {FIRST: PEOPLE, LAST: []})
    shown = [each for each in PEOPLE if service or not each.service]
    with store_at(store_url).reading() as reader:
        ledger = reader.ledger(SOURCE)
        sums = reader.figure_sums(ledger[FIRST], service_accounts=service, at_least=AT_LEAST)
        few = reader.figure_sums(ledger[FIRST], [SUGGESTED, WRITTEN], service_accounts=service)
        nobody = reader.figure_sums(ledger[LAST], service_accounts=service)
    assert counts_of(sums) == tuple(known_sum(shown, metric) for metric in COUNTS)
    assert {few[metric] for metric in COUNTS} == {9, 8 if service else 7, None}
    assert {nobody[metric] for metric in COUNTS} == {None}


def test_sums_of_some_metrics_leave_others_unknown(store_url: str) -> None:
    put(store_url, {FIRST: PEOPLE, LAST: PEOPLE})
    wanted = {WRITTEN, BY_NAME["chat_messages"]}
    with store_at(store_url).reading() as reader:
        everything = reader.sums_by_user(SOURCE, [FIRST, LAST], service_accounts=True)
        found = reader.sums_by_user(SOURCE, [FIRST, LAST], wanted, service_accounts=True)
        again = reader.sums_by_user(SOURCE, [FIRST, LAST], service_accounts=True)
    places = [place for place, metric in enumerate(COUNTS) if metric in wanted]
    for few, every in zip(found, everything, strict=True):
        assert few.user == every.user
        for place in range(len(COUNTS)):
            sums = (every.sums[place], every.known[place]) if place in places else (None, None)
            assert (few.sums[place], few.known[place]) == sums
    assert again == everything


def test_sum_over_a_day_with_an_unknown_count_is_unknown(store_url: str) -> None:
    """But the known values of the other days still count, for flags for example."""
    put(store_url, {FIRST: PEOPLE, LAST: [user("ben@example.com", chat_messages=3)]})
    with store_at(store_url).reading() as reader:
        found = reader.sums_by_user(SOURCE, [FIRST, LAST], service_accounts=True)
    (ben,) = (each for each in found if each.user == "ben@example.com")
    place = COUNTS.index(BY_NAME["chat_messages"])
    assert (ben.sums[place], ben.known[place]) == (None, 3)
    assert ben.sums[COUNTS.index(WRITTEN)] == 3


def test_sums_are_compared_with_the_ledger_for_every_wanted_metric(store_url: str) -> None:
    put(store_url, {FIRST: PEOPLE})
    sql(store_url, f"UPDATE user_day SET {WRITTEN.name} = 7 WHERE user_login = 'nightly'")
    with store_at(store_url).reading() as reader:
        with pytest.raises(StoreFailed, match="do not match the ledger"):
            reader.sums_by_user(SOURCE, [FIRST], [WRITTEN], service_accounts=True)
        reader.sums_by_user(SOURCE, [FIRST], [SUGGESTED], service_accounts=True)


def test_unknown_user_days_are_those_of_rows(store_url: str) -> None:
    put(store_url, {FIRST: PEOPLE, LAST: [PEOPLE[0]]})
    with store_at(store_url).reading() as reader:
        for metrics in (REQUIRED, [WRITTEN], [SUGGESTED]):
            for days in ([FIRST, LAST], [LAST]):
                users = [each for day in days for each in (PEOPLE if day == FIRST else PEOPLE[:1])]
                expected = sum(
                    is_active(each.figures) and any(each.figures[m] is None for m in metrics)
                    for each in users
                )
                found = reader.unknown_user_days(SOURCE, days, metrics, service_accounts=True)
                assert found == expected
