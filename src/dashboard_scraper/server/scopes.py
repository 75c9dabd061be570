"""What a token may read: the routes name the scope that each of them needs."""

from __future__ import annotations

from enum import Enum


class Scope(Enum):
    """A part of the server's answers."""

    REPORTS = "reports"
    PAGE = "page"
    METRICS = "metrics"


MEANINGS = {
    Scope.REPORTS: "GitHub's endpoints: people, seats, teams, and links to reports",
    Scope.PAGE: "the page of the report, in a browser",
    Scope.METRICS: "teams, and what the newest day cost, in `/metrics`; the rest needs no token",
}
"""What each scope means, in the words of help and documents."""
