"""`/metrics` shows large enough teams to clients with a token, while no day is missing."""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from conftest import Home
from dashboard_scraper import open_store
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import is_active
from dashboard_scraper.sources.registry import DASHBOARD
from made_up_days import LAST, MONTH, store_days, users
from serving import serving

NAMES = users(20)
LARGE = "platform"
TEAMS = {LARGE: NAMES[:6], "tiny": NAMES[6:8]}


def teams_of(text: str, metric: str) -> dict[str, float]:
    return {
        sample.labels["team"]: sample.value
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.name == f"dashboard_scraper_{metric}"
    }


@pytest.mark.slow
def test_metrics_have_teams_of_enough_people(home: Home) -> None:
    rows = [
        f"{name},{name.partition('@')[0]},{number},{team}"
        for team, of in TEAMS.items()
        for number, name in enumerate(of, len(team) * 100)
    ]
    (home.path / "people.csv").write_text("\n".join(["email,login,id,team", *rows]))
    home.settings["IDENTITY_FILE"] = "people.csv"
    # Two people of the large team are known, but never active in the month.
    store_days(home, NAMES[2:], MONTH)
    store_days(home, NAMES, Window(MONTH.start - timedelta(1), MONTH.start - timedelta(1)))
    with open_store(home.settings["STORE_URL"]) as store:
        active = {
            user.user
            for day in store.days(MONTH.start, MONTH.end, DASHBOARD)
            for user in day.users
            if is_active(user.figures)
        }
    with serving(home) as server:
        text = server.get("/metrics").text
        assert teams_of(text, "team_people") == {LARGE: 6, "": 14}
        expected = {LARGE: len(active & {*NAMES[:6]}), "": len(active - {*NAMES[:6]})}
        assert teams_of(text, "team_active_people") == expected
        assert 0 < expected[LARGE] < 6
        assert "tiny" not in text
        public = requests.get(f"{server.address}/metrics", timeout=30).text
        assert "dashboard_scraper_team" not in public
        after_gap = LAST + timedelta(2)
        store_days(home, NAMES, Window(after_gap, after_gap))
        assert "dashboard_scraper_team" not in server.get("/metrics").text
