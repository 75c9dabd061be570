"""The roots below which endpoints are answered, and the addresses that lead back to them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard_scraper.github.objects import ObjectWriter

ENTERPRISE_ROOT = "/api/v3"
"""Clients of a GitHub Enterprise Server expect every endpoint below this root."""

EDITORS = {"/editors/merged": True, "/editors/apart": False}
"""Below these roots, reports on the whole have one row for all editors, or one for each."""

_ROOT, _MERGED = "github_root", "github_editors_merged"


class Roots:
    """Removes these roots from a path, so that each endpoint is found below every root."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as if the path had no root."""
        if scope["type"] == "http":
            path, merged = scope["path"], None
            for root, is_merged in EDITORS.items():
                if path.startswith(f"{root}/"):
                    path, merged = path.removeprefix(root), is_merged
            if path.startswith(f"{ENTERPRISE_ROOT}/"):
                path = path.removeprefix(ENTERPRISE_ROOT)
            if path != "/":  # there is only one page
                root = scope["path"].removesuffix(path)
                scope = {**scope, "path": path, _ROOT: root, _MERGED: merged}
        await self._app(scope, receive, send)


def editors_merged(request: Request) -> bool | None:
    """Whether the client wants the rows of all editors merged; None if its path does not say."""
    merged: bool | None = request.scope.get(_MERGED)
    return merged


class Places:
    """Absolute addresses for the answer to a request."""

    def __init__(self, public_url: str | None) -> None:
        self._public_url = public_url

    def web(self, request: Request) -> str:
        """The root of the server, without a slash at its end."""
        return (self._public_url or f"{request.base_url}").rstrip("/")

    def api(self, request: Request) -> str:
        """The root of the endpoints that the client uses."""
        root: str = request.scope.get(_ROOT, "")
        return self.web(request) + root

    def writer(self, request: Request) -> ObjectWriter:
        """A writer of objects whose links stay below the root that the client uses."""
        return ObjectWriter(self.web(request), self.api(request))
