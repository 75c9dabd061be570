"""Settings of the Analytics API as a source."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from dashboard_scraper.settings.values import BaseUrl
from dashboard_scraper.sources.rest.settings import (
    AutoTrueFalse,
    CostSettings,
    RequestSettings,
    refuse_both,
)

EDITOR_LANGUAGE_REQUESTS = 100
"""Requests per run that FETCH_EDITOR_LANGUAGE=auto spends: at ten a minute, ten minutes."""


class AnalyticsSettings(CostSettings, RequestSettings):
    """The Analytics API."""

    augment_api_token: SecretStr | None = Field(
        None, description="Token of a service account, for the Analytics API"
    )
    augment_api_token_file: Path | None = Field(
        None, description="File with that token, readable only by its owner"
    )
    analytics_api_base_url: BaseUrl = Field(
        "https://api.augmentcode.com", description="Base URL of the Analytics API"
    )
    analytics_requests_per_minute: float = Field(
        10,
        gt=0,
        le=60_000,
        allow_inf_nan=False,
        description="Requests per minute that the API allows",
    )
    analytics_burst: int = Field(
        20, ge=1, le=1000, description="Requests that the API allows in one burst"
    )
    analytics_ready_hour: int = Field(
        2,
        ge=0,
        le=23,
        description="Hour, in UTC, from which the API has the previous day's figures",
    )
    fetch_editor_language: AutoTrueFalse = Field(
        "auto",
        description="Whether to fetch figures by editor and language: `true`, `false`, or `auto`:"
        f" if that takes at most {EDITOR_LANGUAGE_REQUESTS} requests per run",
    )
    fetch_credits: bool = Field(False, description="Whether to fetch credits")
    cost_requests_per_minute: float = Field(
        30,
        gt=0,
        le=60_000,
        allow_inf_nan=False,
        description="Requests per minute that the API allows for costs, budgets and credits"
        " together",
    )
    cost_burst: int = Field(
        10, ge=1, le=1000, description="Requests for these that the API allows in one burst"
    )

    @model_validator(mode="after")
    def _check_token(self) -> Self:
        refuse_both(self, "augment_api_token")
        return self
