"""What a user-day costs on its way from the store to each format, in CPU time.

Figures of a made-up organization of which two fifths are active on a day. The ordinary way makes a
record of each user-day and encodes it, or lets the CSV writer write it; ours fills templates with
the same result, which is compared. The smallest time of several runs is printed.

    python bench/conversion.py [--users 10000] [--days 4] [--runs 10]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec

from dashboard_scraper.cli.memory import prepare_for_many_records
from dashboard_scraper.csv_text import guard, render
from dashboard_scraper.exports.copilot_converter import (
    convert,
    head_of,
    json_array,
    line_of,
    stamp_of,
    user_ids,
)
from dashboard_scraper.exports.csv_tables import percent, users_csv
from dashboard_scraper.github.records import cells_of_figures, text_of, user_fields
from dashboard_scraper.model.dates import Window, iso_utc
from dashboard_scraper.model.figures import is_active, picker, values_of
from dashboard_scraper.model.metrics import USER_TITLE, Figures
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.settings.groups import sqlite_url
from dashboard_scraper.simulator.dashboard_api import USER_STATS, Paging, answer, date_parameter
from dashboard_scraper.simulator.organization import Organization
from dashboard_scraper.sources.dashboard.fields import FIELDS, USER_FIELD
from dashboard_scraper.sources.dashboard.info import INFO
from dashboard_scraper.store import store_at

LAST = date(2026, 10, 31)
_encode = msgspec.json.Encoder().encode
_pick = picker(INFO.metrics)


def day_of(organization: Organization, day: date) -> DayUsage:
    """A day as the dashboard would answer it."""
    query = dict.fromkeys(("startDate", "endDate"), date_parameter(day))
    rows = answer(organization, USER_STATS, query, Paging(list_key=None), "")
    users = [
        UserUsage(
            f"{row[USER_FIELD]}",
            msgspec.convert({m.name: row.get(field) for m, field in FIELDS.items()}, Figures),
        )
        for row in msgspec.convert(rows, list[dict[str, object]])  # a list, which `answer` hides
    ]
    return DayUsage(day, users)


def fill(url: str, users: int, window: Window) -> None:
    """Store the days of a window."""
    organization = Organization(users, today=LAST)
    store = store_at(url)
    with store.locked(), store.opened():
        for day in window.days():
            store.put(INFO.name, day_of(organization, day), datetime(2026, 11, 5, tzinfo=UTC))


def written(days: list[DayUsage]) -> list[bytes]:
    """The days' CSV, written by the CSV writer."""
    header = [USER_TITLE, *(metric.title for metric in INFO.metrics)]
    return [render(header, map(_row, day.users)) for day in days]


def _row(user: UserUsage) -> list[str | int | None]:
    first, last, *rest = _pick(values_of(user.figures))
    seen = [iso_utc(moment)[:10] if moment else None for moment in (first, last)]
    cells = [percent(each) if isinstance(each, float) else each for each in rest]
    return [guard(user.user), *seen, *cells]


class Conversions:
    """The same days in every format, converted in both ways."""

    def __init__(self, days: list[DayUsage]) -> None:
        self._window = Window(days[0].day, days[-1].day)
        self._days = days
        self._active = [(day.day, day.active) for day in days]
        self._ids, _ = user_ids(user.user for day in days for user in day.users)
        self._heads = {name: head_of(number, name) for name, number in self._ids.items()}

    def csv(self) -> list[bytes]:
        """The days' CSV from templates."""
        return [users_csv(day.users, INFO.name) for day in self._days]

    def csv_by_writer(self) -> list[bytes]:
        """The days' CSV, written by the CSV writer."""
        return written(self._days)

    def copilot(self) -> list[bytes]:
        """The days' Copilot JSON from templates."""
        return [
            b"".join(
                json_array(
                    stamp_of(day, self._window, "1"),
                    (line_of(self._heads[u.user], values_of(u.figures)) for u in users),
                )
            )
            for day, users in self._active
        ]

    def copilot_by_encoder(self) -> list[bytes]:
        """The days' Copilot JSON, with each record encoded."""
        return [
            b"[\n"
            + b",\n".join(
                [_encode(convert(u, day, self._window, "1", self._ids[u.user])) for u in users]
            )
            + b"\n]\n"
            for day, users in self._active
        ]

    def github(self) -> list[bytes]:
        """The days' fields of GitHub's user records, from templates."""
        return [text_of(cells_of_figures(u.figures)) for _, users in self._active for u in users]

    def github_by_encoder(self) -> list[bytes]:
        """The same fields, encoded record by record."""
        return [
            _encode(user_fields(cells_of_figures(u.figures)))
            for _, users in self._active
            for u in users
        ]

    def active(self) -> list[list[UserUsage]]:
        """The active users of each day."""
        return [[user for user in day.users if is_active(user.figures)] for day in self._days]


def cost(run: Callable[[], object], times: int) -> float:
    """The smallest CPU time of several runs, in seconds."""
    spent = []
    for _ in range(times):
        before = time.process_time()
        run()
        spent.append(time.process_time() - before)
    return min(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=4)
    parser.add_argument("--runs", type=int, default=10)
    args = parser.parse_args()
    prepare_for_many_records()
    window = Window(LAST - timedelta(args.days - 1), LAST)
    with tempfile.TemporaryDirectory() as scratch:
        url = sqlite_url(Path(scratch, "usage.db"))
        fill(url, args.users, window)
        with store_at(url).reading() as reader:
            rows = reader.ledger(INFO.name, window).values()
            read = cost(lambda: [reader.day(row) for row in rows], args.runs)
            days = [reader.day(row) for row in rows]
    ours = Conversions(days)
    user_days = sum(len(day.users) for day in days)
    active = sum(len(day.active) for day in days)
    sys.stdout.write(f"{user_days:,} user-days, {active:,} of them active\n")
    sys.stdout.write("CPU seconds per 100,000 user-days\n")
    sys.stdout.write(f"{'':<16}{'ordinary':>10}{'templates':>10}{'ratio':>7}\n")
    scale = 100_000 / user_days
    sys.stdout.write(f"{'read, checked':<16}{'':>10}{read * scale:>10.2f}\n")
    sys.stdout.write(
        f"{'who is active':<16}{'':>10}{cost(ours.active, args.runs) * scale:>10.2f}\n"
    )
    pairs = {
        "CSV": (ours.csv_by_writer, ours.csv),
        "Copilot JSON": (ours.copilot_by_encoder, ours.copilot),
        "GitHub's users": (ours.github_by_encoder, ours.github),
    }
    for name, (ordinary, template) in pairs.items():
        if ordinary() != template():
            raise SystemExit(f"{name}: the bytes differ")
        before, after = (cost(each, args.runs) * scale for each in (ordinary, template))
        sys.stdout.write(f"{name:<16}{before:>10.2f}{after:>10.2f}{after / before:>7.2f}\n")


if __name__ == "__main__":
    main()
