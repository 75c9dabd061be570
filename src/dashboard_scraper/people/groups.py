"""Which teams may be shown by themselves: so that no figure says what a few people do."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Set
from typing import TypeVar

T = TypeVar("T", bound=Hashable)
MIN_GROUP_SIZE = 5
"""The size that GitHub documents for its own reports."""


def shown_groups(
    members: Mapping[str, Set[Hashable]], everybody: Set[Hashable], minimum: int
) -> list[str]:
    """The groups to show by themselves, sorted; all others are to be shown as one, or not at all.

    A group of fewer than `minimum` people is not shown. Nor must anybody find its figures by taking
    those that are shown from the total, or one group from another that it is a part of: so where
    what is left would be fewer people, the smallest groups that are shown are hidden as well.
    """
    shown = {name: found for name, found in members.items() if len(found) >= minimum}
    for name, found in list(shown.items()):
        rests = (len(other - found) for other in shown.values() if found < other)
        if any(rest < minimum for rest in rests):
            del shown[name]
    by_size = sorted(shown, key=lambda name: (len(shown[name]), name), reverse=True)
    while by_size and 0 < len(everybody - set().union(*map(shown.__getitem__, by_size))) < minimum:
        by_size.pop()
    return sorted(by_size)


def grouped(members: Mapping[str, set[T]], minimum: int) -> dict[str, set[T]]:
    """The groups to show, sorted by name, and under "" all people who are in none of them.

    Members of "" are in no group.
    """
    everybody = set().union(*members.values())
    names = shown_groups({n: m for n, m in members.items() if n}, everybody, minimum)
    found = {name: members[name] for name in names}
    rest = everybody.difference(*found.values())
    return {**found, "": rest} if rest else found


def grouped_teams(members: Mapping[str, set[T]], minimum: int) -> dict[str, set[T]]:
    """The same, or nothing where no team may be shown: all people together are no group."""
    found = grouped(members, minimum)
    return found if found.keys() - {""} else {}
