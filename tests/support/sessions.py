"""What tests of the dashboard's session share: its forms, the stored cookies, and secrets."""

from __future__ import annotations

import json
import re
import stat

from conftest import Home, last_working_day
from dashboard_scraper.simulator import Simulator

SHAPES = ("401", "redirect", "html")
ONE_DAY = [str(last_working_day())]
FORMS = {"one day": ONE_DAY, "28 days": ["--last-28-days"]}
GRACE = 16  # values of a rolling session that the simulator accepts at a time
AUTH = "--auth"
SIGN_IN = "dashboard-scraper --auth"


def saved_cookies(home: Home) -> dict[str, str]:
    """The cookies in the file, which must be complete and private."""
    assert stat.S_IMODE(home.cookie_file.stat().st_mode) == 0o600
    cookies: dict[str, str] = json.loads(home.cookie_file.read_bytes())["cookies"]
    return cookies


def sent(sim: Simulator) -> list[list[tuple[str, str]]]:
    """The cookies of each request, as name and value."""
    headers = [request.cookie or "" for request in sim.requests]
    return [
        [(pair.partition("=")[0], pair.partition("=")[2]) for pair in header.split("; ")]
        for header in headers
    ]


def assert_no_secret(sim: Simulator, *texts: str) -> None:
    """No text contains any part of a session that was sent or that the simulator issued last."""
    values = {value for cookies in sent(sim) for _, value in cookies} | {sim.cookie_decoded}
    secrets = {part for value in values for part in re.findall(r"[0-9a-f]{40,}", value)}
    assert secrets
    for secret in secrets:
        assert not any(secret in text for text in texts)
