"""Costs in the store are exact, and every version of them can be read again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard_scraper.errors import ContractBroken, StoreFailed
from dashboard_scraper.model.costs import (
    Account,
    Budget,
    Cost,
    CostDay,
    CostFigures,
    CostKind,
    sum_costs,
)
from dashboard_scraper.model.dates import Window
from dashboard_scraper.people.people import People
from dashboard_scraper.sources.registry import ANALYTICS
from dashboard_scraper.store import CostLedgerDay, Store, store_at
from dashboard_scraper.store.revising import Stored
from databases import on_sqlite
from stored_days import sql

DAY = date(2026, 10, 5)
FIRST = datetime(2026, 10, 6, 3, tzinfo=UTC)
NIGHT = timedelta(days=1)
ADA, BEN, NOBODY = "ada@example.com", "ben@example.com", ""
LONG = Decimal("12345678901234567890.123456789012345678")


def figures(billed: Decimal | str, tokens: int = 0) -> CostFigures:
    amount = Decimal(billed)
    return CostFigures(tokens, 1, 2, 3, None, amount, amount, Decimal(0))


def cost(user: str, billed: Decimal | str, resource: str = "model-a", tokens: int = 0) -> Cost:
    account = Account.PERSON if user else Account.UNATTRIBUTED
    return Cost(user, account, "MODEL", resource, figures(billed, tokens))


def day_of(*costs: Cost, total: CostFigures | None = None, day: date = DAY) -> CostDay:
    return CostDay(day, [*costs], total or sum_costs(each.figures for each in costs))


def put(store: Store, costs: CostDay, night: int = 0) -> Stored:
    return store.put_costs(ANALYTICS, costs, FIRST + night * NIGHT)[0]


def stored(store: Store, day: date = DAY) -> tuple[CostLedgerDay, list[Cost]]:
    with store.reading() as reader:
        row = reader.cost_ledger(ANALYTICS)[day]
        return row, reader.costs(row)


def test_amounts_come_back_exactly(store: Store) -> None:
    costs = day_of(cost(NOBODY, "-0.000000000000000001"), cost(ADA, LONG, tokens=2**63 - 7))
    assert put(store, costs) is Stored.FIRST
    row, rows = stored(store)
    assert rows == costs.costs
    assert row.sums == row.total == costs.total
    assert f"{row.sums.billed}" == "12345678901234567890.123456789012345677"


def test_view_shows_amounts_and_persons(store_url: str, store: Store) -> None:
    put(store, day_of(cost(NOBODY, "1.5"), cost(ADA, "2.25")))
    columns = "user_login, account, resource_type, resource, currency, billed, person"
    rows = sql(store_url, f"SELECT {columns} FROM cost_days ORDER BY user_login")
    assert [(*row[:5], str(row[5]), row[6]) for row in rows] == [
        ("", "unattributed", "MODEL", "model-a", "USD", "1.5", None),
        (ADA, "person", "MODEL", "model-a", "USD", "2.25", ADA),
    ]


def test_difference_is_stored_in_words(store: Store) -> None:
    put(store, day_of(cost(ADA, "1"), total=figures("1.0000001")))
    row, _ = stored(store)
    assert [f"{each}" for each in row.unreconciled] == [
        "billed is 1.0000001, the sum of its rows is 1",
        "estimated is 1.0000001, the sum of its rows is 1",
    ]


@on_sqlite
def test_same_answer_again_is_no_revision(store: Store) -> None:
    put(store, day_of(cost(ADA, "1.50")))
    assert put(store, day_of(cost(ADA, "1.5")), night=1) is Stored.SAME
    row, _ = stored(store)
    assert (row.version, row.accepted_at, row.fetched_at) == (1, FIRST, FIRST + NIGHT)


@on_sqlite
@pytest.mark.parametrize(
    "revised",
    [
        day_of(cost(ADA, "1.51")),
        day_of(cost(ADA, "1.5"), cost(BEN, "0")),
        day_of(cost(BEN, "1.5")),
        day_of(cost(ADA, "1.5"), total=figures("1.6")),
    ],
    ids=["amount", "one more", "other user", "total"],
)
def test_other_answer_is_a_new_version(store: Store, revised: CostDay) -> None:
    first = day_of(cost(ADA, "1.5"))
    put(store, first)
    assert put(store, revised, night=1) is Stored.REVISED
    row, rows = stored(store)
    assert (row.version, row.accepted_at, rows) == (2, FIRST + NIGHT, revised.costs)
    before, rows = stored(store.as_of(FIRST))
    assert (before.version, before.sums, rows) == (1, first.sums, first.costs)


def test_day_without_costs_is_not_a_missing_day(store: Store) -> None:
    put(store, day_of())
    row, rows = stored(store)
    assert rows == []
    assert row.sums.billed == 0
    with store.reading() as reader:
        assert [*reader.cost_ledger(ANALYTICS)] == [DAY]
        assert reader.cost_ledger(ANALYTICS, Window(DAY - NIGHT, DAY - NIGHT)) == {}


def test_day_without_costs_is_in_the_currency_of_the_others(store: Store) -> None:
    """Its answer has no row that could name a currency: the zeros were labelled as dollars."""
    quiet, euros = day_of(day=DAY + timedelta(1)), day_of(cost("alice@example.com", "1"))
    assert put(store, quiet) is Stored.FIRST
    assert stored(store, quiet.day)[0].currency == "USD"
    put(store, replace(euros, currency="EUR"))
    assert put(store, quiet, 1) is Stored.SAME
    assert put(store, day_of(day=DAY + timedelta(2))) is Stored.FIRST
    found = [stored(store, DAY + timedelta(n))[0] for n in range(3)]
    assert [(row.currency, row.version) for row in found] == [("EUR", 1)] * 3


def test_first_day_with_costs_says_the_currency_of_those_before(store: Store) -> None:
    """A first run begins with the oldest day, which may have no costs."""
    put(store, day_of())
    day = DAY + timedelta(1)
    put(store, replace(day_of(cost(ADA, "1"), day=day), currency="EUR"))
    assert [stored(store, each)[0].currency for each in (DAY, day)] == ["EUR", "EUR"]


def test_rows_that_do_not_match_the_ledger_are_refused(store_url: str, store: Store) -> None:
    put(store, day_of(cost(ADA, "1.5"), cost(BEN, "2")))
    sql(store_url, f"DELETE FROM cost_day WHERE user_login = '{BEN}'")
    with pytest.raises(StoreFailed, match=f"costs of {DAY} do not match the ledger"):
        stored(store)


@pytest.mark.parametrize("bad", ["a\0b", "twice"])
def test_impossible_rows_are_refused(store: Store, bad: str) -> None:
    rows = [cost(ADA, "1"), cost(ADA, "2", resource="model-a" if bad == "twice" else bad)]
    with pytest.raises(ContractBroken, match=r"NUL|two rows"):
        put(store, day_of(*rows))
    with store.reading() as reader:
        assert reader.cost_ledger(ANALYTICS) == {}


def test_sum_beyond_the_columns_is_refused(store: Store) -> None:
    rows = [cost(ADA, "1", tokens=2**63 - 1), cost(BEN, "1", tokens=1)]
    with pytest.raises(ContractBroken, match=f"{DAY}: input_tokens of all users is {2**63}, more"):
        put(store, day_of(*rows))
    rows = [cost(ADA, "9" * 20), cost(BEN, "1")]
    with pytest.raises(ContractBroken, match=f"{DAY}: billed of all users: 10{{20}} has more"):
        put(store, day_of(*rows))


def test_forget_removes_costs_from_every_version(store_url: str, store: Store) -> None:
    put(store, day_of(cost(ADA, "1.5"), cost(ADA, "1", "model-b"), cost(BEN, "2")))
    put(store, day_of(cost(ADA, "4"), cost(BEN, "3")), night=1)
    store.put_budgets(ANALYTICS, [Budget(ADA, CostKind.MONEY, Decimal(50))], FIRST)
    assert store.forget("ADA@example.com") == 4
    row, rows = stored(store)
    assert row.total is not None
    assert (rows, row.forgotten, row.sums.billed, row.total.billed) == (
        [cost(BEN, "3")],
        1,
        Decimal(3),
        Decimal(7),
    )
    row, rows = stored(store.as_of(FIRST))
    assert (rows, row.forgotten, row.sums.billed) == ([cost(BEN, "2")], 2, Decimal(2))
    for table in ("cost_day", "cost_day_version", "budget", "person"):
        assert sql(store_url, f"SELECT 1 FROM {table} WHERE user_login = '{ADA}'") == []


def test_budgets_are_those_named_last(store: Store) -> None:
    ada = Budget(ADA, CostKind.MONEY, Decimal("50.5"))
    ben = Budget(BEN, CostKind.CREDITS, Decimal(1000))
    store.put_budgets(ANALYTICS, [ben, ada], FIRST)
    with store.reading() as reader:
        assert reader.budgets(ANALYTICS) == [ada, ben]
    store.put_budgets(ANALYTICS, [ben], FIRST + NIGHT)
    with store.reading() as reader:
        assert reader.budgets(ANALYTICS) == [ben]


_amounts = st.decimals(-(10**19), 10**19, allow_nan=False, places=18)
_versions = st.lists(
    st.dictionaries(
        st.tuples(st.sampled_from([ADA, BEN, NOBODY]), st.sampled_from(["model-a", "model-b"])),
        _amounts,
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(versions=_versions)
def test_every_version_is_exact(
    tmp_path_factory: pytest.TempPathFactory, versions: list[dict[tuple[str, str], Decimal]]
) -> None:
    """With any decimals: rows, sums and totals of each moment are those that were fetched then."""
    path: Path = tmp_path_factory.mktemp("costs") / "usage.db"
    place = store_at(f"sqlite:///{path}", People())
    days = [
        day_of(*(cost(user, amount, model) for (user, model), amount in sorted(each.items())))
        for each in versions
    ]
    with place.locked(), place.opened():
        for night, each in enumerate(days):
            put(place, each, night)
        for night, each in enumerate(days):
            row, rows = stored(place.as_of(FIRST + night * NIGHT))
            assert rows == each.costs
            assert row.sums == each.sums
            assert row.unreconciled == []
