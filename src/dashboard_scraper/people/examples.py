"""Made-up rows of a day: how outputs would show them identifies the rules that they are made by.

What was written or sent before is left as it is only where these rows would look the same in it: a
setting or a version of the program that shows one of them in another way needs no number of its
own.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from dashboard_scraper.model.costs import Account, Cost, CostFigures, names_of
from dashboard_scraper.model.figures import NOTHING_KNOWN, values_of
from dashboard_scraper.model.metrics import METRICS, Kind
from dashboard_scraper.model.money import ZERO, parse_amount
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.shown_costs import person_of, shown_costs

_COUNTED = [metric.name for metric in METRICS if metric.kind in (Kind.COUNT, Kind.DAYS)]
_FIGURES = replace(NOTHING_KNOWN, **{name: place for place, name in enumerate(_COUNTED, start=1)})
_ZEROS = replace(NOTHING_KNOWN, **dict.fromkeys(_COUNTED, 0))

USERS = [
    UserUsage("ada@example.com", _FIGURES, {"unknown": "bob@example.com"}),
    # Names in texts, as pseudonyms have to replace them.
    UserUsage(
        "backup",
        _FIGURES,
        {
            "backup jobs": "by 'bob@example.com'.",
            "backups": "https://example.com/bob%40example.com",
        },
        service=True,
    ),
    # Spellings of one person: what is unknown of one and known of another, and neither active.
    UserUsage("Cyd@example.com", _FIGURES),
    UserUsage("cyd@example.com", replace(_FIGURES, chat_messages=None)),
    UserUsage("Dan@example.com", replace(_ZEROS, chat_messages=None)),
    UserUsage("dan@example.com", replace(_ZEROS, active_days=None)),
]
"""Their figures that can be counted are known, unknown or 0."""

_FIGURES_OF_COSTS = CostFigures(1, 2, 3, 4, ZERO, parse_amount("0.5"), ZERO, ZERO)
COSTS = [
    Cost("ada@example.com", Account.PERSON, "MODEL", "any", _FIGURES_OF_COSTS),
    Cost("Ada@example.com", Account.PERSON, "MODEL", "any", _FIGURES_OF_COSTS),
    Cost("backup", Account.SERVICE_ACCOUNT, "MODEL", "any", _FIGURES_OF_COSTS),
]


def users_as_shown(audience: Audience) -> list[Any]:
    """How outputs show the users: all that their rows have, for a digest."""
    return [
        (
            *(user.user, values_of(user.figures), user.extra, user.service),
            audience.person_of_shown(user.user),
        )
        for user in audience.shown(USERS)
    ]


def costs_as_shown(audience: Audience) -> list[Any]:
    """The same of the costs."""
    return [
        (*names_of(cost), cost.figures, person_of(cost, audience))
        for cost in shown_costs(COSTS, audience)
    ]
