"""What is found out about a request while it is answered, for its line in the log."""

from __future__ import annotations

import msgspec
from starlette.types import Scope

from dashboard_scraper.server.rates import Rate
from dashboard_scraper.server.tokens import Token

_KEY = "usage_noted"


class Noted(msgspec.Struct):
    """The route as a pattern, without anybody's name; the token that was sent; the `holder` is
    only set once it was let in.
    """

    route: str = "unknown"
    token: str | None = None
    holder: Token | None = None
    rate: Rate | None = None


def noted_of(scope: Scope) -> Noted:
    """The same object for all parts of the server that see this request."""
    noted: Noted = scope.setdefault(_KEY, Noted())
    return noted
