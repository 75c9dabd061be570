"""The token of a service account: read from a setting or a private file, sent with each request."""

from __future__ import annotations

import codecs
import logging
import re
from pathlib import Path

import msgspec
import requests
from requests.auth import AuthBase

from dashboard_scraper.decoding import UNDECODABLE
from dashboard_scraper.errors import SignInRequired, UsageError
from dashboard_scraper.secret_files import read_private
from dashboard_scraper.sources.analytics.settings import AnalyticsSettings
from dashboard_scraper.sources.rest.urls import host_of, redact

logger = logging.getLogger(__name__)

HOW_TO_GET_ONE = (
    "create a token for a service account at app.augmentcode.com/settings/service-accounts, and put"
    " it in AUGMENT_API_TOKEN, or in a file that AUGMENT_API_TOKEN_FILE names"
)

_FILE, _TEXT = "AUGMENT_API_TOKEN_FILE", "AUGMENT_API_TOKEN"
# Wider than RFC 6750's b68token; the point is to catch line breaks, spaces and wrong files.
_TOKEN = re.compile(r"[\x21-\x7e]+")


class BearerToken(AuthBase):
    """Adds the header. No other origin gets it, since redirects are not followed."""

    def __init__(self, token: str) -> None:
        self._token = token

    def redacted_in(self, text: str) -> str:
        """The text without the token, which the server may have repeated."""
        return text.replace(self._token, "REDACTED")

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def read_token(settings: AnalyticsSettings) -> BearerToken:
    """The token of the settings. SignInRequired where none is set, UsageError where it is malformed
    or other users can read its file.
    """
    name = _TEXT
    if settings.augment_api_token is not None:
        token = settings.augment_api_token.get_secret_value().strip()
        if token.startswith("{"):  # without blanks it would pass for a token
            raise UsageError(f"{_TEXT}: this is JSON; put it in a file, and name that in {_FILE}")
    elif settings.augment_api_token_file is not None:
        name = _FILE
        token = _read_file(settings.augment_api_token_file, settings.allow_readable_secrets)
    else:
        raise SignInRequired(f"there is no token for the Analytics API; {HOW_TO_GET_ONE}")
    if not _TOKEN.fullmatch(token):
        raise UsageError(
            f"{name}: this is not a token: it is empty, or has other characters than visible ASCII"
        )
    return BearerToken(token)


class _Session(msgspec.Struct):
    """The file `session.json` that Augment's settings page offers for a service account."""

    access_token: str = msgspec.field(name="accessToken")
    tenant_url: str | None = msgspec.field(name="tenantURL", default=None)


def _read_file(path: Path, allow_readable: bool) -> str:
    """The token in the file, which has nothing else in it or is a `session.json`."""
    try:
        data = read_private(path, allow_readable=allow_readable)
    except FileNotFoundError:
        raise SignInRequired(f"{_FILE}: {path} does not exist; {HOW_TO_GET_ONE}") from None
    data = data.removeprefix(codecs.BOM_UTF8).strip()
    if data.startswith(b"{"):
        return _token_in(path, data)
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise UsageError(f"{_FILE}: {path} does not contain a token") from None


def _token_in(path: Path, data: bytes) -> str:
    try:
        session = msgspec.json.decode(data, type=_Session)
    except UNDECODABLE as error:
        raise UsageError(
            f"{_FILE}: {path} begins as JSON, but is not a session.json with an accessToken"
            f" ({error}); download it again, or put the token alone in the file"
        ) from None
    url = session.tenant_url
    if url is not None:
        if not url.lower().startswith("https://") or not host_of(url):
            raise UsageError(
                f"{_FILE}: the tenantURL of {path} is not an https:// URL; download the file again"
            )
        # The Analytics API has one address for all tenants (ANALYTICS_API_BASE_URL).
        logger.debug("%s: its tenantURL is %s; nothing is sent there", path, redact(url))
    return session.access_token.strip()
