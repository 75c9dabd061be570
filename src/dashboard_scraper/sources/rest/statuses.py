"""What each HTTP status means for a request of usage figures: one table for all sources.

It covers RFC 9110, IANA's registry, and codes that gateways invented. A status that is not listed
has the meaning of its class: a 5xx is retried, everything else is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class Meaning(Enum):
    """What to do with a response."""

    DATA = "read it"
    RETRY = "a temporary failure: retry, within bounds"
    RETRY_ELSEWHERE = "retry, on a new connection"
    SLOW_DOWN = "retry, later and more slowly"
    SIGN_IN = "the session or token is not valid"
    FORBIDDEN = "the credentials are valid, but may not see the figures; or a filter is in the way"
    PROXY_SIGN_IN = "a wrong setting: the proxy rejects its user or password"
    NETWORK_SIGN_IN = "the network requires its own sign-in, in a browser"
    REDIRECT = "a redirect: to a sign-in page, to a filter, or to where the API has moved"
    REFUSED = "not the API that this program knows, or a request that it does not accept"


_MEANINGS = {
    # 1xx are skipped before a response is read, except 101, which is an error: we never ask for it.
    200: Meaning.DATA,
    202: Meaning.RETRY,  # accepted, but the result is not ready yet
    # All other 2xx are refused: 203 was modified by a proxy, 206 is a part that we did not ask for,
    # 226 is a delta. 204 and 205 have no body, and "no body" is not "no users": a day without users
    # is an empty list.
    301: Meaning.REDIRECT,
    302: Meaning.REDIRECT,
    303: Meaning.REDIRECT,
    307: Meaning.REDIRECT,
    308: Meaning.REDIRECT,
    # 300, 304, 305 and 306 are refused: no request of ours can lead to them.
    401: Meaning.SIGN_IN,
    403: Meaning.FORBIDDEN,
    407: Meaning.PROXY_SIGN_IN,
    408: Meaning.RETRY_ELSEWHERE,  # the server is about to close an idle connection
    421: Meaning.RETRY_ELSEWHERE,  # this server does not serve the host; RFC 9110, 15.5.20
    423: Meaning.RETRY,  # locked while another client writes
    425: Meaning.RETRY,  # too early; RFC 8470
    429: Meaning.SLOW_DOWN,
    # All other 4xx are refused: 400, 404, 405, 406, 410, 414, 422 ... would only come again.
    501: Meaning.REFUSED,  # the method or feature is not implemented
    505: Meaning.REFUSED,  # unsupported HTTP version
    506: Meaning.REFUSED,  # content negotiation is misconfigured: a loop
    508: Meaning.REFUSED,  # a loop in the resource itself
    510: Meaning.REFUSED,  # the request lacks a mandatory extension
    511: Meaning.NETWORK_SIGN_IN,  # a captive portal
    # All other 5xx are temporary: 500, 502, 503, 504, 507, 509, 529; also 520 to 527 and 530, which
    # a content delivery network sends when it cannot reach the source.
}


def meaning_of(status: int, headers: Mapping[str, str] | None = None) -> Meaning:
    """The meaning of the status, or else of its class.

    A 403 that says when to come again, or that nothing is left, is a rate limit, such as GitHub's.
    """
    known = headers or {}
    if status == 403 and ("Retry-After" in known or known.get("X-RateLimit-Remaining") == "0"):
        return Meaning.SLOW_DOWN
    of_class = Meaning.RETRY if 500 <= status <= 599 else Meaning.REFUSED
    return _MEANINGS.get(status, of_class)
