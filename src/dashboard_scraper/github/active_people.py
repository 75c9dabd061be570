"""Who was active on the days up to each day, in total and by GitHub's areas: GitHub's counts of
people, adoption phases and engagement are computed from this.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cached_property
from typing import Any

from dashboard_scraper.github.adoption import (
    CODE_FIRST,
    COMPLETION,
    EDIT,
    Phase,
    engagement_on,
    phases_on,
)
from dashboard_scraper.github.records import (
    AGENT_FEATURES,
    CHAT_FEATURES,
    PLACE_OF,
    GithubFeature,
)
from dashboard_scraper.model.dates import DAYS, Window
from dashboard_scraper.model.distinct import DistinctPeople
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.identity import Persons
from dashboard_scraper.shown_people import ShownPeople
from dashboard_scraper.store import Reader
from dashboard_scraper.store.day_people import bits_in

WEEK = 7
_ANY = ""  # any activity at all
_AREAS: dict[str, tuple[GithubFeature, ...]] = {
    "chat": CHAT_FEATURES,
    "agent": AGENT_FEATURES,
    "cli": (GithubFeature.CLI,),
    "copilot_cloud_agent": (GithubFeature.REMOTE,),
    COMPLETION: (GithubFeature.COMPLETION,),
    EDIT: (GithubFeature.EDIT,),
    CODE_FIRST: (GithubFeature.COMPLETION, *AGENT_FEATURES),
}
"""The areas in which people are counted, besides any activity, as GitHub's fields name them."""
COUNTS_OF_AREA = {
    area: [metric for metric, place in PLACE_OF.items() if place.feature in features]
    for area, features in _AREAS.items()
}


class ActivePeople:
    """Bitmaps of who was active on days of one source, from one snapshot of the store.

    They cover the days that `load` was called for; one bit is one person, whatever the spellings.
    """

    def __init__(self, reader: Reader, source: str, audience: Audience, persons: Persons) -> None:
        self._reader = reader
        self._source = source
        self._audience = audience
        self._persons = persons
        self._active = {area: DistinctPeople() for area in (_ANY, *_AREAS)}
        self._contents: dict[date, str] = {}

    def load(self, window: Window) -> set[date]:
        """Load a window and the 27 days before it; returns those that are not in the store."""
        reach = Window(window.start - timedelta(days=DAYS - 1), window.end)
        areas = [*COUNTS_OF_AREA.values()]
        people = ShownPeople(self._reader, self._source, reach, self._audience, areas)
        for day, row in self._reader.ledger(self._source, reach).items():
            self._contents[day] = self._reader.content_of(row)
        for day in people.days():
            counted = [people.active(day), *people.active_in(day)]
            for area, bitmap in zip(self._active, counted, strict=True):
                self._active[area].add(day, bitmap)
        return set(reach.days()) - set(people.days())

    def contents_up_to(self, day: date) -> list[str | None]:
        """What the day's phases and counts are computed from: the content of each of the 28 days up
        to it, None for a day that is not in the store.
        """
        before = Window(day - timedelta(days=DAYS - 1), day)
        return [self._contents.get(each) for each in before.days()]

    def on(self, day: date) -> int:
        """Everybody who was active on the day, as a bitmap; 0 if it is not in the store."""
        return self._active[_ANY].bitmap(day, 1) or 0

    def phases_on(self, day: date) -> list[Phase]:
        """The adoption phases on a day; empty if they are unknown."""
        return phases_on(day, self._active[_ANY], self._active) or []

    def phase_numbers_on(self, day: date) -> dict[int, int]:
        """The number of the phase of each person who was active on a day, by bit; empty if phases
        are unknown.
        """
        active = self.on(day)
        return {
            bit: phase.number
            for phase in self.phases_on(day)
            for bit in bits_in(phase.people & active)
        }

    def engagement_on(self, day: date) -> dict[str, Any] | None:
        """`copilot_feature_engagement` of the 28 days up to the day; None if it is unknown."""
        return engagement_on(day, self._active[_ANY], self._active)

    @cached_property
    def bit_of(self) -> dict[int, int]:
        """The bit of each person by id: if there are several, the one that merging leaves. It may
        belong to a spelling in another source.
        """
        person, bits = self._audience.person, dict[str, int]()
        for bit, name in sorted(self._reader.name_of_bit.items()):
            bits.setdefault(person(name), bit)
        return {each.id: bits[person(name)] for name, each in self._persons.items()}

    def counts_on(self, day: date) -> dict[str, int]:
        """The counts of active people, in GitHub's fields.

        GitHub leaves out the command line's counts if nobody used it.
        """
        active, found = self._active, {}
        for area in (_ANY, "copilot_cloud_agent"):
            users = f"{area}_users".lstrip("_")
            found[f"daily_active_{users}"] = active[area].at_least(day, 1)
            found[f"weekly_active_{users}"] = active[area].at_least(day, WEEK)
            found[f"monthly_active_{users}"] = active[area].at_least(day, DAYS)
        for area in ("chat", "agent"):
            found[f"monthly_active_{area}_users"] = active[area].at_least(day, DAYS)
        for name, days in (("daily", 1), ("weekly", WEEK), ("monthly", DAYS)):
            if users_of_cli := active["cli"].at_least(day, days):
                found[f"{name}_active_cli_users"] = users_of_cli
        return found
