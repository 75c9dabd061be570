"""What a seat of an assistant costs per month: sources report seats, but no prices."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from decimal import Decimal

import msgspec

_PRICE = re.compile(r"(\d{1,7}(?:\.\d{1,4})?)(?: ?([A-Z]{3}))?", re.ASCII)


class SeatPrice(msgspec.Struct, frozen=True):
    """A price per month; `currency` is empty if the setting names none."""

    amount: Decimal
    currency: str = ""

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}".rstrip()


class SeatPrices(msgspec.Struct, frozen=True):
    """The prices by the source's name."""

    by_source: Mapping[str, SeatPrice] = {}

    def __str__(self) -> str:
        return ",".join(f"{name}:{price}" for name, price in self.by_source.items())


NO_PRICES = SeatPrices()


def read_seat_prices(text: object, sources: Collection[str]) -> object:
    """Read `copilot:19,cursor:40 EUR`; ValueError for an unknown source or an invalid price."""
    if not isinstance(text, str):
        return text
    prices: dict[str, SeatPrice] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, price = map(str.strip, part.partition(":"))
        if name not in sources:
            raise ValueError(
                f"{name!r} is not a source; write some of {', '.join(sources)}, as"
                " copilot:19,cursor:40"
            )
        if name in prices:
            raise ValueError(f"{name} appears twice; remove one")
        found = _PRICE.fullmatch(price)
        if not found:
            raise ValueError(
                f"{part!r} has no monthly price; write it as {name}:19, {name}:19.50 or"
                f" {name}:19 USD"
            )
        prices[name] = SeatPrice(Decimal(found[1]), found[2] or "")
    return SeatPrices(prices)
