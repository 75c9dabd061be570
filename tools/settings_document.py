"""The page on configuration: its text is written by hand, its tables of settings are generated."""

from __future__ import annotations

from inspect import cleandoc
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dashboard_scraper.settings.config import Settings
from dashboard_scraper.sources.dashboard.settings import Endpoint
from page_tables import with_tables

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
BEGIN = "<!-- Generated from `Settings` by `make docs`; do not edit these tables. -->\n"
END = "<!-- The end of the generated tables. -->\n"


def document() -> str:
    """The whole page as it is now, with the tables as `Settings` has them.

    ValueError where the page lacks the two comments between which the tables belong.
    """
    return with_tables(PAGE, BEGIN, END, _tables())


def _tables() -> str:
    return "\n".join(f"### {_title(group)}\n\n{_table(group)}" for group in _groups())


def _groups() -> list[type[BaseModel]]:
    """The groups that make up `Settings`, then those that they share."""
    own = list(reversed(Settings.__bases__))
    shared = [each for each in reversed(Settings.__mro__) if each not in (*own, Settings)]
    return [each for each in (*own, *shared) if issubclass(each, BaseModel) and _names(each)]


def _names(group: type[BaseModel]) -> list[str]:
    """The settings that the group itself declares."""
    return [
        name for name in vars(group).get("__annotations__", ()) if name in Settings.model_fields
    ]


def _title(group: type[BaseModel]) -> str:
    return cleandoc(group.__doc__ or "").rstrip(".")


def _table(group: type[BaseModel]) -> str:
    rows = ["| Variable | Default | Description |", "|---|---|---|"]
    for name in _names(group):
        field = Settings.model_fields[name]
        rows.append(f"| `{name.upper()}` | {_default(field)} | {field.description} |")
    return "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    """As it is written in `.env`; `none` if it is empty there."""
    value = field.default
    if value == frozenset(Endpoint):
        return "`all`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    text = "" if value in (None, ()) else str(value)
    return f"`{text}`" if text else "none"
