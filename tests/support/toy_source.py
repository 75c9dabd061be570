"""A made-up source: two people who each send as many messages as the day of the month."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta

from msgspec.structs import replace

from dashboard_scraper.clock import Clock
from dashboard_scraper.model.columns import sum_of
from dashboard_scraper.model.dates import Window, utc_day
from dashboard_scraper.model.metrics import BY_NAME, Totals
from dashboard_scraper.model.usage import DayUsage, TenantFigure, UserUsage
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.sources.interface import Selection, SourceInfo
from dashboard_scraper.sources.products import Product
from dashboard_scraper.store import Store

NAME = "toy"
TOY = Product("Toy", "Toy Makers", "toy", "Toy")
PEOPLE = ("ada@example.com", "ben@example.com")


class ToySource:
    name = NAME
    details = None
    costs = None
    seats = None
    has_totals = True
    requests = 0

    def published(self, now: datetime) -> Window:
        return Window(date(2020, 1, 1), utc_day(now) - timedelta(1))

    def prepare(self, days: Collection[date], needed: Collection[date], *, compared: bool) -> None:
        pass

    def estimate(self, days: Collection[date]) -> None:  # noqa: ARG002
        return None

    def fetch_day(self, day: date) -> DayUsage:
        return DayUsage(day, self.fetch_users(Window(day, day)), _totals_of(Window(day, day)))

    def changed_days(self, stored: Mapping[date, Totals]) -> list[date]:
        return [day for day, totals in stored.items() if totals != _totals_of(Window(day, day))]

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass

    def fetch_users(self, window: Window) -> list[UserUsage]:
        sent = _messages(window)
        figures = replace(sum_of(()), chat_messages=sent, total_messages=sent)
        return [UserUsage(name, figures) for name in PEOPLE]

    def fetch_tenant(self, window: Window) -> list[TenantFigure]:
        return [TenantFigure(window, name, n) for name, n in _totals_of(window).items()]


def _messages(window: Window) -> int:
    return sum(day.day for day in window.days())


def _totals_of(window: Window) -> Totals:
    return {"chat_messages": len(PEOPLE) * _messages(window), "user_count": len(PEOPLE)}


def _open(_settings: Settings, _store: Store, _clock: Clock) -> AbstractContextManager[ToySource]:
    return contextlib.closing(ToySource())


INFO = SourceInfo(
    name=NAME,
    title="A toy",
    product=TOY,
    metrics=tuple(BY_NAME[name] for name in ("chat_messages", "total_messages")),
    has_service_accounts=False,
    tenant_names={},
    is_configured=lambda _settings: False,
    open=_open,
    check=lambda _settings, _now: None,
    check_period=lambda _window, _today: None,
    check_days=lambda _settings: None,
    selection=lambda _settings: Selection(users=True, tenant=True),
)
