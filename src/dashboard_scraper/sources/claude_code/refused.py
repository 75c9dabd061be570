"""How the Claude Console authenticates programs, and what it answers when it refuses one."""

from __future__ import annotations

import msgspec

from dashboard_scraper.decoding import UNDECODABLE, decodable
from dashboard_scraper.sources.rest.http import Response
from dashboard_scraper.sources.rest.refusals import Access

HOW_TO_GET_ONE = (
    "create an Admin key (sk-ant-admin...) in the Claude Console, under Settings > Admin keys, and"
    " put it in CLAUDE_CODE_API_KEY, or in a file that CLAUDE_CODE_API_KEY_FILE names"
)
ACCESS = Access(
    refused="the key was refused",
    forbidden="this key may not read the usage report: it takes an Admin key",
    sign_in=HOW_TO_GET_ONE,
    administrator=f"as an administrator of the organization, {HOW_TO_GET_ONE}",
    base_setting="CLAUDE_CODE_API_BASE_URL",
    has_sign_in_page=False,
    bad_request_is_ours=True,
    cursor="page",
)
_MESSAGE_LENGTH = 300


class _Error(msgspec.Struct):
    message: str


@decodable
class _ErrorBody(msgspec.Struct):
    error: _Error


def message_in(response: Response) -> str:
    """The server's own message after a colon, if there is one."""
    try:
        message = msgspec.json.decode(response.body, type=_ErrorBody).error.message
    except UNDECODABLE:
        return ""
    return f": {message[:_MESSAGE_LENGTH]}"
