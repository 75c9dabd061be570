"""The token of a service account: in a setting, in its own file, or in Augment's `session.json`."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from dashboard_scraper.decoding import UNDECODABLE, decodable
from dashboard_scraper.errors import UsageError
from dashboard_scraper.sources.analytics.settings import AnalyticsSettings
from dashboard_scraper.sources.rest.auth import BearerToken
from dashboard_scraper.sources.rest.key_file import KeyWords, read_key
from dashboard_scraper.sources.rest.urls import host_of, redact

logger = logging.getLogger(__name__)

HOW_TO_GET_ONE = (
    "create a token for a service account at app.augmentcode.com/settings/service-accounts, and put"
    " it in AUGMENT_API_TOKEN, or in a file that AUGMENT_API_TOKEN_FILE names"
)
_WORDS = KeyWords("AUGMENT_API_TOKEN", "token", "the Analytics API", HOW_TO_GET_ONE)


def read_token(settings: AnalyticsSettings) -> BearerToken:
    """The token in the settings. SignInRequired if none is set, UsageError if it is malformed or if
    other users can read its file.
    """
    token = read_key(
        _WORDS,
        settings.augment_api_token,
        settings.augment_api_token_file,
        allow_readable=settings.allow_readable_secrets,
        unpack=_token_in,
    )
    return BearerToken(token)


@decodable
class _Session(msgspec.Struct):
    """The file `session.json` that Augment's settings page offers for a service account."""

    access_token: str = msgspec.field(name="accessToken")
    tenant_url: str | None = msgspec.field(name="tenantURL", default=None)


def _token_in(setting: str, path: Path, data: bytes) -> str:
    try:
        session = msgspec.json.decode(data, type=_Session)
    except UNDECODABLE as error:
        raise UsageError(
            f"{setting}: {path} begins as JSON, but is not a session.json with an accessToken"
            f" ({error}); download it again, or put the token alone in the file"
        ) from None
    url = session.tenant_url
    if url is not None:
        if not url.lower().startswith("https://") or not host_of(url):
            raise UsageError(
                f"{setting}: the tenantURL of {path} is not an https:// URL; download the file"
                " again"
            )
        # The Analytics API has the same address for all tenants (ANALYTICS_API_BASE_URL).
        logger.debug("%s: its tenantURL is %s; nothing is sent there", path, redact(url))
    return session.access_token
