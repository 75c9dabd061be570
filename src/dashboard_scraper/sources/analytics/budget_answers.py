"""Reads the answer about users' budgets, as strictly as the answer about costs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal

import msgspec

from dashboard_scraper.decoding import decoding
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.addresses import Names, escaped
from dashboard_scraper.model.costs import Budget, CostKind
from dashboard_scraper.people.people import person_key
from dashboard_scraper.sources.analytics.amounts import Amounts
from dashboard_scraper.sources.analytics.answers import records_in
from dashboard_scraper.sources.analytics.paths import BUDGET_OVERRIDES
from dashboard_scraper.sources.rest.currencies import note_unknown, refuse_other_currency
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.pagination import parse_object
from dashboard_scraper.sources.rest.repeated_keys import refuse_repeated_keys
from dashboard_scraper.sources.rest.unknown_fields import Fate, UnknownFields

_OVERRIDES = "overrides"
MONTHLY = "BUDGET_PERIOD_MONTHLY"
RESOURCES = {
    CostKind.MONEY: "BUDGET_RESOURCE_USD_COST",
    CostKind.CREDITS: "BUDGET_RESOURCE_CREDITS_CONSUMED",
}
"""The resources for which a limit can be set."""
_LIMIT = "limit"


class _Override(msgspec.Struct):
    user_email: str
    resource: str
    period: str
    config: dict[str, msgspec.Raw]


_KNOWN = set(_Override.__struct_fields__)
_RECORDS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_OVERRIDE = msgspec.json.Decoder(_Override)


class BudgetReading(msgspec.Struct, frozen=True):
    """What is needed to read an answer: the requested users and kind of limit, the answer's
    envelope, and where to note oddities.
    """

    users: Collection[str]
    kind: CostKind
    envelope: Envelope
    amounts: Amounts
    names: Names
    unknown: UnknownFields

    def read(self, body: bytes | bytearray) -> list[Budget]:
        """The limits in the answer; ContractBroken names what differs from the description."""
        endpoint = BUDGET_OVERRIDES
        fields = parse_object(endpoint, body)
        refuse_repeated_keys(endpoint, body)
        raw = records_in(endpoint, fields, _OVERRIDES)
        self.envelope.read(fields, refuse_other_currency(endpoint, fields))
        where = f"{endpoint}: {_OVERRIDES}"
        with decoding(where):
            records = _RECORDS.decode(raw)
        self.envelope.count(len(records))
        asked = {person_key(user): user for user in self.users}
        found: dict[str, Budget] = {}
        for place, record in enumerate(records):
            budget = self._budget(f"{where}[{place}]", record, asked)
            if budget.user in found:
                raise ContractBroken(
                    f"{where}[{place}]: {escaped(budget.user)} came twice", names=(budget.user,)
                )
            found[budget.user] = budget
        self.envelope.check(len(found))
        return list(found.values())

    def _budget(
        self, where: str, record: dict[str, msgspec.Raw], asked: Mapping[str, str]
    ) -> Budget:
        self._judge(where, record, _KNOWN)
        with decoding(where):
            override = _OVERRIDE.decode(msgspec.json.encode(record))
        for field, value, due in (
            ("resource", override.resource, RESOURCES[self.kind]),
            ("period", override.period, MONTHLY),
        ):
            if value != due:
                raise ContractBroken(
                    f"{where}.{field} is {escaped(value)}, but {due} was asked for"
                )
        name = self.names.taken(BUDGET_OVERRIDES, "user_email", override.user_email)
        user = asked.get(person_key(name))
        if user is None:
            raise ContractBroken(f"{where}: {escaped(name)} was not asked for", names=(name,))
        return Budget(user, self.kind, self._limit(f"{where}.config", override.config))

    def _limit(self, where: str, config: dict[str, msgspec.Raw]) -> Decimal:
        self._judge(where, config, {_LIMIT})
        limit = self.amounts.amount(where, _LIMIT, config[_LIMIT]) if _LIMIT in config else None
        if limit is None:
            raise ContractBroken(f"{where}: {_LIMIT} is missing")
        if limit < 0:
            raise ContractBroken(f"{where}.{_LIMIT} is {limit}; a limit cannot be negative")
        return limit

    def _judge(self, where: str, record: Mapping[str, msgspec.Raw], known: Collection[str]) -> None:
        """Note unknown fields; raises ContractBroken if one of them is about another currency."""
        unknown = {name: raw for name, raw in record.items() if name not in known}
        note_unknown(self.unknown, Fate.OF_BUDGETS, where, unknown)
