"""Periods whose figures are the sums of days."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec

from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.metrics import Figures
from dashboard_scraper.model.usage import DayUsage, TenantFigure, UserUsage
from dashboard_scraper.sources.summed_days import SummedDays

FIRST = date(2026, 3, 4)
ADA, BEN = "ada@example.com", "ben@example.com"


class Days(SummedDays):
    summed_extra = ("prompts", "edits")

    def __init__(self, *days: DayUsage) -> None:
        self._days = {day.day: day for day in days}
        self.fetched: list[date] = []

    def is_count(self, name: str) -> bool:
        return name == "sessions"

    def fetch_day(self, day: date) -> DayUsage:
        self.fetched.append(day)
        return self._days[day]


def user(name: str, extra: dict[str, Cell] | None = None, **counts: int | None) -> UserUsage:
    return UserUsage(name, msgspec.convert(counts, Figures), extra or {})


def day(number: int, *users: UserUsage, totals: dict[str, int] | None = None) -> DayUsage:
    return DayUsage(FIRST + timedelta(number), [*users], totals)


def window(days: int) -> Window:
    return Window(FIRST, FIRST + timedelta(days - 1))


def test_users_days_are_added_up() -> None:
    source = Days(
        day(0, user(BEN, active_days=0, chat_messages=0), user(ADA, chat_messages=2)),
        day(1, user(ADA, chat_messages=3)),
    )
    ada, ben = source.fetch_users(window(2))
    assert (ada.user, ada.figures.chat_messages, ada.figures.active_days) == (ADA, 5, 2)
    assert (ben.user, ben.figures.chat_messages, ben.figures.active_days) == (BEN, 0, 0)


def test_count_unknown_on_one_day_is_unknown() -> None:
    source = Days(
        day(0, user(ADA, chat_messages=2, total_messages=2)),
        day(1, user(ADA, chat_messages=None, total_messages=3)),
    )
    (ada,) = source.fetch_users(window(2))
    assert (ada.figures.chat_messages, ada.figures.total_messages) == (None, 5)


def test_accept_rate_is_that_of_the_sums() -> None:
    source = Days(
        day(0, user(ADA, completions_count=1, completions_accepted=1)),
        day(1, user(ADA, completions_count=2, completions_accepted=0)),
    )
    assert source.fetch_users(window(2))[0].figures.acceptance_rate == 33.33


def test_only_named_extra_fields_are_added_up() -> None:
    source = Days(
        day(0, user(ADA, {"sessions": 2, "model": "a", "version": 1})),
        day(1, user(ADA, {"sessions": 3, "version": 2})),
    )
    assert source.fetch_users(window(2))[0].extra == {"sessions": 5}


def test_extra_field_is_unknown_without_one_of_its_days() -> None:
    """Unlike a field that `is_count` knows, for which a day without it counts as 0."""
    source = Days(
        day(0, user(ADA, {"prompts": 1, "sessions": 4})),
        day(1, user(ADA, {"prompts": 2, "edits": 7, "sessions": 1})),
        day(2, user(ADA, {"prompts": 3, "edits": 8})),
        day(3, user(BEN, {"edits": 9})),
    )
    ada, ben = source.fetch_users(window(4))
    assert ada.extra == {"prompts": 6, "sessions": 5}
    assert ben.extra == {"edits": 9}


def test_single_day_comes_as_it_is() -> None:
    users = [user(BEN, {"model": "a"}), UserUsage("key", Figures(), service=True)]
    assert Days(day(0, *users)).fetch_users(window(1)) == users


def test_person_and_service_of_one_name_stay_apart() -> None:
    both = (user("ci", total_messages=1), UserUsage("ci", Figures(total_messages=5), service=True))
    summed = Days(day(0, *both), day(1, *both)).fetch_users(window(2))
    assert [(u.service, u.figures.total_messages) for u in summed] == [(False, 2), (True, 10)]


def test_tenants_totals_are_added_up_without_fetching_again() -> None:
    totals = {"total_messages": 4, "user_count": 1}
    source = Days(day(0, totals=totals), day(1, totals={**totals, "chat_messages": 1}))
    source.fetch_users(window(2))
    assert source.fetch_tenant(window(2)) == [TenantFigure(window(2), "total_messages", 8)]
    assert len(source.fetched) == 2
    source.fetch_users(window(2))
    assert source.fetch_tenant(window(1)) == [
        TenantFigure(window(1), "total_messages", 4),
        TenantFigure(window(1), "user_count", 1),
    ]


def test_single_day_has_its_number_of_users() -> None:
    source = Days(day(0, totals={"user_count": 3}))
    assert source.fetch_tenant(window(1)) == [TenantFigure(window(1), "user_count", 3)]


def test_days_without_totals_have_no_tenant_figures() -> None:
    assert Days(day(0), day(1, totals={"total_messages": 1})).fetch_tenant(window(2)) == []
