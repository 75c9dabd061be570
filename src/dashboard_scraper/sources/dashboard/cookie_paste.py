"""Reads what a user pastes to sign in: every form in which browsers and tools copy a cookie.

An unknown form is refused with the reason. It is never taken for a bare value: a session containing
its own name or quotes would look expired to the next run.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from dashboard_scraper.decoding import UNDECODABLE
from dashboard_scraper.errors import UsageError
from dashboard_scraper.sources.dashboard.cookie_auth import SESSION_COOKIE, Cookies
from dashboard_scraper.sources.rest.urls import host_of

_COOKIE_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER = re.compile(r"(set-)?cookie:\s*", re.IGNORECASE)
# `other=x` is a cookie of another name; `c2Vzc2lvbg==.x` is a value whose `=` is padding.
_OTHER_COOKIE = re.compile(r"[A-Za-z_][\w.-]*=[A-Za-z0-9{\[\"]|[\w.-]+\s*:\s*[\"']")
_CURL = re.compile(r"curl(\.exe)?\s")
# The only group is the content of `$'...'`. The other kinds of quotes are matched so that a `$'`
# within them is skipped.
_BASH_QUOTED = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*"|\\.|\$'((?:[^'\\]|\\.)*)'""", re.DOTALL)
_CURL_COOKIE_OPTIONS = ("-b", "--cookie")
_CURL_HEADER_OPTIONS = ("-H", "--header")
_STRING = r'"(?:[^"\\]|\\.)*"'
_FETCH = re.compile(rf"\bfetch\(\s*({_STRING})")
_FETCH_COOKIE = re.compile(rf'"cookie"\s*:\s*({_STRING})', re.IGNORECASE)
_POWERSHELL = re.compile(r"System\.Net\.Cookie\(|Invoke-(?:WebRequest|RestMethod)", re.IGNORECASE)
_POWERSHELL_STRING = r'"((?:[^"`]|`.)*)"'
_POWERSHELL_COOKIE = re.compile(
    r"System\.Net\.Cookie\(\s*" + r"\s*,\s*".join([_POWERSHELL_STRING] * 4), re.IGNORECASE
)
# Firefox's side bar has `name:"value"`, and below it `Domain:"..."`; lines of JSON end in commas.
_COLON = re.compile(rf"""\s*(["']?){SESSION_COOKIE}\1\s*:(.*)""")
_DOMAIN = re.compile(r"""\s*["']?domain["']?\s*:\s*["']([^"']*)["']\s*,?\s*""", re.IGNORECASE)


def parse_paste(text: str, host: str) -> Cookies:
    """Find the session cookie, and the cookies beside it, in what a user pasted.

    Reads `_session=VALUE`, `_session: VALUE`, the bare value, a `Cookie:` header, JSON, HAR, lines
    of a cookies.txt, rows of a browser's table, and what browsers copy as cURL, PowerShell or
    fetch; URL-encoded values or decoded ones. Cookies that name a site count only if they belong to
    `host`. Raises UsageError; its message never repeats the pasted text, which is a secret.
    """
    text = text.strip().lstrip("\ufeff").strip()
    if not text:
        raise UsageError("nothing was pasted; copy the cookie and try again")
    read = next(read for is_such, read in _FORMS if is_such(text))
    return _checked(read(text, host), host)


def _checked(cookies: Cookies, host: str) -> Cookies:
    if not cookies.get(SESSION_COOKIE):
        # The message names the site: what was copied at another site may have a cookie of that
        # name.
        raise UsageError(f"there is no {SESSION_COOKIE} cookie of {host} in it; copy that one")
    for name, value in cookies.items():
        if not _COOKIE_NAME.fullmatch(name):
            raise UsageError("a cookie's name in it has characters that are not allowed there")
        if any("\ud800" <= c <= "\udfff" for c in value):  # an unpaired surrogate
            raise UsageError("there is half a character in it; copy the value again")
        if not value.isprintable():
            raise UsageError(
                "there are control characters in it (a line break, a tab); copy only the value"
            )
    return cookies


def _collect(pairs: Iterable[tuple[str, str]]) -> Cookies:
    """Collect the pairs; two different values of the session cookie are an error, not a guess."""
    cookies: Cookies = {}
    for name, value in pairs:
        if name == SESSION_COOKIE and cookies.get(name, value) != value:
            raise UsageError(f"there are two different {SESSION_COOKIE} cookies in it; copy one")
        cookies[name] = value
    return cookies


def _belongs(domain: str, host: str) -> bool:
    domain = domain.strip().lstrip(".").lower()
    return host.lower() == domain or host.lower().endswith("." + domain)


# A header, or only the value


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'" else value


def _from_header(text: str) -> Cookies:
    if text[1:-1].count(text[0]) == 0:  # quotes around one of several values are not around all
        text = _unquoted(text)
    header = _HEADER.match(text)
    if header:
        text = text[header.end() :]
    parts = [part.strip() for part in text.split(";") if part.strip()]
    if header and header.group(1):
        parts = parts[:1]  # the other parts of a Set-Cookie are attributes
    pairs = [
        (name.strip(), _unquoted(value.strip()))
        for name, eq, value in (part.partition("=") for part in parts)
        if eq
    ]
    if any(name == SESSION_COOKIE for name, _ in pairs):
        return _collect(pair for pair in pairs if _COOKIE_NAME.fullmatch(pair[0]))
    return {} if header or len(parts) != 1 else _from_bare(_unquoted(parts[0]))


def _from_bare(value: str) -> Cookies:
    if value.partition(" ")[0] == SESSION_COOKIE:
        raise UsageError(
            f"it looks like a row of a table, with spaces; copy the value of {SESSION_COOKIE} alone"
        )
    if _OTHER_COOKIE.match(value) or "://" in value or " " in value:
        return {}
    if '"' in value:
        raise UsageError("there are quotes in it; copy only the value, without its name")
    return {SESSION_COOKIE: value}


# Lines


def _lines_with_colon(text: str) -> list[re.Match[str]]:
    return [match for line in text.splitlines() if (match := _COLON.fullmatch(line))]


def _from_colon(text: str, host: str) -> Cookies:
    domains = [match[1] for line in text.splitlines() if (match := _DOMAIN.fullmatch(line))]
    if any(not _belongs(domain, host) for domain in domains):
        return {}
    return _collect((SESSION_COOKIE, _after_colon(match[2])) for match in _lines_with_colon(text))


def _after_colon(text: str) -> str:
    value = text.strip().removesuffix(",").rstrip()
    bare = _unquoted(value)
    if any(c in bare for c in '"\\ ') or (bare == value and value[:1] in ("{", "[")):
        raise UsageError(
            f"it looks like {SESSION_COOKIE}: and a value in an unknown form; copy only the value,"
            " without its name and quotes"
        )
    return bare


def _is_row(line: str) -> bool:
    return line.partition("\t")[0].strip() == SESSION_COOKIE and "\t" in line


def _from_table(text: str, host: str) -> Cookies:
    """Name, value, domain and more, tab-separated: rows as Chrome, Edge and Safari copy them."""
    rows = [[cell.strip() for cell in line.split("\t")] for line in text.splitlines()]
    return _collect(
        (row[0], row[1])
        for row in rows
        if (_belongs(row[2], host) if len(row) > 2 else row[0] == SESSION_COOKIE and len(row) == 2)
    )


def _from_cookies_txt(text: str, host: str) -> Cookies:
    rows = [line.removeprefix("#HttpOnly_").split("\t") for line in text.splitlines()]
    return _collect(
        (row[5], row[6])
        for row in rows
        if len(row) == 7 and not row[0].startswith("#") and _belongs(row[0], host)
    )


# JSON


def _from_json(text: str, host: str) -> Cookies:
    """Read `{name: value}`, a browser extension's list of cookies, our own cookie file, or HAR."""
    try:
        found = msgspec.json.decode(text)
    except UNDECODABLE as error:
        raise UsageError(
            f"it looks like JSON, but is not valid JSON: {error}; copy all of it again"
        ) from None
    if requests := list(_har_requests(found)):
        return _collect(
            pair
            for request in requests
            if host_of(str(request.get("url"))) == host
            for pair in _har_cookies(request)
        )
    if isinstance(found, dict) and isinstance(found.get("cookies"), dict | list):
        found = found["cookies"]
    if isinstance(found, dict) and {"name", "value"} <= found.keys():
        found = [found]
    if isinstance(found, dict):
        return _collect((k, v) for k, v in found.items() if isinstance(v, str))
    return _collect(pair for name, value in _named(found, host) for pair in _opened(name, value))


def _named(entries: Iterable[Any], host: str) -> Iterator[tuple[str, str]]:
    for entry in entries:
        if (
            isinstance(entry, dict)
            and isinstance(entry.get("value"), str)
            and _belongs(str(entry.get("domain") or host), host)
        ):
            yield str(entry.get("name")), entry["value"]


def _opened(name: str, value: str) -> Iterable[tuple[str, str]]:
    """In a list of headers, the cookies are the value of the header named Cookie."""
    return _from_header(f"cookie: {value}").items() if name.lower() == "cookie" else [(name, value)]


def _har_requests(found: Any) -> Iterator[dict[str, Any]]:
    """The requests of a HAR file, of its list of entries, of one entry, or a single request."""
    if isinstance(found, dict) and isinstance(found.get("log"), dict):
        found = found["log"].get("entries")
    for entry in found if isinstance(found, list) else [found]:
        request = entry.get("request", entry) if isinstance(entry, dict) else None
        if isinstance(request, dict) and "url" in request and "headers" in request:
            yield request


def _har_cookies(request: dict[str, Any]) -> Iterator[tuple[str, str]]:
    headers = request["headers"] if isinstance(request["headers"], list) else []
    cookies = request.get("cookies")
    sent = [
        pair
        for name, value in _named(headers, "")
        if name.lower() == "cookie"
        for pair in _opened(name, value)
    ]
    yield from sent or _named(cookies if isinstance(cookies, list) else [], "")


# What browsers copy as a program


def _from_fetch(text: str, host: str) -> Cookies:
    """As copied as fetch for Node.js; the variant for browsers has no cookies."""
    calls = [text[match.start() : end] for match, end in _parts(_FETCH, text)]
    here = [call for call in calls if (url := _FETCH.match(call)) and _host_in(url[1]) == host]
    cookies = [match[1] for call in here for match in _FETCH_COOKIE.finditer(call)]
    if here and not cookies:
        raise UsageError(
            "there are no cookies in this fetch(); copy it as fetch (Node.js), or as cURL"
        )
    return _collect(
        pair for each in cookies for pair in _from_header(f"cookie: {_literal(each)}").items()
    )


def _parts(pattern: re.Pattern[str], text: str) -> list[tuple[re.Match[str], int]]:
    """Each match, and the position of the next one."""
    found = list(pattern.finditer(text))
    return list(zip(found, [*(match.start() for match in found[1:]), len(text)], strict=True))


def _literal(text: str) -> str:
    try:
        return str(msgspec.json.decode(text))
    except UNDECODABLE:
        raise UsageError("the fetch() is cut or malformed; copy it again") from None


def _host_in(literal: str) -> str:
    return host_of(_literal(literal))


def _from_powershell(text: str, host: str) -> Cookies:
    cookies = [match.groups() for match in _POWERSHELL_COOKIE.finditer(text)]
    return _collect(
        (_without_backticks(name), _without_backticks(value))
        for name, value, _path, domain in cookies
        if _belongs(domain, host)
    )


def _without_backticks(text: str) -> str:
    if re.search(r"(?<!`)\$\(", text):
        raise UsageError("there are unknown characters in this PowerShell command; copy it as cURL")
    return re.sub(r"`(.)", r"\1", text)


def _from_curl(text: str, host: str) -> Cookies:
    first_quote = re.search(r"""\^?["']""", text)
    if first_quote and first_quote.group() == '^"':  # copied for cmd.exe, which escapes with carets
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
    """Resolve the escapes that browsers write in `$'...'`."""
    named = {"n": "\n", "r": "\r", "t": "\t"}

    def replace(match: re.Match[str]) -> str:
        code = match.group(1)
        return chr(int(code[1:], 16)) if len(code) > 1 else named.get(code, code)

    return re.sub(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", replace, text, flags=re.DOTALL)


_FORMS: tuple[tuple[Callable[[str], object], Callable[[str, str], Cookies]], ...] = (
    (_CURL.match, _from_curl),
    (_POWERSHELL.search, _from_powershell),
    (_FETCH.search, _from_fetch),
    (lambda text: text[0] in "{[", _from_json),
    (lambda text: any(map(_is_row, text.splitlines())), _from_table),
    (lambda text: any(line.count("\t") >= 6 for line in text.splitlines()), _from_cookies_txt),
    (_lines_with_colon, _from_colon),
    (lambda _text: True, lambda text, _host: _from_header(text)),
)
"""How to recognize each form, and how to read it. The first that matches is used: a cURL command
may contain JSON, and everything could be a bare value.
"""
