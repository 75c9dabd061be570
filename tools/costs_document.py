"""The page on costs: its text is written by hand, its tables of columns are generated."""

from __future__ import annotations

from pathlib import Path

from dashboard_scraper.exports.focus import COLUMNS
from dashboard_scraper.model.costs import COST_METRICS
from page_tables import with_tables_in

PAGE = Path(__file__).parents[1] / "docs" / "costs.md"
_BEGIN = "<!-- Generated from {} by `make docs`; do not edit this table. -->\n"
_END = "<!-- The end of the generated table of {}. -->\n"


def document() -> str:
    """The whole page as it is now, with the tables as the catalogues have them."""
    text = PAGE.read_text(encoding="utf-8")
    for name, rows in (("metrics", _metrics()), ("FOCUS", _focus())):
        text = with_tables_in(text, PAGE, _BEGIN.format(name), _END.format(name), "\n".join(rows))
    return text


def _metrics() -> list[str]:
    return [
        "| Column | In SQL and Parquet | Kind | Meaning |",
        "|---|---|---|---|",
        *(f"| {m.title} | `{m.name}` | {m.kind.value} | {m.definition} |" for m in COST_METRICS),
        "",
    ]


def _focus() -> list[str]:
    return [
        "| Column | Type | Value |",
        "|---|---|---|",
        *(f"| `{c.name}` | {c.type.value} | {c.meaning} |" for c in COLUMNS),
        "",
    ]
