"""The dashboard's three endpoints: from an organization and a query to the answer's JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Literal
from urllib.parse import urlencode

import msgspec

from dashboard_scraper.decoding import decodable
from dashboard_scraper.model.dates import Window
from dashboard_scraper.simulator import fields
from dashboard_scraper.simulator.exchange import AnswerError, cursor_at, offset_of
from dashboard_scraper.simulator.organization import NOTHING, Member, Organization, Total, add

USER_STATS = "/api/user-feature-stats"
TENANT_STATS = "/api/tenant-feature-stats"
MONTHLY_USERS = "/api/tenant-monthly-active-users"

_INACTIVE = Total(NOTHING, 0)


@dataclass(frozen=True, slots=True)
class Paging:
    """How the user statistics are paged; without a `list_key`, they are a bare array."""

    style: Literal["none", "next", "next-relative", "cursor"] = "none"
    page_size: int = 50
    list_key: str | None = "userFeatureStats"


@decodable
class _Date(msgspec.Struct, forbid_unknown_fields=True):
    year: int
    month: int
    day: int


def answer(
    organization: Organization, path: str, query: dict[str, str], paging: Paging, base: str
) -> object:
    """The JSON of one of `ENDPOINTS`; AnswerError for dates or a cursor that cannot be read.

    `base` is the origin with which an absolute `next` starts.
    """
    texts = [query.get(name, "") for name in ("startDate", "endDate")]
    if any(character.isspace() for text in texts for character in text):
        return {}  # as observed: dates with white space get an answer without data
    start, end = (_date(text) for text in texts)
    if start > end:
        raise AnswerError(400, "InvalidArgument", "startDate is after endDate")
    window = Window(start, end)
    if path == USER_STATS:
        return _user_page(organization, window, query, paging, base)
    return _TENANT[path](organization, window)


def date_parameter(day: date) -> str:
    """The JSON of a date, compact, as the server understands it."""
    return msgspec.json.encode(_Date(day.year, day.month, day.day)).decode()


def _date(text: str) -> date:
    try:
        parts = msgspec.json.decode(text, type=_Date)
        return date(parts.year, parts.month, parts.day)
    except ValueError as error:
        raise AnswerError(400, "InvalidArgument", f"invalid date {text!r}") from error


def _user_page(
    organization: Organization, window: Window, query: dict[str, str], paging: Paging, base: str
) -> object:
    members = [m for m in organization.people if m.belongs(window.start, window.end)]
    if paging.list_key is None or paging.style == "none":
        rows = _rows(organization, window, members)
        return rows if paging.list_key is None else {paging.list_key: rows}
    scope = f"{USER_STATS} {window}"
    start = offset_of(query.get("cursor"), scope)
    end = start + paging.page_size
    cursor = cursor_at(end, scope) if end < len(members) else None
    page: dict[str, object] = {
        paging.list_key: _rows(organization, window, members[start:end]),
    }
    if paging.style == "cursor":
        page["pagination"] = {"next_cursor": cursor, "has_more": cursor is not None}
    else:
        origin = base if paging.style == "next" else ""
        following = f"{origin}{USER_STATS}?{urlencode({**query, 'cursor': cursor})}"
        page["next"] = following if cursor else None
    return page


def _rows(
    organization: Organization, window: Window, members: list[Member]
) -> list[dict[str, object]]:
    totals = organization.totals(window)
    rows = []
    for member in members:
        counts, active_days = totals.get(member.index, _INACTIVE)
        first = organization.first_seen(member)
        last = organization.last_seen(member, window.end)
        rows.append(fields.dashboard_row(member.name, first, last, active_days, counts))
    return rows


def _people(organization: Organization, window: Window) -> list[Total]:
    """Totals of active people; the dashboard does not know service accounts."""
    totals = organization.totals(window)
    return [total for index, total in totals.items() if index < len(organization.people)]


def _tenant_totals(organization: Organization, window: Window) -> object:
    everyone = [NOTHING, *(total.counts for total in _people(organization, window))]
    return fields.tenant_totals(add(everyone))


def _monthly_users(organization: Organization, window: Window) -> object:
    return fields.monthly_active(len(_people(organization, window)))


_TENANT: dict[str, Callable[[Organization, Window], object]] = {
    TENANT_STATS: _tenant_totals,
    MONTHLY_USERS: _monthly_users,
}
ENDPOINTS = (USER_STATS, *_TENANT)
