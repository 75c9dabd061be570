"""Authentication: a token from a setting or a private file, or a GitHub App with its key.

The app signs a short-lived JSON Web Token, and exchanges it for a token of its installation that
lasts an hour. The latter is fetched when it is first needed, and again some minutes before it
expires.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Protocol

import msgspec
import requests
from requests.auth import AuthBase

from dashboard_scraper.clock import utc_now
from dashboard_scraper.decoding import decodable, decoding
from dashboard_scraper.errors import ContractBroken, SignInRequired, UsageError
from dashboard_scraper.installation import how_to_install
from dashboard_scraper.secret_files import read_private
from dashboard_scraper.sources.copilot.settings import CopilotSettings
from dashboard_scraper.sources.rest.auth import AllowedRequests, BearerToken
from dashboard_scraper.sources.rest.http import Http, Response
from dashboard_scraper.sources.rest.key_file import KeyWords, read_key

logger = logging.getLogger(__name__)

HOW_TO_GET_ONE = (
    "create a token as docs/copilot.md says, and put it in COPILOT_TOKEN, or in a file that"
    " COPILOT_TOKEN_FILE names; or set COPILOT_APP_ID and its key"
)
_WORDS = KeyWords("COPILOT_TOKEN", "token", "GitHub Copilot", HOW_TO_GET_ONE)
_ACCEPT, _VERSION = "application/vnd.github+json", "2022-11-28"
_KEY_SETTING = "COPILOT_APP_KEY_FILE"
_HOW_TO_GET_A_KEY = "download one in the settings of the app"
_ENDPOINT = "access_tokens"
# GitHub allows at most ten minutes, and suggests allowing for a clock that is a minute ahead.
_JWT_LIFE, _CLOCK_AHEAD = timedelta(minutes=9), timedelta(minutes=1)
# Longer than a clock can be behind: one that is _JWT_LIFE behind signs what has already expired.
_RENEWED_BEFORE = timedelta(minutes=15)


class Redacting(Protocol):
    """A secret that can be removed from a text."""

    def redacted_in(self, text: str) -> str:
        """The text without the secret."""
        ...


class GithubHeaders(AuthBase):
    """The headers that GitHub asks for, in addition to those of `auth`."""

    def __init__(self, auth: AuthBase) -> None:
        self._auth = auth

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Accept"] = _ACCEPT
        request.headers["X-GitHub-Api-Version"] = _VERSION
        return self._auth(request)


def token_of(settings: CopilotSettings) -> BearerToken:
    """The token in the settings. SignInRequired if there is none, UsageError if it is malformed or
    if other users can read its file.
    """
    return BearerToken(
        read_key(
            _WORDS,
            settings.copilot_token,
            settings.copilot_token_file,
            allow_readable=settings.allow_readable_secrets,
        )
    )


@decodable
class _Issued(msgspec.Struct):
    token: Annotated[str, msgspec.Meta(pattern=r"\A[\x21-\x7e]+\Z")]
    expires_at: datetime


class _AppJwt(AuthBase):
    """Signs each request as the app."""

    def __init__(self, app_id: str, key: bytes, key_file: Path) -> None:
        self._app_id, self._key, self._key_file = app_id, key, key_file

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._signed()}"
        return request

    def _signed(self) -> str:
        try:
            import jwt  # noqa: PLC0415 - only apps need it
        except ImportError as error:
            raise UsageError(
                "COPILOT_APP_ID needs a library to sign with: " + how_to_install("copilot-app")
            ) from error
        now = utc_now()  # not the run's clock, which may stand still
        claims = {"iat": now - _CLOCK_AHEAD, "exp": now + _JWT_LIFE, "iss": self._app_id}
        try:
            return jwt.encode(claims, self._key, algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError):
            raise UsageError(
                f"{_KEY_SETTING}: {self._key_file} is not a private RSA key in PEM;"
                f" {_HOW_TO_GET_A_KEY}"
            ) from None


class AppToken(AuthBase):
    """Adds the token of the app's installation, which is renewed before it expires. Thread-safe."""

    def __init__(self, settings: CopilotSettings, connect: Callable[[AuthBase], Http]) -> None:
        self._lock = threading.Lock()
        self._token: BearerToken | None = None
        self._expires: datetime | None = None
        self._installation = settings.copilot_app_installation or ""
        key_file = settings.copilot_app_key_file or Path()
        try:
            key = read_private(key_file, allow_readable=settings.allow_readable_secrets)
        except FileNotFoundError:
            raise SignInRequired(
                f"{_KEY_SETTING}: {key_file} does not exist; {_HOW_TO_GET_A_KEY}"
            ) from None
        signing = _AppJwt(settings.copilot_app_id or "", key, key_file)
        allowed = AllowedRequests(
            settings.copilot_api_base_url,
            f"/app/installations/{self._installation}/",
            {_ENDPOINT: "POST"},
            GithubHeaders(signing),
        )
        self._url = allowed.url_of(_ENDPOINT)
        self.http = connect(allowed)

    def redacted_in(self, text: str) -> str:
        """The text without the token."""
        return self._token.redacted_in(text) if self._token else text

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return self._current()(request)

    def _current(self) -> BearerToken:
        with self._lock:
            soon = utc_now() + _RENEWED_BEFORE
            if self._token is None or self._expires is None or soon >= self._expires:
                issued = self._fetched()
                self._token, self._expires = BearerToken(issued.token), issued.expires_at
                logger.debug("the app's token is valid until %s", issued.expires_at)
            return self._token

    def _fetched(self) -> _Issued:
        response = self.http.post(self._url, b"{}")
        if response.status != 201:
            raise self._refused(response)
        with decoding(_ENDPOINT):
            issued = msgspec.json.decode(response.body, type=_Issued)
        if issued.expires_at.tzinfo is None:
            raise ContractBroken(f"{_ENDPOINT}: expires_at has no time zone")
        return issued

    def _refused(self, response: Response) -> SignInRequired | ContractBroken:
        if response.status == 401:
            return SignInRequired(
                "GitHub does not accept the app's signature (HTTP 401); check COPILOT_APP_ID,"
                f" {_KEY_SETTING}, and this machine's clock"
            )
        if response.status in (403, 404):
            return SignInRequired(
                f"GitHub has no installation {self._installation} of the app (HTTP"
                f" {response.status}); check COPILOT_APP_INSTALLATION, and that the installation is"
                " not suspended"
            )
        return ContractBroken(f"{_ENDPOINT}: {response.shown}; check COPILOT_API_BASE_URL")
