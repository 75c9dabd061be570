"""GitHub's reports on users and the Copilot JSON on Apache Spark, from user-days in a lake.

    spark-submit $(python -c "import dashboard_scraper.spark as s; print(s.__file__)") --help

From a notebook: `write(github_records(spark.table("lake.usage.user_days"), Stamp("1")), "out")`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence, Set
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from dashboard_scraper.errors import UsageError
from dashboard_scraper.installation import how_to_install
from dashboard_scraper.model.dates import DAYS, Window, parse_day
from dashboard_scraper.model.metrics import ACTIVE_DAYS, COUNTS, DETAILED

try:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql import Window as Sql
    from pyspark.sql import functions as f
except ImportError:
    raise UsageError(
        f"Spark needs a library that is not installed: {how_to_install('spark')}"
    ) from None

from dashboard_scraper.exports.arrow_lines import (
    CREDITS,
    PARTS,
    PHASE,
    People,
    copilot_lines,
    copilot_people,
    github_lines,
    github_people,
)
from dashboard_scraper.exports.copilot_converter import NEEDS as COPILOT_NEEDS
from dashboard_scraper.github.active_people import COUNTS_OF_AREA
from dashboard_scraper.github.adoption import CLI, CODE_FIRST, OFTEN, REMOTE
from dashboard_scraper.github.lines import Stamp
from dashboard_scraper.github.reports import NEEDS as GITHUB_NEEDS
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.store import DetailStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

_LINES = "day date, sort_key string, line string"
_USER_DAY = ("day", "user_login")


def github_records(
    user_days: DataFrame,
    stamp: Stamp,
    editor_languages: DataFrame | None = None,
    daily_totals: DataFrame | None = None,
    credit_days: DataFrame | None = None,
) -> DataFrame:
    """The columns `day`, `sort_key` and `line`, with a record for each user-day with activity.

    All tables are of one source. `daily_totals` says on which days editors and languages add up,
    and for which days the 28 days that adoption phases need are known.
    """
    first_days = user_days.groupBy("user_login").agg(f.min("day"))
    people = github_people([(row[0], row[1]) for row in first_days.collect()])
    rows = user_days.select(*_keys_in(user_days), "person", *_numbers_in(user_days))
    if daily_totals is not None:
        rows = _with_phases(rows, {row[0] for row in daily_totals.select("day").collect()})
    rows = _in_window(rows, stamp)
    if editor_languages is not None and daily_totals is not None:
        complete = daily_totals.where(f.col("editor_language") == DetailStatus.COMPLETE.value)
        place = f.struct("editor", "language", *(metric.name for metric in DETAILED))
        parts = (
            editor_languages.join(complete, "day", "left_semi")
            .groupBy(*_USER_DAY)
            .agg(f.collect_list(place).alias(PARTS))
        )
        rows = rows.join(parts, [*_USER_DAY], "left")
    if credit_days is not None:
        rows = rows.join(credit_days.select(*_USER_DAY, CREDITS), [*_USER_DAY], "left")
    return _converted(rows, github_lines, people, stamp)


def copilot_records(user_days: DataFrame, stamp: Stamp) -> DataFrame:
    """The same for the Copilot JSON; the stamp must have a window."""
    rows = _in_window(user_days, stamp).select(*_keys_in(user_days), *_numbers_in(user_days))
    last_days = rows.groupBy("user_login").agg(f.max("day"))
    people = copilot_people([(row[0], row[1]) for row in last_days.collect()])
    return _converted(rows, copilot_lines, people, stamp)


def write(lines: DataFrame, place: str) -> None:
    """Write the records as text below `day=...`; each day's are in the order of the local files."""
    ordered = lines.repartition("day").sortWithinPartitions("day", "sort_key")
    ordered.select("day", "line").write.partitionBy("day").mode("overwrite").text(place)


def _with_phases(rows: DataFrame, stored: Set[date]) -> DataFrame:
    """With phases as in `adoption.phases_on`, for days up to which 28 days in a row are stored."""
    month = Sql.partitionBy("person").orderBy(f.unix_date("day")).rangeBetween(1 - DAYS, 0)

    def often(area: str) -> Column:
        used = [f.coalesce(f.col(m.name), f.lit(0)) for m in COUNTS_OF_AREA[area]]
        return f.sum((sum(used, f.lit(0)) > 0).cast("int")).over(month) >= OFTEN

    known = [
        day for day in stored if all(day - timedelta(back) in stored for back in range(1, DAYS))
    ]
    agents = often(CLI).cast("int") + often(REMOTE).cast("int")
    phase = f.when(agents > 0, agents + 1).otherwise(often(CODE_FIRST).cast("int"))
    return rows.withColumn(PHASE, f.when(f.col("day").isin(known), phase))


def _in_window(user_days: DataFrame, stamp: Stamp) -> DataFrame:
    window = stamp.window
    return user_days.where(f.col("day").between(window.start, window.end)) if window else user_days


def _keys_in(user_days: DataFrame) -> list[str]:
    """The keys, with the source if known: the conversion refuses one that lacks the figures."""
    return [*(["source"] if "source" in user_days.columns else []), *_USER_DAY]


def _numbers_in(user_days: DataFrame) -> list[str]:
    numbers = [ACTIVE_DAYS, *COUNTS]
    return [metric.name for metric in numbers if metric.name in user_days.columns]


def _converted(
    rows: DataFrame,
    convert: Callable[[pa.RecordBatch, People, Stamp], pa.RecordBatch],
    people: People,
    stamp: Stamp,
) -> DataFrame:
    everybody = rows.sparkSession.sparkContext.broadcast(people)

    def lines(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield convert(batch, everybody.value, stamp)

    return rows.mapInArrow(lines, _LINES)


def _table(spark: SparkSession, place: str | None, source: str) -> Any:
    """The source's rows in a folder or URL with Parquet, or in a table such as an Iceberg table."""
    if place is None:
        return None
    table = spark.read.parquet(place) if "/" in place else spark.table(place)
    return table.where(f.col("source") == source)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run as a program that `spark-submit` starts."""
    parser = argparse.ArgumentParser(description="Writes records of user-days in a lake.")
    parser.add_argument("format", choices=["github", "copilot"])
    parser.add_argument("out", help="the folder or URL to write below; what is there is replaced")
    parser.add_argument(
        "--user-days", required=True, help="a folder or URL with Parquet, or a table"
    )
    parser.add_argument("--editor-languages", help="likewise; needs --daily-totals")
    parser.add_argument("--daily-totals", help="likewise")
    parser.add_argument("--credit-days", help="likewise")
    parser.add_argument("--source", required=True, help="the source of the rows")
    parser.add_argument("--enterprise-id", required=True)
    parser.add_argument("--organization-id")
    parser.add_argument("--start", type=parse_day, help="first day of the window")
    parser.add_argument("--end", type=parse_day, help="its last day")
    args = parser.parse_args(arguments)
    (COPILOT_NEEDS if args.format == "copilot" else GITHUB_NEEDS).check(info_of(args.source))
    window = Window(args.start, args.end) if args.start and args.end else None
    stamp = Stamp(args.enterprise_id, window, args.organization_id)
    spark = SparkSession.builder.getOrCreate()
    user_days, editor_languages, daily_totals, credit_days = (
        _table(spark, place, args.source)
        for place in (args.user_days, args.editor_languages, args.daily_totals, args.credit_days)
    )
    if args.format == "copilot":
        lines = copilot_records(user_days, stamp)
    else:
        lines = github_records(user_days, stamp, editor_languages, daily_totals, credit_days)
    write(lines, args.out)


if __name__ == "__main__":
    main(sys.argv[1:])
