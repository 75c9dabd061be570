"""The settings that belong to no source, in groups; a group's docstring heads its documentation."""

from __future__ import annotations

import re
from datetime import UTC
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    InstanceOf,
    SecretStr,
    model_validator,
)

from dashboard_scraper.logs import AUTO, LOG_LEVELS
from dashboard_scraper.model.seat_prices import NO_PRICES, SeatPrices, read_seat_prices
from dashboard_scraper.model.tolerance import EXACT, Tolerance, read_tolerance
from dashboard_scraper.settings.names import Concern
from dashboard_scraper.settings.values import BaseUrl, Group, Names, lowered
from dashboard_scraper.sources.registry import ALL_SOURCES, AUGMENT_SOURCES, AUTO_SOURCE, SOURCES
from dashboard_scraper.sources.rest.settings import refuse_both
from dashboard_scraper.watch.schedule import UTC_NAME, Schedule, read_time_zone

SQLITE_PREFIX = "sqlite:///"
LAKE_PREFIX = "iceberg://"
_POSTGRES_PREFIXES = ("postgresql://", "postgres://", "postgresql+psycopg://")
LEASE_SECONDS = 30


def _source(name: str) -> str:
    *first, last = (AUTO_SOURCE, ALL_SOURCES, *SOURCES)
    if name not in (*first, last):
        raise ValueError(f"write {', '.join(first)} or {last}")
    return name


def _sources(names: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := [name for name in names if name not in SOURCES]:
        raise ValueError(f"{unknown[0]!r} is not a source; write some of {', '.join(SOURCES)}")
    if len(set(names)) < len(names):
        raise ValueError("write each source once")
    if set(AUGMENT_SOURCES) <= set(names):
        raise ValueError(
            f"{' and '.join(AUGMENT_SOURCES)} have the same people's figures; write one of them"
        )
    return names


def _store_url(value: str) -> str:
    if value.startswith(LAKE_PREFIX) and value.rstrip("/") != LAKE_PREFIX.rstrip("/"):
        return value
    file = value.removeprefix(SQLITE_PREFIX) if value.startswith(SQLITE_PREFIX) else None
    if file is None and not value.startswith(_POSTGRES_PREFIXES):
        raise ValueError(
            "write it as sqlite:///data/usage.db or postgresql://USER:PASSWORD@HOST/DATABASE"
        )
    if file is not None and (not file or file.endswith("/") or ":memory:" in file):
        raise ValueError("name a file, as sqlite:///data/usage.db")
    return value


def _output_mode(text: str) -> str:
    """Three octal digits; nobody but the owner of a file and its group may get write access."""
    if not re.fullmatch(r"(0o?)?6[046][04]", text.strip()):
        raise ValueError(
            "write a file mode in which the owner has 6, the group 0, 4 or 6, and others 0 or 4,"
            " as 600 or 640"
        )
    return text.strip()[-3:]


def _log_level(text: str) -> str:
    if text.upper() not in LOG_LEVELS:
        raise ValueError(f"write one of {', '.join(LOG_LEVELS)}")
    return text.upper()


def _schedule(expression: str) -> str:
    return Schedule.read(expression, UTC).expression


def _time_zone(name: str) -> str:
    read_time_zone(name)
    return name


def _seat_prices(text: object) -> object:
    return read_seat_prices(text, SOURCES)


class SyncSettings(Group):
    """Which days are fetched, and when an answer is accepted."""

    metrics_source: Annotated[str, BeforeValidator(lowered), AfterValidator(_source)] = Field(
        AUTO_SOURCE,
        description="Source of the figures: `dashboard`, `analytics`, `copilot`, `cursor` or"
        " `claude_code`; `auto`: the Analytics API if a token is set, else the dashboard; `all`:"
        " each of `SOURCES`, or each source that has its credentials",
    )
    sources: Annotated[Names, AfterValidator(_sources)] = Field(
        (),
        description="Sources that a run fetches in turn, as `analytics,copilot,cursor`, instead of"
        " the one in `METRICS_SOURCE`; none: only that one",
    )
    lookback_days: int = Field(
        30, ge=1, le=3660, description="Days that a run without dates fetches"
    )
    settle_days: int = Field(
        3, ge=0, le=90, description="Days after its end during which a day is fetched again"
    )
    cost_settle_days: int = Field(
        7,
        ge=0,
        le=90,
        description="Days after its end during which the costs of a day are fetched again: bills"
        " are corrected for longer than counts; later corrections are found by the day's total",
    )
    recheck_days: int = Field(
        1,
        ge=0,
        le=90,
        description="Settled days that each run fetches again, in rotation: a source may restate"
        " figures without a change in any total",
    )
    revision_limit: float = Field(
        20,
        gt=0,
        le=100,
        allow_inf_nan=False,
        description="Percent by which a later answer may differ from the stored day; one that"
        " differs by more is held",
    )
    revision_confirmations: int = Field(
        2,
        ge=1,
        le=90,
        description="Later days on which the source has to repeat a held revision before it is"
        " accepted automatically",
    )
    reconcile: Annotated[Literal["fail", "warn"], BeforeValidator(lowered)] = Field(
        "fail",
        description="What happens when a day's users do not add up to the source's own totals:"
        " `fail`: the run ends with exit code 9, or `warn`",
    )
    reconcile_tolerance: Annotated[InstanceOf[Tolerance], BeforeValidator(read_tolerance)] = Field(
        EXACT,
        description="Percent of the source's total by which the users' sum may differ from it, as"
        " `total_messages=0.5,user_count=2`; none: the sums must be equal",
    )


class StoreSettings(Group):
    """The store."""

    store_url: Annotated[str, AfterValidator(_store_url), Concern.STORE] = Field(
        "sqlite:///data/usage.db",
        description="Where fetched days are stored: `sqlite:///FILE`, or"
        " `postgresql://USER:PASSWORD@HOST/DATABASE`; only to read: a lake, `iceberg:///FOLDER` or"
        " `iceberg://CATALOG/NAMESPACE`",
    )
    store_lease_seconds: float = Field(
        LEASE_SECONDS,
        ge=1,
        le=60,
        allow_inf_nan=False,
        description="Seconds without a heartbeat after which another run takes over PostgreSQL's"
        " lock",
    )


class OutputSettings(Group):
    """Output files, and whom they show."""

    export_dir: Path = Field(Path("data"), description="Folder of the output files")
    output_mode: Annotated[str, AfterValidator(_output_mode)] = Field(
        "600",
        description="Mode of the store and of output files, in octal; their folders can be entered"
        " by whoever may read the files",
    )
    retention_exports: int | None = Field(
        None,
        ge=1,
        description="How many folders of daily exports, the newest, stay below `EXPORT_DIR`;"
        " none: all",
    )
    export_processes: int = Field(
        2,
        ge=1,
        le=64,
        description="How many processes write the files of an `export` of 100,000 user-days or"
        " more, at most one for each processor; each needs the memory of a whole export",
    )
    include_service_accounts: bool = Field(
        True,
        description="Whether outputs include service accounts; the store always includes them",
    )
    pseudonym_key_file: Annotated[Path | None, Concern.PRIVACY] = Field(
        None,
        description="File with the key for pseudonyms, which replace addresses in every output",
    )
    identity_file: Path | None = Field(
        None,
        description="CSV of `email,login,id,team`: which addresses belong to one person, who they"
        " are at GitHub, and their teams",
    )
    roster_file: Path | None = Field(
        None,
        description="CSV of `email,name,team,seats,started,left`: who should be using which"
        " assistant; `seats` are names of sources, as `copilot;cursor`, and `left` is the last day",
    )
    min_group_size: int = Field(
        5,
        ge=1,
        description="Teams with fewer people are not shown separately, but together with others",
    )
    report_users: Annotated[bool, Concern.PRIVACY] = Field(
        True,
        description="Whether the report names users: a row for each, and who started or stopped",
    )
    seat_prices: Annotated[InstanceOf[SeatPrices], BeforeValidator(_seat_prices)] = Field(
        NO_PRICES,
        description="Monthly price of a seat, by source, as `copilot:19,cursor:40`, optionally with"
        " a currency, as `copilot:19 EUR`; the report then says what seats without activity cost",
    )
    focus_billing_account_id: str | None = Field(
        None,
        min_length=1,
        description="`BillingAccountId` of costs in FOCUS: whose bill it is, which the source does"
        " not say; none: `augment`, `cursor` or `claude_code`",
    )

    @property
    def file_mode(self) -> int:
        """`output_mode` as a number."""
        return int(self.output_mode, 8)


class GithubSettings(Group):
    """GitHub's report format."""

    enterprise_id: str = Field(
        "283613",
        min_length=1,
        description="`enterprise_id` in the Copilot JSON and in GitHub's reports",
    )
    organization_id: str | None = Field(
        None,
        description="`organization_id` in GitHub's reports of an organization; none: there are no"
        " such reports",
    )
    github_reports_merge_ides: bool = Field(
        True,
        description="Whether GitHub's reports on an enterprise or organization have one row for all"
        " editors",
    )
    github_reports_users_28_day: bool = Field(
        False,
        description="Whether exports of 28 days include `users-28-day`, which is larger than all"
        " other files together; `serve` makes that report on demand",
    )
    github_reports_credits: bool = Field(
        False,
        description="Whether GitHub's reports include credits as `ai_credits_used`; the unit is not"
        " GitHub's",
    )


class ServeSettings(Group):
    """The server."""

    enterprise_slugs: Names = Field(
        (), description="Enterprise names that `serve` accepts, comma-separated; none: any"
    )
    organization_slugs: Names = Field(
        (), description="Organization names that `serve` accepts, comma-separated; none: any"
    )
    serve_token_file: Path = Field(
        Path("secrets/serve-token"),
        description="File with the token that clients must send; the first start of `serve`"
        " creates it",
    )
    serve_tokens_file: Path = Field(
        Path("secrets/serve-tokens.json"),
        description="File with more tokens, each with a name and scopes; the command `tokens`"
        " writes it",
    )
    serve_requests_per_minute: int | None = Field(
        None,
        ge=1,
        description="Requests that each token may send to `serve` in a minute; none: any number",
    )
    serve_log_addresses: bool = Field(
        False,
        description="Whether the access log of `serve` has the addresses of clients",
    )
    serve_public_url: BaseUrl | None = Field(
        None,
        description="URL under which clients reach `serve` behind a proxy, as"
        " `https://copilot.example.com`",
    )
    serve_hosts: Names = Field(
        (),
        description="Further host names that requests to `serve` may use if no public URL is set,"
        " comma-separated",
    )
    serve_tls_cert_file: Path | None = Field(
        None, description="TLS certificate of `serve` with its intermediates, in PEM"
    )
    serve_tls_key_file: Path | None = Field(
        None, description="Key of that certificate, readable only by its owner"
    )

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.serve_tls_cert_file is None) != (self.serve_tls_key_file is None):
            raise ValueError("SERVE_TLS_CERT_FILE and SERVE_TLS_KEY_FILE: set both or none")
        return self


class WatchSettings(Group):
    """`watch`, the process that runs all the time."""

    schedule: Annotated[str, AfterValidator(_schedule)] = Field(
        "5 3 * * *",
        description="When `watch` runs the nightly job: minute, hour, day, month and weekday, in"
        " cron syntax",
    )
    schedule_time_zone: Annotated[str, AfterValidator(_time_zone)] = Field(
        UTC_NAME, description="Time zone of the schedule, as `Europe/Berlin`"
    )
    keep_alive_minutes: int = Field(
        20,
        ge=0,
        le=720,
        description="How often `watch` uses the dashboard's session, which ends about an hour"
        " after its last use; 0: never",
    )
    heartbeat_file: Path = Field(
        Path("data/watch.json"),
        description="File that `watch` touches every minute, for a health check",
    )


class NotifySettings(Group):
    """Notifications."""

    notify_urls: SecretStr | None = Field(
        None,
        description="Where messages about failed runs and missing days go: URLs as Apprise writes"
        " them, separated by blanks or commas",
    )
    notify_urls_file: Path | None = Field(
        None, description="File with those URLs, readable only by its owner"
    )
    notify_revision_percent: float = Field(
        10,
        gt=0,
        allow_inf_nan=False,
        description="Percent by which a revision must change a figure of a settled day to be"
        " reported",
    )
    notify_reminder_days: int = Field(
        7,
        ge=0,
        le=365,
        description="Days after which a message is repeated while its reason persists; 0: never",
    )
    heartbeat_url: SecretStr | None = Field(
        None,
        description="URL of a monitor that is pinged when a run starts, succeeds or fails, as"
        " `https://hc-ping.com/UUID`",
    )
    heartbeat_url_file: Path | None = Field(
        None, description="File with that URL, readable only by its owner"
    )

    @model_validator(mode="after")
    def _check_notifications(self) -> Self:
        refuse_both(self, "notify_urls")
        refuse_both(self, "heartbeat_url")
        return self


class LogSettings(Group):
    """The log."""

    log_level: Annotated[str, AfterValidator(_log_level)] = Field(
        "INFO", description="DEBUG, INFO, WARNING or ERROR"
    )
    log_format: Annotated[Literal["auto", "text", "json"], BeforeValidator(lowered)] = Field(
        AUTO,
        description="Format of the log: `text`, `json` (one object per line), or `auto`: text, and"
        " on a terminal only the messages",
    )


def sqlite_url(path: Path) -> str:
    """The STORE_URL of a file."""
    return f"{SQLITE_PREFIX}{path}"
