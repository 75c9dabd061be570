"""The mapping from CSV to JSON, made from the metric catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dashboard_scraper.exports.copilot_converter import PLACES, Feature, Place
from dashboard_scraper.github.counters import Counter
from dashboard_scraper.github.records import AT_LEAST, FLAGS, PLACE_OF, SHOWN_AS, GithubFeature
from dashboard_scraper.model.metrics import (
    AUGMENT_METRICS,
    SERVICE_ACCOUNT_TITLE,
    USER_TITLE,
    Kind,
    Metric,
    parts_of,
)
from dashboard_scraper.sources.analytics.fields import COUNTED, IDENTITY
from dashboard_scraper.sources.dashboard.fields import FIELDS, USER_FIELD

_HEAD = """\
# From the CSV to the Copilot JSON

<!-- Generated from the metric catalogue by `make docs`; do not edit. -->

Which column counts where in `copilot_metrics_YYYY-MM-DD.json`, in
`copilot_metrics_aggregated.json` and in the output of `convert`.
"""

_RULES = """\
## Rules

- Every record has three feature rows, in this order: {features}. Every feature row, and the top
  level, has all seven counters: {counters}. A counter that no column feeds is 0.
- A counter of the top level is the sum of the feature rows, except `{total}`, which is
  {total_title} as the source reports it.
- The columns after the dashboard's own table are only in CSVs whose figures come from the
  Analytics API, followed by `{service}`: `true` for an account that is not a person. Figures that
  the API does not have are empty cells.
- If several columns feed one counter, they are added.
- An empty cell means unknown: every counter that it feeds is `null`, not 0.
- A person has one record per day and one in the aggregate, and one `user_id`, whatever the
  spelling: addresses that differ in capitals or in Unicode's normal form, or that `IDENTITY_FILE`
  gives to one login, belong to one person. Their figures are added. In names of service accounts,
  capitals count.
- `user_login` is the person's address, or the service account's name: of several spellings, the
  newest in the window of the export.
- `user_id` is the first 8 hexadecimal digits of the MD5 of the case-folded address, as a number;
  for a person with several addresses in `IDENTITY_FILE`, of the first address. If two people in one
  export have the same number, the one whose address comes first in alphabetical order keeps it; the
  other gets the number of `ADDRESS#2` (or `#3` and so on), the first that nobody else in the export
  has. The run names both. GitHub's reports have another id, derived from the SHA-256.
- In the CSV of a day, the user is spelled as the source did that day. Several spellings on one day
  become one row, under the last of them in alphabetical order: counts are added, the accept rate is
  computed from the sums, and first and last seen are the earliest and the latest. A figure that is
  unknown for one spelling is unknown for the person, in the day's record and in the aggregate too.
- `used_chat` is true with any {chat}. `used_agent` is true with any of {agent}. An unknown figure
  sets no flag. With several spellings on one day, a flag is true if it is true for one of them,
  even if the sum is unknown; records that are made from the one row of a CSV or of Parquet cannot
  know that. In the aggregate, a flag is true if it was true on any day.
- A user for whom nothing was counted that day has no record.
- `day` is the day of the activity; in the aggregate, the window's last day.
  `report_start_day` and `report_end_day` are the window of the export.
- `enterprise_id` is the setting `ENTERPRISE_ID`.
- Augment does not report deleted lines; the counters for them are 0.
"""

_GITHUB_HEAD = """\
## GitHub's reports

Which column counts where in `github_reports/` and in the answers of `serve`. In these reports, a
feature row in which everything is zero is left out, the top level is the sum of the feature rows,
and unknown figures count as 0. [github-tools.md](github-tools.md) has the other rules.
"""


_GITHUB_REASONS = """\
- **Remote agents** are in the rows of the editor's agent. GitHub has no feature for its cloud
  agent: it appears only in `used_copilot_cloud_agent`, in `…_active_copilot_cloud_agent_users` and
  in adoption phases (looked up in November 2026). Under `others`, remote agents would be missing
  from the share that tools call agentic, which they compute from these two rows. `used_agent` and
  `monthly_active_agent_users` cover only the editor's agent, as with GitHub. The editor of remote
  agents is `unknown`.
- **The command line** also has a complete `totals_by_cli`, as with GitHub: `prompt_count` and
  `request_count` are its messages (a message is a prompt, and at least one request),
  `session_count` and tokens are 0 because they are unknown, the average is null, and there is no
  version.
- **Generations of agents** are 0, since the number of their edits is unknown, and so are deleted
  lines: the format has no null for them."""


def document() -> str:
    """The whole document, in Markdown."""
    table = ["| CSV column | dashboard | Copilot JSON | Analytics API |", "|---|---|---|---|"]
    rows = [(USER_TITLE, _code([USER_FIELD]), "`user_login`, `user_id`", _code(IDENTITY))]
    rows += [
        (m.title, _code([FIELDS.get(m, "")]), _places(m), _in_analytics(m)) for m in AUGMENT_METRICS
    ]
    table += [f"| {' | '.join(row)} |" for row in rows]
    definitions = ["## What the columns mean", ""]
    definitions += [f"- **{metric.title}**: {metric.definition}." for metric in AUGMENT_METRICS]
    rules = _RULES.format(
        service=SERVICE_ACCOUNT_TITLE,
        features=_code(feature.value for feature in Feature),
        counters=_code(counter.value for counter in Counter),
        total=Counter.ADDED.value,
        total_title=_titles_at(lambda place: place.feature is None),
        chat=_titles_at(lambda place: place.feature is Feature.CHAT),
        agent=_titles_at(lambda place: place.feature is Feature.AGENT),
    )
    return "\n".join([_HEAD, *table, "", rules, *definitions, "", _github(), ""])


def _github() -> str:
    """Where the columns count in GitHub's own reports, which have other features."""
    rows = [
        f"| {metric.title} | `{SHOWN_AS.get(place, place.feature).value}.{place.counter.value}` |"
        for metric, place in PLACE_OF.items()
    ]
    flags = [
        f"- `{flag}` is true with any of {_titles_of(features)}."
        for flag, features in FLAGS.items()
    ]
    bounds = [
        f"- **{metric.title}** count as {other.title} if a source does not have them, since that"
        "\n  many at least were suggested. With a 0, tools would show an acceptance rate of lines"
        "\n  of 0 % beside accepted lines; this way it is 100 %, which is all that the source says."
        for metric, other in AT_LEAST.items()
    ]
    table = ["| CSV column | GitHub's reports |", "|---|---|", *rows]
    return "\n".join([_GITHUB_HEAD, *table, "", *flags, *bounds, _GITHUB_REASONS])


def _titles_of(features: Iterable[GithubFeature]) -> str:
    wanted = set(features)
    return ", ".join(m.title for m, place in PLACE_OF.items() if place.feature in wanted)


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names if name)


def _in_analytics(metric: Metric) -> str:
    if metric in COUNTED or metric.kind is Kind.DAYS:
        return _code([metric.name])
    if metric.kind is Kind.PERCENT:
        return "from the two before"
    return " + ".join(_code([part.name]) for part in parts_of(metric) if part in COUNTED)


def _titles_at(matches: Callable[[Place], bool]) -> str:
    return ", ".join(m.title for m, places in PLACES.items() if any(map(matches, places)))


def _places(metric: Metric) -> str:
    return _code(
        f"{place.feature.value}.{place.counter.value}" if place.feature else place.counter.value
        for place in PLACES.get(metric, ())
    )
