"""What is learned about a request while it is answered, for its line in the log."""

from __future__ import annotations

import msgspec
from starlette.types import Scope

from dashboard_scraper.server.rates import Rate
from dashboard_scraper.server.tokens import Token

_KEY = "usage_noted"


class Noted(msgspec.Struct):
    """The route as a pattern, without names of people; and the token that was sent. `holder` is set
    only once the token was accepted.
    """

    route: str = "unknown"
    token: str | None = None
    holder: Token | None = None
    rate: Rate | None = None


def noted_of(scope: Scope) -> Noted:
    """The same object for all parts of the server that see this request."""
    noted: Noted = scope.setdefault(_KEY, Noted())
    return noted
