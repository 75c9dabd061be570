"""Settings of requests, the same for every source over HTTP."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, PrivateAttr

from dashboard_scraper.settings.library_settings import Libraries
from dashboard_scraper.settings.values import Group, Seconds, lowered

AutoTrueFalse = Annotated[Literal["auto", "true", "false"], BeforeValidator(lowered)]


_SIDE_BY_SIDE = 16
"""Requests in flight from which on those of a day are sent side by side."""


class RequestSettings(Group):
    """Requests and retries."""

    request_timeout_seconds: Seconds = Field(
        30,
        gt=0,
        description="Longest silence of the server during a request, longest time to connect, and"
        " longest time until all headers have arrived",
    )
    max_retries: int = Field(3, ge=0, le=20, description="Retries after a first failed attempt")
    retry_backoff_seconds: Seconds = Field(
        0.5, ge=0, description="Wait before the first retry; it doubles each time"
    )
    retry_budget_seconds: Seconds = Field(
        180,
        gt=0,
        description="Longest total time, including all retries, of one request until its last byte,"
        " or of reaching the store's server",
    )
    max_concurrency: int = Field(
        24,
        ge=1,
        le=64,
        description="Requests in flight at once; from 16 on, a day's requests are sent in parallel"
        " where they are independent",
    )
    allow_readable_secrets: bool = Field(
        False,
        description="Whether to accept a secret in a file that other users can read, with a"
        " warning",
    )

    _libraries: Libraries = PrivateAttr(default_factory=Libraries)

    @property
    def side_by_side(self) -> bool:
        """Whether a day may have two requests in flight, and the days together one more."""
        return self.max_concurrency >= _SIDE_BY_SIDE

    @property
    def days_at_once(self) -> int:
        """How many days are fetched at once.

        It pays more to send a day's requests side by side than to fetch more days: those with large
        answers wait for each other (see `turns`).
        """
        if self.side_by_side:
            return (self.max_concurrency - 1) // 2
        return min(self.max_concurrency, _SIDE_BY_SIDE // 2)

    @property
    def libraries(self) -> Libraries:
        """Settings of the HTTP and object-store libraries in `.env`, such as HTTPS_PROXY."""
        return self._libraries


class CostSettings(Group):
    """Costs, for every source that has them."""

    fetch_cost: AutoTrueFalse = Field(
        "auto",
        description="Whether to fetch costs: `true`, `false`, or `auto`: if the source offers them"
        " to your account",
    )

    @property
    def wants_costs(self) -> bool:
        """Unless FETCH_COST is false."""
        return self.fetch_cost != "false"


def refuse_both(settings: BaseModel, name: str) -> None:
    """ValueError where a secret is set, and a file with it too: for a validator of settings."""
    if getattr(settings, name) and getattr(settings, f"{name}_file"):
        raise ValueError(f"{name.upper()} and {name.upper()}_FILE: set one of them")
