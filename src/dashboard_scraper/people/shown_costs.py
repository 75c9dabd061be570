"""Whose costs outputs show, and under which name; no amount is ever left out."""

from __future__ import annotations

from collections.abc import Iterable

from dashboard_scraper.model.costs import Account, Cost, names_of, sum_costs
from dashboard_scraper.people.audience import Audience

SERVICE_ACCOUNTS = "(service accounts)"
"""The user name for the costs of all service accounts together, if outputs do not show these."""

_Key = tuple[Account, str]


def shown_costs(costs: Iterable[Cost], audience: Audience) -> list[Cost]:
    """The costs of one day as outputs show them: one entry per person and resource, sorted.

    The spellings of a person are added up under the last one in alphabetical order. Costs of
    nobody stay costs of nobody.
    """
    names: dict[_Key, str] = {}
    groups: dict[tuple[_Key, str, str], list[Cost]] = {}
    for cost in costs:
        key = cost.account, _key(cost, audience)
        names[key] = max(names.get(key, ""), _name(cost, audience))
        groups.setdefault((key, cost.resource_type, cost.resource), []).append(cost)
    shown = [
        Cost(names[key], key[0], resource_type, resource, sum_costs(each.figures for each in group))
        for (key, resource_type, resource), group in groups.items()
    ]
    return sorted(shown, key=names_of)


def person_of(cost: Cost, audience: Audience) -> str | None:
    """The person of a shown cost, as in the column `person` of users; None for costs of nobody."""
    if cost.account is Account.UNATTRIBUTED or cost.user == SERVICE_ACCOUNTS:
        return None
    return audience.person_of_shown(cost.user)


def _is_left_out(cost: Cost, audience: Audience) -> bool:
    return not audience.includes(service=cost.account is Account.SERVICE_ACCOUNT)


def _key(cost: Cost, audience: Audience) -> str:
    if cost.account is Account.UNATTRIBUTED:
        return ""
    return SERVICE_ACCOUNTS if _is_left_out(cost, audience) else audience.people.key(cost.user)


def _name(cost: Cost, audience: Audience) -> str:
    if cost.account is Account.UNATTRIBUTED:
        return ""
    return SERVICE_ACCOUNTS if _is_left_out(cost, audience) else audience.rename(cost.user)
