"""What a metric means in a source, and whether its figures from two sources may be compared."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import msgspec

from dashboard_scraper.model.metrics import ACCEPT_RATE, ACCEPTED, ACTIVE_DAYS, SHOWN, Metric


class Basis(Enum):
    """What a source counts in a metric, if another source counts the same.

    Figures of two sources may be compared only if both count the metric on the same basis. Most
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
"""The basis of metrics that have the same one in every source that knows them."""


class Meaning(msgspec.Struct, frozen=True):
    """A metric in one source: its `field` in the API, and what that counts if it differs from the
    metric's own definition. Without a basis it cannot be compared with any other source.
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
