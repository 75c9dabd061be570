"""The pace of requests to Cursor: never more in any minute than it allows."""

from __future__ import annotations

import contextlib
import json
import time

import pytest

from conftest import Home
from cursor_runs import DAY, EVENTS, MEMBERS, USAGE, point_to
from dashboard_scraper.model.dates import Window
from dashboard_scraper.simulator import Organization, Simulator
from dashboard_scraper.sources.cursor.client import CursorSource
from dashboard_scraper.sources.registry import CURSOR
from dashboard_scraper.sources.rest.pacing import Pace
from dashboard_scraper.store import store_at
from stored_days import NOON, TODAY, fetch, settings_of

SCALE = 300  # a minute of the simulator is a fifth of a second


@pytest.mark.slow
def test_pace_holds_the_limits_of_any_minute(home: Home) -> None:
    """With three quarters of the limit as the rate, and one quarter as the burst."""
    organization = Organization(users=60, seed=49, today=TODAY)
    with Simulator(organization, clock_scale=SCALE, cursor_page=4) as sim:
        point_to(home, sim)
        paces = Pace(15 * SCALE, 5), Pace(45 * SCALE, 15)
        with contextlib.closing(CursorSource(settings_of(home), *paces, lambda: NOON)) as source:
            for _ in range(6):
                source.fetch_day(DAY)
            for _ in range(25):
                source.fetch_seats()
            source.costs.fetch_costs(Window(DAY, DAY))
    assert min(sim.count(USAGE), sim.count(MEMBERS), sim.count(EVENTS)) > 20
    assert {request.status for request in sim.requests} == {200}


@pytest.mark.slow
def test_pace_is_saved_between_runs(home: Home) -> None:
    """By default, five requests at once; the next run may use only those that this one left."""
    with Simulator(Organization(users=60, seed=49, today=TODAY)) as sim:
        point_to(home, sim)
        del home.settings["CURSOR_REQUESTS_PER_MINUTE"]
        begun = time.monotonic()
        fetch(home, DAY, DAY)
        minutes = (time.monotonic() - begun) / 60
        sent = sim.count(USAGE) + sim.count(MEMBERS)
        with store_at(settings_of(home).store_url).reading() as reader:
            left = json.loads(reader.note(f"pace:{CURSOR}") or "")["tokens"]
    assert sent == 3
    assert 5 - sent <= left <= 5 - sent + minutes * settings_of(home).cursor_requests_per_minute
