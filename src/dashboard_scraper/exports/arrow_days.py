"""A stored day as outputs show it, as Arrow tables for Parquet and for a lake."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet

from dashboard_scraper.errors import OutputFailed
from dashboard_scraper.exports.stored_costs import content_of
from dashboard_scraper.model.costs import COST_METRICS, Cost
from dashboard_scraper.model.doubts import DoubtKind, words_by_kind
from dashboard_scraper.model.figures import values_of
from dashboard_scraper.model.tolerance import Tolerance
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.examples import costs_as_shown, users_as_shown
from dashboard_scraper.people.shown_costs import person_of
from dashboard_scraper.store import CostLedgerDay, LedgerDay
from dashboard_scraper.store.arrow import COST_DAYS, USER_DAYS

_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_DIGEST_BYTES = 8  # 16 letters, which Iceberg's manifests have in full
_FORMAT = 2
"""To be raised if a day is written in another way and no example in the digest shows that."""
FRESHNESS = ("fetched_at", "repeats")
"""What the ledger records for each fetch, even if the answer is the same as before."""


def user_days(
    row: LedgerDay, users: Iterable[UserUsage], audience: Audience, tolerance: Tolerance
) -> pa.Table:
    """The rows of the users that `Audience.shown` returned."""
    listed, marks = list(users), words_by_kind(row, tolerance)
    count = len(listed)
    figures = zip(*(values_of(user.figures) for user in listed), strict=True)
    columns: list[Any] = [
        [row.source] * count,
        [row.day] * count,
        [user.user for user in listed],
        *(list(column) for column in figures),
        [user.extra_json for user in listed],
        [user.service for user in listed],
        [audience.person_of_shown(user.user) for user in listed],
        *([marks.get(kind.word)] * count for kind in DoubtKind),
    ]
    if not listed:  # without users, zip yields no columns
        return USER_DAYS.schema.empty_table()
    arrays = [pa.array(c, field.type) for c, field in zip(columns, USER_DAYS.schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=USER_DAYS.schema)


def cost_days(row: CostLedgerDay, costs: Iterable[Cost], audience: Audience) -> pa.Table:
    """The rows of the costs that `shown_costs` returned.

    OutputFailed if the sum over a person's spellings is more than a column holds.
    """
    unreconciled = row.unreconciled_words
    rows = [
        (
            *(row.source, row.day, cost.user, cost.resource_type, cost.resource),
            *(cost.account.value, row.currency),
            *(cost.figures[metric] for metric in COST_METRICS),
            *(person_of(cost, audience), unreconciled),
        )
        for cost in costs
    ]
    return table_of(rows, COST_DAYS.schema, row.day)


def table_of(rows: Sequence[Sequence[Any]], schema: pa.Schema, day: date) -> pa.Table:
    """The table of a day's rows; OutputFailed if a sum of amounts is longer than a column holds."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    try:
        arrays = [pa.array(c, field.type) for c, field in zip(columns, schema, strict=True)]
    except (pa.ArrowInvalid, OverflowError) as error:
        raise OutputFailed(
            f"{day}: what the spellings of one person cost together is longer than Parquet holds:"
            f" {error}"
        ) from error
    return pa.Table.from_arrays(arrays, schema=schema)


def parquet_of(table: pa.Table, metadata: Mapping[Any, Any]) -> bytes:
    """The table as a Parquet file with this metadata."""
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


class CostContents:
    """Identifies what a day's rows of costs are written from, as `DayContents` does for usage."""

    def __init__(self, audience: Audience) -> None:
        columns = [f"{field}" for field in COST_DAYS.schema]
        self._made_with = [_FORMAT, columns, costs_as_shown(audience), audience.people.known]

    def of(self, row: CostLedgerDay) -> str:
        """The identifier for a row of the ledger of costs."""
        made_from = _encode_sorted([self._made_with, content_of(row)])
        return hashlib.blake2b(made_from, digest_size=_DIGEST_BYTES).hexdigest()


class DayContents:
    """Identifies what a day's rows are written from, without reading them.

    Equal if the store has the same version of the day and the settings show it in the same way.
    """

    def __init__(self, audience: Audience, tolerance: Tolerance, forgets: int) -> None:
        """`forgets` is the store's number of removals: other people's rows may have named those
        people.
        """
        columns = [f"{field}" for field in USER_DAYS.schema]
        shown, known = users_as_shown(audience), audience.people.known
        self._made_with = [_FORMAT, columns, shown, known, tolerance.as_numbers(), forgets]

    def of(self, ledger: Mapping[str, Any]) -> str:
        """The identifier for a row of the ledger, by column name."""
        row = {name: value for name, value in ledger.items() if name not in FRESHNESS}
        found = hashlib.blake2b(_encode_sorted([self._made_with, row]), digest_size=_DIGEST_BYTES)
        return found.hexdigest()
