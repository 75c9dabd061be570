"""Failing collectors, and telemetry settings: a run is the same as without them."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import opentelemetry.sdk.environment_variables
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from collector import Collector, collector
from conftest import Home, all_files, content_of, own_warnings, yesterday
from dashboard_scraper.errors import UsageError
from dashboard_scraper.settings.config import load_settings
from dashboard_scraper.settings.library_settings import TELEMETRY, Libraries
from dashboard_scraper.simulator import Simulator
from dashboard_scraper.telemetry.sending import Sender
from dashboard_scraper.telemetry.switch import Signal, signals_of
from databases import on_sqlite
from ports import reserved_port

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
SECRET = "s3cret-0f-the-collector"
DAY = f"{yesterday() - timedelta(9)}"
RUN = ("--daily", DAY, DAY)
WARNING = "the collector did not accept all telemetry"
BOTH = frozenset(Signal)


@pytest.fixture
def sink() -> Iterator[Collector]:
    with collector() as started:
        yield started


def exported(home: Home) -> dict[str, bytes]:
    """The content of every file below data/ except the store's, without times of day."""
    return {
        f"{path.relative_to(home.data)}": re.sub(rb"\d\d:\d\d:\d\d[.\d]*", b"", content_of(path))
        for path in all_files(home.data)
        if not path.name.startswith("usage.db")
    }


def warnings_in(log: str) -> list[str]:
    return [line for line in log.splitlines() if WARNING in line]


@pytest.mark.slow
@on_sqlite
@pytest.mark.parametrize(
    ("failing", "token"),
    [
        ("hangs", "right"),
        ("answers 500", "right"),
        ("answers 500", "wrong"),
        ("answers 503", "right"),
        ("refuses", "right"),
        ("no URL", "right"),
    ],
)
def test_failing_collector_changes_nothing(
    home: Home, api: Simulator, sink: Collector, failing: str, token: str, store_url: str
) -> None:
    home.settings["FETCH_EDITOR_LANGUAGE"] = "false"
    right, home.settings["AUGMENT_API_TOKEN"] = api.token, api.token
    assert home.run(*RUN).code == 0
    before = exported(home)
    home.settings["AUGMENT_API_TOKEN"] = right if token == "right" else "wrong-token"
    code = home.run(*RUN, "--refresh").code
    without = exported(home)
    assert (without == before) is (token == "right")
    sink.status = int(failing.removeprefix("answers ")) if "answers" in failing else 200
    if failing == "hangs":
        sink.may_answer.clear()
    with reserved_port() as closed:
        places = {"refuses": f"http://127.0.0.1:{closed}", "no URL": "collector"}
        home.settings |= {
            ENDPOINT: places.get(failing, sink.url),
            HEADERS: f"x-api-key={SECRET}",
            # A quick answer needs no limit, which a busy machine might exceed.
            "OTEL_EXPORTER_OTLP_TIMEOUT": "60" if failing == "answers 500" else "0.2",
        }
        observed = home.run(*RUN, "--refresh")
    assert observed.code == code == (0 if token == "right" else 3)
    assert exported(home) == without
    assert len(warnings_in(observed.err)) == 1
    if failing == "answers 500":
        assert "(traces: HTTP 500; metrics: HTTP 500)" in observed.err
    assert SECRET not in observed.err
    assert "opentelemetry." not in observed.err
    assert store_url


@pytest.mark.slow
def test_part_that_a_collector_rejects_is_said(home: Home, api: Simulator, sink: Collector) -> None:
    """Otherwise, its answer is a success."""
    home.settings |= {ENDPOINT: sink.url, "FETCH_EDITOR_LANGUAGE": "false"}
    answer = ExportMetricsServiceResponse()
    answer.partial_success.rejected_data_points = 3
    sink.answer = answer.SerializeToString()
    observed = home.run("backfill", DAY, DAY)
    assert observed.code == 0
    (warning,) = warnings_in(observed.err)
    assert "(traces: 3 of them rejected; metrics: 3 of them rejected)" in warning
    sink.answer = b"thank you"
    assert warnings_in(home.run("backfill", DAY, DAY).err) == []
    assert api.requests


@pytest.mark.slow
def test_setting_that_the_sdk_refuses_changes_nothing(
    home: Home, api: Simulator, sink: Collector
) -> None:
    home.settings |= {ENDPOINT: sink.url, "OTEL_BSP_MAX_QUEUE_SIZE": "0"}
    observed = home.run("backfill", DAY, DAY)
    assert observed.code == 0
    assert "no telemetry is sent: max_queue_size must be" in observed.err
    assert sink.bodies == []
    assert api.requests


def test_wait_for_a_collector_is_bounded(sink: Collector, caplog: pytest.LogCaptureFixture) -> None:
    """However long the SDK itself would wait, if the collector never answers."""
    sink.may_answer.clear()
    libraries = Libraries({ENDPOINT: sink.url, "OTEL_EXPORTER_OTLP_TIMEOUT": "20"})
    sender = Sender({Signal.TRACES}, libraries)
    assert sender.tracer
    with sender.tracer.span("a part", {}, is_request=False):
        pass
    sender.finish([], 0.1)
    assert [each for each in own_warnings(caplog) if "traces: no answer within 0.1 s" in each]


@pytest.mark.parametrize("code", [302, 308])
def test_collector_that_leads_elsewhere_has_not_accepted(
    sink: Collector, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    """The headers, which may have a key, are only for that collector."""
    sink.status, sink.location = code, "/elsewhere"
    sender = Sender({Signal.TRACES}, Libraries({ENDPOINT: sink.url}))
    assert sender.tracer
    with sender.tracer.span("a part", {}, is_request=False):
        pass
    sender.finish([], 60)
    assert [each for each in own_warnings(caplog) if f"traces: HTTP {code}" in each]
    assert (len(sink.bodies), sink.followed) == (1, [])


@pytest.mark.slow
def test_malformed_header_is_not_logged(home: Home, api: Simulator, sink: Collector) -> None:
    home.settings |= {ENDPOINT: sink.url, HEADERS: f"{SECRET},={SECRET}"}
    observed = home.run("backfill", DAY, DAY)
    assert observed.code == 0
    assert SECRET not in observed.err
    assert sink.spans
    assert api.requests


@pytest.mark.slow
def test_settings_may_be_in_env_file(home: Home, api: Simulator, sink: Collector) -> None:
    """There, a certificate's path is relative to the home, and headers make the file a secret."""
    text = f"{ENDPOINT}={sink.url}\n{HEADERS}=x-api-key={SECRET}\nOTEL_METRICS_EXPORTER=none\n"
    (home.path / ".env").write_text(text + "OTEL_SERVICE_NAME=from-the-file\n")
    (home.path / ".env").chmod(0o644)
    refused = home.run("backfill", DAY, DAY)
    assert (refused.code, sink.bodies) == (2, [])
    assert "chmod" in refused.err
    (home.path / ".env").chmod(0o600)
    assert home.run("backfill", DAY, DAY).code == 0
    assert {each["x-api-key"] for each in sink.headers} == {SECRET}
    assert {each["service.name"] for each in sink.resources} == {"from-the-file"}
    assert sink.spans
    assert sink.points == []
    assert api.requests


def test_env_file_knows_the_names_of_the_sdk(home: Home) -> None:
    values = vars(opentelemetry.sdk.environment_variables).values()
    names = {value for value in values if isinstance(value, str)}
    # The exporters' names are those of the API.
    assert {*TELEMETRY} - names == {"OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"}
    (home.path / ".env").write_text("OTEL_EXPORTER_OTLP_ENDPONT=x\n")
    with pytest.raises(UsageError, match=f"did you mean {ENDPOINT}"):
        load_settings(home.path)
    (home.path / ".env").write_text("OTEL_EXPORTER_OTLP_CERTIFICATE=ca.pem\n")
    libraries = load_settings(home.path).libraries
    assert libraries.value_of("OTEL_EXPORTER_OTLP_CERTIFICATE") == f"{home.path / 'ca.pem'}"


GRPC = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}


@pytest.mark.parametrize(
    ("settings", "signals"),
    [
        ({}, set()),
        ({ENDPOINT: "http://c"}, BOTH),
        ({ENDPOINT: "http://c", "OTEL_SDK_DISABLED": "true"}, set()),
        ({ENDPOINT: "http://c", "OTEL_TRACES_EXPORTER": "none"}, {Signal.METRICS}),
        ({ENDPOINT: "http://c", "OTEL_METRICS_EXPORTER": "none"}, {Signal.TRACES}),
        ({ENDPOINT: "http://c", "OTEL_METRICS_EXPORTER": "otlp"}, BOTH),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/traces"}, {Signal.TRACES}),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c/v1/metrics"}, {Signal.METRICS}),
        ({ENDPOINT: "http://c", **GRPC}, set()),
        (
            {ENDPOINT: "http://c", **GRPC, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
            {Signal.TRACES},
        ),
    ],
)
def test_standard_variables_say_what_is_sent(
    settings: dict[str, str],
    signals: set[Signal],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in TELEMETRY:
        monkeypatch.delenv(name, raising=False)
    assert signals_of(Libraries(settings)) == signals
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with caplog.at_level(logging.WARNING):
        assert signals_of(Libraries()) == signals
    assert bool(own_warnings(caplog)) is ("OTEL_EXPORTER_OTLP_PROTOCOL" in settings)


AFTER_RUN = """
import json, sys
from dashboard_scraper.main import main
code = main(sys.argv[1:])
print(json.dumps([code, [name for name in sys.modules if name.split(".")[0] == "opentelemetry"]]))
"""
WITHOUT_EXTRA = "import sys; sys.modules['opentelemetry.exporter.otlp.proto.http'] = None\n"


def in_process(home: Home, code: str) -> tuple[int, list[str], str]:
    """Exit code, imported modules of OpenTelemetry, and log of a backfill in a process."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *home.words("backfill", DAY, DAY)],
        env=home.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    exit_code, imported = json.loads(done.stdout.splitlines()[-1])
    return exit_code, imported, done.stderr


@pytest.mark.slow
def test_sdk_is_imported_only_where_it_sends(home: Home, api: Simulator, sink: Collector) -> None:
    home.settings["FETCH_EDITOR_LANGUAGE"] = "false"
    code, imported, _ = in_process(home, AFTER_RUN)
    assert (code, imported) == (0, [])
    home.settings[ENDPOINT] = sink.url
    code, imported, log = in_process(home, AFTER_RUN)
    assert code == 0
    assert imported
    assert warnings_in(log) == []
    assert sink.spans
    assert sink.points
    assert api.requests


@pytest.mark.slow
def test_missing_extra_is_said_and_changes_nothing(
    home: Home, api: Simulator, sink: Collector
) -> None:
    """A cluster may set the endpoint for all of its programs."""
    home.settings |= {ENDPOINT: sink.url, "FETCH_EDITOR_LANGUAGE": "false"}
    code, _, log = in_process(home, WITHOUT_EXTRA + AFTER_RUN)
    assert code == 0
    assert log.count(f"{ENDPOINT} is set, but no telemetry is sent") == 1
    assert "[otel]" in log
    assert sink.bodies == []
    assert api.requests
