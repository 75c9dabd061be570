"""Settings of Claude Code's usage report as a source."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from dashboard_scraper.settings.values import BaseUrl
from dashboard_scraper.sources.rest.settings import CostSettings, RequestSettings, refuse_both


class ClaudeCodeSettings(CostSettings, RequestSettings):
    """The Claude Code Analytics API of the Claude Console."""

    claude_code_api_key: SecretStr | None = Field(
        None, description="Admin key of the Claude Console, for Claude Code's usage"
    )
    claude_code_api_key_file: Path | None = Field(
        None, description="File with that key, readable only by its owner"
    )
    claude_code_api_base_url: BaseUrl = Field(
        "https://api.anthropic.com", description="Base URL of the Claude Code Analytics API"
    )
    claude_code_requests_per_minute: float = Field(
        30,
        gt=0,
        le=60_000,
        allow_inf_nan=False,
        description="Requests per minute that are sent to the API; its limit is not documented",
    )
    claude_code_burst: int = Field(
        10, ge=1, le=1000, description="Requests that are sent to the API in one burst"
    )

    @model_validator(mode="after")
    def _check_claude_code_key(self) -> Self:
        refuse_both(self, "claude_code_api_key")
        return self
