"""Faults of the simulator: effects on the bytes of an answer, and on its JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dashboard_scraper.simulator import Request
from dashboard_scraper.simulator.faults import Effect, edited

Json = Any


def of_bytes(change: Callable[[bytes], bytes]) -> Effect:
    """Replace the bytes, with a Content-Length that fits them."""
    return lambda answer, _request: replace(answer, body=change(answer.body))


def in_place(change: Callable[[Json], object]) -> Effect:
    """An effect that changes the JSON of an answer in place."""

    def edit(body: Json, _request: Request) -> Json:
        change(body)
        return body

    return edited(edit)


def put(*path: str | int, value: object) -> Effect:
    """Replace the value at a place in the answer."""

    def change(body: Json) -> None:
        for step in path[:-1]:
            body = body[step]
        body[path[-1]] = value

    return in_place(change)


def of_list(key: str, change: Callable[[list[Json]], list[Json]]) -> Effect:
    """Replace the records under the key of the answer."""

    def replace_list(body: Json) -> None:
        body[key] = change(body[key])

    return in_place(replace_list)
