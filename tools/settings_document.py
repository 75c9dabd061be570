"""The page on configuration: its words are written by hand, its table of settings is made."""

from __future__ import annotations

from pathlib import Path

from pydantic.fields import FieldInfo

from dashboard_scraper.settings.config import Endpoint, Settings

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
BEGIN = "<!-- Generated from `Settings` by `make docs`; do not edit this table. -->\n"
END = "<!-- The end of the generated table. -->\n"


def document() -> str:
    """The whole page as it is now, with the table as `Settings` has it.

    ValueError where the page lacks the two comments between which the table belongs.
    """
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE} lacks the comments around the table: {BEGIN}{END}")
    return f"{before}{BEGIN}\n{_table()}\n{END}{after}"


def _table() -> str:
    rows = ["| Variable | Default | Description |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        rows.append(f"| `{name.upper()}` | {_default(field)} | {field.description} |")
    return "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    """As one writes it in `.env`; what is empty there is `none`."""
    value = field.default
    if value == frozenset(Endpoint):
        return "`all`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    text = "" if value in (None, ()) else str(value)
    return f"`{text}`" if text else "none"
