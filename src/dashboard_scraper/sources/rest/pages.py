"""Pages for people that came where data was due: what they are, told in words fit for a log."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass

_HEAD = 1 << 16  # where the title of a page is, and the marks of those that stand between
_BEGINNING = 1 << 10  # where the first tag is, after any white space
_TITLE_LENGTH = 80
_SERVER_LENGTH = 30
_LONG_WORD = re.compile(r"\S{33,}")  # a token, a cursor or an address with one: no word of a title
_TITLE = re.compile(rb"<title[^>]*>(.{0,2000}?)</title", re.IGNORECASE | re.DOTALL)
_PASSWORD_FIELD = re.compile(rb"type\s*=\s*[\"']?password", re.IGNORECASE)

_SIGN_IN = re.compile(
    r"\b(sign|log)[\s_-]*(in|on)\b|\bsso\b|\bsaml|\boauth|\bauth(orize|enticate|entication)?\b",
    re.IGNORECASE,
)
# Titles of bot checks, and of the pages of filters, firewalls and gateways.
_FILTER_TITLE = re.compile(
    r"just a moment|attention required|checking your browser|verify (that )?you|are you (a )?human"
    r"|captcha|security check|bot (check|protection|manager)|block|denied|forbidden"
    r"|not allowed|restricted|polic(y|ies)|firewall|filter|web ?access|web ?security|error \d{3,4}"
    r"|unavailable|maintenance|bad gateway",
    re.IGNORECASE,
)
# Not the scripts of bot checks alone: sign-in pages have them too.
_FILTER_BODY = re.compile(
    rb"cf-chl|_incapsula_|incident id|support id|ray id|px-captcha|fgd_icon|fortiguard|zscaler"
    rb"|netskope|forcepoint|websense",
    re.IGNORECASE,
)
_FILTER_HOST = re.compile(
    r"filter|captive|block|zscal|zscloud|netskope|goskope|forcepoint|websense|fortigu|fortinet"
    r"|umbrella|bluecoat|barracuda|sophos|\bproxy|\bportal\.",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Page:
    """A page in HTML: its title, the software that says that it sent it, and what it looks like."""

    title: str
    server: str
    is_sign_in: bool
    is_filter: bool

    def __str__(self) -> str:
        named = f"a page titled {self.title!r}" if self.title else "a page without a title"
        return f"{named}, Server {self.server}" if self.server else named


def page_in(content_type: str, headers: Mapping[str, str], body: bytes | bytearray) -> Page | None:
    """The page, if the body is one; what is called HTML, or begins like it, is."""
    begins = bytes(body[:_BEGINNING]).lstrip(b"\xef\xbb\xbf \t\r\n")[:5].lower()
    is_html = content_type in ("text/html", "application/xhtml+xml")
    if not is_html and (not begins.startswith(b"<") or begins == b"<?xml"):
        return None
    head = bytes(body[:_HEAD])
    found = _TITLE.search(head)
    title = html.unescape(found[1].decode(errors="replace")) if found else ""
    mitigated = "cf-mitigated" in headers
    password = _PASSWORD_FIELD.search(head) is not None
    sign_in = password or _SIGN_IN.search(title) is not None
    marked = _FILTER_TITLE.search(title) or _FILTER_BODY.search(head)
    return Page(
        title=cleaned(title, _TITLE_LENGTH),
        server=cleaned(headers.get("Server", ""), _SERVER_LENGTH),
        is_sign_in=sign_in and not mitigated,
        is_filter=mitigated or (not sign_in and marked is not None),
    )


def looks_like_filter(host: str) -> bool:
    """Of a host: whether it is called as the makers of filters and gateways call theirs."""
    return _FILTER_HOST.search(host) is not None


def cleaned(text: str, length: int) -> str:
    """One line of visible characters, and not more than `length` of them."""
    visible = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(_LONG_WORD.sub("…", visible).split())
    return line if len(line) <= length else f"{line[: length - 1]}…"
