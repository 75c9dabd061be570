"""The document of the store's views: `python -m dashboard_scraper.store_document`."""

from __future__ import annotations

import sys

from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql, sqlite

from dashboard_scraper.store.schema import VIEWS

_HEAD = """\
# The views of the store

<!-- Generated from the tables and the metric catalogue by `make docs`; do not edit. -->

For BI tools and SQL. These names and columns stay from version to version; later ones add to them.
NULL is unknown, never 0. The tables behind the views may change.

Count people by `person`, not by `user_login`: the latter is what the source wrote, and an address
may be spelt in several ways, or change with the company's domain.
"""

_ABOUT = {
    "user_days": "One row for each user and day; the dashboard lists users without activity too.",
    "daily_totals": "One row for each day that was fetched. A day without a row was not fetched;"
    " that is not a day without activity.",
    "editor_language_days": "One row for each user, editor and language of a day, where"
    " `daily_totals.editor_language` says that they were fetched. Only the Analytics API has them.",
    "credit_days": "One row for each user and day with credits, where `daily_totals.credits` says"
    " that they were fetched. Only the Analytics API has them.",
}

_TAIL = """\
In SQLite, a day is text (`2025-10-20`), and a moment is text in ISO 8601 with a Z
(`2025-10-20T16:02:11.100000Z`).
"""


def document() -> str:
    """The whole document, in Markdown."""
    lines = [_HEAD]
    dialects: list[Dialect] = [sqlite.dialect(), postgresql.dialect()]  # type: ignore[no-untyped-call]
    for view, query in VIEWS.items():
        lines += [f"## `{view}`", "", _ABOUT[view], ""]
        lines += ["| column | SQLite | PostgreSQL | meaning |", "|---|---|---|---|"]
        for column in query.selected_columns:
            types = " | ".join(str(column.type.compile(dialect)) for dialect in dialects)
            lines.append(f"| `{column.name}` | {types} | {column.comment} |")
        lines.append("")
    return "\n".join([*lines, _TAIL])


if __name__ == "__main__":
    sys.stdout.write(document())
