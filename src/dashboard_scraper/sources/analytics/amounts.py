"""Amounts of the Analytics API: strings as documented, or numbers as reported."""

from __future__ import annotations

import logging
from decimal import Decimal

import msgspec

from dashboard_scraper.logs import Once
from dashboard_scraper.sources.rest.amounts import amount

logger = logging.getLogger(__name__)


class Amounts:
    """Reads the amounts of one endpoint; reports once per field if they come as numbers."""

    def __init__(self, endpoint: str) -> None:
        self._odd = f"{endpoint}: %s comes as a number, not as a string; it is read exactly"
        self._once = Once(logger)

    def amount(self, where: str, field: str, raw: msgspec.Raw) -> Decimal | None:
        """An exact amount, or None for null; ContractBroken, with the value, for anything else."""
        found = amount(where, field, raw)
        if found is not None and not bytes(raw).startswith(b'"'):
            self._once.warn(self._odd, field)
        return found
