"""The SQL of the dashboards, over the store's views.

A day that is not stored is NULL in every query: the days come from a calendar, to which the stored
ones are joined. Nothing after yesterday is expected, and from some sources not even yesterday.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dashboard_scraper.model.costs import CostKind, CostMetric
from dashboard_scraper.model.doubts import DoubtKind
from dashboard_scraper.model.metrics import ACTIVE_DAYS, COUNTS, REQUIRED, Metric
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.sources.registry import SOURCES as SOURCE_NAMES
from dashboard_scraper.sources.registry import lag_days_of
from grafana_dialects import Dialect

SOURCE = "${source:sqlstring}"
"""The variable, as Grafana quotes it."""
SOURCES = "SELECT DISTINCT source FROM daily_totals ORDER BY source"
CURRENCY = "${currency:sqlstring}"
IN_DOUBT = "In doubt"
WEEK, MONTH = 7, 28


def _calendar(dialect: Dialect, earlier: int = 0) -> str:
    """The days of the time range up to yesterday, and this many days before it."""
    begin = dialect.plus.format(dialect.begin, -earlier) if earlier else dialect.begin
    end = dialect.least.format(dialect.end, dialect.yesterday)
    return f"calendar(day) AS (\n  {dialect.calendar.format(begin, end)}\n)"


def _expected(dialect: Dialect, source: str) -> str:
    """The newest day that the source should have by now."""
    default = Settings.model_construct()
    lags = {name: lag_days_of(default, name) for name in SOURCE_NAMES}
    cases = "".join(f" WHEN '{name}' THEN {days}" for name, days in lags.items() if days)
    return dialect.expected.format(f"CASE {source}{cases} ELSE 0 END")


def _doubtful(row: str) -> str:
    return "(" + " OR ".join(f"{row}.{kind.word} IS NOT NULL" for kind in DoubtKind) + ")"


def is_active(row: str = "u") -> str:
    """`figures.is_active` of a row of `user_days`."""
    any_count = " + ".join(f"COALESCE({row}.{metric.name}, 0)" for metric in COUNTS)
    required = " + ".join(f"{row}.{metric.name}" for metric in REQUIRED)
    listed = f"COALESCE({row}.{ACTIVE_DAYS.name}, 1) <> 0"
    return f"({any_count} > 0\n    OR (({required}) IS NULL AND {listed}))"


def _columns(columns: Iterable[tuple[str, str]]) -> str:
    return "".join(f',\n  {value} AS "{title}"' for title, value in columns)


def _marked(dialect: Dialect, values: Sequence[str], doubtful: str) -> tuple[str, str]:
    """A column with the largest known value if the day is in doubt, to place the red point."""
    if len(values) == 1:
        return IN_DOUBT, f"CASE WHEN {doubtful} THEN {values[0]} END"
    largest = dialect.greatest.format(", ".join(f"COALESCE({value}, 0)" for value in values))
    is_known = f"COALESCE({', '.join(values)}) IS NOT NULL"
    return IN_DOUBT, f"CASE WHEN {doubtful} AND {is_known} THEN {largest} END"


def activity(dialect: Dialect, metrics: Sequence[Metric]) -> str:
    """Sums of each day, with a column for each metric, and the largest of them if it is in doubt.

    On a day without users every sum is 0, even of a metric that the source does not report: it is
    shown as 0 only if another day has the metric.
    """
    reported = ", ".join(f"MAX({metric.name}) AS {metric.name}" for metric in metrics)
    with_users = f"SELECT {reported} FROM daily_totals WHERE source = {SOURCE} AND users > 0"
    columns = [(metric.title, f"v.{metric.name}") for metric in metrics]
    columns.append(_marked(dialect, [value for _, value in columns], "v.doubtful"))
    known = "".join(
        f",\n    CASE WHEN d.users > 0 OR r.{metric.name} IS NOT NULL THEN d.{metric.name} END"
        f" AS {metric.name}"
        for metric in metrics
    )
    return (
        f"WITH RECURSIVE {_calendar(dialect)},\nreported AS ({with_users}),\n"
        f"shown AS (\n  SELECT d.day, {_doubtful('d')} AS doubtful{known}\n"
        f"  FROM daily_totals d CROSS JOIN reported r WHERE d.source = {SOURCE}\n)\n"
        f"SELECT {dialect.time.format('c.day')}{_columns(columns)}\n"
        "FROM calendar c LEFT JOIN shown v ON v.day = c.day\nORDER BY c.day"
    )


def accept_rate(dialect: Dialect, shown: Metric, accepted: Metric, title: str) -> str:
    """The percentage of completions that were accepted on each day; NULL without any."""
    rate = dialect.real.format(f"(100.0 * d.{accepted.name} / NULLIF(d.{shown.name}, 0))")
    columns = [(title, rate), _marked(dialect, [rate], _doubtful("d"))]
    return (
        f"WITH RECURSIVE {_calendar(dialect)}\n"
        f"SELECT {dialect.time.format('c.day')}{_columns(columns)}\n"
        f"FROM calendar c LEFT JOIN daily_totals d ON d.day = c.day AND d.source = {SOURCE}\n"
        "ORDER BY c.day"
    )


def costs(dialect: Dialect, metrics: Sequence[CostMetric]) -> str:
    """Each day's costs in the chosen currency, and the largest of them if it does not add up."""
    values = [dialect.real.format(f"t.{metric.name}") for metric in metrics]
    columns = [(metric.title, value) for metric, value in zip(metrics, values, strict=True)]
    columns.append(_marked(dialect, values, "t.unreconciled IS NOT NULL"))
    has_currency = any(metric.kind is CostKind.MONEY for metric in metrics)
    currency = f" AND t.currency = {CURRENCY}" if has_currency else ""
    return (
        f"WITH RECURSIVE {_calendar(dialect)}\n"
        f"SELECT {dialect.time.format('c.day')}{_columns(columns)}\n"
        f"FROM calendar c LEFT JOIN cost_totals t ON t.day = c.day AND t.source = {SOURCE}"
        f"{currency}\nORDER BY c.day"
    )


def _active_days(begin: str, end: str, source: str | None = None) -> str:
    """The CTE `active`: a row for each source, day and person who was active on it."""
    of_source = f" AND u.source = {source}" if source else ""
    return f"""active AS (
  SELECT DISTINCT u.source, u.day, COALESCE(u.person, u.user_login) AS person
  FROM user_days u
  WHERE u.day BETWEEN {begin} AND {end}{of_source} AND NOT u.service_account
    AND {is_active()}
)"""


def _running_sums(dialect: Dialect) -> str:
    """CTEs from `active` to `sums`: by how much the number of people changes on each day.

    A person counts from an active day until 7 or 28 days later, and only once if these overlap: so
    the numbers are running sums, and no day is read 28 times.
    """

    def until(days: int) -> str:
        return dialect.least.format(dialect.plus.format("day", days), "next_day")

    latest = dialect.plus.format("day", MONTH)
    return f"""spans AS (
  SELECT source, day, COALESCE(
    LEAD(day) OVER (PARTITION BY source, person ORDER BY day), {latest}
  ) AS next_day
  FROM active
),
changes AS (
  SELECT source, day, 1 AS today, 1 AS week, 1 AS month FROM spans
  UNION ALL SELECT source, {dialect.plus.format('day', 1)}, -1, 0, 0 FROM spans
  UNION ALL SELECT source, {until(WEEK)}, 0, -1, 0 FROM spans
  UNION ALL SELECT source, {until(MONTH)}, 0, 0, -1 FROM spans
),
sums AS (
  SELECT source, day, SUM(today) AS today, SUM(week) AS week, SUM(month) AS month
  FROM changes GROUP BY source, day
)"""


def _people(dialect: Dialect, source: str | None) -> str:
    """CTEs up to `people`: for each source and day, the number of people active on it and in the 7
    and 28 days up to it, and how many of these days are stored.
    """
    names = f"SELECT {source} AS source" if source else SOURCES
    begin = dialect.plus.format(dialect.begin, 1 - MONTH)
    people = f"""people AS (
  SELECT n.source, c.day, d.day AS stored, d.users, {_doubtful('d')} AS doubtful,
    SUM(COALESCE(s.today, 0)) OVER days AS today,
    SUM(COALESCE(s.week, 0)) OVER days AS week,
    SUM(COALESCE(s.month, 0)) OVER days AS month,
    COUNT(d.day) OVER (days ROWS {WEEK - 1} PRECEDING) AS week_days,
    COUNT(d.day) OVER (days ROWS {MONTH - 1} PRECEDING) AS month_days
  FROM calendar c CROSS JOIN names n
  LEFT JOIN sums s ON s.source = n.source AND s.day = c.day
  LEFT JOIN daily_totals d ON d.source = n.source AND d.day = c.day
  WINDOW days AS (PARTITION BY n.source ORDER BY c.day)
)"""
    calendar, active = _calendar(dialect, MONTH - 1), _active_days(begin, dialect.end, source)
    parts = (calendar, f"names AS ({names})", active, _running_sums(dialect), people)
    return "WITH RECURSIVE " + ",\n".join(parts)


TODAY = "CASE WHEN stored IS NOT NULL THEN today END"
LAST_WEEK = f"CASE WHEN week_days = {WEEK} THEN week END"
LAST_MONTH = f"CASE WHEN month_days = {MONTH} THEN month END"
TODAY_IN_DOUBT = f"CASE WHEN doubtful THEN {TODAY} END"


def active_people(dialect: Dialect) -> str:
    """Active people of one source on the day, and in 7 and 28 days; NULL if one is missing."""
    columns = [
        ("Active on the day", TODAY),
        (f"Active in {WEEK} days", LAST_WEEK),
        (f"Active in {MONTH} days", LAST_MONTH),
        ("Listed users", "users"),
        (IN_DOUBT, TODAY_IN_DOUBT),
    ]
    return (
        f"{_people(dialect, SOURCE)}\nSELECT {dialect.time.format('day')}{_columns(columns)}\n"
        f"FROM people WHERE day >= {dialect.begin} ORDER BY day"
    )


def active_people_by_source(dialect: Dialect, value: str) -> str:
    """A series for each source: the number of people, which may be compared."""
    return (
        f"{_people(dialect, None)}\n"
        f'SELECT {dialect.time.format("day")}, source, {value} AS "people"\n'
        f"FROM people WHERE day >= {dialect.begin} ORDER BY day, source"
    )


def days_used_by_source(dialect: Dialect) -> str:
    """Active days per active person in the range, by source; NULL if one of its days is missing."""
    end = dialect.least.format(dialect.end, dialect.yesterday)
    wanted = f"{dialect.days_between.format(dialect.begin, end)} + 1"
    return (
        f"WITH stored AS (\n  SELECT source, COUNT(*) AS days FROM daily_totals\n"
        f"  WHERE day BETWEEN {dialect.begin} AND {end} GROUP BY source\n),\n"
        f"{_active_days(dialect.begin, end)}\n"
        'SELECT s.source AS "Source", s.days AS "Days stored", '
        f'{wanted} - s.days AS "Days missing",\n'
        f'  CASE WHEN s.days = {wanted} THEN COUNT(DISTINCT a.person) END AS "Active people",\n'
        f'  CASE WHEN s.days = {wanted} THEN COUNT(a.person) END AS "{ACTIVE_DAYS.title}"\n'
        "FROM stored s LEFT JOIN active a ON a.source = s.source\n"
        "GROUP BY s.source, s.days ORDER BY s.source"
    )


def seats(dialect: Dialect) -> str:
    """The seats now, and those of people who were active in the last 28 days of the range."""
    end = dialect.least.format(dialect.end, _expected(dialect, SOURCE))
    begin = dialect.plus.format(end, 1 - MONTH)
    return (
        "WITH active AS (\n"
        "  SELECT DISTINCT COALESCE(u.person, u.user_login) AS person\n  FROM user_days u\n"
        f"  WHERE u.source = {SOURCE} AND u.day BETWEEN {begin} AND {end}\n    AND {is_active()}\n"
        "),\nstored AS (\n"
        f"  SELECT COUNT(*) AS days FROM daily_totals WHERE source = {SOURCE}"
        f" AND day BETWEEN {begin} AND {end}\n)\n"
        'SELECT NULLIF(COUNT(*), 0) AS "Seats now",\n'
        f"  CASE WHEN COUNT(*) > 0 AND (SELECT days FROM stored) = {MONTH}\n"
        f'    THEN COUNT(a.person) END AS "Seats used in {MONTH} days"\n'
        "FROM seats s LEFT JOIN active a ON a.person = COALESCE(s.person, s.user_login)\n"
        f'WHERE s.source = {SOURCE} AND s."current"'
    )


def states(dialect: Dialect) -> str:
    """What is known of each day since the source's first day, in one word."""
    doubts = "\n".join(
        f"    WHEN d.{kind.word} IS NOT NULL THEN '{kind.word}'" for kind in DoubtKind
    )
    return (
        f"WITH RECURSIVE {_calendar(dialect)}\n"
        f"SELECT {dialect.time.format('c.day')},\n  CASE\n"
        f"    WHEN d.day IS NULL AND c.day > (SELECT MIN(day) FROM daily_totals"
        f" WHERE source = {SOURCE})\n      AND c.day <= {_expected(dialect, SOURCE)} THEN 'missing'"
        f"\n{doubts}\n"
        '    ELSE d.status\n  END AS "Day"\n'
        f"FROM calendar c LEFT JOIN daily_totals d ON d.day = c.day AND d.source = {SOURCE}\n"
        "ORDER BY c.day"
    )


def freshness(dialect: Dialect) -> str:
    """A row for each source: its newest day, missing days and days in doubt, and its last run."""
    expected = _expected(dialect, "source")
    wanted = f"{dialect.days_between.format('MIN(day)', expected)} + 1"
    stored = f"SUM(CASE WHEN day <= {expected} THEN 1 ELSE 0 END)"
    missing = dialect.greatest.format(f"0, {wanted} - {stored}")
    doubts = "".join(
        f",\n    SUM(CASE WHEN {kind.word} IS NOT NULL THEN 1 ELSE 0 END) AS {kind.word}"
        for kind in DoubtKind
    )
    shown = "".join(f',\n  d.{kind.word} AS "{kind.word.capitalize()}"' for kind in DoubtKind)
    age = dialect.days_between.format("d.newest", dialect.yesterday)
    return (
        "WITH days AS (\n  SELECT source, MAX(day) AS newest,\n"
        f"    {missing} AS missing{doubts}\n"
        f"  FROM daily_totals WHERE day <= {dialect.yesterday} GROUP BY source\n),\n"
        "newest_runs AS (\n  SELECT source, MAX(number) AS number FROM runs"
        " WHERE ended_at IS NOT NULL GROUP BY source\n),\n"
        "names AS (SELECT source FROM days UNION SELECT source FROM newest_runs)\n"
        'SELECT n.source AS "Source", CAST(d.newest AS TEXT) AS "Newest day",\n'
        f'  {age} AS "Days behind",\n  d.missing AS "Missing"{shown},\n'
        f'  {dialect.text.format("r.ended_at")} AS "Last run (UTC)", r.exit_code AS "Exit code"\n'
        "FROM names n LEFT JOIN days d ON d.source = n.source\n"
        "LEFT JOIN newest_runs w ON w.source = n.source\n"
        "LEFT JOIN runs r ON r.source = n.source AND r.number = w.number\nORDER BY n.source"
    )


def runs(dialect: Dialect) -> str:
    """The newest runs of a source."""
    started, ended = dialect.text.format("started_at"), dialect.text.format("ended_at")
    return (
        f'SELECT number AS "Run", command AS "Command", {started} AS "Started (UTC)",\n'
        f'  {ended} AS "Ended (UTC)", exit_code AS "Exit code", days_fetched AS "Fetched",\n'
        '  days_revised AS "Revised", days_failed AS "Failed", requests AS "Requests"\n'
        f"FROM runs WHERE source = {SOURCE} ORDER BY number DESC LIMIT 20"
    )


def notices(dialect: Dialect) -> str:
    """Notifications of all sources whose reason persists."""
    return (
        'SELECT source AS "Source", occasion AS "Occasion",\n'
        f'  {dialect.text.format("since")} AS "Since (UTC)", message AS "Message"\n'
        "FROM notices WHERE ended_at IS NULL ORDER BY since DESC"
    )


CURRENCIES = f"SELECT DISTINCT currency FROM cost_totals WHERE source = {SOURCE} ORDER BY currency"
