"""The page on the store's views and its lock, made from the tables and the metric catalogue."""

from __future__ import annotations

from sqlalchemy import Column, Dialect
from sqlalchemy.dialects import postgresql, sqlite

from dashboard_scraper.store.schema import PERSON, VIEWS

_HEAD = """\
# The views of the store

<!-- Generated from the tables and the metric catalogue by `make docs`; do not edit. -->

For BI tools and SQL. These names and columns stay from version to version; later versions only add
to them. NULL means unknown, never 0. The tables behind the views may change.

Count people by `person`, not by `user_login`: the latter is what the source wrote, and an address
may be spelled in several ways, or change with the company's domain.
"""

ABOUT = {
    "user_days": "One row for each user and day; the dashboard lists users without activity too.",
    "daily_totals": "One row for each day that was fetched. A day without a row was not fetched,"
    " which does not mean that nobody was active.",
    "editor_language_days": "One row for each user, editor and language of a day, if"
    " `daily_totals.editor_language` says that they were fetched. Only the Analytics API has them.",
    "credit_days": "One row for each user and day with credits, if `daily_totals.credits` says"
    " that they were fetched. The Analytics API has credits, and GitHub Copilot has AI credits.",
    "cost_days": "One row for each user, day and resource with costs. Amounts are exact: see the"
    " end of this page before adding them up in SQLite. `billed` and `estimated` are different"
    " figures: do not add one to the other.",
    "cost_totals": "One row for each day whose costs were fetched, with the sums of its rows, and"
    " the source's own sums. A day without a row has unknown costs, not none.",
    "user_budgets": "The limits of users that the source named in the last run. A user without a"
    " row may still be limited by a budget of the whole organization.",
    "seats": "One row for each user who has or had a seat, of sources that report seats.",
    "records": "One row for each record that a source sent for a user and day, or for the whole"
    " tenant, unchanged, so that no field is lost that the catalogue does not know. Only Copilot"
    " has them.",
    "runs": "One row for each source of each run that fetches, even if it failed. A run that"
    " found the store locked by another one has no row.",
    "notices": "One row for each occasion to notify somebody, and for how long it lasted.",
}

_TAIL = """\
In SQLite, a day is text (`2025-10-20`), and a time is text in ISO 8601 with a Z
(`2025-10-20T16:02:11.100000Z`). An amount of money or credits is text too (`3.417`): SQLite's own
numbers are binary and would change its last digits, and `SUM(billed)` would do so as well. The
shell `sqlite3` has `decimal_sum(billed)`, which is exact, and so is PostgreSQL's `SUM` of its
`numeric`. If all amounts are unknown, `decimal_sum` returns 0: add `WHERE billed IS NOT NULL`.
"""

_LOCK = """\
## The lock

Only one run at a time writes. For SQLite, the lock is a lock of the operating system on the file
beside the store that ends in `.lock`, and is released when the process ends. For PostgreSQL, it is
the only row of the table `store_lease`. It does not depend on a connection, so it works behind
poolers and through lost connections:

- The run that takes the lock raises `fence` by one. The last statement of each of its transactions
  updates the row under that number; if another run has raised it meanwhile, the transaction is
  rolled back, and the run ends with exit code 7.
- The run raises `beat` many times within `seconds` (the setting `STORE_LEASE_SECONDS`). Another run
  that finds the row held watches it. As soon as `beat` changes, the watching run ends with exit
  code 7, and says who holds the row, since when, the last heartbeat, and when the holder would
  count as dead. If `beat` does not change for `seconds`, by the watcher's own monotonic clock, the
  watcher takes over; a watcher that could not look for a while, because the server was down, starts
  again. So a killed run delays the next one by at most that time, and a clock that jumps changes
  nothing: the times in the row are only for people.
- Transactions that the dead run has left open are ended, since they would block others from its
  days.
- `writes` is the number of the run's last transaction. If a connection is lost before the answer
  to COMMIT, it shows whether the transaction has to be done again.
- A run that ends, even by a signal, frees the row at once. To free it by hand:
  `UPDATE store_lease SET held = false`.

Behind a pooler, put the pooler's address into STORE_URL unchanged; parameters that poolers suggest
to other drivers (`pgbouncer=true`, `prepare_threshold=0`) may stay in it, since nothing is ever
prepared.
"""


def document() -> str:
    """The whole document, in Markdown."""
    lines = [_HEAD]
    dialects: list[Dialect] = [sqlite.dialect(), postgresql.dialect()]  # type: ignore[no-untyped-call]
    for view, query in VIEWS.items():
        lines += [f"## `{view}`", "", ABOUT[view], ""]
        lines += ["| column | SQLite | PostgreSQL | meaning |", "|---|---|---|---|"]
        for column in query.selected_columns:
            types = " | ".join(str(column.type.compile(dialect)) for dialect in dialects)
            stored = column if isinstance(column, Column) else PERSON.c[column.name]
            lines.append(f"| `{column.name}` | {types} | {stored.comment} |")
        lines.append("")
    return "\n".join([*lines, _TAIL, _LOCK])
