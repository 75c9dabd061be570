"""The mapping document, made from the catalogue: `python -m dashboard_scraper.mapping_document`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from dashboard_scraper.metrics import (
    FIGURES,
    USER_FIELD,
    USER_TITLE,
    Counter,
    Feature,
    Metric,
    Place,
)

_HEAD = """\
# From the CSV to the Copilot JSON

<!-- Generated from the metric catalogue by `make docs`; do not edit. -->

Which column counts where in `copilot_metrics_YYYY-MM-DD.json`, in
`copilot_metrics_aggregated.json` and in what `convert` writes.
"""

_RULES = """\
## Rules

- Every record has three feature rows, in this order: {features}. Every feature row, and the top
  level, has all seven counters: {counters}. A counter that no column feeds is 0.
- A counter of the top level is the sum of the feature rows, except `{total}`, which is
  {total_title} as the source says it.
- Several columns that feed one counter are added.
- An empty cell is unknown: every counter that it feeds is `null`, not 0.
- `user_login` is the user's address. `user_id` is the number that the first 8 hexadecimal digits
  of the MD5 of the lower-cased address write. Where two users of one export have the same number,
  the one whose address comes first in alphabetical order keeps it; the other gets the number of
  `ADDRESS#2` (or `#3` and so on), the first that no user of the export has. The run names both.
- `used_chat` is true with any {chat}. `used_agent` is true with any of {agent}. What
  is unknown sets no flag. In the aggregate, a flag is true if it was on any day.
- A user for whom nothing was counted that day has no record.
- `day` is the day whose activity the record holds; in the aggregate, the window's last day.
  `report_start_day` and `report_end_day` are the window of the export.
- `enterprise_id` is the setting `ENTERPRISE_ID`.
- Augment does not report deleted lines; the counters for them are 0.
"""


def document() -> str:
    """The whole document, in Markdown."""
    rows = [(USER_TITLE, USER_FIELD, "`user_login`, `user_id`")]
    rows += [(metric.title, metric.dashboard, _places(metric)) for metric in FIGURES]
    table = ["| CSV column | API field | Copilot JSON |", "|---|---|---|"]
    table += [f"| {title} | `{field}` | {places} |" for title, field, places in rows]
    definitions = ["## What the columns mean", ""]
    definitions += [f"- **{metric.title}**: {metric.definition}." for metric in FIGURES]
    rules = _RULES.format(
        features=_code(feature.value for feature in Feature),
        counters=_code(counter.value for counter in Counter),
        total=Counter.ADDED.value,
        total_title=_titles_at(lambda place: place.feature is None),
        chat=_titles_at(lambda place: place.feature is Feature.CHAT),
        agent=_titles_at(lambda place: place.feature is Feature.AGENT),
    )
    return "\n".join([_HEAD, *table, "", rules, *definitions, ""])


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _titles_at(matches: Callable[[Place], bool]) -> str:
    return ", ".join(m.title for m in FIGURES if any(matches(place) for place in m.copilot))


def _places(metric: Metric) -> str:
    return _code(
        f"{place.feature.value}.{place.counter.value}" if place.feature else place.counter.value
        for place in metric.copilot
    )


if __name__ == "__main__":
    sys.stdout.write(document())
