"""Records that came twice: identical ones count once, different ones are an error.

The same record comes on two pages if a user joins while the pages are read.
"""

from __future__ import annotations

from typing import TypeVar

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.addresses import escaped
from dashboard_scraper.model.usage import UserUsage

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def put_distinct(endpoint: str, found: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    """Add a record; ContractBroken if there is a different one with the same key."""
    if found.setdefault(key, value) != value:
        names = tuple(map(str, key)) if isinstance(key, tuple) else (str(key),)
        raise _came_twice(endpoint, ", ".join(names), names)


class DistinctUsers:
    """The users of one answer, by name, over all its pages."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._users: dict[str, UserUsage] = {}
        self._spellings: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._users)

    def add(self, user: UserUsage, spelling: str) -> None:
        """Add a user; ContractBroken if the name has different figures already.

        `spelling` is the name as the source sent it: two spellings can become the same name when
        cleaned.
        """
        first = self._users.setdefault(user.user, user)
        if first is user:
            if spelling != user.user:
                self._spellings[user.user] = spelling
        elif first != user:
            raise self._different(user.user, spelling)

    def _different(self, name: str, spelling: str) -> ContractBroken:
        spellings = (self._spellings.get(name, name), spelling)
        names = (name, *(ascii(each)[1:-1] for each in spellings))
        if set(spellings) == {name}:
            return _came_twice(self._endpoint, name, names)
        both = " and ".join(map(escaped, dict.fromkeys(spellings)))
        return _came_twice(self._endpoint, f"{both} (the same name)", names)

    def by_name(self) -> list[UserUsage]:
        """The users, sorted: servers promise no order, and equal data must give equal files."""
        return [self._users[name] for name in sorted(self._users)]


def _came_twice(endpoint: str, what: str, names: tuple[str, ...]) -> ContractBroken:
    return ContractBroken(f"{endpoint}: {what} came twice, with different figures", names=names)
