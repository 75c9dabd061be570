"""Reads one page of Claude Code's usage report, strictly: typed records, or an error that names the
field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from dashboard_scraper.decoding import UNDECODABLE, decoding
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.addresses import Names
from dashboard_scraper.model.costs import CostFigures
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.listing import listed
from dashboard_scraper.model.money import of_cents
from dashboard_scraper.sources.rest.amounts import amount, tokens
from dashboard_scraper.sources.rest.claimed_days import refuse_other_days
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.pagination import parse_object
from dashboard_scraper.sources.rest.pruned import pruned
from dashboard_scraper.sources.rest.repeated_keys import refuse_repeated_keys
from dashboard_scraper.sources.rest.shown import shown_name, shown_value
from dashboard_scraper.sources.rest.wire_types import Count, Name

ENDPOINT = "claude_code"
"""The last segment of the report's path, used in errors."""
RECORDS, MORE, NEXT = "data", "has_more", "next_page"

_MIDNIGHT = re.compile(r"(\d{4}-\d\d-\d\d)(T00:00:00(\.0+)?(Z|\+00:00))?", re.ASCII)
# Amounts are in minor units; only in these currencies are those hundredths.
_WITH_CENTS = ("USD", "EUR", "GBP", "AUD", "CAD", "CHF", "DKK", "INR", "NOK", "PLN", "SEK", "SGD")

# It becomes the name of a column.
_Kind = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{1,40}\Z")]


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Actor(_Strict):
    """Who used it: a person, or an API key."""

    type: str
    email_address: str | None = None
    api_key_name: str | None = None


class Lines(_Strict):
    """Lines of code."""

    added: Count
    removed: Count


class Core(_Strict):
    """The counts of a record."""

    num_sessions: Count
    lines_of_code: Lines
    commits_by_claude_code: Count
    pull_requests_by_claude_code: Count


class Decisions(_Strict):
    """What became of the edits that a tool proposed."""

    accepted: Count
    rejected: Count


class Actions(_Strict):
    """The tools that edit."""

    edit_tool: Decisions
    multi_edit_tool: Decisions
    write_tool: Decisions
    notebook_edit_tool: Decisions


class _Tokens(_Strict):
    input: msgspec.Raw
    output: msgspec.Raw
    cache_read: msgspec.Raw
    cache_creation: msgspec.Raw


class _Money(_Strict):
    currency: str
    amount: msgspec.Raw


class _Model(_Strict):
    model: Name
    tokens: _Tokens
    estimated_cost: _Money


class _Record(_Strict):
    date: str
    actor: Actor
    organization_id: str
    customer_type: _Kind
    terminal_type: str | None
    core_metrics: Core
    tool_actions: Actions
    model_breakdown: list[_Model]
    subscription_type: _Kind | None = None


_USUAL = msgspec.json.Decoder(list[_Record])
_RECORD = msgspec.json.Decoder(_Record)
_RAW_RECORDS = msgspec.json.Decoder(list[msgspec.Raw])
_MORE = msgspec.json.Decoder(bool)
_NEXT = msgspec.json.Decoder(str | None)

PERSON, API_KEY = "user_actor", "api_actor"
_NAMED_BY = {PERSON: "email_address", API_KEY: "api_key_name"}
"""The field that contains the name, for each type of actor."""


class ModelUse(msgspec.Struct, frozen=True):
    """What a record says about one model: tokens, and an estimate in its currency."""

    where: str
    model: str
    figures: CostFigures
    currency: str


class Record(msgspec.Struct, frozen=True):
    """What an actor did with one terminal and one type of account on the day.

    `name` is the actor's: a person, or an API key if `key` is set. `extra` has the fields that are
    not documented.
    """

    where: str
    name: str
    key: bool
    organization: str
    customer: str
    subscription: str | None
    terminal: str | None
    core: Core
    actions: Actions
    models: list[ModelUse]
    extra: dict[str, Any]

    @property
    def dimensions(self) -> tuple[object, ...]:
        """What distinguishes it from every other record of the day."""
        return self.key, self.name, self.customer, self.subscription, self.terminal


class ReportPage(msgspec.Struct, frozen=True):
    """One page: its records, their JSON text, and the cursor of the next page."""

    records: list[Record]
    raw: msgspec.Raw
    next_page: str | None


class Reading(msgspec.Struct, frozen=True):
    """What is needed to read a day's answer: the day, its envelope, and what cleans names."""

    day: date
    envelope: Envelope
    names: Names

    def read(self, body: bytes | bytearray) -> ReportPage:
        """Take a page apart; ContractBroken names what differs from the documentation."""
        fields = parse_object(ENDPOINT, body)
        raw = _required(fields, RECORDS)
        refuse_repeated_keys(ENDPOINT, body)
        following = _next_page(fields)
        self.envelope.read(fields, (MORE, NEXT))
        records = [
            self._record(f"{ENDPOINT}: {RECORDS}[{place}]", record, extra)
            for place, (record, extra) in enumerate(_decoded(raw))
        ]
        self.envelope.count(len(records))
        return ReportPage(records, raw, following)

    def _record(self, where: str, record: _Record, extra: dict[str, Any]) -> Record:
        self._check_day(f"{where}.date", record.date)
        refuse_other_days(where, extra, Window(self.day, self.day))
        name, key = self._actor(f"{where}.actor", record.actor)
        return Record(
            where,
            name,
            key,
            record.organization_id,
            record.customer_type,
            record.subscription_type,
            record.terminal_type,
            record.core_metrics,
            record.tool_actions,
            list(_models(f"{where}.model_breakdown", record.model_breakdown)),
            extra,
        )

    def _check_day(self, where: str, text: str) -> None:
        """The documentation has a day; the API sends the midnight in UTC with which it begins."""
        match = _MIDNIGHT.fullmatch(text)
        if match is None:
            raise ContractBroken(
                f"{where} is {shown_value(text)}, and neither a day nor a midnight in UTC"
            )
        if match[1] != f"{self.day}":
            raise ContractBroken(f"{where} is {match[1]}, but {self.day} was requested")

    def _actor(self, where: str, actor: Actor) -> tuple[str, bool]:
        """The name, and whether it is the name of an API key."""
        field = _NAMED_BY.get(actor.type)
        if field is None:
            raise ContractBroken(
                f"{where}.type is {shown_value(actor.type)}; known are {listed([*_NAMED_BY])}"
            )
        given = [name for name in _NAMED_BY.values() if getattr(actor, name) is not None]
        if given != [field]:
            raise ContractBroken(
                f"{where}: {actor.type} must have {field} alone, and it has"
                f" {listed(given) or 'no name'}"
            )
        name = self.names.taken(ENDPOINT, f"actor.{field}", getattr(actor, field))
        return name, actor.type == API_KEY


def _decoded(raw: msgspec.Raw) -> Iterator[tuple[_Record, dict[str, Any]]]:
    """Each record with the fields that are not documented."""
    try:
        usual = _USUAL.decode(raw)
    except UNDECODABLE:
        pass  # an unknown field or wrong data: the slow way finds out which
    else:
        yield from ((record, {}) for record in usual)
        return
    with decoding(f"{ENDPOINT}: {RECORDS}"):
        raws = _RAW_RECORDS.decode(raw)
    for place, each in enumerate(raws):
        with decoding(f"{ENDPOINT}: {RECORDS}[{place}]"):
            known, extra = pruned(_Record, each)
            record = _RECORD.decode(known)
        yield record, extra


def _models(where: str, models: list[_Model]) -> Iterator[ModelUse]:
    names = [each.model for each in models]
    for place, each in enumerate(models):
        at = f"{where}[{place}]"
        if names.index(each.model) != place:
            raise ContractBroken(f"{at}.model: {shown_value(each.model)} came twice in a record")
        currency = each.estimated_cost.currency
        if currency not in _WITH_CENTS:
            raise ContractBroken(
                f"{at}.estimated_cost.currency is {shown_value(currency)}, which is not"
                " known to have cents"
            )
        figures = CostFigures(
            _tokens(at, "input", each.tokens.input),
            _tokens(at, "output", each.tokens.output),
            _tokens(at, "cache_read", each.tokens.cache_read),
            _tokens(at, "cache_creation", each.tokens.cache_creation),
            estimated=_estimated(f"{at}.estimated_cost", each.estimated_cost.amount),
        )
        yield ModelUse(at, each.model, figures, currency)


def _tokens(where: str, field: str, raw: msgspec.Raw) -> int:
    found = tokens(f"{where}.tokens", field, raw)
    if found is None:
        raise ContractBroken(f"{where}.tokens.{field} is null")
    return found


def _estimated(where: str, raw: msgspec.Raw) -> Decimal:
    """The amount, which is sent in hundredths of the currency."""
    cents = amount(where, "amount", raw)
    if cents is None or cents < 0:
        raise ContractBroken(f"{where}.amount is {'null' if cents is None else cents}")
    try:
        return of_cents(cents)
    except ValueError as error:
        raise ContractBroken(f"{where}.amount: {error}") from None


def _next_page(fields: dict[str, msgspec.Raw]) -> str | None:
    """The cursor of the next page; None on the last page."""
    more, following = _required(fields, MORE), _required(fields, NEXT)
    with decoding(f"{ENDPOINT}: {MORE}"):
        has_more = _MORE.decode(more)
    with decoding(f"{ENDPOINT}: {NEXT}"):
        cursor = _NEXT.decode(following)
    if has_more is not bool(cursor):
        state = "missing" if has_more else "there"
        raise ContractBroken(
            f"{ENDPOINT}: {MORE} is {str(has_more).lower()}, but {NEXT} is {state}"
        )
    return cursor or None


def _required(fields: dict[str, msgspec.Raw], name: str) -> msgspec.Raw:
    if name not in fields:
        raise ContractBroken(
            f"{ENDPOINT}: {name} is missing; the answer has the keys"
            f" {listed([shown_name(each) for each in sorted(fields)]) or 'none'}"
        )
    return fields.pop(name) if name == RECORDS else fields[name]
