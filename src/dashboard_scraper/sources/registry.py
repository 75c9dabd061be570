"""The registry of sources: a row here, and a module with the source's `SourceInfo`."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dashboard_scraper.model.names import NameKind

if TYPE_CHECKING:
    from dashboard_scraper.settings.config import Settings
    from dashboard_scraper.sources.interface import SourceInfo
    from dashboard_scraper.sources.products import Product

DASHBOARD = "dashboard"
ANALYTICS = "analytics"
CLAUDE_CODE = "claude_code"
CURSOR = "cursor"
COPILOT = "copilot"

AUTO_SOURCE, ALL_SOURCES = "auto", "all"
"""Values of a setting or option that stand for a source, or for all."""

# Modules are imported on demand: every `--help` needs only the names.
SOURCES = {
    DASHBOARD: "dashboard_scraper.sources.dashboard.info",
    ANALYTICS: "dashboard_scraper.sources.analytics.info",
    CLAUDE_CODE: "dashboard_scraper.sources.claude_code.info",
    CURSOR: "dashboard_scraper.sources.cursor.info",
    COPILOT: "dashboard_scraper.sources.copilot.info",
}
"""The module of each source, by its name in settings, store and manifests."""
AUGMENT_SOURCES = (ANALYTICS, DASHBOARD)
"""The sources with figures of the same people: METRICS_SOURCE=auto chooses the first one that is
configured, and a run over several sources uses only one of them.
"""


def info_of(name: str) -> SourceInfo:
    """The SourceInfo of a source."""
    info: SourceInfo = importlib.import_module(SOURCES[name]).INFO
    return info


def products() -> list[Product]:
    """The products that the sources report on, each once."""
    return list(dict.fromkeys(info_of(name).product for name in SOURCES))


def name_kind_of(name: str) -> NameKind:
    """What names without `@` are in a source. In a source that this program does not know, they are
    all service accounts.
    """
    return info_of(name).name_kind if name in SOURCES else NameKind.SERVICE_ACCOUNT


def lag_days_of(settings: Settings, name: str) -> int:
    """How many full days after a day's end its figures are expected; 0 for a source that this
    program does not know.
    """
    return info_of(name).lag_days(settings) if name in SOURCES else 0


def configured_source(settings: Settings) -> str:
    """What METRICS_SOURCE=auto resolves to; the dashboard if none is configured."""
    return next(iter(_configured(settings, AUGMENT_SOURCES)), DASHBOARD)


def configured_sources(settings: Settings) -> tuple[str, ...]:
    """Every source for which the settings have credentials, but only one of Augment's."""
    others = (name for name in SOURCES if name not in AUGMENT_SOURCES)
    augment = _configured(settings, AUGMENT_SOURCES)[:1]
    return (*augment, *_configured(settings, others))


def _configured(settings: Settings, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if info_of(name).is_configured(settings))
