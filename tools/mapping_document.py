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
`copilot_metrics_aggregated.json` and in what `convert` writes.
"""

_RULES = """\
## Rules

- Every record has three feature rows, in this order: {features}. Every feature row, and the top
  level, has all seven counters: {counters}. A counter that no column feeds is 0.
- A counter of the top level is the sum of the feature rows, except `{total}`, which is
  {total_title} as the source reports it.
- The columns after the dashboard's own table stand only in CSVs whose figures come from the
  Analytics API, with `{service}` after them: `true` for an account that is not a person. What that
  API does not know is an empty cell there.
- Several columns that feed one counter are added.
- An empty cell is unknown: every counter that it feeds is `null`, not 0.
- A person has one record a day and one in the aggregate, and one `user_id`, whatever the spelling:
  addresses that differ in capitals or in Unicode's normal form, or that `IDENTITY_FILE` gives to
  one login, are one person's. Their figures are added. In names of service accounts, capitals
  count.
- `user_login` is the person's address, or the service account's name: of several spellings, the
  newest in the window of the export.
- `user_id` is the number that the first 8 hexadecimal digits of the MD5 of the case-folded address
  write; of somebody with several addresses in `IDENTITY_FILE`, of the first. Where two people of
  one export have the same number, the one whose address comes first in alphabetical order keeps it;
  the other gets the number of `ADDRESS#2` (or `#3` and so on), the first that nobody of the export
  has. The run names both. GitHub's reports have another id: it follows from the SHA-256.
- In the CSV of a day, the user is spelt as the source did that day. Of several spellings on one day
  there is one row, under the last of them in alphabetical order: counts are added, the accept rate
  follows from the sums, first and last seen are the earliest and the latest, and what is unknown of
  one spelling is unknown: in the day's record and in the aggregate too.
- `used_chat` is true with any {chat}. `used_agent` is true with any of {agent}. What
  is unknown sets no flag. Of several spellings on one day, a flag is true if it is for one of them,
  also where the sum is unknown; records that are made from the one row of a CSV or of Parquet
  cannot know that. In the aggregate, a flag is true if it was on any day.
- A user for whom nothing was counted that day has no record.
- `day` is the day whose activity the record holds; in the aggregate, the window's last day.
  `report_start_day` and `report_end_day` are the window of the export.
- `enterprise_id` is the setting `ENTERPRISE_ID`.
- Augment does not report deleted lines; the counters for them are 0.
"""

_GITHUB_HEAD = """\
## GitHub's reports

Which column counts where in `github_reports/` and in what `serve` answers. There, a feature row
that is all zero is left out, the top level is the sum of the feature rows, and what is unknown
counts as 0. [github-tools.md](github-tools.md) has the other rules.
"""


_GITHUB_REASONS = """\
- **Remote agents** are in the rows of the editor's agent. GitHub has no feature for its cloud
  agent: it appears in `used_copilot_cloud_agent`, in `…_active_copilot_cloud_agent_users` and in
  adoption phases alone (looked up in November 2026). Under `others`, tools left remote agents out
  of the share that they call agentic; these two rows are what they count there. `used_agent` and
  `monthly_active_agent_users` are of the editor's agent alone, as with GitHub. The editor of
  remote agents is `unknown`.
- **The command line** has `totals_by_cli` as well, whole as with GitHub: `prompt_count` and
  `request_count` are its messages (a message is a prompt, and a request at least),
  `session_count` and tokens are 0 because they are unknown, the average is null, and there is no
  version.
- **Generations of agents** are 0, since the number of their edits is unknown, and so are lines
  that were deleted: the format has no null for them."""


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
        f"- **{metric.title}** count as {other.title} where a source does not know them: so many"
        "\n  were suggested at least. With a 0, tools show an acceptance rate of lines of 0 %"
        "\n  beside accepted lines; so it is 100 %, which is all that the source says."
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
