"""The seats of Copilot: who may use it, on which plan, and since when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import Annotated, Any

import msgspec

from dashboard_scraper.decoding import decodable, decoding
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.addresses import Names
from dashboard_scraper.model.dates import utc_day
from dashboard_scraper.model.seats import Seat, merged
from dashboard_scraper.sources.rest.http import Response
from dashboard_scraper.sources.rest.pagination import has_next_link
from dashboard_scraper.sources.rest.repeated_keys import refuse_repeated_keys
from dashboard_scraper.sources.rest.urls import with_params
from dashboard_scraper.sources.rest.wire_types import Count, Text

ENDPOINT = "billing/seats"
_PAGE_SIZE = 100
_MOST_PAGES = 10_000
_CLOCKS_DIFFER = timedelta(days=1)


class _Assignee(msgspec.Struct):
    login: Annotated[str, msgspec.Meta(min_length=1)]
    id: Annotated[int, msgspec.Meta(ge=1)]


# GitHub writes them with the offset of some time zone, also in its own examples.
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class _Seat(msgspec.Struct):
    created_at: _Moment
    assignee: _Assignee | None
    last_activity_at: _Moment | msgspec.UnsetType | None = msgspec.UNSET
    pending_cancellation_date: date | None = None
    plan_type: Text | None = None
    organization: dict[str, Any] | None = None
    assigning_team: dict[str, Any] | None = None


@decodable
class Page(msgspec.Struct):
    """One page; `total_seats` counts each user once, however many objects there are."""

    total_seats: Count
    seats: list[_Seat]


def pages_of(get: Callable[[str], Response], url: str) -> Iterator[Page]:
    """Every page of the seats at the URL; `get` raises unless a response has data."""
    seen: set[bytes] = set()
    for number in range(1, _MOST_PAGES + 1):
        response = get(with_params(url, {"per_page": f"{_PAGE_SIZE}", "page": f"{number}"}))
        body = bytes(response.body)
        page = _read_page(body)
        if page.seats and body in seen:
            raise ContractBroken(f"{ENDPOINT}: page {number} repeats an earlier one")
        seen.add(body)
        more = has_next_link(response.headers)
        if more and not page.seats:  # it may say so of every page that is asked for
            raise ContractBroken(f"{ENDPOINT}: page {number} is empty, but links to a next one")
        yield page
        if len(page.seats) < _PAGE_SIZE and not more:
            return
    raise ContractBroken(f"{ENDPOINT}: there are more than {_MOST_PAGES:,} pages")


def _read_page(body: bytes) -> Page:
    with decoding(ENDPOINT):
        page = msgspec.json.decode(body, type=Page)
    refuse_repeated_keys(ENDPOINT, body)
    return page


def seats_of(pages: Iterable[Page], names: Names, now: datetime) -> list[Seat]:
    """One seat for each user; a user's seats in several organizations or teams are merged.

    ContractBroken if there are fewer or more than GitHub claims, or if that number changes: then a
    seat may have moved to a page that was read before. Also ContractBroken for moments after `now`.
    A seat without an assignee belonged to somebody whose account is gone; it counts for nobody.
    """
    found: dict[str, Seat] = {}
    total, gone, dated = -1, 0, False
    for page in pages:
        if total not in (-1, page.total_seats):
            raise ContractBroken(
                f"{ENDPOINT}: total_seats was {total}, and is {page.total_seats} on a later page:"
                " the seats changed while they were read; run it again"
            )
        total = page.total_seats
        for each in page.seats:
            dated = dated or each.last_activity_at is not msgspec.UNSET
            if each.assignee is None:
                gone += 1
                continue
            login = names.taken(ENDPOINT, "assignee.login", each.assignee.login).lower()
            _refuse_future(login, each, now + _CLOCKS_DIFFER)
            seat = _seat(login, each)
            found[login] = merged(found[login], seat) if login in found else seat
    if not total - gone <= len(found) <= total:
        raise ContractBroken(
            f"{ENDPOINT}: total_seats is {total}, but seats of {len(found)} users came"
        )
    if total and not found:
        raise ContractBroken(f"{ENDPOINT}: total_seats is {total}, and no seat has an assignee")
    if found and not dated:  # everybody would look like somebody who never used the seat
        raise ContractBroken(
            f"{ENDPOINT}: no seat has the field last_activity_at; has it been renamed?"
        )
    return [found[login] for login in sorted(found)]


def _refuse_future(login: str, seat: _Seat, latest: datetime) -> None:
    moments = {"created_at": seat.created_at, "last_activity_at": seat.last_activity_at}
    for field, moment in moments.items():
        if isinstance(moment, datetime) and moment > latest:
            raise ContractBroken(
                f"{ENDPOINT}: {field} of {login} is {moment}, which is in the future",
                names=(login,),
            )


def _seat(login: str, seat: _Seat) -> Seat:
    return Seat(
        login,
        seat.plan_type,
        utc_day(seat.created_at),
        seat.last_activity_at or None,
        seat.pending_cancellation_date,
    )
