"""Made-up rows of a day: the way outputs would show them identifies the rules of these outputs.

Earlier files and messages are kept only if these rows would still look the same in them. So a
setting or a version of the program that shows a row in another way needs no version number.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from dashboard_scraper.model.costs import Account, Cost, CostFigures, names_of
from dashboard_scraper.model.figures import NOTHING_KNOWN, values_of
from dashboard_scraper.model.metrics import ACTIVE_DAYS, MESSAGES, METRICS, Kind, parts_of
from dashboard_scraper.model.money import ZERO, parse_amount
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.shown_costs import person_of, shown_costs

_COUNTED = [metric.name for metric in METRICS if metric.kind in (Kind.COUNT, Kind.DAYS)]
_FIGURES = replace(NOTHING_KNOWN, **{name: place for place, name in enumerate(_COUNTED, start=1)})
_ZEROS = replace(NOTHING_KNOWN, **dict.fromkeys(_COUNTED, 0))
_NO_COUNT = {parts_of(MESSAGES)[0].name: None}
_NO_DAYS = {ACTIVE_DAYS.name: None}

USERS = [
    UserUsage("ada@example.com", _FIGURES, {"unknown": "bob@example.com"}),
    # Names within texts, which pseudonyms have to replace.
    UserUsage(
        "backup",
        _FIGURES,
        {
            "backup jobs": "by 'bob@example.com'.",
            "backups": "https://example.com/bob%40example.com",
        },
        service=True,
    ),
    # Spellings of one person: unknown figures of one are known for another, and neither is active.
    UserUsage("Cyd@example.com", _FIGURES),
    UserUsage("cyd@example.com", replace(_FIGURES, **_NO_COUNT)),
    UserUsage("Dan@example.com", replace(_ZEROS, **_NO_COUNT)),
    UserUsage("dan@example.com", replace(_ZEROS, **_NO_DAYS)),
]
"""Users whose counts are known, unknown or 0."""

_FIGURES_OF_COSTS = CostFigures(1, 2, 3, 4, ZERO, parse_amount("0.5"), ZERO, ZERO)
COSTS = [
    Cost("ada@example.com", Account.PERSON, "MODEL", "any", _FIGURES_OF_COSTS),
    Cost("Ada@example.com", Account.PERSON, "MODEL", "any", _FIGURES_OF_COSTS),
    Cost("backup", Account.SERVICE_ACCOUNT, "MODEL", "any", _FIGURES_OF_COSTS),
]


def users_as_shown(audience: Audience) -> list[Any]:
    """How outputs show the users, with everything in their rows, for a digest."""
    return [
        (
            *(user.user, values_of(user.figures), user.extra, user.service),
            audience.person_of_shown(user.user),
        )
        for user in audience.shown(USERS)
    ]


def costs_as_shown(audience: Audience) -> list[Any]:
    """The same for the costs."""
    return [
        (*names_of(cost), cost.figures, person_of(cost, audience))
        for cost in shown_costs(COSTS, audience)
    ]
