"""Which teams may be shown separately, so that no figure shows what only a few people do."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Set
from typing import TypeVar

T = TypeVar("T", bound=Hashable)
MIN_GROUP_SIZE = 5
"""The size that GitHub documents for its own reports."""


def shown_groups(
    members: Mapping[str, Set[Hashable]], everybody: Set[Hashable], minimum: int
) -> list[str]:
    """The groups to show separately, sorted; all others must be shown as one group, or not at all.

    A group of fewer than `minimum` people is not shown. Nobody must find out the figures of fewer
    people by subtracting shown groups from the total, or from a group that contains them. So if
    fewer people would be left, the smallest of the subtracted groups is hidden as well.
    """
    shown = {name: found for name, found in members.items() if len(found) >= minimum}
    while (part := _telling_part(shown, everybody, minimum)) is not None:
        del shown[part]
    return sorted(shown)


def _telling_part(
    shown: Mapping[str, Set[Hashable]], everybody: Set[Hashable], minimum: int
) -> str | None:
    """The smallest group that reveals a few people: those who are left of a whole without this
    group, or without all parts of the whole.
    """
    by_size = sorted(shown, key=lambda name: (len(shown[name]), name))
    for whole in (everybody, *map(shown.__getitem__, by_size)):
        parts = [name for name in by_size if shown[name] < whole]
        together = set().union(*map(shown.__getitem__, parts))
        if parts and 0 < len(whole - together) < minimum:
            return parts[0]
        for name in parts:
            if len(whole - shown[name]) < minimum:
                return name
    return None


def grouped(members: Mapping[str, set[T]], minimum: int) -> dict[str, set[T]]:
    """The groups to show, sorted by name; "" has all people who are in none of them.

    In `members`, "" has people without a group.
    """
    everybody = set().union(*members.values())
    names = shown_groups({n: m for n, m in members.items() if n}, everybody, minimum)
    found = {name: members[name] for name in names}
    rest = everybody.difference(*found.values())
    return {**found, "": rest} if rest else found


def grouped_teams(members: Mapping[str, set[T]], minimum: int) -> dict[str, set[T]]:
    """The same, but empty if no team may be shown: all people together are not a group."""
    found = grouped(members, minimum)
    return found if found.keys() - {""} else {}
