"""Settings of requests, the same for every source over HTTP."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, PrivateAttr

from dashboard_scraper.settings.library_settings import Libraries
from dashboard_scraper.settings.values import Seconds, lowered

AutoTrueFalse = Annotated[Literal["auto", "true", "false"], BeforeValidator(lowered)]


class RequestSettings(BaseModel):
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
        description="Longest time for one request to its last byte, or for the store's server,"
        " including all retries",
    )
    max_concurrency: int = Field(8, ge=1, le=64, description="Requests in flight at once")
    allow_readable_secrets: bool = Field(
        False,
        description="Whether to accept a secret in a file that other users can read, with a"
        " warning",
    )

    _libraries: Libraries = PrivateAttr(default_factory=Libraries)

    @property
    def libraries(self) -> Libraries:
        """Settings of the HTTP and object-store libraries in `.env`, such as HTTPS_PROXY."""
        return self._libraries


class CostSettings(BaseModel):
    """Costs, for every source that has them."""

    fetch_cost: AutoTrueFalse = Field(
        "auto",
        description="Whether to fetch costs: `true`, `false`, or `auto`: where the source has them"
        " for you",
    )


def refuse_both(settings: BaseModel, name: str) -> None:
    """ValueError where a secret is set, and a file with it too: for a validator of settings."""
    if getattr(settings, name) and getattr(settings, f"{name}_file"):
        raise ValueError(f"{name.upper()} and {name.upper()}_FILE: set one of them")
