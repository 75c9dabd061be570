"""What people of the organization do with GitHub Copilot: the truth from which its reports are
made.

Nothing here depends on the format of a report, so that tests can compare with it what was read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from dashboard_scraper.simulator.assistants import COPILOT, Assistants, Colleague
from dashboard_scraper.simulator.draws import raised
from dashboard_scraper.simulator.organization import Organization

CREDITS_SINCE = date(2026, 6, 19)
_APP_SINCE = date(2026, 7, 28)


class Tally(NamedTuple):
    """The seven counters of a feature, or of several features together."""

    interactions: int = 0
    generations: int = 0
    acceptances: int = 0
    suggested: int = 0
    suggested_to_delete: int = 0
    added: int = 0
    deleted: int = 0


NOTHING = Tally()


class Feature:
    """GitHub's names for the features that people use here."""

    COMPLETION = "code_completion"
    INLINE = "chat_inline"
    ASK = "chat_panel_ask_mode"
    EDIT = "chat_panel_edit_mode"
    AGENT = "chat_panel_agent_mode"
    PLAN = "chat_panel_plan_mode"
    CUSTOM = "chat_panel_custom_mode"
    UNKNOWN = "chat_panel_unknown_mode"
    AGENT_EDIT = "agent_edit"
    CLI = "copilot_cli"
    APP = "copilot_app"


@dataclass(frozen=True)
class Usage:
    """A person's use on one day, by feature; empty for somebody whom only the server saw.

    `credits` are in hundredths, and None on days before GitHub reported any.
    """

    colleague: Colleague
    day: date
    features: dict[str, Tally]
    credits: int | None
    draws: tuple[int, ...]

    @property
    def total(self) -> Tally:
        """The counters of all features together."""
        return add(self.features.values())

    @property
    def in_editor(self) -> bool:
        """Whether GitHub counts the person as a daily active user: using only the command line does
        not count.
        """
        return set(self.features) != {Feature.CLI}


class Copilot:
    """The organization's use of Copilot."""

    def __init__(self, organization: Organization) -> None:
        self.organization = organization
        self.assistants = Assistants(organization)
        self._days: dict[tuple[date, int], list[Usage]] = {}

    def usage(self, day: date) -> list[Usage]:
        """Everybody who was active on the day, in order."""
        times = self.organization.revisions(day)
        if (day, times) not in self._days:
            self._days[day, times] = [
                _usage(colleague, day, draws, times)
                for colleague, draws in self.assistants.active(COPILOT, day)
            ]
        return self._days[day, times]

    def total(self, day: date) -> Tally:
        """The counters of everybody on the day."""
        return add(usage.total for usage in self.usage(day))

    def active_in(self, day: date, days: int) -> list[Usage]:
        """All user-days of the `days` days that end with this one."""
        return [usage for back in range(days) for usage in self.usage(day - timedelta(days=back))]


def add(tallies: Iterable[Tally]) -> Tally:
    """The sum, counter by counter."""
    return Tally(*map(sum, zip(NOTHING, *tallies, strict=True)))


def _usage(colleague: Colleague, day: date, draws: tuple[int, ...], revisions: int) -> Usage:
    kind = draws[0] % 16
    if kind == 0:
        features = {}
    elif kind == 1:
        features = {Feature.CLI: _cli(draws)}
    else:
        features = _features(day, draws)
    features = {
        name: Tally(*(raised(count, revisions) for count in tally))
        for name, tally in features.items()
    }
    used = add(features.values())
    consumed = used.interactions * 125 + draws[16] % 50
    return Usage(colleague, day, features, consumed if day >= CREDITS_SINCE else None, draws)


def _features(day: date, draws: tuple[int, ...]) -> dict[str, Tally]:
    shown = 1 + draws[1] % 150
    accepted = shown * (draws[2] % 60) // 100
    asked, agent, edits = draws[3] % 9, draws[5] % 12, draws[6] % 30
    found = {
        Feature.COMPLETION: Tally(
            generations=shown,
            acceptances=accepted,
            suggested=shown + shown * (draws[4] % 90) // 100,
            added=accepted + accepted * (draws[4] % 50) // 100,
        ),
        Feature.ASK: Tally(asked, asked * 2, asked // 2, asked * 9, 0, asked // 2 * 7, 0),
        Feature.AGENT: Tally(agent, agent // 3, 0, agent * 2, 0, agent // 4, 0),
        Feature.AGENT_EDIT: Tally(
            generations=edits if agent else 0,
            added=edits * (draws[7] % 40) if agent else 0,
            deleted=edits * (draws[8] % 15) if agent else 0,
        ),
    }
    for place, name in enumerate(
        (Feature.INLINE, Feature.EDIT, Feature.PLAN, Feature.CUSTOM, Feature.UNKNOWN)
    ):
        if draws[9] % 7 == place:
            many = 1 + draws[10] % 5
            found[name] = Tally(many, many, many // 2, many * 3, place % 2, many // 2 * 3, 0)
    if draws[11] % 4 == 0:
        found[Feature.CLI] = _cli(draws)
    if day >= _APP_SINCE and draws[13] % 6 == 0:
        found[Feature.APP] = Tally(interactions=1 + draws[13] % 4, added=draws[14] % 60)
    return {name: tally for name, tally in found.items() if any(tally)}


def _cli(draws: tuple[int, ...]) -> Tally:
    prompts = 1 + draws[12] % 14
    edits = prompts * (1 + draws[13] % 3)
    return Tally(prompts, edits, edits, edits * 4, 0, edits * 3, edits)
