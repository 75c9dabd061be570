"""The streams that the tap has, and their fields."""

from __future__ import annotations

from enum import Enum

import msgspec
from msgspec.structs import replace

from dashboard_scraper.model.costs import WHERE_COSTS_DIFFER
from dashboard_scraper.model.doubts import DoubtKind
from dashboard_scraper.singer import fields
from dashboard_scraper.singer.fields import Field, Schema
from dashboard_scraper.store.schema import COST_DAY, COST_LEDGER, DAY_LEDGER, RUN, SEAT, USER_DAY

MISSING = "missing"
"""The `status` of a day that is not in the store."""
SINCE = "since"
ACCEPTED_AT = "accepted_at"
# Not `version`: target-postgres cannot remove rows from a table with a column of that name, since
# its UPDATE has a parameter of the same name.
DAY_VERSION = "day_version"
PROGRAM_VERSION = "program_version"


class Method(Enum):
    """How a stream is replicated."""

    INCREMENTAL = "INCREMENTAL"  # days that differ from what was sent before
    FULL_TABLE = "FULL_TABLE"  # all rows, if any differs


class Stream(msgspec.Struct, frozen=True):
    """What a catalogue and a SCHEMA message say about a stream."""

    name: str
    description: str
    fields: tuple[Field, ...]
    key: tuple[str, ...]
    method: Method
    replication_key: str | None = None

    @property
    def automatic(self) -> frozenset[str]:
        """The fields that are always sent."""
        own = {self.replication_key, fields.DELETED_AT} & {field.name for field in self.fields}
        return frozenset([*self.key, *(name for name in own if name)])

    def schema(self, names: frozenset[str] | None = None) -> Schema:
        """The JSON Schema of its records, or of only these fields."""
        chosen = [field for field in self.fields if names is None or field.name in names]
        return {
            "type": "object",
            "description": self.description,
            "properties": {field.name: field.as_json_schema() for field in chosen},
        }


_DAY = ("source", "day")
_USER_DAY = (*_DAY, "user_login")
_COST_KEY = (*_USER_DAY, "account", "resource_type", "resource")
_VERSION = replace(fields.of_column(DAY_LEDGER.c.version, nullable=True), name=DAY_VERSION)
_ACCEPTED = fields.moment(
    ACCEPTED_AT, "Since when the figures of the day are in force", nullable=False
)
_SINCE = fields.moment(
    SINCE,
    "Since when the row is right: the figures were accepted then, or a missing day had ended",
    nullable=False,
)
_STATUS = fields.text(
    "status",
    "`complete`; `empty`: nobody was active; `missing`: the day is not in the store, which says"
    " nothing about its figures",
    nullable=False,
)
_COST_STATUS = fields.text(
    "status",
    "`complete`; `missing`: the day's costs are not in the store, which does not mean none",
    nullable=False,
)
_COSTS_DOUBT = fields.text(
    DoubtKind.UNRECONCILED.word,
    WHERE_COSTS_DIFFER,
)

USER_DAYS = Stream(
    "user_days",
    "One row for each user and day",
    (
        *fields.of_table(USER_DAY, _USER_DAY),
        fields.person(),
        *fields.doubts(),
        _VERSION,
        _ACCEPTED,
        fields.deleted_at(),
    ),
    _USER_DAY,
    Method.INCREMENTAL,
    ACCEPTED_AT,
)
DAYS = Stream(
    "days",
    "One row for each day since the first in the store, also for days that are missing there",
    (
        *fields.of_table(
            DAY_LEDGER,
            _DAY,
            leave_out=("digest", "version"),
            replace=(_STATUS, *fields.doubts()),
        ),
        _VERSION,
        _SINCE,
    ),
    _DAY,
    Method.INCREMENTAL,
    SINCE,
)
COST_DAYS = Stream(
    "cost_days",
    "One row for each user, day and resource with costs",
    (
        *fields.of_table(COST_DAY, _COST_KEY),
        fields.person(),
        _COSTS_DOUBT,
        _VERSION,
        _ACCEPTED,
        fields.deleted_at(),
    ),
    _COST_KEY,
    Method.INCREMENTAL,
    ACCEPTED_AT,
)
COST_TOTALS = Stream(
    "cost_totals",
    "One row for each day since the first with costs, also for days whose costs are missing",
    (
        *fields.of_table(COST_LEDGER, _DAY, leave_out=("version",), replace=(_COSTS_DOUBT,)),
        _COST_STATUS,
        _VERSION,
        _SINCE,
    ),
    _DAY,
    Method.INCREMENTAL,
    SINCE,
)
SEATS = Stream(
    "seats",
    "One row for each person who has or had a seat, of sources that know seats",
    (*(fields.of_column(c, nullable=bool(c.nullable)) for c in SEAT.c), fields.person()),
    ("source", "user_login"),
    Method.FULL_TABLE,
)
RUNS = Stream(
    "runs",
    "One row for each source of each run that fetches, also where it failed",
    (
        *(fields.of_column(c, nullable=bool(c.nullable)) for c in RUN.c if c.name != "version"),
        replace(fields.of_column(RUN.c.version, nullable=False), name=PROGRAM_VERSION),
    ),
    ("number",),
    Method.FULL_TABLE,
)

STREAMS = {stream.name: stream for stream in (USER_DAYS, DAYS, COST_DAYS, COST_TOTALS, SEATS, RUNS)}
