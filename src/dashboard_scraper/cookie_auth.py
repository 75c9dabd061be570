"""The session cookie: stored in a private file, renewed, sent."""

from __future__ import annotations

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
from dashboard_scraper.files import make_folder, read_private, write_whole

logger = logging.getLogger(__name__)

SESSION_COOKIE = "_session"
Cookies = dict[str, str]

SIGN_IN_AGAIN = "sign in again: python -m dashboard_scraper --auth, with the same --home if any"

# What RFC 6265 allows in a cookie's value (cookie-octet). `%` is among it: a value that came
# URL-encoded is sent as it came, just as the browser does.
_COOKIE_OCTETS = "!#$%&'()*+-./:<=>?@[]^_`{|}~"


class _CookieFile(msgspec.Struct, frozen=True):
    """The kept file. `origin` is the site that the cookies were pasted for."""

    cookies: Cookies
    origin: str


def load_cookies(path: Path, origin: str) -> Cookies:
    """Read the kept cookies of `origin` (scheme, host and port).

    Raises SignInRequired where there are none for this site, UsageError where others can read the
    file.
    """
    try:
        kept = msgspec.json.decode(read_private(path), type=_CookieFile)
    except FileNotFoundError:
        raise SignInRequired(f"no cookies found in {path}; {SIGN_IN_AGAIN}") from None
    except UNDECODABLE:
        raise SignInRequired(f"{path} is damaged; {SIGN_IN_AGAIN}") from None
    if kept.origin != origin:
        raise SignInRequired(
            f"{path} holds a session of {kept.origin}, not {origin}; {SIGN_IN_AGAIN}"
        )
    return kept.cookies


def save_cookies(path: Path, cookies: Mapping[str, str], origin: str) -> None:
    """Keep the cookies in a file of mode 0600; its folder, if new, has 0700."""
    make_folder(path.parent, 0o700)
    kept = _CookieFile(dict(cookies), origin)
    write_whole(path, msgspec.json.format(msgspec.json.encode(kept)) + b"\n", 0o600)


class CookieSession(AuthBase):
    """Sends the cookies with each request, and keeps those that the server renews.

    It writes the Cookie header itself. In a jar, a cookie that was set with another domain or path
    than the server's stays beside the renewed one, and both would be sent.
    """

    def __init__(self, path: Path, origin: str) -> None:
        self._path = path
        self._origin = origin
        self._lock = threading.Lock()
        self._cookies = load_cookies(path, origin)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        with self._lock:
            pairs = [f"{name}={_on_the_wire(value)}" for name, value in self._cookies.items()]
        request.headers["Cookie"] = "; ".join(pairs)
        return request

    def renew(self, answered: Mapping[str, str]) -> None:
        """Keep the cookies that an authorised answer set, and write the file whole again."""
        with self._lock:
            renewed = {name: value for name, value in answered.items() if value}
            if renewed.items() <= self._cookies.items():
                return
            self._cookies.update(renewed)
            save_cookies(self._path, self._cookies, self._origin)
        logger.debug("the server renewed %s", ", ".join(sorted(renewed)))


def _on_the_wire(value: str) -> str:
    return quote(value, safe=_COOKIE_OCTETS)
