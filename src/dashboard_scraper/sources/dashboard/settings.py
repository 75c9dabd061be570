"""Settings of the dashboard as a source, and its endpoints."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from dashboard_scraper.settings.values import BaseUrl, Seconds, lowered
from dashboard_scraper.sources.rest.settings import RequestSettings


class Endpoint(Enum):
    """The dashboard's endpoints, by the names that SCRAPE_ENDPOINTS takes."""

    USERS = "user-feature-stats"
    TENANT = "tenant-feature-stats"
    MONTHLY_ACTIVE_USERS = "tenant-monthly-active-users"

    @property
    def default_path(self) -> str:
        """The path that the dashboard itself uses."""
        return f"/api/{self.value}"


def _endpoints(text: object) -> object:
    """Read `all` or a comma-separated list of names; a list that selects nothing is an error."""
    if not isinstance(text, str):
        return text
    names = [name.strip().lower().replace("_", "-") for name in text.split(",")]
    if names == ["all"]:
        return frozenset(Endpoint)
    known = [endpoint.value for endpoint in Endpoint]
    if wrong := [name for name in names if name not in known]:
        raise ValueError(
            f"{wrong[0]!r} is not an endpoint; write all, or some of {', '.join(known)}"
        )
    return frozenset(Endpoint(name) for name in names)


def _path(value: str) -> str:
    if "://" in value or "#" in value or not value.isprintable() or " " in value:
        raise ValueError("write a path below the base URL, as /api/user-feature-stats")
    return value


Endpoints = Annotated[frozenset[Endpoint], BeforeValidator(_endpoints)]
EndpointPath = Annotated[str, AfterValidator(_path)]


class DashboardSettings(RequestSettings):
    """The dashboard."""

    cookie_file: Path = Field(
        Path("secrets/cookies.json"), description="File that stores the session"
    )
    cookie_store: Annotated[Literal["file", "keyring"], BeforeValidator(lowered)] = Field(
        "file",
        description="Where the session is stored: `file`, in `COOKIE_FILE`, or `keyring`, in the"
        " operating system's keyring, in an entry with that path in its name",
    )
    browser_path: Path | None = Field(
        None,
        description="Path of the browser for `--auth --browser`; empty: Chrome, Edge or Chromium,"
        " whichever is installed",
    )
    auto_renew: bool = Field(
        False,
        description="Whether a run whose session has ended renews it, once, with the browser"
        " profile that `--auth --browser` signed in",
    )
    sign_in_timeout_seconds: Annotated[Seconds, Field(gt=0)] = Field(
        600, description="How long `--auth --browser` waits for you to sign in"
    )
    metrics_api_base_url: BaseUrl = Field(
        "https://app.augmentcode.com/", description="Base URL of the dashboard"
    )
    user_feature_stats_endpoint: EndpointPath = Field(
        Endpoint.USERS.default_path, description="Path of the figures per user"
    )
    tenant_feature_stats_endpoint: EndpointPath = Field(
        Endpoint.TENANT.default_path, description="Path of the tenant's figures"
    )
    tenant_mau_endpoint: EndpointPath = Field(
        Endpoint.MONTHLY_ACTIVE_USERS.default_path, description="Path of the monthly active users"
    )
    scrape_endpoints: Endpoints = Field(
        frozenset(Endpoint),
        description="Which endpoints to fetch: `all`, or a comma-separated list of names",
    )

    def path_of(self, endpoint: Endpoint) -> str:
        """The configured path of an endpoint."""
        return {
            Endpoint.USERS: self.user_feature_stats_endpoint,
            Endpoint.TENANT: self.tenant_feature_stats_endpoint,
            Endpoint.MONTHLY_ACTIVE_USERS: self.tenant_mau_endpoint,
        }[endpoint]

    def url_of(self, endpoint: Endpoint) -> str:
        """The endpoint's URL, with exactly one slash between base and path."""
        return f"{self.metrics_api_base_url.rstrip('/')}/{self.path_of(endpoint).lstrip('/')}"
