"""Faults of the Claude Code Analytics API: answers that are undocumented, or ruled out."""

from __future__ import annotations

from copy import deepcopy
from datetime import date
from typing import Any

from dashboard_scraper.simulator.faults import Effect, edited

Json = Any


def nobody() -> Effect:
    """No records at all, as for an organization whose people sign in with a subscription."""
    return edited(lambda body, _request: {**body, "data": []})


def by_subscription(plan: str | None, first: int = 0) -> Effect:
    """The records from the first one on belong to people with a subscription."""

    def edit(body: Json, _request: object) -> Json:
        for record in body["data"][first:]:
            record |= {"customer_type": "subscription", "subscription_type": plan}
        return body

    return edited(edit)


def without_models(first: int) -> Effect:
    """The records from the first one on have no models, and so no costs."""

    def edit(body: Json, _request: object) -> Json:
        for record in body["data"][first:]:
            record["model_breakdown"] = []
        return body

    return edited(edit)


def records_until(end: int) -> Effect:
    """Only the first records."""
    return edited(lambda body, _request: {**body, "data": body["data"][:end]})


def plain_dates() -> Effect:
    """Dates as documented, instead of midnights."""

    def edit(body: Json, _request: object) -> Json:
        for record in body["data"]:
            record["date"] = record["date"].partition("T")[0]
        return body

    return edited(edit)


def dated(day: date | str) -> Effect:
    """The first record is of another day, or its date is not a day."""

    def edit(body: Json, _request: object) -> Json:
        body["data"][0]["date"] = f"{day}"
        return body

    return edited(edit)


def in_currency(code: str, record: int | None = None) -> Effect:
    """Estimates in another currency, in all records or in one."""

    def edit(body: Json, _request: object) -> Json:
        records = body["data"] if record is None else [body["data"][record]]
        for each in records:
            for model in each["model_breakdown"]:
                model["estimated_cost"]["currency"] = code
        return body

    return edited(edit)


def repeat_first_page() -> Effect:
    """Every later page has the records of the first one, in another order."""
    first: list[Json] = []

    def edit(body: Json, request: Any) -> Json:
        if "page" not in request.query:
            first[:] = deepcopy(body["data"])
        else:
            body["data"] = first[::-1]
        return body

    return edited(edit)


def empty_later_pages() -> Effect:
    """Every page after the first one has no records, although they were announced."""

    def edit(body: Json, request: Any) -> Json:
        return {**body, "data": []} if "page" in request.query else body

    return edited(edit)


def same_cursor() -> Effect:
    """Every page names the second one as the next."""
    second: list[str] = []

    def edit(body: Json, request: Any) -> Json:
        if "page" not in request.query:
            second[:] = [body["next_page"]]
        else:
            body |= {"has_more": True, "next_page": second[0]}
        return body

    return edited(edit)


def actor_twice() -> Effect:
    """The first record comes again at the end of the page, with one session more."""

    def edit(body: Json, _request: object) -> Json:
        again = deepcopy(body["data"][0])
        again["core_metrics"]["num_sessions"] += 1
        body["data"].append(again)
        return body

    return edited(edit)
