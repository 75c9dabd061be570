"""Fetches the costs of stored days, on a schedule of their own: bills are corrected for weeks.

If a source has its own totals, one request returns those of up to 90 days. They show which stored
days have changed since, and what the rows of each day must add up to. For a source without totals,
a day is fetched if it is missing or not settled, or if its usage was revised since; but not while
its usage is held: the same fault may be in its costs, and no total would show it. A day whose costs
fall is marked, as the answer may lack some.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta

from dashboard_scraper.errors import ContractBroken, ScraperError
from dashboard_scraper.model.costs import COST_METRICS, Cost, CostDay, CostFigures, text_of
from dashboard_scraper.model.dates import Window, pieces_of, runs_of_days, utc_day
from dashboard_scraper.model.listing import listed, listed_days
from dashboard_scraper.model.metrics import COUNTS
from dashboard_scraper.people.people import person_key
from dashboard_scraper.sources.interface import CostSource, Source
from dashboard_scraper.spans import measured
from dashboard_scraper.store import (
    CostLedgerDay,
    LedgerDay,
    Reader,
    Store,
    Stored,
    VersionState,
)
from dashboard_scraper.store.settling import is_settled
from dashboard_scraper.sync.cost_periods import close_period
from dashboard_scraper.sync.cost_rules import CostRules
from dashboard_scraper.sync.day_details import DETAIL_ERRORS

logger = logging.getLogger(__name__)

# Most rows in memory at once: 20 pages, or one day if a day has more.
_MOST_ROWS = 20_000
_BUDGETS_OF = timedelta(days=90)
"""Limits are fetched for users who had a row of usage within this time."""


def days_for_costs(
    reader: Reader,
    source: Source,
    stored: Mapping[date, LedgerDay],
    rules: CostRules,
    now: datetime,
) -> list[date]:
    """The `stored` days to fetch, oldest first, because their costs come with the usage and have
    not settled, or are in doubt: only the usage shows whether to trust the answer.

    Days from which somebody was removed are left out, since the source would bring the person back.
    """
    costs = source.costs
    if not stored or costs is None or not (costs.wanted and costs.come_with_usage):
        return []
    rows = reader.cost_ledger(source.name, Window(min(stored), max(stored)))
    return [
        day
        for day, row in rows.items()
        if day in stored
        and not stored[day].forgotten
        and (rules.is_open(row) or not is_settled(row, rules.settle_days, now))
    ]


@measured("fetch costs")
def fill_costs(
    store: Store, source: Source, window: Window, rules: CostRules, *, refresh: bool
) -> list[ScraperError]:
    """Fetch the costs of the window's days that are missing, not settled, or changed since; with
    `refresh`, the costs of all days. Then fetch the users' limits. Returns what could not be
    fetched.
    """
    costs = source.costs
    if costs is None or not costs.wanted:
        return []
    published = source.published(rules.clock())
    start, end = max(window.start, published.start), min(window.end, published.end)
    failed: list[ScraperError] = []
    # One request has the totals of this many days; without totals, days are fetched one by one
    # anyway.
    most = costs.days_at_once if costs.has_totals else len(window)
    what = f"costs of {window} could not be fetched"
    try:
        for piece in pieces_of(start, end, most):
            filling = _Filling(store, source.name, costs, piece, rules)
            if not filling.run(refresh=refresh):
                _refuse_loss(store, source.name)
                return []  # the source has none for this tenant
            failed += filling.failed
        if start <= end:
            what = "the costs of the billing period could not be compared with the source's own"
            done = Window(start, end)
            fetch = functools.partial(_fetch_stored, store, source.name, costs, rules, done, failed)
            close_period(store, source.name, costs, fetch)
        what = "budgets could not be fetched"
        _fill_budgets(store, source.name, costs, rules.clock())
    except DETAIL_ERRORS as error:
        failed.append(error.preceded_by(what))
    return failed


def _refuse_loss(store: Store, name: str) -> None:
    """Raise ContractBroken if the store has costs: then new ones are missing, not absent."""
    with store.reading() as reader:
        had_some = reader.has_costs(name)
    if had_some:
        raise ContractBroken(
            "the source does not offer costs any more, perhaps not to these credentials; the store"
            " has some of other days. If there are none to come, set FETCH_COST=false"
        )


def _fetch_stored(
    store: Store,
    name: str,
    source: CostSource,
    rules: CostRules,
    done: Window,
    failed: list[ScraperError],
    window: Window,
    *,
    again: bool,
) -> bool:
    """Implements `Refetch` after a run that fetched the days of `done`; adds errors to `failed`."""
    with store.reading() as reader:
        stored = reader.cost_ledger(name, window)
    days = [
        day for day, row in stored.items() if not again or (day not in done and rules.is_open(row))
    ]
    for run in runs_of_days(days):
        logger.info("fetching the costs of %s once more", run)
        for piece in pieces_of(run.start, run.end, source.days_at_once):
            filling = _Filling(store, name, source, piece, rules)
            # Also days whose usage is held: their costs must add up to what the period costs now.
            filling.run(refresh=True, held=True)
            failed += filling.failed
    return bool(days)


def _waiting(
    reader: Reader, name: str, source: CostSource, ledger: Mapping[date, LedgerDay]
) -> set[date]:
    """The days of the ledger whose costs stay as they are: their usage is held, or the costs would
    come from an answer whose usage was rejected.
    """
    if source.has_totals or not ledger:
        return set()
    if not source.come_with_usage:
        return {day for day, row in ledger.items() if row.held}
    answers = reader.last_answers(name, Window(min(ledger), max(ledger)))
    return {day for day, row in ledger.items() if answers[day].version != row.version}


class _Filling:
    """Brings the costs of one range of days into the store."""

    def __init__(
        self, store: Store, name: str, source: CostSource, window: Window, rules: CostRules
    ) -> None:
        self._store = store
        self._name = name
        self._source = source
        self._window = window
        self._rules = rules
        with store.reading() as reader:
            self._stored = reader.cost_ledger(name, window)
            self._ledger = reader.ledger(name, window)
            self._waiting = _waiting(reader, name, source, self._ledger)
        self._most_rows = 0  # of a day so far
        self.failed: list[ScraperError] = []

    def run(self, *, refresh: bool, held: bool = False) -> bool:
        """Fetch what is needed; False if the source has no costs for this tenant. Days whose usage
        is held are fetched only with `held`.
        """
        moment = self._rules.clock()
        totals = self._totals()
        if totals is None:
            return False
        needed = [
            day
            for day in totals
            if (held or day not in self._waiting)
            and (refresh or self._is_needed(day, totals[day], moment))
        ]
        if needed:
            logger.info("fetching the costs of %s", listed_days(needed))
        for run in runs_of_days(needed):
            for window in self._windows(run):
                self._fetch(window, totals)
        return True

    def _totals(self) -> Mapping[date, CostFigures | None] | None:
        """The source's own figures of each day, oldest first, if it has any. If the answer is
        malformed, each day is requested separately, and days that are still malformed are left out.
        """
        if not self._source.has_totals:
            return dict.fromkeys(self._window.days())
        try:
            return self._source.fetch_totals(self._window)
        except ContractBroken:
            found, failed = self._totals_of_days()
            if not found:
                raise
        self.failed += failed
        return found

    def _totals_of_days(self) -> tuple[dict[date, CostFigures], list[ScraperError]]:
        """The figures of each day with a well-formed answer, and why the others have none."""
        found: dict[date, CostFigures] = {}
        failed: list[ScraperError] = []
        for day in self._window.days():
            try:
                found |= self._source.fetch_totals(Window(day, day)) or {}
            except ContractBroken as error:
                failed.append(error.preceded_by(f"costs of {day} could not be fetched"))
        return found, failed

    def _fetch(self, window: Window, totals: Mapping[date, CostFigures | None]) -> None:
        """Fetch and store the costs of days; if an answer is malformed, each day separately, since
        only one of them may be the cause.
        """
        fetched_at = self._rules.clock()
        try:
            costs = self._source.fetch_costs(window)
            for day in window.days():
                self._put(self._day(day, costs, totals), fetched_at)
        except ContractBroken as error:
            if error.of_every_day:
                raise
            if len(window) == 1:
                self.failed.append(error.preceded_by(f"costs of {window} could not be fetched"))
                return
            for day in window.days():
                self._fetch(Window(day, day), totals)

    def _is_needed(self, day: date, total: CostFigures | None, now: datetime) -> bool:
        row = self._stored.get(day)
        if row is None or (total is not None and row.total != total):
            return True
        if total is None and self._is_usage_newer(row):
            return True
        return self._rules.is_open(row) or not is_settled(row, self._rules.settle_days, now)

    def _is_usage_newer(self, row: CostLedgerDay) -> bool:
        """Whether the day's usage was revised since: then its costs probably were, too, although no
        total of the source shows it.
        """
        usage = self._ledger.get(row.day)
        if usage is None or usage.accepted_at is None:
            return False
        return usage.accepted_at > row.fetched_at

    def _may_fall(self, day: date) -> bool:
        """Whether a day's costs may fall without a doubt: a total confirms them, or the usage of
        the same answer fell by more than the limit, and was confirmed or accepted by somebody.
        """
        if self._source.has_totals:
            return True
        row = self._stored.get(day)
        if row is None or not self._source.come_with_usage or not self._is_usage_newer(row):
            return False
        with self._store.reading() as reader:
            versions = reader.versions(self._name, day)
        earlier = [each.ledger for each in versions if each.state is VersionState.SUPERSEDED]
        before = [
            each for each in earlier if each.accepted_at and each.accepted_at <= row.fetched_at
        ]
        now = self._ledger[day]
        return bool(before) and any(
            self._rules.is_fall(before[-1].sums[metric], now.sums[metric]) for metric in COUNTS
        )

    def _windows(self, run: Window) -> Iterator[Window]:
        """Parts of the run whose rows fit into memory, judged by the largest day so far."""
        start = run.start
        while start <= run.end:
            fitting = max(1, _MOST_ROWS // self._most_rows) if self._most_rows else 1
            days = min(fitting, self._source.days_at_once)
            window = Window(start, min(run.end, start + timedelta(days=days - 1)))
            yield window
            start = window.end + timedelta(days=1)

    def _put(self, costs: CostDay, fetched_at: datetime) -> None:
        if costs.differences:
            # Rows and totals are separate requests; the source may have changed between the two.
            logger.info("%s: costs: %s; fetching them once more", costs.day, costs.differences[0])
            fetched_at = self._rules.clock()
            costs = self._fetch_again(costs.day)
        self._most_rows = max(self._most_rows, len(costs.costs))
        removed = self._removed_from(costs)
        rules = None if self._may_fall(costs.day) else self._rules
        result, before = self._store.put_costs(self._name, costs, fetched_at, removed, rules)
        if costs.differences:
            differences = listed(costs.differences, separator="; ")
            logger.warning(
                "the costs of %s do not add up: %s; stored as they are", costs.day, differences
            )
        if result is Stored.REVISED and before is not None:
            left = [cost for cost in costs.costs if cost.user not in removed]
            changes = _changes(before, dataclasses.replace(costs, costs=left))
            logger.info("the costs of %s were revised%s", costs.day, changes)

    def _day(
        self,
        day: date,
        costs: Mapping[date, list[Cost]],
        totals: Mapping[date, CostFigures | None],
    ) -> CostDay:
        return CostDay(day, costs.get(day, []), totals[day], self._source.currency_of(day))

    def _fetch_again(self, day: date) -> CostDay:
        window = Window(day, day)
        totals = self._source.fetch_totals(window)
        if totals is None:
            raise ContractBroken(f"the source had costs of {day}, and has none any more")
        return self._day(day, self._source.fetch_costs(window), totals)

    def _removed_from(self, costs: CostDay) -> set[str]:
        """Users who were removed from the day, and must not come back with its costs.

        Anybody who still has usage or costs on the day was not removed from it. Everybody else
        counts as removed, since they cannot be told apart from those who were.
        """
        usage, stored = self._ledger.get(costs.day), self._stored.get(costs.day)
        if not any(row and row.forgotten for row in (usage, stored)):
            return set()
        with self._store.reading() as reader:
            here = {user.user for user in reader.day(usage).users} if usage else set()
            here |= {user for user, _ in reader.payers(self._name, Window(costs.day, costs.day))}
        persons = {person_key(user) for user in here}
        users = {cost.user for cost in costs.costs if cost.user}
        return {user for user in users if person_key(user) not in persons}


def _changes(before: CostLedgerDay, costs: CostDay) -> str:
    """The sums that changed, as `: billed 3.4 -> 3.5`."""
    changes = [
        f"{metric.name} {text_of(before.sums[metric])} -> {text_of(costs.sums[metric])}"
        for metric in COST_METRICS
        if before.sums[metric] != costs.sums[metric]
    ]
    return f": {listed(changes)}" if changes else ", without a change in their sums"


def _fill_budgets(store: Store, name: str, source: CostSource, now: datetime) -> None:
    """Replace the stored limits of users by the current ones.

    The users whose limits are fetched do not depend on the run's days: otherwise a run for old
    days, or for a single day, would remove the limits of everybody who was not active on them.
    """
    today = utc_day(now)
    with store.reading() as reader:
        users = reader.users(name, Window(today - _BUDGETS_OF, today))
        had_some = bool(reader.budgets(name))
    if not users:
        return
    budgets = source.fetch_budgets(users)
    if budgets is None and had_some:
        logger.warning(
            "the source does not offer budgets any more, perhaps not to these credentials; those"
            " that it had are removed, since they may no longer apply"
        )
    if budgets is not None or had_some:
        store.put_budgets(name, budgets or [], now)
