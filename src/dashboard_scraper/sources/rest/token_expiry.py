"""When a token expires, if it says so: a JSON Web Token has the time in its claims (RFC 7519)."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import msgspec

from dashboard_scraper.decoding import UNDECODABLE, decodable


@decodable
class _Claims(msgspec.Struct):
    exp: float | None = None


def expiry_of(token: str) -> datetime | None:
    """The time in the token; None for any other kind of token. Its signature is not checked."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    padded = parts[1] + "=" * (-len(parts[1]) % 4)
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Claims)
        return None if claims.exp is None else datetime.fromtimestamp(claims.exp, UTC)
    except (*UNDECODABLE, ValueError, OverflowError, OSError):
        return None
