"""Settings of the libraries that we use: proxies, certificates, object stores, OpenTelemetry.

The libraries read them from the environment. `.env` may contain them too; those are passed to where
they are needed and do not enter the environment, which child processes would inherit.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from dashboard_scraper.errors import UsageError

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
NO_PROXY = "NO_PROXY"
CA_FILES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
"""In order of precedence; the last is OpenSSL's own."""
_AWS_FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE")
_AWS_SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
)
_AWS = (
    *_AWS_FILES,
    *_AWS_SECRETS,
    "AWS_ACCESS_KEY_ID",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_MAX_ATTEMPTS",
    "AWS_RETRY_MODE",
    "AWS_REQUEST_CHECKSUM_CALCULATION",
    "AWS_RESPONSE_CHECKSUM_VALIDATION",
)
_OTLP = "OTEL_EXPORTER_OTLP"
TELEMETRY_ENDPOINT = f"{_OTLP}_ENDPOINT"
_OF_SIGNAL = ("ENDPOINT", "HEADERS", "TIMEOUT", "COMPRESSION", "PROTOCOL")
_OTLP_FILES = ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
_SIGNALS = (_OTLP, f"{_OTLP}_TRACES", f"{_OTLP}_METRICS")
_TELEMETRY_FILES = tuple(f"{signal}_{name}" for signal in _SIGNALS for name in _OTLP_FILES)
_TELEMETRY_SECRETS = tuple(f"{signal}_HEADERS" for signal in _SIGNALS)
TELEMETRY = (
    *(f"{signal}_{name}" for signal in _SIGNALS for name in _OF_SIGNAL),
    *_TELEMETRY_FILES,
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS",
    "OTEL_TRACES_EXPORTER",
    "OTEL_METRICS_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_BSP_EXPORT_TIMEOUT",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
)
"""What OpenTelemetry's SDK reads of traces and metrics."""
LAKE_CATALOGUES = "PYICEBERG_"
"""How the names of pyiceberg's settings begin: `PYICEBERG_CATALOG__LAKE__URI`."""
_LAKE_SECRETS = ("TOKEN", "CREDENTIAL", "SECRET", "PASSWORD")
LIBRARY_SETTINGS = (*PROXIES, NO_PROXY, *CA_FILES, *_AWS, *TELEMETRY)
_FILES = (*CA_FILES, *_AWS_FILES, *_TELEMETRY_FILES)


def is_library_secret(name: str) -> bool:
    """Whether a library's setting is a secret, as its name says."""
    is_of_lake = name.startswith(LAKE_CATALOGUES) and any(word in name for word in _LAKE_SECRETS)
    return name in (*_AWS_SECRETS, *_TELEMETRY_SECRETS) or is_of_lake


class Libraries(msgspec.Struct, frozen=True):
    """Library settings in `.env` that the environment does not override; paths are absolute.

    `direct` means that no proxy is used, whatever is set.
    """

    from_file: Mapping[str, str] = {}
    direct: bool = False

    @contextlib.contextmanager
    def of_object_stores(self) -> Iterator[None]:
        """Put AWS_* and PYICEBERG_* into the environment meanwhile: the libraries take some of them
        only there.
        """
        with _in_environment(
            {
                name: value
                for name, value in self.from_file.items()
                if name in _AWS or name.startswith(LAKE_CATALOGUES)
            }
        ):
            yield

    def value_of(self, name: str) -> str:
        """The value of one of the settings, wherever it is; empty without one."""
        return os.environ.get(name) or self.from_file.get(name, "")

    @contextlib.contextmanager
    def of_telemetry(self) -> Iterator[None]:
        """Put OTEL_* into the environment meanwhile, where OpenTelemetry's SDK reads them."""
        with _in_environment({n: v for n, v in self.from_file.items() if n in TELEMETRY}):
            yield

    @contextlib.contextmanager
    def of_notifications(self) -> Iterator[None]:
        """Put proxies and certificates into the environment meanwhile, where Apprise reads them."""
        values = {n: v for n, v in self.from_file.items() if n in (*PROXIES, NO_PROXY)}
        ca = next(filter(None, map(self.value_of, CA_FILES)), None)
        with _in_environment(values | ({CA_FILES[0]: ca} if ca else {})):
            yield


@contextlib.contextmanager
def _in_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set these variables meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def library_settings(
    from_file: Mapping[str, str], environment: Mapping[str, str], home: Path
) -> Libraries:
    """The file's library settings that the environment does not have, in upper or lower case."""
    set_already = {name.upper() for name, value in environment.items() if value}
    return Libraries(
        {
            name: _absolute(home, name, value)
            for name, value in from_file.items()
            if (name in LIBRARY_SETTINGS or name.startswith(LAKE_CATALOGUES))
            and name not in set_already
        }
    )


def _absolute(home: Path, name: str, value: str) -> str:
    if name not in _FILES:
        return value
    try:
        return str(home / Path(value).expanduser())
    except RuntimeError as error:
        raise UsageError(f"{name}={value}: {error} Write the whole path") from error
