"""Write the dashboards as TypeScript with Grafana's own types, for its compiler to check:
`python tools/grafana_types.py FILE`, with @grafana/schema in `node_modules` beside the file.

An object literal in TypeScript may not have a property that its type lacks: so a misspelt option
fails, which Grafana itself would ignore.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from grafana_dashboards import dashboards
from grafana_panels import Json

_OPTIONS = {
    "state-timeline": ("statetimeline", "FieldConfig"),
    "stat": ("stat", ""),
    "table": ("table", "FieldConfig"),
    "timeseries": ("timeseries", "FieldConfig"),
}
"""The module of the options of each kind of panel, and the type of its fields' options there."""

_HEAD = """\
import type { Dashboard, FieldConfig, FieldConfigSource, Panel, RowPanel } from "@grafana/schema";

// In JSON, an enumeration is its text or its number.
type Json<T> = T extends string ? `${T}` : T extends number ? number
  : T extends object ? { [K in keyof T]: Json<T[K]> } : T;
type PanelOf<Options, Field> = Json<Omit<Panel, "options" | "fieldConfig"> & {
  options: Options;
  fieldConfig: Omit<FieldConfigSource, "defaults"> & {
    defaults: Omit<FieldConfig, "custom"> & { custom: Partial<Field> };
  };
}>;
type Nothing = Record<string, never>;
"""
_MODULE = "./node_modules/@grafana/schema/dist/types/raw/composable/{}/panelcfg/x/types.gen"


def _checked(kind: str, value: Json) -> str:
    return f"{{ const checked: {kind} = {json.dumps(value)}; void checked; }}\n"


def _kind_of(panel: Json) -> str:
    if panel["type"] == "row":
        return "Json<RowPanel>"
    module, field = _OPTIONS[panel["type"]]
    return f"PanelOf<{module}.Options, {f'{module}.{field}' if field else 'Nothing'}>"


def _lines() -> Iterator[str]:
    yield _HEAD
    for module, _ in _OPTIONS.values():
        yield f'import type * as {module} from "{_MODULE.format(module)}";\n'
    for name, dashboard in dashboards().items():
        yield f"// {name}\n"
        yield _checked(
            'Json<Omit<Dashboard, "panels">>',
            {key: value for key, value in dashboard.items() if key != "panels"},
        )
        for panel in dashboard["panels"]:
            yield _checked(_kind_of(panel), panel)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text("".join(_lines()), encoding="utf-8")
