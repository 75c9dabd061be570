"""The page on serving: its text is written by hand, the table of scopes is made from the routes."""

from __future__ import annotations

from pathlib import Path

from dashboard_scraper.cli.serving import app_of
from dashboard_scraper.server.access import Access, Credentials
from dashboard_scraper.server.guard import Door, GuardedRoute
from dashboard_scraper.server.scopes import MEANINGS
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.store import store_at
from page_tables import with_tables

PAGE = Path(__file__).parents[1] / "docs" / "serving.md"
_BEGIN = "<!-- Generated from the routes by `make docs`; do not edit this table. -->\n"
_END = "<!-- The end of the generated table of routes. -->\n"
_REMARKS = {
    Door.TOKEN: "",
    Door.LINK: " (by a signed link)",
    Door.MORE: " (more with a token)",
    Door.OPEN: "",
}


def document() -> str:
    """The whole page as it is now, with the table as the routes have it."""
    settings = Settings.model_construct()
    access = Access(Credentials((), b""))
    app = app_of(settings, store_at(settings.store_url), access, "127.0.0.1")
    routes = [route for route in app.routes if isinstance(route, GuardedRoute)]
    rows = {scope: f"`{scope.value}`: {text}" for scope, text in MEANINGS.items()}
    lines = ["| Scope | Paths |", "|---|---|"]
    for scope, text in [*rows.items(), (None, "no token needed")]:
        paths = (
            f"`{route.path}`{_REMARKS[route.needs.door]}"
            for route in routes
            if route.needs.scope is scope
        )
        lines.append(f"| {text} | {', '.join(paths)} |")
    return with_tables(PAGE, _BEGIN, _END, "\n".join(["", *lines, ""]))
