"""Settings from the environment and `.env`, validated with messages that a user can act on."""

from __future__ import annotations

import os
import re
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from dashboard_scraper.errors import UsageError
from dashboard_scraper.logs import AUTO, LOG_LEVELS
from dashboard_scraper.model.tolerance import EXACT, Tolerance, read_tolerance
from dashboard_scraper.settings.checks import refuse_misspelt, refuse_open, remarks_on
from dashboard_scraper.settings.dotenv_file import read_dotenv
from dashboard_scraper.settings.errors import explained
from dashboard_scraper.settings.library_settings import (
    LIBRARY_SETTINGS,
    Libraries,
    library_settings,
)
from dashboard_scraper.settings.names import Concern
from dashboard_scraper.sources.registry import SOURCES, configured_source


class Endpoint(Enum):
    """The dashboard's endpoints, by the names that SCRAPE_ENDPOINTS takes."""

    USERS = "user-feature-stats"
    TENANT = "tenant-feature-stats"
    MONTHLY_ACTIVE_USERS = "tenant-monthly-active-users"

    @property
    def default_path(self) -> str:
        """Where the dashboard itself has it."""
        return f"/api/{self.value}"


def _endpoints(text: object) -> object:
    """Read `all` or names with commas; a name that selects nothing is an error."""
    if not isinstance(text, str):
        return text
    names = [name.strip().lower().replace("_", "-") for name in text.split(",")]
    if names == ["all"]:
        return frozenset(Endpoint)
    known = [endpoint.value for endpoint in Endpoint]
    if wrong := [name for name in names if name not in known]:
        raise ValueError(f"{wrong[0]!r} is no endpoint; write all, or some of {', '.join(known)}")
    return frozenset(Endpoint(name) for name in names)


def _log_level(text: str) -> str:
    if text.upper() not in LOG_LEVELS:
        raise ValueError(f"write one of {', '.join(LOG_LEVELS)}")
    return text.upper()


def _lowered(text: object) -> object:
    return text.strip().lower() if isinstance(text, str) else text


def _source(name: str) -> str:
    *first, last = ("auto", *SOURCES)
    if name not in (*first, last):
        raise ValueError(f"write {', '.join(first)} or {last}")
    return name


def _names(text: object) -> object:
    """Read names with commas."""
    if not isinstance(text, str):
        return text
    return tuple(name.strip().lower() for name in text.split(",") if name.strip())


def _output_mode(text: str) -> str:
    """Three octal digits; only who owns a file or is of its group may be let write it."""
    if not re.fullmatch(r"(0o?)?6[046][04]", text.strip()):
        raise ValueError(
            "write the mode of a file, in which the owner has 6, the group 0, 4 or 6, and the"
            " others 0 or 4, as 600 or 640"
        )
    return text.strip()[-3:]


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]
Endpoints = Annotated[frozenset[Endpoint], NoDecode, BeforeValidator(_endpoints)]
LogLevel = Annotated[str, AfterValidator(_log_level)]
OutputMode = Annotated[str, AfterValidator(_output_mode)]
SQLITE_PREFIX = "sqlite:///"
_POSTGRES_PREFIXES = ("postgresql://", "postgres://", "postgresql+psycopg://")
LEASE_SECONDS = 30
EDITOR_LANGUAGE_REQUESTS = 100
MetricsSource = Annotated[str, BeforeValidator(_lowered), AfterValidator(_source)]
LogFormat = Annotated[Literal["auto", "text", "json"], BeforeValidator(_lowered)]
EditorLanguage = Annotated[Literal["auto", "true", "false"], BeforeValidator(_lowered)]
Reconcile = Annotated[Literal["fail", "warn"], BeforeValidator(_lowered)]
Tolerances = Annotated[Tolerance, NoDecode, BeforeValidator(read_tolerance)]
Seconds = Annotated[float, Field(allow_inf_nan=False, le=3600)]


class Settings(BaseSettings):
    """Every setting, with its default. Read it with `load_settings`; paths are absolute then."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    cookie_file: Path = Field(Path("secrets/cookies.json"), description="Where the session is kept")
    metrics_api_base_url: str = Field(
        "https://app.augmentcode.com/", description="Base URL of the dashboard"
    )
    user_feature_stats_endpoint: str = Field(
        Endpoint.USERS.default_path, description="Path of the users' figures"
    )
    tenant_feature_stats_endpoint: str = Field(
        Endpoint.TENANT.default_path, description="Path of the tenant's figures"
    )
    tenant_mau_endpoint: str = Field(
        Endpoint.MONTHLY_ACTIVE_USERS.default_path, description="Path of the monthly active users"
    )
    scrape_endpoints: Endpoints = Field(
        frozenset(Endpoint), description="Which endpoints to fetch: `all`, or names with commas"
    )
    metrics_source: MetricsSource = Field(
        "auto",
        description="Where figures come from: `dashboard`, `analytics`, or `auto`: the Analytics"
        " API where a token is set, else the dashboard",
    )
    augment_api_token: SecretStr | None = Field(
        None, description="Token of a service account, for the Analytics API"
    )
    augment_api_token_file: Path | None = Field(
        None, description="File with that token, readable by you alone"
    )
    analytics_api_base_url: str = Field(
        "https://api.augmentcode.com", description="Base URL of the Analytics API"
    )
    analytics_requests_per_minute: float = Field(
        10, gt=0, le=60_000, allow_inf_nan=False, description="Requests a minute that it allows"
    )
    analytics_burst: int = Field(20, ge=1, le=1000, description="Requests at once that it allows")
    analytics_ready_hour: int = Field(
        2, ge=0, le=23, description="Hour, in UTC, at which it has the figures of the day before"
    )
    include_service_accounts: bool = Field(
        True, description="Whether outputs have rows of service accounts; the store always has"
    )
    fetch_editor_language: EditorLanguage = Field(
        "auto",
        description="Whether the Analytics API is asked for editors and languages: `true`, `false`,"
        f" or `auto`: for at most {EDITOR_LANGUAGE_REQUESTS} requests a run",
    )
    fetch_credits: bool = Field(False, description="Whether it is asked for credits")
    lookback_days: int = Field(
        30, ge=1, le=3660, description="Days that a run without dates fetches"
    )
    export_dir: Path = Field(Path("data"), description="Folder of the output files")
    output_mode: OutputMode = Field(
        "600",
        description="Mode of the store and of output files, in octal; folders may be entered by"
        " who may read",
    )
    retention_exports: int | None = Field(
        None,
        ge=1,
        description="Folders of daily exports that stay below `EXPORT_DIR`, newest first; none:"
        " all",
    )
    store_url: Annotated[str, Concern.STORE] = Field(
        "sqlite:///data/usage.db",
        description="Where fetched days are kept: `sqlite:///FILE`, or"
        " `postgresql://USER:PASSWORD@HOST/DATABASE`",
    )
    store_lease_seconds: float = Field(
        LEASE_SECONDS,
        ge=1,
        le=60,
        allow_inf_nan=False,
        description="Seconds without a sign of life after which PostgreSQL's lock is taken over",
    )
    settle_days: int = Field(
        3, ge=0, le=90, description="Days after its end for which a day is fetched again"
    )
    recheck_days: int = Field(
        1,
        ge=0,
        le=90,
        description="Settled days that a run reads again, in turn: a source may restate what no"
        " total tells",
    )
    revision_limit: float = Field(
        20,
        gt=0,
        le=100,
        allow_inf_nan=False,
        description="Percent of a day by which a later answer may differ; one that differs by more"
        " is held",
    )
    revision_confirmations: int = Field(
        2,
        ge=1,
        le=90,
        description="Later days on which the source has to repeat a held revision until it is"
        " accepted by itself",
    )
    reconcile: Reconcile = Field(
        "fail",
        description="What days do whose users do not add up to the source's own totals: `fail`: the"
        " run ends with exit code 9, or `warn`",
    )
    reconcile_tolerance: Tolerances = Field(
        EXACT,
        description="Percent of the source's total that the users' sum may be away from it, as"
        " `total_messages=0.5,user_count=2`; none: nothing",
    )
    pseudonym_key_file: Annotated[Path | None, Concern.PRIVACY] = Field(
        None, description="Key that replaces addresses by pseudonyms in every output"
    )
    allow_readable_secrets: bool = Field(
        False, description="Whether a secret that others can read is taken, with a warning"
    )
    log_level: LogLevel = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")
    log_format: LogFormat = Field(
        AUTO,
        description="Form of the log: `text`, `json` (an object a line), or `auto`: text, and on a"
        " terminal the messages alone",
    )
    enterprise_id: str = Field(
        "283613",
        min_length=1,
        description="`enterprise_id` in the Copilot JSON and in GitHub's reports",
    )
    organization_id: str | None = Field(
        None, description="`organization_id` in GitHub's reports of an organization; none: no such"
    )
    identity_file: Path | None = Field(
        None,
        description="CSV of `email,login,id,team`: which addresses are one person's, who they"
        " are at GitHub, and their teams",
    )
    github_reports_merge_ides: bool = Field(
        False, description="Whether GitHub's reports have one row for all editors together"
    )
    github_reports_credits: bool = Field(
        False,
        description="Whether they have credits as `ai_credits_used`; the unit is not GitHub's",
    )
    report_users: Annotated[bool, Concern.PRIVACY] = Field(
        True, description="Whether the report names its users: each one's row, who came, who went"
    )
    enterprise_slugs: Names = Field(
        (), description="Names of the enterprise that `serve` answers to; none: to any"
    )
    organization_slugs: Names = Field(
        (), description="Names of the organization that it answers to; none: to any"
    )
    serve_token_file: Path = Field(
        Path("secrets/serve-token"),
        description="Token that readers must send; made by the first start of `serve`",
    )
    serve_public_url: str | None = Field(
        None,
        description="How readers reach `serve` behind a proxy, as `https://copilot.example.com`",
    )
    serve_hosts: Names = Field(
        (),
        description="Further host names that requests to `serve` may have, where no public URL is"
        " set",
    )
    serve_tls_cert_file: Path | None = Field(
        None, description="Certificate of `serve` for TLS, with those that it rests on, in PEM"
    )
    serve_tls_key_file: Path | None = Field(None, description="Its key, readable by you alone")
    request_timeout_seconds: Seconds = Field(
        30,
        gt=0,
        description="Longest silence of the server during a request, longest time to connect, and"
        " longest time for all of its headers",
    )
    max_retries: int = Field(3, ge=0, le=20, description="Attempts after the first that failed")
    retry_backoff_seconds: Seconds = Field(
        0.5, ge=0, description="Wait before the first retry; it doubles each time"
    )
    retry_budget_seconds: Seconds = Field(
        180,
        gt=0,
        description="Longest time for one request to its last byte, or for the store's server, with"
        " all retries",
    )
    max_concurrency: int = Field(8, ge=1, le=64, description="Requests in flight at once")

    _libraries: Libraries = PrivateAttr(default_factory=Libraries)
    _remarks: tuple[str, ...] = PrivateAttr(default=())

    @field_validator("metrics_api_base_url", "analytics_api_base_url", "serve_public_url")
    @classmethod
    def _check_base_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            url = parse_url(value)
        except LocationParseError:
            raise ValueError("this is no URL; write it as https://app.augmentcode.com/") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError("write it with https:// and a host, as https://app.augmentcode.com/")
        if url.auth or url.query or url.fragment:
            raise ValueError("write it without user, password, query or fragment")
        return value

    @model_validator(mode="after")
    def _check_token(self) -> Self:
        if self.augment_api_token and self.augment_api_token_file:
            raise ValueError("AUGMENT_API_TOKEN and AUGMENT_API_TOKEN_FILE: set one of them")
        return self

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.serve_tls_cert_file is None) != (self.serve_tls_key_file is None):
            raise ValueError("SERVE_TLS_CERT_FILE and SERVE_TLS_KEY_FILE: set both or none")
        return self

    @property
    def libraries(self) -> Libraries:
        """What `.env` says to the libraries, as HTTPS_PROXY."""
        return self._libraries

    def using(self, libraries: Libraries, remarks: tuple[str, ...] = ()) -> Self:
        """The same settings with these beside them."""
        copy = self.model_copy()
        copy._libraries, copy._remarks = libraries, remarks  # noqa: SLF001 - of this very class
        return copy

    @property
    def remarks(self) -> tuple[str, ...]:
        """What looks wrong in the environment or `.env`, and was taken all the same."""
        return self._remarks

    @property
    def source(self) -> str:
        """The source that `metrics_source` comes to."""
        if self.metrics_source != "auto":
            return self.metrics_source
        return configured_source(self)

    @field_validator(
        "user_feature_stats_endpoint", "tenant_feature_stats_endpoint", "tenant_mau_endpoint"
    )
    @classmethod
    def _check_path(cls, value: str) -> str:
        if "://" in value or "#" in value or not value.isprintable() or " " in value:
            raise ValueError("write a path below the base URL, as /api/user-feature-stats")
        return value

    @field_validator("store_url")
    @classmethod
    def _check_store_url(cls, value: str) -> str:
        file = value.removeprefix(SQLITE_PREFIX) if value.startswith(SQLITE_PREFIX) else None
        if file is None and not value.startswith(_POSTGRES_PREFIXES):
            raise ValueError(
                "write it as sqlite:///data/usage.db or postgresql://USER:PASSWORD@HOST/DATABASE"
            )
        if file is not None and (not file or file.endswith("/") or ":memory:" in file):
            raise ValueError("name a file, as sqlite:///data/usage.db")
        return value

    @property
    def file_mode(self) -> int:
        """`output_mode` as a number."""
        return int(self.output_mode, 8)

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


def setting_names() -> list[str]:
    """The names as the environment has them, in the order of the documentation."""
    return [name.upper() for name in Settings.model_fields]


def load_settings(home: Path, **overrides: object) -> Settings:
    """Read the environment, then `home/.env`, then defaults; relative paths are below `home`.

    Raises UsageError that names every setting that is wrong, and every line of `.env` that is not
    understood.
    """
    file, names = home / ".env", setting_names()
    found = read_dotenv(file, {*names, *LIBRARY_SETTINGS}, os.environ)
    refuse_misspelt(os.environ, Settings.model_fields)
    in_environment = {name.upper() for name, value in os.environ.items() if value}
    from_file = {name: found[name].value for name in found if found[name].value}
    ours = {n.lower(): v for n, v in from_file.items() if n in names and n not in in_environment}
    try:
        settings = Settings(**{**ours, **overrides})  # type: ignore[arg-type]
    except ValidationError as error:
        given = {name.upper() for name in overrides}

        def origin(name: str) -> str:
            if name in given:
                return "on the command line"
            in_file = name.lower() in ours
            return f"{file}, line {found[name].line}" if in_file else "in the environment"

        raise UsageError(explained(error, Settings.model_fields, origin)) from None
    refuse_open(file, found.values(), settings)
    settings = settings.model_copy(update=_absolute_places(home, settings))
    libraries = library_settings(from_file, os.environ, home)
    return settings.using(libraries, tuple(remarks_on(settings, found)))


def _absolute_places(home: Path, settings: Settings) -> dict[str, object]:
    paths: dict[str, object] = {
        name: home / _expanded(name.upper(), path)
        for name in Settings.model_fields
        if isinstance(path := getattr(settings, name), Path)
    }
    return {**paths, "store_url": _absolute_url(home, settings.store_url)}


def sqlite_url(path: Path) -> str:
    """The STORE_URL of a file."""
    return f"{SQLITE_PREFIX}{path}"


def _absolute_url(home: Path, url: str) -> str:
    if not url.startswith(SQLITE_PREFIX):
        return url
    return sqlite_url(home / _expanded("STORE_URL", Path(url.removeprefix(SQLITE_PREFIX))))


def _expanded(name: str, path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UsageError(f"{name}={path}: {error}") from error
