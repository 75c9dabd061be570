"""What `tap` does: settings from a runner's file, the catalogue, and the messages."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from dashboard_scraper.cli.output import print_json
from dashboard_scraper.cli.wiring import audience_of, read_settings
from dashboard_scraper.clock import utc_now
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.dates import last_complete_days, utc_day
from dashboard_scraper.model.listing import listed
from dashboard_scraper.settings.config import Settings, setting_names
from dashboard_scraper.settings.groups import LAKE_PREFIX
from dashboard_scraper.singer import json_files, state
from dashboard_scraper.singer.catalog import Selection, discovered
from dashboard_scraper.singer.day_rows import View
from dashboard_scraper.singer.messages import Writer
from dashboard_scraper.singer.sync import Sync
from dashboard_scraper.store import Reader, store_of

_HOME = "home"


def settings_in(
    config: Path | None, home: Path, log_level: str | None, source: str | None
) -> Settings:
    """The settings of a home, overridden by those in a file that a runner wrote; UsageError if the
    file has unknown ones.
    """
    found = json_files.read("--config", config, dict[str, Any]) if config else {}
    given = {name.lower(): value for name, value in found.items() if value is not None}
    if _HOME in given:
        home = Path(f"{given.pop(_HOME)}")
        if not home.is_dir():
            raise UsageError(f"--config: {config}: home: {home} is not a directory")
        home = home.resolve()
    if unknown := sorted(given.keys() - {name.lower() for name in setting_names()}):
        raise UsageError(
            f"--config: {config}: there is no setting {listed(unknown)}; see"
            f" docs/configuration.md, and {_HOME!r} is the folder of .env"
        )
    overrides = {**given, **({"metrics_source": source} if source else {})}
    return read_settings(home, log_level, **overrides)


def print_catalog() -> None:
    """Print everything that can be selected."""
    print_json(discovered())


def send(settings: Settings, selections: Sequence[Selection], state_file: Path | None) -> None:
    """Write the selected streams to stdout, starting where the state ends."""
    if settings.store_url.startswith(LAKE_PREFIX):
        raise UsageError(
            "STORE_URL names a lake, which has no earlier versions of a day: name the store that is"
            " exported to it"
        )
    before = state.read(state_file) if state_file else state.State()
    now = utc_now()
    yesterday = last_complete_days(1, utc_day(now)).end
    with store_of(settings).reading() as reader:
        views = [_view(reader, settings.for_source(name), yesterday) for name in settings.covered]
        sync = Sync(reader, views, before, Writer(sys.stdout.buffer), now)
        sync.run(selections, state_file)


def _view(reader: Reader, settings: Settings, yesterday: date) -> View:
    audience = audience_of(settings)
    return View(reader, settings.source, audience, settings.reconcile_tolerance, yesterday)
