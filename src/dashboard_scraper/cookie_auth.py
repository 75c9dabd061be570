"""The session cookie: read from what a person pastes, kept in a private file, renewed, sent."""

from __future__ import annotations

import itertools
import logging
import re
import shlex
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

import msgspec
import requests
from requests.auth import AuthBase

from dashboard_scraper.decoding import UNDECODABLE
from dashboard_scraper.errors import SignInRequired, UsageError
from dashboard_scraper.http import host_of
from dashboard_scraper.secret_files import read_private, write_private

logger = logging.getLogger(__name__)

SESSION_COOKIE = "_session"
Cookies = dict[str, str]

SIGN_IN_AGAIN = "sign in again: python -m dashboard_scraper --auth, with the same --home if any"

# What RFC 6265 allows in a cookie's value (cookie-octet). `%` is among it: a value that came
# URL-encoded is sent as it came, just as the browser does.
_COOKIE_OCTETS = "!#$%&'()*+-./:<=>?@[]^_`{|}~"
_COOKIE_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER = re.compile(r"(set-)?cookie:\s*", re.IGNORECASE)
# `other=x` is a cookie of another name; `c2Vzc2lvbg==.x` is a value whose `=` is padding.
_OTHER_COOKIE = re.compile(r"[A-Za-z_][\w.-]*=[A-Za-z0-9{\[\"]")
# The only group is what stands in `$'...'`; the other forms are walked over, `$'` may be in them.
_BASH_QUOTED = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*"|\\.|\$'((?:[^'\\]|\\.)*)'""", re.DOTALL)
_CURL_COOKIE_OPTIONS = ("-b", "--cookie")
_CURL_HEADER_OPTIONS = ("-H", "--header")


def parse_paste(text: str, host: str) -> Cookies:
    """Find the session cookie, and the cookies beside it, in what a person pasted.

    Takes `_session=VALUE`, the bare value, a `Cookie:` header, JSON, lines of a cookies.txt, and a
    "Copy as cURL" command; URL-encoded values or decoded ones. Cookies that name a site count only
    if they belong to `host`. Raises UsageError with the reason, which never repeats the text.
    """
    text = text.strip().lstrip("\ufeff").strip()
    if not text:
        raise UsageError("nothing was pasted; copy the cookie and try again")
    if re.match(r"curl(\.exe)?\s", text):
        cookies = _from_curl(text, host)
    elif text[0] in "{[":
        cookies = _from_json(text, host)
    elif any(line.count("\t") >= 6 for line in text.splitlines()):
        cookies = _from_cookies_txt(text, host)
    else:
        cookies = _from_header(text)
    return _checked(cookies)


def _checked(cookies: Cookies) -> Cookies:
    if not cookies.get(SESSION_COOKIE):
        raise UsageError(f"there is no {SESSION_COOKIE} cookie in it; copy that one")
    for name, value in cookies.items():
        if not _COOKIE_NAME.fullmatch(name):
            raise UsageError("a cookie's name in it has characters that no cookie's name has")
        if any("\ud800" <= c <= "\udfff" for c in value):
            raise UsageError("there is half a character in it; copy the value again")
        if not value.isprintable():
            raise UsageError(
                "there are control characters in it (a line break, a tab); copy the value alone"
            )
    return cookies


def _collect(pairs: Iterable[tuple[str, str]]) -> Cookies:
    """Join pairs; the session cookie twice with different values is refused, not guessed."""
    cookies: Cookies = {}
    for name, value in pairs:
        if name == SESSION_COOKIE and cookies.get(name, value) != value:
            raise UsageError(f"there are two different {SESSION_COOKIE} cookies in it; copy one")
        cookies[name] = value
    return cookies


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'" else value


def _from_header(text: str) -> Cookies:
    header = _HEADER.match(text)
    if header:
        text = text[header.end() :]
    parts = [part.strip() for part in text.split(";") if part.strip()]
    if header and header.group(1):
        parts = parts[:1]  # the rest of a Set-Cookie is attributes
    pairs = [(name.strip(), _unquoted(value)) for name, eq, value in map(_split, parts) if eq]
    if any(name == SESSION_COOKIE for name, _ in pairs):
        return _collect(pair for pair in pairs if _COOKIE_NAME.fullmatch(pair[0]))
    value = _unquoted(parts[0]) if parts else ""
    other = _OTHER_COOKIE.match(value) or "://" in value or " " in value
    if header or len(parts) != 1 or other:
        return {}
    return {SESSION_COOKIE: value}


def _split(part: str) -> tuple[str, str, str]:
    return part.partition("=")


def _from_json(text: str, host: str) -> Cookies:
    """Read `{name: value}`, a browser extension's list of cookies, or our own file's shape."""
    try:
        found = msgspec.json.decode(text)
    except UNDECODABLE as error:
        raise UsageError(f"it looks like JSON but is none: {error}") from None
    if isinstance(found, dict) and isinstance(found.get("cookies"), dict | list):
        found = found["cookies"]
    if isinstance(found, dict) and {"name", "value"} <= found.keys():
        found = [found]
    if isinstance(found, dict):
        return _collect((k, v) for k, v in found.items() if isinstance(v, str))
    return _collect(
        (str(entry.get("name")), entry["value"])
        for entry in found
        if isinstance(entry, dict)
        and isinstance(entry.get("value"), str)
        and _belongs(str(entry.get("domain") or host), host)
    )


def _from_cookies_txt(text: str, host: str) -> Cookies:
    rows = [line.removeprefix("#HttpOnly_").split("\t") for line in text.splitlines()]
    return _collect(
        (row[5], row[6])
        for row in rows
        if len(row) == 7 and not row[0].startswith("#") and _belongs(row[0], host)
    )


def _belongs(domain: str, host: str) -> bool:
    domain = domain.strip().lstrip(".").lower()
    return host.lower() == domain or host.lower().endswith("." + domain)


def _from_curl(text: str, host: str) -> Cookies:
    first_quote = re.search(r"""\^?["']""", text)
    if first_quote and first_quote.group() == '^"':  # for cmd.exe: carets before what is special
        text = re.sub(r"\^(\r?\n|.)", r"\1", text, flags=re.DOTALL).replace("\n", " ")
    text = _BASH_QUOTED.sub(_plainly_quoted, text)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"the cURL command is cut or malformed ({error}); copy it again") from None
    sites = [word for word in words if word.startswith(("https://", "http://"))]
    if sites and host not in map(host_of, sites):
        return {}
    for option, value in itertools.pairwise(words):
        if option.startswith("--cookie="):
            return _from_header(option.replace("--cookie=", "cookie: ", 1))
        if option in _CURL_COOKIE_OPTIONS:
            return _from_header("cookie: " + value)
        if option in _CURL_HEADER_OPTIONS and value.lower().startswith("cookie:"):
            return _from_header(value)
    return {}


def _plainly_quoted(match: re.Match[str]) -> str:
    special = match.group(1)
    return match.group() if special is None else shlex.quote(_bash_unescaped(special))


def _bash_unescaped(text: str) -> str:
    """The escapes that browsers write in `$'...'`."""
    named = {"n": "\n", "r": "\r", "t": "\t"}

    def replace(match: re.Match[str]) -> str:
        code = match.group(1)
        return chr(int(code[1:], 16)) if len(code) > 1 else named.get(code, code)

    return re.sub(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", replace, text, flags=re.DOTALL)


class _CookieFile(msgspec.Struct, frozen=True):
    """The kept file. `origin` is the site that the cookies were pasted for."""

    cookies: Cookies
    origin: str


def load_cookies(path: Path, origin: str, *, allow_readable: bool = False) -> Cookies:
    """Read the kept cookies of `origin` (scheme, host and port).

    Raises SignInRequired where there are none for this site, UsageError where others can read the
    file.
    """
    try:
        data = read_private(path, allow_readable=allow_readable)
        kept = msgspec.json.decode(data, type=_CookieFile)
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
    kept = _CookieFile(dict(cookies), origin)
    data = msgspec.json.format(msgspec.json.encode(kept)) + b"\n"
    write_private(path, data, "COOKIE_FILE")


class CookieSession(AuthBase):
    """Sends the cookies with each request, and keeps those that the server renews.

    It writes the Cookie header itself. In a jar, a cookie that was set with another domain or path
    than the server's stays beside the renewed one, and both would be sent.
    """

    def __init__(self, path: Path, origin: str, *, allow_readable: bool = False) -> None:
        self._path = path
        self._origin = origin
        self._lock = threading.Lock()
        self._cookies = load_cookies(path, origin, allow_readable=allow_readable)

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
