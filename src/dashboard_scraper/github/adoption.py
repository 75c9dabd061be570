"""Adoption phases and engagement with features, by GitHub's rules, from bitmaps of people.

A person's phase depends on what they used on at least two of the 28 days up to a day. Phase 2 is
one agent outside the editor (the command line's or a remote one), phase 3 is both, and phase 1 is
completions or the editor's agent without these. GitHub also counts code review and its app as
agents, for which the catalogue has no metrics. If one of the 28 days is missing, nobody's phase is
known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from typing import Any

import msgspec

from dashboard_scraper.model.dates import DAYS
from dashboard_scraper.model.distinct import DistinctPeople

VERSION = "v1"
"""GitHub's version of these rules."""

OFTEN = 2
"""From this many days of use on, a feature counts, as in `DistinctPeople.repeated`."""
CODE_FIRST, CLI, REMOTE = "code_first", "cli", "copilot_cloud_agent"
COMPLETION, EDIT = "code_completion", "agent_edit"
ENGAGED_IN = {COMPLETION: COMPLETION, EDIT: EDIT, REMOTE: REMOTE, "copilot_cli": CLI}
"""The area of activity by GitHub's name of a feature. The cloud agent's name is the one in the
fields with numbers of its users, since GitHub's description mentions it only in words.
"""

Areas = Mapping[str, DistinctPeople]


class Phase(msgspec.Struct, frozen=True):
    """A phase, and the bitmap of the people in it."""

    number: int
    people: int

    @property
    def fields(self) -> dict[str, Any]:
        """Its number and name in GitHub's fields."""
        return phase_fields(self.number)


@cache
def phase_fields(number: int) -> dict[str, Any]:
    """A phase's number and name in GitHub's fields."""
    return {"phase_number": number, "phase": f"Phase {number}" if number else "No Cohort"}


def phases_on(day: date, active: DistinctPeople, areas: Areas) -> list[Phase] | None:
    """The phases of everybody who was active in the 28 days up to the day; None if unknown."""
    everybody = active.bitmap(day, DAYS)
    if everybody is None:
        return None
    code, cli, remote = (areas[area].repeated(day, DAYS) for area in (CODE_FIRST, CLI, REMOTE))
    third = cli & remote
    second = (cli | remote) & ~third
    first = code & ~(second | third)
    numbered = (everybody & ~(first | second | third), first, second, third)
    return [Phase(number, people) for number, people in enumerate(numbered)]


def engagement_on(day: date, active: DistinctPeople, areas: Areas) -> dict[str, Any] | None:
    """`copilot_feature_engagement` of the 28 days up to the day; None if it is unknown."""
    everybody = active.bitmap(day, DAYS)
    if everybody is None:
        return None
    return {
        "active_user_count": everybody.bit_count(),
        "totals_by_feature": [
            {
                "feature": feature,
                "engaged_user_count": areas[area].repeated(day, DAYS).bit_count(),
            }
            for feature, area in ENGAGED_IN.items()
        ],
    }


def totals_by_phase(
    phases: list[Phase], active: int, sums: Mapping[int, Mapping[str, int]]
) -> Iterator[dict[str, Any]]:
    """`totals_by_ai_adoption_phase` of a day; `active` is its bitmap of active people. `sums` has
    their counters by the phase's number, under the names of GitHub's averages.
    """
    for phase in phases:
        engaged = (phase.people & active).bit_count()
        averages = {
            name: round(count / engaged, 2) if engaged else 0.0
            for name, count in sums[phase.number].items()
        }
        yield {
            **phase.fields,
            "total_engaged_users": engaged,
            "users_in_phase_28d": phase.people.bit_count(),
            **averages,
        }
