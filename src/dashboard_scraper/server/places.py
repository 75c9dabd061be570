"""Where clients reach this server: at the address that their request named, or a public one."""

from __future__ import annotations

from starlette.requests import Request

from dashboard_scraper.github.objects import ObjectWriter

ENTERPRISE_ROOT = "/api/v3"
"""Below it, clients of a GitHub Enterprise Server expect every endpoint."""


class Places:
    """Absolute addresses for the answer to a request."""

    def __init__(self, public_url: str | None) -> None:
        self._public_url = public_url

    def web(self, request: Request) -> str:
        """The root of the server, without a slash at its end."""
        return (self._public_url or f"{request.base_url}").rstrip("/")

    def writer(self, request: Request) -> ObjectWriter:
        """A writer of objects whose links stay below the root that the request used."""
        web = self.web(request)
        in_enterprise = request.scope["path"].startswith(f"{ENTERPRISE_ROOT}/")
        return ObjectWriter(web, web + ENTERPRISE_ROOT if in_enterprise else web)
