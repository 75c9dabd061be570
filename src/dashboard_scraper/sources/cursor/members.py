"""Reads the list of a team's members."""

from __future__ import annotations

from typing import Any

import msgspec

from dashboard_scraper.decoding import decodable, decoding
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.addresses import Names
from dashboard_scraper.model.listing import listed
from dashboard_scraper.model.seats import Seat
from dashboard_scraper.sources.cursor.paths import MEMBERS
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.loose_records import loose_records
from dashboard_scraper.sources.rest.pagination import parse_page, refuse_too_many
from dashboard_scraper.sources.rest.shown import shown_name
from dashboard_scraper.sources.rest.unknown_fields import UnknownFields

ROWS = "teamMembers"
UNPAID = "free-owner"
"""The role of an administrator who does not use a seat."""


@decodable
class _Member(msgspec.Struct):
    id: int | str
    email: str
    role: str
    isRemoved: bool = False  # noqa: N815 - the name on the wire


_REMOVED = "isRemoved"
"""Older answers lack it: they list current members only."""
_KNOWN = frozenset(("name", *_Member.__struct_fields__))


class MemberReading(msgspec.Struct, frozen=True):
    """What is needed to read the answer."""

    envelope: Envelope
    names: Names
    unknown: UnknownFields

    def read(self, body: bytes | bytearray) -> list[Seat]:
        """The current seats, sorted; ContractBroken names what differs from the documentation."""
        page = parse_page(MEMBERS, ROWS, body)
        self.envelope.read(page.fields)
        where = f"{MEMBERS}: {ROWS}"
        records = loose_records(where, page.records, _KNOWN, (), self.unknown)
        page.refuse_repeated_keys(MEMBERS, sum(map(len, records)))
        refuse_too_many(MEMBERS, len(records))
        self.envelope.count(len(records))
        accounts: set[str] = set()
        seats: dict[str, Seat] = {}
        has_current = False
        for place, record in enumerate(records):
            member = self._member(f"{where}[{place}]", record)
            if f"{member.id}" in accounts:
                raise ContractBroken(
                    f"{where}[{place}]: the member {member.id} came twice", names=(f"{member.id}",)
                )
            accounts.add(f"{member.id}")
            has_current = has_current or not member.isRemoved
            if not member.isRemoved and member.role != UNPAID:
                name = self.names.taken(MEMBERS, "email", member.email.lower())
                seats[name] = Seat(name)
        self.envelope.check(len(accounts))
        if not has_current:  # at least the person who made the key is a member
            raise ContractBroken(f"{where} has no current member, and every team has one")
        return [seats[name] for name in sorted(seats)]

    def _member(self, where: str, record: dict[str, Any]) -> _Member:
        unknown = sorted(record.keys() - _KNOWN)
        if unknown and _REMOVED not in record:  # members who were removed would have seats
            raise ContractBroken(
                f"{where}: {_REMOVED} is missing, and there are unknown fields:"
                f" {listed([*map(shown_name, unknown)])}; has it been renamed?"
            )
        with decoding(where):
            return msgspec.convert(record, _Member)
