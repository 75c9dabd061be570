"""Which people outputs show on each stored day, counted without loading a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date

from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.distinct import MergedBits
from dashboard_scraper.model.figures import counts_of, is_active
from dashboard_scraper.model.metrics import Count, Metric
from dashboard_scraper.people.audience import Audience, Naming
from dashboard_scraper.store import LedgerDay, Reader


class ShownPeople:
    """Bitmaps of the people on each stored day of a window, with one bit for each person.

    Service accounts are left out if the audience leaves them out.
    """

    def __init__(
        self,
        reader: Reader,
        source: str,
        window: Window,
        audience: Audience,
        areas: Sequence[Iterable[Metric]] = (),
    ) -> None:
        self._days = reader.people(source, window, areas)
        self._service_accounts = audience.service_accounts
        names = reader.name_of_bit
        self.merged = MergedBits({bit: audience.person(name) for bit, name in names.items()})

    def days(self) -> list[date]:
        """The stored days, oldest first."""
        return list(self._days)

    def listed(self, day: date) -> int:
        """Everybody who has a row."""
        return self._shown(day, self._days[day].listed)

    def active(self, day: date) -> int:
        """Everybody who was active."""
        return self._shown(day, self._days[day].active)

    def active_in(self, day: date) -> list[int]:
        """Everybody who was active in each of the areas."""
        return [self._shown(day, area) for area in self._days[day].areas]

    def services(self, day: date) -> int:
        """People all of whose accounts on the day are service accounts."""
        people = self._days[day]
        return self.listed(day) & ~self._shown(day, people.listed & ~people.service)

    def leaves_out(self, day: date) -> bool:
        """Whether a row of the day is not shown."""
        return not self._service_accounts and bool(self._days[day].service)

    def _shown(self, day: date, bitmap: int) -> int:
        left_out = 0 if self._service_accounts else self._days[day].service
        return self.merged(bitmap & ~left_out)


def unknown_of_merged(
    reader: Reader,
    days: Iterable[LedgerDay],
    metrics: Collection[Metric],
    logins: Iterable[str],
    naming: Naming,
) -> Iterator[tuple[str, tuple[Count, ...]]]:
    """What to add to the per-user sums of everybody with several spellings: None for a metric that
    is unknown on one of their days, else 0. These sums leave out a spelling that was not active,
    but what is unknown of the spelling is unknown of the person's day.

    Loads the days on which one of the metrics is unknown for anybody, if somebody has several
    spellings.
    """
    names = {login: naming.name(login) for login in logins}
    spellings = Counter(names.values())
    shared = {login for login, name in names.items() if spellings[name] > 1}
    for row in days:
        if not shared or all(row.sums[metric] is not None for metric in metrics):
            continue
        for user in naming.shown([u for u in reader.day(row).users if u.user in shared]):
            if is_active(user.figures):
                counts = counts_of(user.figures)
                yield user.user, tuple([None if count is None else 0 for count in counts])
