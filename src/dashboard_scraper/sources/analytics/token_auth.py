"""The token of a service account: read from a setting or a private file, sent with each request."""

from __future__ import annotations

import re
from pathlib import Path

import requests
from requests.auth import AuthBase

from dashboard_scraper.errors import SignInRequired, UsageError
from dashboard_scraper.secret_files import read_private
from dashboard_scraper.sources.analytics.settings import AnalyticsSettings

HOW_TO_GET_ONE = (
    "create a token for a service account at app.augmentcode.com/settings/service-accounts, and put"
    " it in AUGMENT_API_TOKEN, or in a file that AUGMENT_API_TOKEN_FILE names"
)

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
    name = "AUGMENT_API_TOKEN"
    if settings.augment_api_token is not None:
        token = settings.augment_api_token.get_secret_value().strip()
    elif settings.augment_api_token_file is not None:
        name = "AUGMENT_API_TOKEN_FILE"
        token = _read_file(settings.augment_api_token_file, settings.allow_readable_secrets)
    else:
        raise SignInRequired(f"there is no token for the Analytics API; {HOW_TO_GET_ONE}")
    if not _TOKEN.fullmatch(token):
        raise UsageError(
            f"{name}: this is not a token: it is empty, or has other characters than visible ASCII"
        )
    return BearerToken(token)


def _read_file(path: Path, allow_readable: bool) -> str:
    try:
        return read_private(path, allow_readable=allow_readable).decode("ascii").strip()
    except FileNotFoundError:
        raise SignInRequired(
            f"AUGMENT_API_TOKEN_FILE: {path} does not exist; {HOW_TO_GET_ONE}"
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"AUGMENT_API_TOKEN_FILE: {path} does not contain a token") from None
