"""What each person gains and loses if an answer differs from the version in force."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from dashboard_scraper.model.figures import counts_of, is_active
from dashboard_scraper.model.metrics import COUNTS
from dashboard_scraper.people.people import People
from dashboard_scraper.store.history import Movement
from dashboard_scraper.store.rows import user_usage
from dashboard_scraper.store.versions import Content, Key, difference


def movement_of(old: Content, new: Content, people: People) -> Movement:
    """The change from old to new rows; a count that becomes unknown counts as lost."""
    delta = difference(new, old)
    before, after = (_by_person(rows, delta, people) for rows in (old, new))
    lost, gained = (dict.fromkeys((metric.name for metric in COUNTS), 0) for _ in range(2))
    nothing = _Person()
    for person in before.keys() | after.keys():
        was, is_now = before.get(person, nothing), after.get(person, nothing)
        for name, less in _less(was.counts, is_now.counts):
            (lost if less > 0 else gained)[name] += abs(less)
    active_before = {person for person, each in before.items() if each.active}
    active_after = {person for person, each in after.items() if each.active}
    return Movement(
        len(active_before - active_after),
        len(active_after - active_before),
        {name: count for name, count in lost.items() if count},
        {name: count for name, count in gained.items() if count},
    )


class _Person(msgspec.Struct):
    """The sums of one person's rows; an unknown count adds nothing."""

    active: bool = False
    counts: list[int] = msgspec.field(default_factory=lambda: [0] * len(COUNTS))


def _by_person(rows: Content, keys: Iterable[Key], people: People) -> dict[str, _Person]:
    found: dict[str, _Person] = {}
    for key in keys:
        if row := rows.get(key):
            person = found.setdefault(people.key(key[0]), _Person())
            figures = user_usage((*key, *row)).figures
            person.active |= is_active(figures)
            counts = counts_of(figures)
            person.counts = [sum_ + (n or 0) for sum_, n in zip(person.counts, counts, strict=True)]
    return found


def _less(before: list[int], after: list[int]) -> Iterator[tuple[str, int]]:
    for metric, was, is_now in zip(COUNTS, before, after, strict=True):
        if was != is_now:
            yield metric.name, was - is_now
