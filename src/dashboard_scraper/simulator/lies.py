"""The catalogue of lies: answers that are well-formed and often add up, but are wrong.

A fault is an answer that cannot be mistaken for data; a lie can be.
"""

from __future__ import annotations

from dashboard_scraper.simulator.false_answers import ENVELOPE, PAGES, RECORDS
from dashboard_scraper.simulator.false_figures import CONSISTENT, CONTRADICTING
from dashboard_scraper.simulator.lying import Lie

ABOUT_FIGURES: tuple[Lie, ...] = (*CONSISTENT, *CONTRADICTING)
ABOUT_ANSWERS: tuple[Lie, ...] = (*PAGES, *ENVELOPE, *RECORDS)
LIES = ABOUT_FIGURES + ABOUT_ANSWERS


def undetectable() -> list[str]:
    """One line for each lie that cannot be detected: for which days, and why."""
    return [
        f"{lie.name} ({lie.unseen.name.lower().replace('_', ' ')}): {lie.why}"
        for lie in LIES
        if lie.unseen
    ]
