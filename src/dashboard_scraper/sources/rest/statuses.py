"""What each status of an answer means to a reader of figures, for both sources: the one list.

The statuses are those of RFC 9110 and of IANA's registry, and those that gateways made up. What is
not in the list has the meaning of its class: 5xx passes by itself, all else is refused.
"""

from __future__ import annotations

from enum import Enum


class Meaning(Enum):
    """What to do with an answer."""

    DATA = "read it"
    RETRY = "it may pass by itself: ask again, within bounds"
    RETRY_ELSEWHERE = "ask again, on another connection"
    SLOW_DOWN = "ask again, later and more slowly"
    SIGN_IN = "the session or the token is not good"
    FORBIDDEN = "it is good, but may not see the figures; or a filter stands between"
    PROXY_SIGN_IN = "a setting: the proxy wants another user or password"
    NETWORK_SIGN_IN = "the network between wants a sign-in of its own, in a browser"
    REDIRECT = "another place: a sign-in, a filter, or the place that the API has moved to"
    REFUSED = "the source is not what this program knows, or is asked in a way that it is not"


_MEANINGS = {
    # 1xx are passed over before an answer is read; 101 is an answer that nobody asked for.
    200: Meaning.DATA,
    202: Meaning.RETRY,  # accepted, but the answer is not ready yet
    # The other 2xx are refused: 203 has figures that somebody between has changed, 206 a part of
    # them that nobody asked for, 226 a difference; 204 and 205 say in so many words that there are
    # none, where a day without users has an empty list.
    301: Meaning.REDIRECT,
    302: Meaning.REDIRECT,
    303: Meaning.REDIRECT,
    307: Meaning.REDIRECT,
    308: Meaning.REDIRECT,
    # 300, 304, 305 and 306 are refused: nothing that we ask makes them an answer.
    401: Meaning.SIGN_IN,
    403: Meaning.FORBIDDEN,
    407: Meaning.PROXY_SIGN_IN,
    408: Meaning.RETRY_ELSEWHERE,  # the server is about to close a connection that was idle
    421: Meaning.RETRY_ELSEWHERE,  # it is not the server for this host; RFC 9110, 15.5.20
    423: Meaning.RETRY,  # locked, for as long as somebody writes
    425: Meaning.RETRY,  # too early; RFC 8470
    429: Meaning.SLOW_DOWN,
    # The other 4xx are refused: 400, 404, 405, 406, 410, 414, 422 and so on come again.
    501: Meaning.REFUSED,  # not implemented: a method, a feature
    505: Meaning.REFUSED,  # not this version of HTTP
    506: Meaning.REFUSED,  # the server's own configuration goes in a circle
    508: Meaning.REFUSED,  # so does what it serves
    510: Meaning.REFUSED,  # an extension is missing in the request
    511: Meaning.NETWORK_SIGN_IN,  # a captive portal
    # The other 5xx pass by themselves: 500, 502, 503, 504, 507, 509, 529, and 520 to 527 and 530,
    # with which a content delivery network says that it did not get through to the source.
}


def meaning_of(status: int) -> Meaning:
    """The meaning of the status, or of its class."""
    of_class = Meaning.RETRY if 500 <= status <= 599 else Meaning.REFUSED
    return _MEANINGS.get(status, of_class)
