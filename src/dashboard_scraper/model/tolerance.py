"""How far users' sums may differ from a source's own totals, for sources known to differ."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from dashboard_scraper.model.checks import Difference
from dashboard_scraper.model.metrics import TOTALS

_NAMES = tuple(total.name for total in TOTALS)
_PERCENT = re.compile(r"\d{1,2}(\.\d{1,6})?", re.ASCII)


class Tolerance(msgspec.Struct, frozen=True):
    """`percents` of the source's total, by the names of TOTALS; exact decimals, as they were
    written.
    """

    percents: Mapping[str, Decimal] = {}

    def beyond(self, differences: Iterable[Difference]) -> list[Difference]:
        """The differences that are too large."""
        return [each for each in differences if not self._covers(each)]

    def _covers(self, found: Difference) -> bool:
        # Any percentage of a total of 0 is 0: users beside such a total are always a fault.
        percent = self.percents.get(found.metric, Decimal(0))
        return 100 * abs(found.users - found.tenant) <= percent * found.tenant

    def __str__(self) -> str:
        return ",".join(f"{name}={percent}" for name, percent in self.percents.items())

    def as_numbers(self) -> dict[str, float]:
        """The percentages as numbers, for JSON."""
        return {name: float(percent) for name, percent in self.percents.items()}


EXACT = Tolerance()


def read_tolerance(text: object) -> object:
    """Read `total_messages=0.5,user_count=2`; ValueError for an unknown name or an invalid
    percentage.
    """
    if not isinstance(text, str):
        return text
    percents: dict[str, Decimal] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, percent = map(str.strip, part.partition("="))
        if name not in _NAMES:
            raise ValueError(
                f"{name!r} is not a metric of which a source has totals; write some of"
                f" {', '.join(_NAMES)}, as total_messages=0.5,user_count=2"
            )
        if name in percents:
            raise ValueError(f"{name} appears twice; remove one")
        if not _PERCENT.fullmatch(percent) or not Decimal(percent):
            raise ValueError(
                f"{part!r} has no percentage above 0 and below 100; write it as {name}=0.5"
            )
        percents[name] = Decimal(percent)
    return Tolerance(percents)
