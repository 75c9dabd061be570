"""Whether a run sends traces and metrics, as the standard variables of OpenTelemetry say."""

from __future__ import annotations

import importlib.util
import logging
from enum import Enum

from dashboard_scraper.installation import how_to_install
from dashboard_scraper.settings.library_settings import TELEMETRY_ENDPOINT, Libraries

logger = logging.getLogger(__name__)

SECONDS_AT_MOST, SECONDS_IN_A_HURRY = 10.0, 2.0
"""How long sending may delay the end of a run: normally, and if the run was stopped."""
EXTRA = "otel"
_OTLP, _NONE = "otlp", "none"
_HTTP = "http/protobuf"
_EXPORTER = "opentelemetry.exporter.otlp.proto.http"


class Signal(Enum):
    """What can be sent; each has its own endpoint."""

    TRACES = "traces"
    METRICS = "metrics"

    def setting(self, name: str) -> str:
        """The variable for this signal, such as OTEL_EXPORTER_OTLP_TRACES_ENDPOINT."""
        return f"OTEL_EXPORTER_OTLP_{self.name}_{name}"


def signals_of(libraries: Libraries) -> frozenset[Signal]:
    """What to send: each signal that has an endpoint, unless it is disabled.

    If the extra is missing, nothing is sent and a warning is logged: a cluster may set the endpoint
    for all of its programs, and that must not end a run.
    """
    if libraries.value_of("OTEL_SDK_DISABLED").strip().lower() == "true":
        return frozenset()
    wanted = frozenset(signal for signal in Signal if _is_wanted(signal, libraries))
    if wanted and not _is_installed():
        logger.warning(
            "%s is set, but no telemetry is sent: OpenTelemetry is not installed: %s",
            TELEMETRY_ENDPOINT,
            how_to_install(EXTRA),
        )
        return frozenset()
    return wanted


def _is_wanted(signal: Signal, libraries: Libraries) -> bool:
    if not (
        libraries.value_of(TELEMETRY_ENDPOINT) or libraries.value_of(signal.setting("ENDPOINT"))
    ):
        return False
    name = f"OTEL_{signal.name}_EXPORTER"
    exporter = libraries.value_of(name).strip().lower() or _OTLP
    if exporter == _NONE:
        return False
    protocol = (
        libraries.value_of(signal.setting("PROTOCOL"))
        or libraries.value_of("OTEL_EXPORTER_OTLP_PROTOCOL")
        or _HTTP
    )
    if exporter != _OTLP or protocol.strip().lower() != _HTTP:
        logger.warning(
            "no %s are sent: only OTLP over %s is supported, and needs neither %s nor"
            " OTEL_EXPORTER_OTLP_PROTOCOL",
            signal.value,
            _HTTP,
            name,
        )
        return False
    return True


def _is_installed() -> bool:
    try:
        return importlib.util.find_spec(_EXPORTER) is not None
    except ModuleNotFoundError:  # of a parent package
        return False
