"""What a metric means in one source, and whether two sources' figures of it may be compared."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import msgspec

from dashboard_scraper.model.metrics import ACCEPT_RATE, ACCEPTED, ACTIVE_DAYS, SHOWN, Metric


class Basis(Enum):
    """What a source counts in a metric, where another source counts the same.

    Figures of two sources may stand side by side only where both have the metric on one basis. Most
    metrics have none: no two vendors count lines or messages alike.
    """

    ACTIVE_DAYS = "days on which the user was active, as each source defines activity"
    ACCEPT_RATE = "accepted of the completions shown while typing"
    COMPLETIONS_SHOWN = "completions shown while typing"
    COMPLETIONS_ACCEPTED = "completions accepted while typing"
    AUGMENT = "the same figure, of the same product"


BASES: dict[Metric, Basis] = {
    ACTIVE_DAYS: Basis.ACTIVE_DAYS,
    ACCEPT_RATE: Basis.ACCEPT_RATE,
    SHOWN: Basis.COMPLETIONS_SHOWN,
    ACCEPTED: Basis.COMPLETIONS_ACCEPTED,
}
"""The basis that a metric has in every source which knows it."""


class Meaning(msgspec.Struct, frozen=True):
    """A metric in one source: its `field` on the wire, and what that counts where it differs from
    the metric's own definition. Without a basis it may be compared with no other source.
    """

    field: str
    definition: str = ""
    basis: Basis | None = None


Meanings = Mapping[Metric, Meaning]


def are_comparable(metric: Metric, first: Meanings, second: Meanings) -> bool:
    """Whether two sources' figures of the metric may be compared."""
    one, other = first.get(metric), second.get(metric)
    if one is None or other is None or one.basis is None:
        return False
    return one.basis is other.basis
