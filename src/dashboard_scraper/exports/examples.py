"""Made-up rows of a day: what exports would show of them identifies the rules they were made by.

Files of earlier exports are taken only where these rows would look the same in them: another
setting or version of the program that shows one of them in another way needs no number of its own.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from dashboard_scraper.model.costs import Account, Cost, CostFigures
from dashboard_scraper.model.metrics import METRICS, Figures, Kind
from dashboard_scraper.model.money import ZERO, parse_amount
from dashboard_scraper.model.usage import UserUsage

_NUMBERS: list[Any] = [
    number if metric.kind in (Kind.COUNT, Kind.DAYS) else None
    for number, metric in enumerate(METRICS, start=1)
]
FIGURES = Figures(*_NUMBERS)
_ZEROS = Figures(*(None if number is None else 0 for number in _NUMBERS))

USERS = [
    UserUsage("ada@example.com", FIGURES, {"unknown": "bob@example.com"}),
    # Names in texts, as pseudonyms have to replace them.
    UserUsage(
        "backup",
        FIGURES,
        {
            "backup jobs": "by 'bob@example.com'.",
            "backups": "https://example.com/bob%40example.com",
        },
        service=True,
    ),
    # Spellings of one person: what is unknown of one and known of another, and neither active.
    UserUsage("Cyd@example.com", FIGURES),
    UserUsage("cyd@example.com", replace(FIGURES, chat_messages=None)),
    UserUsage("Dan@example.com", replace(_ZEROS, chat_messages=None)),
    UserUsage("dan@example.com", replace(_ZEROS, active_days=None)),
]
"""With every figure that can be counted known, unknown, and 0."""

_FIGURES_OF_COSTS = CostFigures(1, 2, 3, 4, ZERO, parse_amount("0.5"), ZERO, ZERO)
COSTS = [
    Cost("ada@example.com", Account.PERSON, "MODEL", "any", _FIGURES_OF_COSTS),
    Cost("Ada@example.com", Account.PERSON, "MODEL", "any", _FIGURES_OF_COSTS),
    Cost("backup", Account.SERVICE_ACCOUNT, "MODEL", "any", _FIGURES_OF_COSTS),
]
