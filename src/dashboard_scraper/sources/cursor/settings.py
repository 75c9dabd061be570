"""Settings of Cursor's Admin API as a source."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from dashboard_scraper.settings.values import BaseUrl
from dashboard_scraper.sources.rest.settings import CostSettings, RequestSettings, refuse_both


class CursorSettings(CostSettings, RequestSettings):
    """Cursor's Admin API."""

    cursor_api_key: SecretStr | None = Field(
        None, description="Key of a team's administrator, for Cursor's Admin API"
    )
    cursor_api_key_file: Path | None = Field(
        None, description="File with that key, readable only by its owner"
    )
    cursor_api_base_url: BaseUrl = Field(
        "https://api.cursor.com", description="Base URL of Cursor's Admin API"
    )
    cursor_requests_per_minute: float = Field(
        20,
        ge=2,
        le=60_000,
        allow_inf_nan=False,
        description="Requests for usage, spend and members that Cursor allows in any minute",
    )
    cursor_events_per_minute: float = Field(
        60,
        ge=2,
        le=60_000,
        allow_inf_nan=False,
        description="Requests for usage events, which have the costs, that Cursor allows in any"
        " minute",
    )

    cursor_ready_hour: int = Field(
        2, ge=0, le=23, description="Hour, in UTC, from which Cursor has all of the previous day"
    )

    @model_validator(mode="after")
    def _check_cursor_key(self) -> Self:
        refuse_both(self, "cursor_api_key")
        return self
