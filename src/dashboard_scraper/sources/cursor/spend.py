"""Reads answers about spend: what each member was charged so far in the billing cycle."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import msgspec

from dashboard_scraper.decoding import decoding
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.dates import EARLIEST
from dashboard_scraper.model.money import exact_sum
from dashboard_scraper.sources.cursor.moments import ms_of
from dashboard_scraper.sources.cursor.numbered_pages import Claims
from dashboard_scraper.sources.cursor.paths import SPEND
from dashboard_scraper.sources.rest.amounts import cents
from dashboard_scraper.sources.rest.currencies import note_unknown, refuse_other_currency
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.pagination import decode_field, parse_page
from dashboard_scraper.sources.rest.unknown_fields import Fate, UnknownFields

ROWS, CYCLE_START, MEMBERS, PAGES = (
    "teamMemberSpend",
    "subscriptionCycleStart",
    "totalMembers",
    "totalPages",
)
ON_DEMAND, OVERALL = "spendCents", "overallSpendCents"
_REMOVED = "removed"
_Number = Annotated[int, msgspec.Meta(ge=0)]
# Seconds or microseconds would be far outside these years.
_Moment = Annotated[
    int, msgspec.Meta(ge=ms_of(EARLIEST), lt=ms_of(datetime(2100, 1, 1, tzinfo=UTC)))
]
_RAW_ROWS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


class _Member(msgspec.Struct):
    userId: int | str  # noqa: N815 - the names on the wire
    spendCents: msgspec.Raw  # noqa: N815
    overallSpendCents: msgspec.Raw  # noqa: N815
    email: str | None = None
    role: str | None = None


_MEMBER = msgspec.json.Decoder(_Member)
_KNOWN = {
    *_Member.__struct_fields__,
    *("name", "fastPremiumRequests", "hardLimitOverrideDollars"),
    *("monthlyLimitDollars", "effectivePerUserLimitDollars", "includedSpendCents"),
}


class Charged(msgspec.Struct, frozen=True):
    """What a member was charged in dollars: on demand, and with what the subscription covers."""

    on_demand: Decimal
    overall: Decimal


class Spend(msgspec.Struct):
    """The answer: when the cycle began, in milliseconds, and the members by e-mail address.

    `others` counts accounts that cannot be compared: those without an address, and removed ones,
    since the events of removed members name nobody. `removed` has the addresses of the latter; a
    newer account may have the same one. `has_other_address` says that an account without an address
    has one in an unknown field.
    """

    cycle_start: int | None = None
    members: dict[str, Charged] = {}
    others: int = 0
    removed: set[str] = set()
    accounts: set[str] = set()
    has_other_address: bool = False

    def refuse_nobody(self) -> None:
        """ContractBroken if it has no account, or if all addresses are in unknown fields: then
        nobody would be compared, which would look as if all amounts agreed.
        """
        where = f"{SPEND}: {ROWS}"
        if not self.accounts:
            raise ContractBroken(f"{where} is empty, and every team has a member")
        if self.has_other_address and not self.members and not any(self.removed):
            raise ContractBroken(
                f"{where}: no account has a value for email, but there are addresses in unknown"
                " fields; has it been renamed?"
            )

    @property
    def comparable(self) -> dict[str, Charged]:
        """The members all of whose events name them."""
        return {user: each for user, each in self.members.items() if user not in self.removed}


class SpendReading(msgspec.Struct, frozen=True):
    """What is needed to read an answer."""

    envelope: Envelope
    unknown: UnknownFields

    def read(self, body: bytes | bytearray, spend: Spend) -> tuple[Claims, msgspec.Raw]:
        """Add a page to what came before; returns what it claims about its place, and its rows as
        JSON. ContractBroken names what differs from the documentation.
        """
        page = parse_page(SPEND, ROWS, body)
        for name in (CYCLE_START, MEMBERS, PAGES):
            if name not in page.fields:
                raise ContractBroken(f"{SPEND}: {name} is missing")
        start = decode_field(SPEND, CYCLE_START, page.fields[CYCLE_START], _Moment)
        total, pages = (
            decode_field(SPEND, name, page.fields[name], _Number) for name in (MEMBERS, PAGES)
        )
        currencies = refuse_other_currency(SPEND, page.fields)
        understood = (CYCLE_START, MEMBERS, PAGES, *currencies)
        self.envelope.read(page.fields, understood)
        if spend.cycle_start not in (None, start):
            raise ContractBroken(f"{SPEND}: {CYCLE_START} differs between pages")
        spend.cycle_start = start
        where = f"{SPEND}: {ROWS}"
        with decoding(where):
            rows = _RAW_ROWS.decode(page.records)
        page.refuse_repeated_keys(SPEND, sum(map(len, rows)))
        for number, row in enumerate(rows):
            self._add(f"{where}[{number}]", row, spend)
        return Claims(pages, total), page.records

    def _add(self, where: str, row: Mapping[str, msgspec.Raw], spend: Spend) -> None:
        unknown = {name: raw for name, raw in row.items() if name not in _KNOWN}
        note_unknown(self.unknown, Fate.OF_COSTS, where, unknown)
        known = {name: row[name] for name in _Member.__struct_fields__ if name in row}
        with decoding(where):
            member = _MEMBER.decode(msgspec.json.encode(known))
        if f"{member.userId}" in spend.accounts:
            raise ContractBroken(
                f"{where}: the account {member.userId} came twice", names=(f"{member.userId}",)
            )
        spend.accounts.add(f"{member.userId}")
        charged = Charged(
            _required(where, ON_DEMAND, member.spendCents),
            _required(where, OVERALL, member.overallSpendCents),
        )
        email = (member.email or "").strip().lower()
        if not email and any(b"@" in bytes(raw) for raw in unknown.values()):
            spend.has_other_address = True
        if not email or member.role == _REMOVED:
            spend.others += 1
            spend.removed.add(email)
            return
        before = spend.members.get(email)
        spend.members[email] = _sum(before, charged) if before else charged


def _required(where: str, name: str, raw: msgspec.Raw) -> Decimal:
    found = cents(where, name, raw)
    if found is None:
        raise ContractBroken(f"{where}: {name} is null")
    return found


def _sum(one: Charged, other: Charged) -> Charged:
    """The sum of two accounts with one address, whose events cannot be told apart."""
    return Charged(
        exact_sum((one.on_demand, other.on_demand)), exact_sum((one.overall, other.overall))
    )
