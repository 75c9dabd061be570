"""HTML pages that came instead of data: what kind each one is, in words that a log may have."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

import msgspec

from dashboard_scraper.sources.rest.shown import cleaned

_HEAD = 1 << 16  # bytes in which the title and the marks of filters are searched
_BEGINNING = 1 << 10  # bytes in which the first tag must be, after any white space
_TITLE_LENGTH = 80
_SERVER_LENGTH = 30
_TITLE = re.compile(rb"<title[^>]*>(.{0,2000}?)</title", re.IGNORECASE | re.DOTALL)
_PASSWORD_FIELD = re.compile(rb"type\s*=\s*[\"']?password", re.IGNORECASE)

_SIGN_IN = re.compile(
    r"\b(sign|log)[\s_-]*(in|on)\b|\bsso\b|\bsaml|\boauth|\bauth(orize|enticate|entication)?\b",
    re.IGNORECASE,
)
# Titles of bot checks, and of pages from filters, firewalls and gateways.
_FILTER_TITLE = re.compile(
    r"just a moment|attention required|checking your browser|verify (that )?you|are you (a )?human"
    r"|captcha|security check|bot (check|protection|manager)|block|denied|forbidden"
    r"|not allowed|restricted|polic(y|ies)|firewall|filter|web ?access|web ?security|error \d{3,4}"
    r"|unavailable|maintenance|bad gateway",
    re.IGNORECASE,
)
# The script of a bot check is not listed: sign-in pages load it too.
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


class Page(msgspec.Struct, frozen=True):
    """An HTML page: its title, the software that sent it (`Server`), and what it looks like."""

    title: str
    server: str
    is_sign_in: bool
    is_filter: bool

    def __str__(self) -> str:
        named = f"a page titled {self.title!r}" if self.title else "a page without a title"
        return f"{named}, Server {self.server}" if self.server else named


def page_in(content_type: str, headers: Mapping[str, str], body: bytes | bytearray) -> Page | None:
    """The page, if the body is one: judged by its content type, or because it starts with a tag."""
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
    """Whether the host is named like a product that filters web traffic."""
    return _FILTER_HOST.search(host) is not None
