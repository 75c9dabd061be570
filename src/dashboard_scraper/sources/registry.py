"""The registry of sources: a row here, and a module with the source's `SourceInfo`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashboard_scraper.settings.config import Settings
    from dashboard_scraper.sources.interface import SourceInfo

DASHBOARD = "dashboard"
ANALYTICS = "analytics"

# Modules are imported on demand: every `--help` needs the names, and nothing else.
SOURCES = {
    DASHBOARD: "dashboard_scraper.sources.dashboard.info",
    ANALYTICS: "dashboard_scraper.sources.analytics.info",
}
"""The module of each source, by its name in settings, store and manifests.

METRICS_SOURCE=auto takes the last one that the settings configure.
"""


def info_of(name: str) -> SourceInfo:
    """The SourceInfo of a source."""
    info: SourceInfo = importlib.import_module(SOURCES[name]).INFO
    return info


def configured_source(settings: Settings) -> str:
    """What METRICS_SOURCE=auto resolves to; the first source if none is configured."""
    configured = [name for name in SOURCES if info_of(name).is_configured(settings)]
    return configured[-1] if configured else next(iter(SOURCES))
