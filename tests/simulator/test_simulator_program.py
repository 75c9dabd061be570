"""The simulator as a program of its own, with which somebody tries each source."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

from conftest import Home, last_working_day
from dashboard_scraper.sources.dashboard.cookie_auth import SESSION_COOKIE
from saved_cookies import save_cookies

DAY = last_working_day() - timedelta(7)  # every source has published it


def settings_from(where: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Each source's settings for a simulator that printed this."""
    url = where["url"]
    return {
        "dashboard": {"METRICS_API_BASE_URL": url},
        "analytics": {"ANALYTICS_API_BASE_URL": url, "AUGMENT_API_TOKEN": where["token"]},
        "claude_code": {
            "CLAUDE_CODE_API_BASE_URL": url,
            "CLAUDE_CODE_API_KEY": where["claude_code_key"],
        },
        "cursor": {"CURSOR_API_BASE_URL": url, "CURSOR_API_KEY": where["cursor_key"]},
        "copilot": {
            "COPILOT_API_BASE_URL": url,
            "COPILOT_TOKEN": where["copilot_token"],
            "COPILOT_ENTERPRISE": where["copilot_enterprise"],
        },
    }


@pytest.mark.slow
def test_every_source_is_read_with_what_it_prints(home: Home) -> None:
    words = [sys.executable, "-W", "error", "-m", "dashboard_scraper.simulator", "--users", "5"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        try:
            where = json.loads(program.stdout.readline())
            save_cookies(home.cookie_file, {SESSION_COOKIE: where["cookie"]}, where["url"])
            for source, settings in settings_from(where).items():
                home.settings |= {"METRICS_SOURCE": source, **settings}
                result = home.run(f"{DAY}", f"{DAY}")
                assert result.code == 0, result.err
                assert result.paths[0].read_bytes().count(b"\n") > 1, source
        finally:
            program.terminate()
        assert json.loads(program.stdout.readline())["requests"] >= len(settings_from(where))
    assert program.returncode == 0
