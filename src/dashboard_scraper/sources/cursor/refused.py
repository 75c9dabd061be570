"""Responses without data: which error each one becomes, and what the administrator must do."""

from __future__ import annotations

import msgspec

from dashboard_scraper.decoding import UNDECODABLE, decodable
from dashboard_scraper.errors import ScraperError
from dashboard_scraper.sources.rest.auth import HeaderKey
from dashboard_scraper.sources.rest.http import Response
from dashboard_scraper.sources.rest.key_file import KeyWords
from dashboard_scraper.sources.rest.refusals import Access, refusal

HOW_TO_GET_ONE = (
    "as an administrator of the team, create a key of the Admin API at cursor.com/dashboard, and"
    " put it in CURSOR_API_KEY, or in a file that CURSOR_API_KEY_FILE names"
)
KEY = KeyWords("CURSOR_API_KEY", "key", "Cursor's Admin API", HOW_TO_GET_ONE)
BEGINNINGS = ("crsr_", "key_")
"""How keys of the Admin API begin; older keys have the second beginning."""
ACCESS = Access(
    refused="the key was refused",
    forbidden="this key may not see the team's figures: the Admin API needs a Teams or Enterprise"
    " plan, and a key of a team's administrator",
    sign_in=HOW_TO_GET_ONE,
    administrator=f"ask Cursor whether the plan includes it; then, {HOW_TO_GET_ONE}",
    base_setting="CURSOR_API_BASE_URL",
    has_sign_in_page=False,
    bad_request_is_ours=True,
)
_MESSAGE_LENGTH = 300


def refused(endpoint: str, response: Response, key: HeaderKey) -> ScraperError:
    """The error of a response without data."""
    message = key.redacted_in(_message_in(response))[:_MESSAGE_LENGTH]
    return refusal(endpoint, response, ACCESS, message)


@decodable
class _Error(msgspec.Struct):
    error: str = ""
    message: str = ""


def _message_in(response: Response) -> str:
    """The server's own message after a colon, if there is one."""
    try:
        found = msgspec.json.decode(response.body, type=_Error)
    except UNDECODABLE:
        return ""
    text = found.message or found.error
    return f": {text}" if text else ""
