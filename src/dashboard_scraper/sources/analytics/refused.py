"""Responses without data: which error each one becomes, if the API's own words say more."""

from __future__ import annotations

import msgspec

from dashboard_scraper.decoding import UNDECODABLE, decodable
from dashboard_scraper.errors import ContractBroken, ScraperError
from dashboard_scraper.sources.analytics.endpoints import CREDIT_USAGE
from dashboard_scraper.sources.analytics.paths import BUDGET_OVERRIDES, COST_ANALYTICS
from dashboard_scraper.sources.analytics.token_auth import HOW_TO_GET_ONE
from dashboard_scraper.sources.rest.auth import HeaderKey
from dashboard_scraper.sources.rest.http import Response
from dashboard_scraper.sources.rest.refusals import Access, refusal

ACCESS = Access(
    refused="the token was refused",
    forbidden="this token may not see the figures",
    sign_in=HOW_TO_GET_ONE,
    administrator=f"as an administrator of an enterprise, {HOW_TO_GET_ONE}",
    base_setting="ANALYTICS_API_BASE_URL",
    has_sign_in_page=False,
    bad_request_is_ours=True,
)
_MESSAGE_LENGTH = 300
_COST_ENDPOINTS = (COST_ANALYTICS, BUDGET_OVERRIDES)
_OPTIONAL = (CREDIT_USAGE.name, *_COST_ENDPOINTS)


class Absent(ContractBroken):
    """The endpoint does not exist, or not for this token."""


class QueryRefused(ContractBroken):
    """The API does not accept a query in which the user chooses only the days."""


def refused(endpoint: str, response: Response, token: HeaderKey) -> ScraperError:
    """The error of a response without data."""
    # Not Absent if an HTML page came: a filter sent it, which tells nothing about the endpoint.
    if endpoint in _OPTIONAL and response.status in (403, 404) and response.page is None:
        return Absent(f"{endpoint}: HTTP {response.status}")
    message = token.redacted_in(_message_in(response))[:_MESSAGE_LENGTH]
    if endpoint in _COST_ENDPOINTS and response.status == 400:
        return QueryRefused(f"{endpoint}: the query was refused (HTTP 400){message}")
    return refusal(endpoint, response, ACCESS, message)


class _Error(msgspec.Struct):
    message: str


@decodable
class _ErrorBody(msgspec.Struct):
    error: _Error


def _message_in(response: Response) -> str:
    """The server's own message after a colon, if there is one."""
    try:
        return f": {msgspec.json.decode(response.body, type=_ErrorBody).error.message}"
    except UNDECODABLE:
        return ""
