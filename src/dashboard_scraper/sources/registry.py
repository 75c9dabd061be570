"""Every source: a row here, and a module that says what is to be known of it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashboard_scraper.settings.config import Settings
    from dashboard_scraper.sources.interface import SourceInfo

DASHBOARD = "dashboard"
ANALYTICS = "analytics"

# Imported only when asked for: the names alone are in every `--help`.
SOURCES = {
    DASHBOARD: "dashboard_scraper.sources.dashboard.info",
    ANALYTICS: "dashboard_scraper.sources.analytics.info",
}
"""The module of each source, by its name in settings, store and manifests. Of several for which the
settings have what they need, METRICS_SOURCE=auto takes the last.
"""


def info_of(name: str) -> SourceInfo:
    """What is known of a source beforehand."""
    info: SourceInfo = importlib.import_module(SOURCES[name]).INFO
    return info


def configured_source(settings: Settings) -> str:
    """What METRICS_SOURCE=auto comes to: the first where no source has what it needs."""
    configured = [name for name in SOURCES if info_of(name).is_configured(settings)]
    return configured[-1] if configured else next(iter(SOURCES))
