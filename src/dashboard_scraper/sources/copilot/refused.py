"""Responses of GitHub without data: which error each one becomes, and which right is missing."""

from __future__ import annotations

import msgspec

from dashboard_scraper.decoding import UNDECODABLE, decodable
from dashboard_scraper.errors import ScraperError, SignInRequired
from dashboard_scraper.sources.copilot.auth import HOW_TO_GET_ONE, Redacting
from dashboard_scraper.sources.rest.http import Response
from dashboard_scraper.sources.rest.refusals import Access, refusal
from dashboard_scraper.sources.rest.shown import cleaned

_ENTERPRISE_NEEDS = (
    "a classic token needs the scope manage_billing:copilot or read:enterprise, a fine-grained one"
    ' "View Enterprise Copilot Metrics", and its owner must own the enterprise, manage its billing'
    " or have a role with that permission"
)
_ORGANIZATION_NEEDS = (
    "a classic token needs the scope read:org, a fine-grained one or an app the permission"
    ' "Organization Copilot metrics" (read), and its owner must own the organization or have a role'
    ' with "View Organization Copilot Metrics"'
)
_POLICY = 'the policy "Copilot usage metrics" must be enabled everywhere'
_REFUSED = "GitHub does not accept the token: it is wrong, expired or revoked"
_APP_REFUSED = (
    "GitHub does not accept the token of the app's installation any more: it was revoked, or the"
    " installation suspended or removed"
)
_HOW_TO_RENEW = "check the installation in the settings of the app, and run it again"
_MESSAGE_LENGTH = 300


@decodable
class _Error(msgspec.Struct):
    message: str


class Refusals:
    """The errors of one tenant: `tenant` is its name, such as `enterprise example`. With `is_app`,
    the token is that of an app's installation, which nobody creates by hand.
    """

    def __init__(
        self, tenant: str, is_enterprise: bool, secret: Redacting, *, is_app: bool
    ) -> None:
        needs = _ENTERPRISE_NEEDS if is_enterprise else _ORGANIZATION_NEEDS
        self._tenant, self._needs, self._secret = tenant, f"{needs}; {_POLICY}", secret
        self.access = Access(
            refused=_APP_REFUSED if is_app else _REFUSED,
            forbidden=f"GitHub does not let this token read Copilot's metrics of the {tenant}",
            sign_in=_HOW_TO_RENEW if is_app else HOW_TO_GET_ONE,
            administrator=self._needs,
            base_setting="COPILOT_API_BASE_URL",
            has_sign_in_page=False,
        )

    def of(self, endpoint: str, response: Response) -> ScraperError:
        """The error of a response without data."""
        message = self._message_in(response)
        if response.status == 403 and "X-GitHub-SSO" in response.headers:
            return SignInRequired(
                f"{self.access.forbidden} (HTTP 403){message}; authorize the token for single"
                " sign-on in its settings on GitHub"
            )
        if response.status == 404 and response.page is None:
            return self.unseen()
        return refusal(endpoint, response, self.access, f"{message}{_scopes_in(response)}")

    def unseen(self) -> SignInRequired:
        """The error if GitHub says that there is nothing at all: it gives the same answer to those
        who are not allowed to know.
        """
        return SignInRequired(
            f"GitHub has no Copilot metrics of the {self._tenant} for this token (HTTP 404): the"
            f" name is wrong, or the token may not see it; {self._needs}"
        )

    def _message_in(self, response: Response) -> str:
        try:
            message = msgspec.json.decode(response.body, type=_Error).message
        except UNDECODABLE:
            return ""
        return f": {cleaned(self._secret.redacted_in(message), _MESSAGE_LENGTH)}"


def _scopes_in(response: Response) -> str:
    """Which scopes a classic token has, and which ones would suffice, if GitHub says so."""
    has, needs = (
        response.headers.get(name) for name in ("X-OAuth-Scopes", "X-Accepted-OAuth-Scopes")
    )
    if has is None or not needs:
        return ""
    return f" (its scopes are: {cleaned(has, 100) or 'none'}; accepted: {cleaned(needs, 100)})"
