"""Refuse a row of sums in a CSV: if it were read as a user, it would double every sum."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.addresses import is_address
from dashboard_scraper.model.figures import counts_of
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.people.people import is_pseudonym

_TOTAL = re.compile(
    r"(?:grand|sub|all|overall)?[\s-]*"
    r"(?:totals?|totale|totaal|sums?|summe|gesamt\w*|insgesamt|zwischensumme|somme|suma|soma|ukupno"
    r"|average|mean|median|mittelwert|durchschnitt|moyenne|promedio|media|count|anzahl"
    r"|итого|всего|合計|合计|总计|總計|합계)(?:\W.*)?",
    re.IGNORECASE | re.DOTALL,
)
# In a small team, a person with few figures may equal the sum of the others by chance.
_ENOUGH_OTHERS, _ENOUGH_FIGURES = 2, 3


def refuse_totals(name: str, users: Sequence[UserUsage], places: Mapping[str, int]) -> None:
    """ContractBroken if a user whose name is not an address looks like the sum of all others."""
    candidates = [user for user in users if not _is_somebody(user)]
    if not candidates:
        return
    sums = [sum(column) for column in zip(*map(_counts, users), strict=True)]
    for user in candidates:
        own = _counts(user)
        # If the row is the sum of all others, all rows together are twice the row.
        is_sum = len(users) > _ENOUGH_OTHERS and [2 * n for n in own] == sums
        if _TOTAL.fullmatch(user.user) or (is_sum and sum(map(bool, own)) >= _ENOUGH_FIGURES):
            raise ContractBroken(
                f"{name}, row {places[user.user]}: {user.user!r} looks like a row of sums, not"
                " a user; remove it"
            )


def _counts(user: UserUsage) -> list[int]:
    return [count or 0 for count in counts_of(user.figures)]


def _is_somebody(user: UserUsage) -> bool:
    return user.service or is_address(user.user) or is_pseudonym(user.user)
