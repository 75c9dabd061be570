"""Reads answers about usage events, which have tokens and money, strictly and one by one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from hashlib import blake2b
from typing import Annotated, Any

import msgspec

from dashboard_scraper.decoding import UNDECODABLE, decodable, decoding
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.addresses import Names, is_address
from dashboard_scraper.model.costs import MAX_TOKENS, Account
from dashboard_scraper.sources.cursor.moments import Period, day_of, refuse_other_period
from dashboard_scraper.sources.cursor.numbered_pages import Claims
from dashboard_scraper.sources.cursor.paths import USAGE_EVENTS
from dashboard_scraper.sources.rest.amounts import cents
from dashboard_scraper.sources.rest.currencies import note_unknown, refuse_other_currency
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.pagination import decode_field, parse_page
from dashboard_scraper.sources.rest.unknown_fields import Fate, UnknownFields
from dashboard_scraper.sources.rest.wire_types import Name

EVENTS, PERIOD, PAGINATION, TOTAL = "usageEvents", "period", "pagination", "totalUsageEventsCount"
CHARGED = "chargedCents"

_Tokens = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS)]
_Total = Annotated[int, msgspec.Meta(ge=0)]
_Milliseconds = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,15}\Z")]
_UNSET = msgspec.UNSET
_Unset = msgspec.UnsetType


@decodable
class _Pagination(msgspec.Struct, frozen=True):
    numPages: int  # noqa: N815 - the names on the wire
    currentPage: int  # noqa: N815
    pageSize: int  # noqa: N815
    hasNextPage: bool  # noqa: N815
    hasPreviousPage: bool  # noqa: N815


_UNDERSTOOD = (PERIOD, TOTAL, *(f"{PAGINATION}.{name}" for name in _Pagination.__struct_fields__))


class _TokenUsage(msgspec.Struct, forbid_unknown_fields=True):
    inputTokens: _Tokens  # noqa: N815
    outputTokens: _Tokens  # noqa: N815
    cacheWriteTokens: _Tokens  # noqa: N815
    cacheReadTokens: _Tokens  # noqa: N815
    totalCents: msgspec.Raw | _Unset = _UNSET  # noqa: N815
    discountPercentOff: msgspec.Raw | _Unset = _UNSET  # noqa: N815


class _Event(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    timestamp: _Milliseconds
    model: Name
    kind: str
    isTokenBasedCall: bool  # noqa: N815
    isChargeable: bool  # noqa: N815
    chargedCents: msgspec.Raw  # noqa: N815
    userEmail: str | _Unset | None = _UNSET  # noqa: N815
    serviceAccountId: str | _Unset | None = _UNSET  # noqa: N815
    serviceAccountName: str | _Unset | None = _UNSET  # noqa: N815
    tokenUsage: _TokenUsage | _Unset | None = _UNSET  # noqa: N815
    cloudAgentId: str | _Unset | None = _UNSET  # noqa: N815
    automationId: str | _Unset | None = _UNSET  # noqa: N815
    conversationId: str | _Unset | None = _UNSET  # noqa: N815
    maxMode: bool | _Unset | None = _UNSET  # noqa: N815
    isHeadless: bool | _Unset | None = _UNSET  # noqa: N815
    isFreeBugbot: bool | _Unset | None = _UNSET  # noqa: N815
    requestsCosts: msgspec.Raw | _Unset = _UNSET  # noqa: N815
    cursorTokenFee: msgspec.Raw | _Unset = _UNSET  # noqa: N815


_EVENT_FIELDS = frozenset(_Event.__struct_fields__)
_TOKEN_FIELDS = frozenset(_TokenUsage.__struct_fields__)
_USUAL = msgspec.json.Decoder(list[_Event])
_EVENT = msgspec.json.Decoder(_Event)
_RAW_EVENTS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_RAW_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Event(msgspec.Struct, frozen=True, gc=False):
    """One request. `user` is empty if the event names nobody; `tokens` are input, output, cache
    read and cache write, or None if it is not charged by tokens. `charged` is in dollars, and None
    if the source does not know it. `has_other_address` says that the event names nobody, but has an
    address in an unknown field.
    """

    day: date
    user: str
    account: Account
    model: str
    tokens: tuple[int, int, int, int] | None
    charged: Decimal | None
    is_chargeable: bool
    fingerprint: bytes
    has_other_address: bool


class EventPage(msgspec.Struct, frozen=True):
    """A page's events, their JSON text, and what it claims about its place among the pages."""

    events: list[Event]
    raw: msgspec.Raw
    claims: Claims


class EventReading(msgspec.Struct, frozen=True):
    """What is needed to read an answer: requested period, envelope, and where to note oddities."""

    asked: Period
    envelope: Envelope
    names: Names
    unknown: UnknownFields

    def read(self, body: bytes | bytearray) -> EventPage:
        """Take a page apart; ContractBroken names what differs from the documentation."""
        endpoint = USAGE_EVENTS
        page = parse_page(endpoint, EVENTS, body)
        fields = page.fields
        refuse_other_period(endpoint, fields.get(PERIOD), self.asked)
        for name in (PAGINATION, TOTAL):
            if name not in fields:
                raise ContractBroken(f"{endpoint}: {name} is missing")
        found = decode_field(endpoint, PAGINATION, fields[PAGINATION], _Pagination)
        total = decode_field(endpoint, TOTAL, fields[TOTAL], _Total)
        currencies = refuse_other_currency(endpoint, fields)
        self.envelope.read(fields, (*_UNDERSTOOD, *currencies))
        events, keys = self._events(page.records)
        page.refuse_repeated_keys(endpoint, keys)
        claims = Claims(
            found.numPages,
            total,
            found.currentPage,
            found.pageSize,
            found.hasNextPage,
            found.hasPreviousPage,
        )
        return EventPage(events, page.records, claims)

    def _events(self, raw: msgspec.Raw) -> tuple[list[Event], int]:
        """The events, and the number of keys, less one for each object within an event."""
        where = f"{USAGE_EVENTS}: {EVENTS}"
        keys = 0
        with_address: set[int] = set()
        try:
            found = _USUAL.decode(raw)
        except UNDECODABLE:  # an unknown field or wrong data: the slow way finds out which
            with decoding(where):
                records = _RAW_EVENTS.decode(raw)
            found = [self._tolerated(f"{where}[{n}]", each) for n, each in enumerate(records)]
            with_address = {n for n, each in enumerate(records) if _has_address(each)}
            keys = sum(len(each) + _inner_keys(each) for each in records)
        else:
            keys = sum(map(_keys_of, found))
        texts = _RAWS.decode(raw)
        events = [
            self._event(f"{where}[{n}]", event, text, has_address=n in with_address)
            for n, (event, text) in enumerate(zip(found, texts, strict=True))
        ]
        return events, keys

    def _tolerated(self, where: str, record: dict[str, msgspec.Raw]) -> _Event:
        known = {name: raw for name, raw in record.items() if name in _EVENT_FIELDS}
        self._judge(where, record, _EVENT_FIELDS)
        usage = known.get("tokenUsage")
        if usage is not None and bytes(usage).lstrip()[:1] == b"{":
            with decoding(f"{where}.tokenUsage"):
                inner = _RAW_FIELDS.decode(usage)
            self._judge(f"{where}.tokenUsage", inner, _TOKEN_FIELDS)
            kept = {name: raw for name, raw in inner.items() if name in _TOKEN_FIELDS}
            known["tokenUsage"] = msgspec.Raw(msgspec.json.encode(kept))
        with decoding(where):
            return _EVENT.decode(msgspec.json.encode(known))

    def _judge(self, where: str, fields: Mapping[str, msgspec.Raw], known: frozenset[str]) -> None:
        """Raise ContractBroken if an unknown field says that amounts are not in dollars."""
        unknown = {name: raw for name, raw in fields.items() if name not in known}
        if unknown:
            note_unknown(self.unknown, Fate.OF_COSTS, where, unknown)

    def _event(self, where: str, event: _Event, text: msgspec.Raw, *, has_address: bool) -> Event:
        moment = int(event.timestamp)
        start, end = self.asked
        if not start <= moment <= end:
            raise ContractBroken(
                f"{where}: {start} to {end} was requested, and timestamp is {moment}"
            )
        user, account = self._payer(where, event)
        usage = event.tokenUsage or None
        if event.isTokenBasedCall and usage is None:
            raise ContractBroken(f"{where}: isTokenBasedCall is true, and tokenUsage is missing")
        tokens = usage and (
            usage.inputTokens,
            usage.outputTokens,
            usage.cacheReadTokens,
            usage.cacheWriteTokens,
        )
        return Event(
            day_of(moment),
            user,
            account,
            event.model,
            tokens or None,
            cents(where, CHARGED, event.chargedCents),
            event.isChargeable,
            blake2b(bytes(text), digest_size=8).digest(),
            has_address and account is Account.UNATTRIBUTED,
        )

    def _payer(self, where: str, event: _Event) -> tuple[str, Account]:
        service = event.serviceAccountName or event.serviceAccountId
        if event.userEmail and service:
            raise ContractBroken(f"{where}: an event has both userEmail and a service account")
        if event.userEmail:
            email = event.userEmail.lower()
            return self.names.taken(USAGE_EVENTS, "userEmail", email), Account.PERSON
        if service:
            name = self.names.taken(USAGE_EVENTS, "serviceAccountName", service)
            # A service account named like an address must not become a person.
            return f"service account {name}" if is_address(name) else name, Account.SERVICE_ACCOUNT
        return "", Account.UNATTRIBUTED


def _has_address(record: Mapping[str, msgspec.Raw]) -> bool:
    """Whether an unknown field has an address, as that of the person would be."""
    return any(b"@" in bytes(raw) for name, raw in record.items() if name not in _EVENT_FIELDS)


def _keys_of(event: _Event) -> int:
    fields: tuple[Any, ...] = msgspec.structs.astuple(event)
    keys = len(fields) - fields.count(_UNSET)
    if event.tokenUsage:
        inner = msgspec.structs.astuple(event.tokenUsage)
        keys += len(inner) - inner.count(_UNSET) - 1
    return keys


def _inner_keys(record: Mapping[str, msgspec.Raw]) -> int:
    """The number of keys of the objects within a record, less one for each object. It is
    approximate for lists, so that then every key is checked.
    """
    keys = 0
    for raw in record.values():
        if bytes(raw).lstrip()[:1] == b"{":
            keys += max(0, len(_RAW_FIELDS.decode(raw)) - 1)
    return keys
