"""Settings from the environment and `.env`, validated with messages that a user can act on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import ConfigDict, PrivateAttr, ValidationError

from dashboard_scraper.errors import UsageError
from dashboard_scraper.settings.checks import (
    refuse_misspelt,
    refuse_open,
    refuse_two_choices,
    remarks_on,
    remarks_on_sources,
)
from dashboard_scraper.settings.dotenv_file import read_dotenv
from dashboard_scraper.settings.errors import explained
from dashboard_scraper.settings.groups import (
    LAKE_PREFIX,
    SQLITE_PREFIX,
    GithubSettings,
    LogSettings,
    NotifySettings,
    OutputSettings,
    ServeSettings,
    StoreSettings,
    SyncSettings,
    WatchSettings,
)
from dashboard_scraper.settings.library_settings import (
    LIBRARY_SETTINGS,
    Libraries,
    library_settings,
)
from dashboard_scraper.settings.names import misspelt
from dashboard_scraper.sources.analytics.settings import AnalyticsSettings
from dashboard_scraper.sources.claude_code.settings import ClaudeCodeSettings
from dashboard_scraper.sources.copilot.settings import CopilotSettings
from dashboard_scraper.sources.cursor.settings import CursorSettings
from dashboard_scraper.sources.dashboard.settings import DashboardSettings
from dashboard_scraper.sources.registry import (
    ALL_SOURCES,
    AUTO_SOURCE,
    configured_source,
    configured_sources,
)


class Settings(
    # pydantic puts the fields of the last base first
    LogSettings,
    WatchSettings,
    NotifySettings,
    ServeSettings,
    GithubSettings,
    OutputSettings,
    StoreSettings,
    SyncSettings,
    ClaudeCodeSettings,
    CursorSettings,
    CopilotSettings,
    AnalyticsSettings,
    DashboardSettings,
):
    """Every setting, with its default. Read it with `load_settings`; paths are absolute then."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    _remarks: tuple[str, ...] = PrivateAttr(default=())

    def using(self, libraries: Libraries, remarks: tuple[str, ...] = ()) -> Self:
        """A copy with the libraries' settings, and with what `remarks` should report."""
        copy = self.model_copy()
        copy._libraries, copy._remarks = libraries, remarks  # noqa: SLF001 - of this very class
        return copy

    @property
    def remarks(self) -> tuple[str, ...]:
        """What looks wrong in the environment or `.env`, and was accepted anyway."""
        return self._remarks

    @property
    def covered(self) -> tuple[str, ...]:
        """The sources that a command covers, in order; UsageError if there is none."""
        if self.metrics_source == ALL_SOURCES:
            if found := self.sources or configured_sources(self):
                return found
            raise UsageError(
                "no source has its credentials: set them, or name the sources in SOURCES"
            )
        if self.metrics_source == AUTO_SOURCE:
            return self.sources or (configured_source(self),)
        return (self.metrics_source,)

    @property
    def source(self) -> str:
        """The one source of a command that works with one: the first that is covered."""
        return self.covered[0]

    @property
    def covered_dir(self) -> Path:
        """The folder of files about all covered sources together: of a single one, its own."""
        one = len(self.covered) == 1
        return self.for_source(self.source).export_dir if one else self.export_dir

    def for_source(self, name: str) -> Self:
        """The settings of one source alone. Where SOURCES or the command names several, each has a
        folder for its files below EXPORT_DIR, also in a command for one of them: `latest` in it has
        to be the newest.
        """
        several = len(self.covered) > 1 or len(self.sources) > 1
        folder = self.export_dir / name if several else self.export_dir
        alone: dict[str, object] = {"metrics_source": name, "sources": (), "export_dir": folder}
        return self.model_copy(update=alone)


def setting_names() -> list[str]:
    """The names as the environment has them."""
    return [name.upper() for name in Settings.model_fields]


def load_settings(home: Path, **overrides: object) -> Settings:
    """Read the environment, then `home/.env`, then defaults; relative paths are below `home`.

    Raises UsageError with every wrong setting and every line of `.env` that is not understood.
    """
    file, names, variables = home / ".env", setting_names(), dict(os.environ)
    found = read_dotenv(file, {*names, *LIBRARY_SETTINGS}, variables)
    alike = list(misspelt(variables, Settings.model_fields))
    refuse_misspelt(alike, variables, Settings.model_fields)
    environment = {name.upper(): value for name, value in variables.items() if value}
    from_file = {name: found[name].value for name in found if found[name].value}
    ours = {n.lower(): v for n, v in from_file.items() if n in names and n not in environment}
    theirs = {n.lower(): environment[n] for n in names if n in environment}
    try:
        settings = Settings.model_validate({**ours, **theirs, **overrides})
    except ValidationError as error:
        given = {name.upper() for name in overrides}

        def origin(name: str) -> str:
            if name in given:
                return "on the command line"
            in_file = name.lower() in ours
            return f"{file}, line {found[name].line}" if in_file else "in the environment"

        raise UsageError(explained(error, Settings.model_fields, origin)) from None
    refuse_two_choices(settings, ours.keys() - overrides.keys(), file)
    refuse_two_choices(settings, theirs.keys() - overrides.keys(), "in the environment")
    refuse_open(file, found.values(), settings)
    settings = settings.model_copy(update=_absolute_places(home, settings))
    libraries = library_settings(from_file, variables, home)
    remarks = (*remarks_on(settings, found, alike), *remarks_on_sources(settings, overrides))
    return settings.using(libraries, remarks)


def _absolute_places(home: Path, settings: Settings) -> dict[str, object]:
    paths: dict[str, object] = {
        name: home / _expanded(name.upper(), path)
        for name in Settings.model_fields
        if isinstance(path := getattr(settings, name), Path)
    }
    return {**paths, "store_url": _absolute_url(home, settings.store_url)}


def _absolute_url(home: Path, url: str) -> str:
    for prefix in (SQLITE_PREFIX, f"{LAKE_PREFIX}/"):
        if url.startswith(prefix):
            return f"{prefix}{home / _expanded('STORE_URL', Path(url.removeprefix(prefix)))}"
    return url


def _expanded(name: str, path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UsageError(f"{name}={path}: {error} Write the whole path") from error
