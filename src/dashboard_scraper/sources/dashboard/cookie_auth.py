"""The session cookie: stored in a private file, sent with each request, renewed by the server."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import msgspec
import requests
from requests.auth import AuthBase

from dashboard_scraper.decoding import UNDECODABLE
from dashboard_scraper.errors import SignInRequired
from dashboard_scraper.secret_files import read_private, write_private

logger = logging.getLogger(__name__)

SESSION_COOKIE = "_session"
Cookies = dict[str, str]

_HOW = "python -m dashboard_scraper --auth, with the same --home if any"
SIGN_IN = f"sign in: {_HOW}"
SIGN_IN_AGAIN = f"sign in again: {_HOW}"
SESSION_OVER = "the session has expired"

# The characters that RFC 6265 allows in a cookie's value (cookie-octet). It includes `%`: a value
# that was pasted URL-encoded is sent unchanged, as the browser does.
_COOKIE_OCTETS = "!#$%&'()*+-./:<=>?@[]^_`{|}~"


class _CookieFile(msgspec.Struct, frozen=True):
    """The stored file. `origin` is the site that the cookies were pasted for."""

    cookies: Cookies
    origin: str


def load_cookies(path: Path, origin: str, *, allow_readable: bool = False) -> Cookies:
    """Read the stored cookies of `origin` (scheme, host and port).

    Raises SignInRequired where there are none for this site, UsageError where other users can read
    the file.
    """
    try:
        stored = _decoded(read_private(path, allow_readable=allow_readable), origin)
    except FileNotFoundError:
        raise SignInRequired(f"no cookies found in {path}; {SIGN_IN}") from None
    if stored is None:
        raise SignInRequired(
            f"{path} is damaged, or holds cookies in a form that only --auth reads, from standard"
            f" input; {SIGN_IN_AGAIN}"
        )
    if stored.origin != origin:
        # Never sent to another site: METRICS_API_BASE_URL may have been changed, or mistyped.
        raise SignInRequired(
            f"{path} holds a session of {stored.origin}, not {origin}; {SIGN_IN_AGAIN}"
        )
    return stored.cookies


def _decoded(data: bytes, origin: str) -> _CookieFile | None:
    """The content of the file; earlier tools wrote a plain map of names to values.

    A plain map does not name its site. It is assumed to be `origin`, which the next renewal stores.
    """
    with contextlib.suppress(*UNDECODABLE):
        return msgspec.json.decode(data, type=_CookieFile)
    with contextlib.suppress(*UNDECODABLE):
        plain = msgspec.json.decode(data, type=Cookies)
        if plain.get(SESSION_COOKIE):
            return _CookieFile(plain, origin)
    return None


def save_cookies(path: Path, cookies: Mapping[str, str], origin: str) -> None:
    """Store the cookies in a file of mode 0600; its folder, if new, gets 0700."""
    content = _CookieFile(dict(cookies), origin)
    data = msgspec.json.format(msgspec.json.encode(content)) + b"\n"
    write_private(path, data, "COOKIE_FILE")


class CookieSession(AuthBase):
    """Sends the cookies with each request, and stores those that the server renews.

    It writes the Cookie header itself, without a cookie jar: a jar keeps a renewed cookie beside
    the pasted one if their domain or path differ, and sends both.
    """

    def __init__(
        self,
        path: Path,
        origin: str,
        pasted: Cookies | None = None,
        *,
        allow_readable: bool = False,
    ) -> None:
        """With the stored cookies, or with `pasted` ones, which only `store` stores."""
        self._path = path
        self._origin = origin
        self._lock = threading.Lock()
        self._is_stored = pasted is None
        if pasted is None:
            self._cookies = load_cookies(path, origin, allow_readable=allow_readable)
        else:
            self._cookies = dict(pasted)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        with self._lock:
            pairs = [f"{name}={_on_the_wire(value)}" for name, value in self._cookies.items()]
        request.headers["Cookie"] = "; ".join(pairs)
        return request

    def renew(self, answered: Mapping[str, str]) -> None:
        """Take over the cookies that an authorized answer set, and rewrite the file."""
        with self._lock:
            renewed = {name: value for name, value in answered.items() if value}
            if renewed.items() <= self._cookies.items():
                return
            self._cookies.update(renewed)
            if self._is_stored:
                save_cookies(self._path, self._cookies, self._origin)
        logger.debug("the server renewed %s", ", ".join(sorted(renewed)))

    def store(self) -> None:
        """Replace the stored cookies with these, including what the server renewed."""
        with self._lock:
            save_cookies(self._path, self._cookies, self._origin)
            self._is_stored = True


def _on_the_wire(value: str) -> str:
    return quote(value, safe=_COOKIE_OCTETS)
