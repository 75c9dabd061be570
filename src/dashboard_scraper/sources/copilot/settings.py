"""Settings of GitHub Copilot as a source."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from dashboard_scraper.settings.values import BaseUrl
from dashboard_scraper.sources.rest.settings import RequestSettings

# What GitHub allows in the address of an enterprise or organization.
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_APP_ID = re.compile(r"[A-Za-z0-9.]{1,40}")


def _slug(text: str) -> str:
    if not _SLUG.fullmatch(text):
        raise ValueError(
            "write only the name, as acme for github.com/enterprises/acme or github.com/acme"
        )
    return text


def _app_id(text: str) -> str:
    if not _APP_ID.fullmatch(text):
        raise ValueError("write only the ID, as GitHub shows it")
    return text


_Slug = Annotated[str, AfterValidator(_slug)]
_AppId = Annotated[str, AfterValidator(_app_id)]


class CopilotSettings(RequestSettings):
    """GitHub Copilot."""

    copilot_enterprise: _Slug | None = Field(
        None, description="Enterprise whose reports to fetch, as it is spelled in its address"
    )
    copilot_organization: _Slug | None = Field(
        None, description="Organization whose reports to fetch, in place of an enterprise"
    )
    copilot_token: SecretStr | None = Field(
        None, description="GitHub token that may read Copilot's usage metrics"
    )
    copilot_token_file: Path | None = Field(
        None, description="File with that token, readable only by its owner"
    )
    copilot_app_id: _AppId | None = Field(
        None, description="ID or client ID of a GitHub App, in place of a token"
    )
    copilot_app_key_file: Path | None = Field(
        None, description="File with the app's private key (PEM), readable only by its owner"
    )
    copilot_app_installation: _AppId | None = Field(
        None, description="ID of the app's installation in the enterprise or organization"
    )
    copilot_api_base_url: BaseUrl = Field(
        "https://api.github.com", description="Base URL of GitHub's REST API"
    )
    copilot_requests_per_minute: float = Field(
        75,
        gt=0,
        le=60_000,
        allow_inf_nan=False,
        description="Requests per minute to GitHub's REST API, which allows 5,000 an hour",
    )
    copilot_burst: int = Field(
        60, ge=1, le=1000, description="Requests that are sent to that API in one burst"
    )
    copilot_ready_days: int = Field(
        2,
        ge=0,
        le=7,
        description="Full UTC days after the end of a day until its reports are expected",
    )

    @property
    def has_copilot_app(self) -> bool:
        """Whether a GitHub App is configured."""
        return self.copilot_app_id is not None

    @model_validator(mode="after")
    def _check_copilot(self) -> Self:
        if self.copilot_enterprise and self.copilot_organization:
            raise ValueError("COPILOT_ENTERPRISE and COPILOT_ORGANIZATION: set one of them")
        if self.copilot_token and self.copilot_token_file:
            raise ValueError("COPILOT_TOKEN and COPILOT_TOKEN_FILE: set one of them")
        app = (self.copilot_app_id, self.copilot_app_key_file, self.copilot_app_installation)
        if any(app) and not all(app):
            raise ValueError(
                "COPILOT_APP_ID, COPILOT_APP_KEY_FILE and COPILOT_APP_INSTALLATION: set all three,"
                " or none"
            )
        if any(app) and (self.copilot_token or self.copilot_token_file):
            raise ValueError("COPILOT_APP_ID and COPILOT_TOKEN: set a token or an app, not both")
        return self
