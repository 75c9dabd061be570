"""A stand-in for Augment's dashboard API and Analytics API on a loopback port."""

from __future__ import annotations

from dashboard_scraper.simulator.dashboard_api import Paging
from dashboard_scraper.simulator.exchange import Request
from dashboard_scraper.simulator.faults import (
    Fault,
    add_field,
    alternate_cursors,
    cut_body,
    drip,
    hang,
    html,
    next_elsewhere,
    null_body,
    raise_total,
    raw_body,
    redirect,
    remove_field,
    rename_key,
    repeat_cursor,
    repeat_user,
    reset,
    reset_mid_body,
    set_cookie,
    set_value,
    status,
)
from dashboard_scraper.simulator.organization import Counts, Member, Organization
from dashboard_scraper.simulator.server import Simulator

__all__ = [
    "Counts",
    "Fault",
    "Member",
    "Organization",
    "Paging",
    "Request",
    "Simulator",
    "add_field",
    "alternate_cursors",
    "cut_body",
    "drip",
    "hang",
    "html",
    "next_elsewhere",
    "null_body",
    "raise_total",
    "raw_body",
    "redirect",
    "remove_field",
    "rename_key",
    "repeat_cursor",
    "repeat_user",
    "reset",
    "reset_mid_body",
    "set_cookie",
    "set_value",
    "status",
]
