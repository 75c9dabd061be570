"""The session cookie: stored in a private place, sent with each request, renewed by the server."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Mapping
from urllib.parse import quote

import msgspec
import requests
from requests.auth import AuthBase

from dashboard_scraper.decoding import UNDECODABLE, decodable
from dashboard_scraper.errors import OutputFailed, ScraperError, SignInRequired, UsageError
from dashboard_scraper.sources.dashboard.session_store import SessionStore

logger = logging.getLogger(__name__)

SESSION_COOKIE = "_session"
Cookies = dict[str, str]

_HOW = "dashboard-scraper --auth, with the same --home if any"
SIGN_IN = f"sign in: {_HOW}"
SIGN_IN_AGAIN = f"sign in again: {_HOW}"
SESSION_OVER = "the session has expired"

# The characters that RFC 6265 allows in a cookie's value (cookie-octet). They include `%`: a value
# that was pasted URL-encoded is sent unchanged, as by the browser.
_COOKIE_OCTETS = "!#$%&'()*+-./:<=>?@[]^_`{|}~"


@decodable
class _StoredSession(msgspec.Struct, frozen=True):
    """What is stored. `origin` is the site for which the cookies were pasted.

    `sign_in` is different after each sign-in, and `renewed_at` is the time of the last renewal, in
    seconds since 1970: they show several processes with one session whose cookies are newer.
    """

    cookies: Cookies
    origin: str
    sign_in: str = ""
    renewed_at: float = 0


def _load(store: SessionStore, origin: str) -> _StoredSession:
    """Read the stored session of `origin` (scheme, host and port).

    Raises SignInRequired if there is none for this site, UsageError if other users can read it.
    """
    data = store.read()
    if data is None:
        raise SignInRequired(f"no cookies found in {store}; {SIGN_IN}")
    stored = _decoded(data, origin)
    if stored is None:
        raise SignInRequired(
            f"{store} is damaged, or holds cookies in a form that only --auth reads, from standard"
            f" input; {SIGN_IN_AGAIN}"
        )
    if stored.origin != origin:
        # Never send it to another site: METRICS_API_BASE_URL may have been changed, or mistyped.
        raise SignInRequired(
            f"{store} holds a session of {stored.origin}, not {origin}; {SIGN_IN_AGAIN}"
        )
    return stored


def _decoded(data: bytes, origin: str) -> _StoredSession | None:
    """The stored session; earlier tools wrote a plain map of names to values.

    A plain map does not name its site. It is assumed to be `origin`, which the next renewal stores.
    """
    with contextlib.suppress(*UNDECODABLE):
        return msgspec.json.decode(data, type=_StoredSession)
    with contextlib.suppress(*UNDECODABLE):
        plain = msgspec.json.decode(data, type=Cookies)
        if plain.get(SESSION_COOKIE):
            return _StoredSession(plain, origin)
    return None


def _new_sign_in() -> str:
    return secrets.token_hex(8)


def _encoded(content: _StoredSession) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content)) + b"\n"


class CookieSession(AuthBase):
    """Sends the cookies with each request, and stores those that the server renews.

    It writes the Cookie header itself, without a cookie jar: a jar keeps a renewed cookie beside
    the pasted one if their domain or path differ, and sends both.
    """

    def __init__(self, store: SessionStore, origin: str, pasted: Cookies | None = None) -> None:
        """Use the stored cookies, or `pasted` ones, which are stored only by `store`."""
        self._store = store
        self._origin = origin
        self._lock = threading.Lock()
        self._is_stored = pasted is None
        self._unsaved: ScraperError | None = None
        if pasted is None:
            stored = _load(store, origin)
            self._cookies, self._sign_in = stored.cookies, stored.sign_in
        else:
            self._cookies, self._sign_in = dict(pasted), _new_sign_in()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        with self._lock:
            pairs = [f"{name}={_on_the_wire(value)}" for name, value in self._cookies.items()]
        request.headers["Cookie"] = "; ".join(pairs)
        return request

    @property
    def unsaved(self) -> ScraperError | None:
        """Why a renewed session could not be stored; None if it was."""
        return self._unsaved

    def renew(self, answered: Mapping[str, str]) -> None:
        """Take over the cookies that an authorized answer set, and store them.

        If they cannot be stored, as on a read-only mount, a warning is logged: this run has them,
        and the next run will find out whether the earlier ones are still valid.
        """
        with self._lock:
            renewed = {name: value for name, value in answered.items() if value}
            if renewed.items() <= self._cookies.items():
                return
            self._cookies.update(renewed)
            if self._is_stored:
                self._save_renewed()
        logger.debug("the server renewed %s", ", ".join(sorted(renewed)))

    def _save_renewed(self) -> None:
        now = time.time()
        try:
            self._store.write(self._content(now), lambda stored: self._renews(stored, now))
        except (OutputFailed, UsageError) as error:
            if self._unsaved is None:
                logger.warning(
                    "the dashboard renewed the session, which could not be stored (%s): the next"
                    " run may have to sign in again",
                    error,
                )
            self._unsaved = error
        else:
            self._unsaved = None

    def _content(self, now: float) -> bytes:
        return _encoded(_StoredSession(self._cookies, self._origin, self._sign_in, now))

    def _renews(self, data: bytes | None, now: float) -> bool:
        """Whether this process's cookies, renewed now, are newer than the stored ones.

        They are not if somebody has signed in or out meanwhile, or if another process's renewal
        came later. A renewal in the future is from a clock that was ahead.
        """
        if data is None:
            return False
        stored = _decoded(data, self._origin)
        if stored is None:  # damaged
            return True
        is_same = (stored.origin, stored.sign_in) == (self._origin, self._sign_in)
        return is_same and not now < stored.renewed_at <= time.time()

    def take_over(self, other: CookieSession) -> None:
        """Send the cookies of another session, which is already stored, from now on."""
        cookies = other.cookies
        with self._lock:
            self._cookies, self._sign_in = cookies, other._sign_in

    def has_newer(self, sent: Cookies) -> bool:
        """Whether there are other cookies than those that were `sent` and refused: renewed by a
        request of another thread, or stored by another process. Those are sent from now on.
        """
        with self._lock:
            if self._cookies != sent or not self._is_stored:
                return self._cookies != sent
            try:
                stored = _load(self._store, self._origin)
            except (SignInRequired, UsageError):
                return False
            self._cookies, self._sign_in = stored.cookies, stored.sign_in
            return stored.cookies != sent

    @property
    def cookies(self) -> Cookies:
        """The cookies that the next request sends."""
        with self._lock:
            return dict(self._cookies)

    def store(self) -> None:
        """Replace the stored cookies with these, including those that the server renewed."""
        with self._lock:
            self._store.write(self._content(time.time()))
            self._is_stored = True


def _on_the_wire(value: str) -> str:
    return quote(value, safe=_COOKIE_OCTETS)
