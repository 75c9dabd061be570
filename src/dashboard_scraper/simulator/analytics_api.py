"""The Analytics API's endpoints: from an organization and a query to the answer's JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import TypeVar

from dashboard_scraper.model.dates import Window
from dashboard_scraper.simulator.exchange import cursor_at, invalid, offset_of
from dashboard_scraper.simulator.fields import ANALYTICS_ACTIVE_DAYS, analytics_metrics
from dashboard_scraper.simulator.organization import Counts, Member, Organization, add
from dashboard_scraper.simulator.prices import QUICK, THOROUGH

PREFIX = "/analytics/v0/"
CREDITS = "credit-usage-by-user"

_MOST_DAYS = 90
_OLDEST = timedelta(days=730)
_DEFAULT_DAYS = 7

Query = dict[str, str]
Json = dict[str, object]
_Row = TypeVar("_Row")


def answer(organization: Organization, endpoint: str, query: Query) -> Json:
    """The JSON of one of `ENDPOINTS`; AnswerError for parameters out of bounds."""
    return ENDPOINTS[endpoint](organization, query)


def _user_activity(organization: Organization, query: Query) -> Json:
    window = _range(organization, query)
    active = list(organization.totals(window).items())
    page, pagination = _page(active, query, f"activity {window}", 50, 100)
    users = [
        {
            **_identity(organization.members[index]),
            ANALYTICS_ACTIVE_DAYS: total.active_days,
            "metrics": analytics_metrics(total.counts),
        }
        for index, total in page
    ]
    metadata = _metadata(organization, window, len(users))
    return {"users": users, "pagination": pagination, "metadata": metadata}


def _daily_usage(organization: Organization, query: Query) -> Json:
    window = _range(organization, query)
    days = [
        {"date": day.isoformat(), "metrics": analytics_metrics(add(everyone))}
        for day in window.days()
        if (everyone := _everyone(organization, day))
    ]
    return {"daily_usage": days, "metadata": _metadata(organization, window)}


def _dau_count(organization: Organization, query: Query) -> Json:
    window = _range(organization, query)
    counts = [
        {"date": day.isoformat(), "user_count": len(_everyone(organization, day))}
        for day in window.days()
    ]
    return {"daily_active_user_counts": counts, "metadata": _metadata(organization, window)}


def _dau(organization: Organization, query: Query) -> Json:
    window = _single_day(organization, query)
    active = list(organization.totals(window))
    page, pagination = _page(active, query, f"dau {window}", 100, 250)
    users = [_identity(organization.members[index]) for index in page]
    metadata = _metadata(organization, window, len(users))
    return {"users": users, "pagination": pagination, "metadata": metadata}


def _by_editor_language(organization: Organization, query: Query) -> Json:
    window = _single_day(organization, query)
    parts = [
        (organization.members[index], part)
        for index, total in organization.totals(window).items()
        for part in organization.by_editor(organization.members[index], total.counts)
    ]
    page, pagination = _page(parts, query, f"language {window}", 50, 100)
    records = [
        {
            **_identity(member),
            "language": part.language,
            "editor": part.editor,
            "metrics": analytics_metrics(part.counts),
        }
        for member, part in page
    ]
    metadata = _metadata(organization, window, len({member.index for member, _ in page}))
    return {"records": records, "pagination": pagination, "metadata": metadata}


def _credit_usage(organization: Organization, query: Query) -> Json:
    window = _range(organization, query, newest=organization.today)
    by_date, by_model = _flag(query, "by_date"), _flag(query, "by_model")
    records: list[Json] = []
    for period in [Window(day, day) for day in window.days()] if by_date else [window]:
        dated = {"date": period.start.isoformat()} if by_date else {}
        for index, consumed in _credits(organization, period).items():
            member = organization.members[index]
            identity = {**_identity(member), **dated}
            for group, amount in _groups(member, consumed, by_model):
                records.append({**identity, **group, "credits_consumed": amount / 100})
    page, pagination = _page(records, query, f"credits {window} {by_date} {by_model}", 100, 500)
    users = {(r.get("user_email"), r.get("service_account_name")) for r in page}
    metadata = _metadata(organization, window, len(users))
    return {"records": page, "pagination": pagination, "metadata": metadata}


ENDPOINTS: dict[str, Callable[[Organization, Query], Json]] = {
    "user-activity": _user_activity,
    "daily-usage": _daily_usage,
    "dau-count": _dau_count,
    "dau": _dau,
    "daily-user-activity-by-editor-language": _by_editor_language,
    CREDITS: _credit_usage,
}


def _everyone(organization: Organization, day: date) -> list[Counts]:
    return [total.counts for total in organization.totals(Window(day, day)).values()]


def _credits(organization: Organization, period: Window) -> dict[int, int]:
    """Credits in hundredths by member index, in order; empty for a contract in dollars."""
    if organization.costs.billing == "dollars":
        return {}
    found = {index: total.counts.credits for index, total in organization.totals(period).items()}
    for index, later in organization.costs.later_credits(period).items():
        found[index] = found.get(index, 0) + later
    return dict(sorted(found.items()))


def _groups(member: Member, consumed: int, by_model: bool) -> list[tuple[dict[str, str], int]]:
    """(fields of the group, credits in hundredths), without groups that used none."""
    if not by_model:
        return [({}, consumed)]
    quick = consumed * (member.index % 10) // 10
    models = ((QUICK.name, quick), (THOROUGH.name, consumed - quick))
    return [({"model_name": model}, amount) for model, amount in models if amount]


def _identity(member: Member) -> dict[str, str]:
    return {"service_account_name" if member.service else "user_email": member.name}


def _metadata(organization: Organization, window: Window, users: int | None = None) -> Json:
    metadata: Json = {
        "effective_start_date": window.start.isoformat(),
        "effective_end_date": window.end.isoformat(),
        "generated_at": f"{organization.today}T02:04:05.678901Z",
        "total_days": len(window),
    }
    return metadata if users is None else {**metadata, "returned_user_count": users}


def _page(
    rows: Sequence[_Row], query: Query, scope: str, default: int, most: int
) -> tuple[Sequence[_Row], Json]:
    """The rows of the requested page, and the answer's `pagination`."""
    text = query.get("page_size", str(default))
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise invalid(f"page_size must be between 1 and {most}")
    start = offset_of(query.get("cursor"), scope)
    end = start + int(text)
    cursor = cursor_at(end, scope) if end < len(rows) else None
    return rows[start:end], {"next_cursor": cursor, "has_more": cursor is not None}


def _range(organization: Organization, query: Query, newest: date | None = None) -> Window:
    """The requested range, which may extend to `newest`, or by default to yesterday."""
    if "start_date" not in query and "end_date" not in query:
        yesterday = organization.today - timedelta(days=1)
        return Window(yesterday - timedelta(days=_DEFAULT_DAYS - 1), yesterday)
    start, end = query.get("start_date", ""), query.get("end_date", "")
    return range_of(organization, start, end, newest)


def range_of(
    organization: Organization, start_date: str, end_date: str, newest: date | None = None
) -> Window:
    """The days from `start` to `end`, within the API's bounds."""
    start, end = _date(start_date, "start_date"), _date(end_date, "end_date")
    if start > end:
        raise invalid("start_date must not be after end_date")
    if (end - start).days >= _MOST_DAYS:
        raise invalid(f"date range must not exceed {_MOST_DAYS} days")
    _check_bounds(organization, start, end, newest)
    return Window(start, end)


def _single_day(organization: Organization, query: Query) -> Window:
    yesterday = organization.today - timedelta(days=1)
    day = _date(query["date"], "date") if "date" in query else yesterday
    _check_bounds(organization, day, day, None)
    return Window(day, day)


def _check_bounds(organization: Organization, start: date, end: date, newest: date | None) -> None:
    newest = newest or organization.today - timedelta(days=1)
    if end > newest:
        raise invalid(f"{end} is not available yet: the newest day is {newest}")
    if start < organization.today - _OLDEST:
        raise invalid(f"{start} is more than 2 years ago")


def _date(text: str, name: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise invalid(f"{name} must be YYYY-MM-DD") from error
    if day.isoformat() != text:  # fromisoformat also reads week dates and dates without hyphens
        raise invalid(f"{name} must be YYYY-MM-DD")
    return day


def _flag(query: Query, name: str) -> bool:
    text = query.get(name, "false")
    if text not in ("true", "false"):
        raise invalid(f"{name} must be true or false")
    return text == "true"
