"""Write the dbt package's part of the catalogue: `python tools/dbt_catalogue.py [ANOTHER_FOLDER]`.

Its sources and staging models have the names, types and meanings of the store's views, so that a
metric's name or text is written in only one place, the catalogue.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Date, Double, Integer, Text
from sqlalchemy.sql.elements import ColumnElement

from dashboard_scraper.model.costs import AMOUNT_METRICS, COST_METRICS
from dashboard_scraper.model.doubts import DoubtKind
from dashboard_scraper.model.metrics import BY_NAME, COUNTS, REQUIRED, TOTALS
from dashboard_scraper.model.money import MAX_DECIMALS, MAX_DIGITS
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.sources.registry import SOURCES, info_of
from dashboard_scraper.store.column_types import Amount, Moment
from dashboard_scraper.store.lake.tables import TABLES
from dashboard_scraper.store.schema import PERSON, VIEWS
from store_document import ABOUT

PACKAGE = Path(__file__).parents[1] / "deploy" / "dbt"
_STAGED = (
    "user_days",
    "daily_totals",
    "editor_language_days",
    "cost_days",
    "cost_totals",
    "runs",
    "seats",
)
_IN_A_LAKE = frozenset(table.name for table in TABLES)
_AMOUNT = f"numeric({MAX_DIGITS},{MAX_DECIMALS})"
_TYPES: tuple[tuple[type, str], ...] = (
    (Moment, "timestamp with time zone"),
    (Amount, _AMOUNT),
    (Boolean, "boolean"),
    (Date, "date"),
    (Double, "double precision"),
    (BigInteger, "bigint"),
    (Integer, "bigint"),
    (Text, "text"),
)
_LOADED_AT = {
    "daily_totals": "newest_day_of_each",
    "cost_totals": "newest_day_of_each",
    "runs": "newest_run_of_each",
}
"""The macros that say how fresh a view is."""
_NOTE = "Generated from the tables and the metric catalogue by `make docs`; do not edit."


def _columns(view: str) -> list[tuple[str, str, Column[Any]]]:
    """Name, type and stored column of each column of the view."""
    return [(c.name, _type_of(c), _stored(c)) for c in VIEWS[view].selected_columns]


def _stored(column: ColumnElement[Any]) -> Column[Any]:
    return column if isinstance(column, Column) else PERSON.c[column.name]


def _type_of(column: ColumnElement[Any]) -> str:
    return next(name for kind, name in _TYPES if isinstance(column.type, kind))


def macros() -> str:
    """The catalogue as macros, for models and tests that loop over it."""
    default = Settings.model_construct()
    lags = {name: info_of(name).lag_days(default) for name in SOURCES}
    unknown = {
        name: [metric.name for metric in COUNTS if metric not in info_of(name).meanings]
        for name in SOURCES
    }
    lists = {
        "counts": ("Figures that add up over users and days.", _names(COUNTS)),
        "required": ("Figures that say whether somebody was active.", _names(REQUIRED)),
        "counts_with_totals": (
            "Figures that a source may sum up itself.",
            [total.name for total in TOTALS if total.name in BY_NAME],
        ),
        "cost_metrics": ("Tokens and amounts.", _names(COST_METRICS)),
        "amounts": ("Money and credits, which are exact.", _names(AMOUNT_METRICS)),
        "amount_type": ("The type of an amount.", _AMOUNT),
        "unknown_counts": (
            "Figures that a source does not know.",
            {name: figures for name, figures in unknown.items() if figures},
        ),
        "lag_days": (
            "Days after a day's end on which a source has its figures.",
            {name: days for name, days in lags.items() if days},
        ),
    }
    parts = [f"{{#- {_NOTE} -#}}"]
    for name, (about, value) in lists.items():
        parts.append(_macro(name, about, value))
    views = {view: [[name, kind] for name, kind, _ in _columns(view)] for view in _STAGED}
    body = _json(views).replace("], [", "],\n    [").replace(']], "', ']],\n    "')
    about = "{#- Names and types of the columns of a view. -#}"
    parts.append(
        f"{about}\n{{% macro columns_of(view) %}}\n{{{{ return({body}[view]) }}}}\n{{% endmacro %}}"
    )
    return "\n\n".join(parts) + "\n"


def _names(metrics: Iterable[Any]) -> list[str]:
    return [metric.name for metric in metrics]


def _macro(name: str, about: str, value: object) -> str:
    text = _json(value)
    return f"{{#- {about} -#}}\n{{% macro {name}() %}}\n{{{{ return({text}) }}}}\n{{% endmacro %}}"


def _json(value: object) -> str:
    """The value as both Jinja and YAML read it."""
    return json.dumps(value)


def sources() -> str:
    """The views as dbt's sources, with their freshness."""
    return "\n".join(_source_lines()) + "\n"


_SOURCE = """\
# {note}
version: 2

sources:
  - name: dashboard_scraper
    description: The views of the store, or the tables of a lake with the same names and columns.
    database: "{{{{ var('store_database') or target.database }}}}"
    schema: "{{{{ var('store_schema') or {schemas}[var('store')] }}}}"
    config:
      meta: "{{{{ ({{'plugin': 'iceberg'}} if var('store') == 'lake' else {{}}) | as_native }}}}"
    tables:"""
_SCHEMAS = {"postgres": "public", "sqlite": "main", "lake": "usage"}


def _source_lines() -> Iterator[str]:
    schemas = "{" + ", ".join(f"'{store}': '{name}'" for store, name in _SCHEMAS.items()) + "}"
    yield _SOURCE.format(note=_NOTE, schemas=schemas)
    for view in VIEWS:
        yield f"      - name: {view}"
        yield f"        description: {_json(ABOUT[view])}"
        yield from _config_lines(view)
        yield "        columns:"
        for name, kind, column in _columns(view):
            yield f"          - name: {name}"
            yield f"            description: {_json(column.comment)}"
            yield f"            data_type: {kind}"


def _config_lines(view: str) -> Iterator[str]:
    lines = []
    if view not in _IN_A_LAKE:
        lines.append("""enabled: "{{ var('store') != 'lake' }}\"""")
    if macro := _LOADED_AT.get(view):
        table = f"source('dashboard_scraper', '{view}')"
        lines += [
            "freshness:",
            *(f"  {kind}_after: {_age(f'{kind}_after_hours')}" for kind in ("warn", "error")),
            f'loaded_at_query: "{{{{ dashboard_scraper.{macro}({table}) }}}}"',
        ]
    if lines:
        yield "        config:"
        yield from (f"          {line}" for line in lines)


def _age(variable: str) -> str:
    return f"""{{count: "{{{{ var('{variable}') | as_number }}}}", period: hour}}"""


def staging() -> str:
    """The staging models: the meaning of their columns, and tests of keys, types and figures."""
    return "\n".join(_staging_lines()) + "\n"


def _staging_lines() -> Iterator[str]:
    yield f"# {_NOTE}\nversion: 2\n\nmodels:"
    for view in _STAGED:
        keys = [name for name, _, column in _columns(view) if column.primary_key]
        yield f"  - name: stg_dashboard_scraper__{view}"
        yield f"    description: {_json(ABOUT[view])}"
        if view not in _IN_A_LAKE:
            yield """    config:\n      enabled: "{{ var('store') != 'lake' }}\""""
        yield "    data_tests:"
        yield f"      - unique_together:\n          arguments: {{columns: {_json(keys)}}}"
        yield f"      - typed_as_catalogued:\n          arguments: {{view: {view}}}"
        yield f"      - never_null:\n          arguments: {{columns: {_json(_required(view))}}}"
        yield from _range_lines(view)
        yield "    columns:"
        for name, kind, column in _columns(view):
            yield f"      - name: {name}"
            yield f"        description: {_json(column.comment)}"
            yield f"        data_type: {kind}"
            if values := _VALUES.get((view, name)):
                yield "        data_tests:\n          - accepted_values:"
                yield f"              arguments: {{values: {_json(values)}}}"
        for name, meaning in _DERIVED.get(view, {}).items():
            yield f"      - name: {name}\n        description: {_json(meaning)}"
            yield "        data_type: boolean"


def _required(view: str) -> list[str]:
    """The columns that every row has. Rows that belong to nobody have no person."""
    optional = [] if view == "user_days" else [PERSON.c.person]
    names = [
        name
        for name, _, column in _columns(view)
        if not column.nullable and all(column is not each for each in optional)
    ]
    return [*names, *_DERIVED.get(view, {})]


_COUNTED_BESIDE: Mapping[str, list[str]] = MappingProxyType(
    {"user_days": [], "daily_totals": ["users", "active_users", "forgotten", "repeats"]}
)
"""What the views with figures count besides these."""


def _range_lines(view: str) -> Iterator[str]:
    """Tests that no figure is below 0; amounts may be, in corrections."""
    if view in _COUNTED_BESIDE:
        arguments = f"{{columns: {_json(_COUNTED_BESIDE[view])}}}"
        yield f"      - counts_are_not_negative:\n          arguments: {arguments}"


_VALUES = {
    ("daily_totals", "status"): ["complete", "empty"],
    ("cost_days", "account"): ["person", "service_account", "unattributed"],
}


_IS_ACTIVE = "Whether the user was, or may have been, active, as the program itself decides it"
_OF_DOUBT = "Whether the store has the day marked as"
_DERIVED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "user_days": {"is_active": _IS_ACTIVE},
        "daily_totals": {
            **{f"is_{kind.word}": f"{_OF_DOUBT} {kind.word}: {kind.meaning}" for kind in DoubtKind},
            "is_in_doubt": "Whether the store has the day marked as any of these",
        },
        "cost_totals": {"is_unreconciled": f"{_OF_DOUBT} unreconciled"},
    }
)
"""The columns that a staging model adds."""

FILES: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        "macros/catalogue.sql": macros,
        "models/sources.yml": sources,
        "models/staging/staging.yml": staging,
    }
)


def main(folder: Path) -> None:
    """Write the files into the package."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE)
