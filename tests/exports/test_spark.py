"""Records made on Spark, in a Java virtual machine: the bytes of the local files."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from conftest import Home
from filled_store import MONTH, SOURCE
from lake_days import ENTERPRISE, export_locally, export_to_lake, fill

pytestmark = [pytest.mark.slow, pytest.mark.heavy]


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """A session on one core; skips the test if Spark or Java is missing."""
    try:
        from pyspark.sql import SparkSession  # noqa: PLC0415 - may not be installed
    except ImportError:
        assert "CI" not in os.environ, "CI installs pyspark"
        pytest.skip("no pyspark")
    if shutil.which("java") is None:
        assert "CI" not in os.environ, "CI installs Java"
        pytest.skip("no Java")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    settings = {
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
        "spark.sql.codegen.wholeStage": "false",  # compiling takes longer than a few rows do
        "spark.driver.host": "127.0.0.1",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "50",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.adaptive.enabled": "false",  # plans again after each of a dozen small steps
        "spark.sql.session.timeZone": "Pacific/Auckland",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.debug.maxToStringFields": "200",
    }
    builder = SparkSession.builder.master("local[1]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    yield session
    session.stop()


def written(folder: Path) -> dict[date, list[bytes]]:
    """Each day's lines, in the order of its files."""
    days = {}
    for day in sorted(folder.glob("day=*")):
        parts = [path.read_bytes() for path in sorted(day.glob("part-*"))]
        days[date.fromisoformat(day.name[4:])] = b"".join(parts).splitlines()
    return days


def run(home: Home, what: str, *more: str) -> dict[date, list[bytes]]:
    """The output of the program that spark-submit starts."""
    from dashboard_scraper import spark  # noqa: PLC0415 - needs pyspark

    out = home.path / "out" / what
    window = ["--start", f"{MONTH.start}", "--end", f"{MONTH.end}"]
    spark.main([what, f"{out}", "--enterprise-id", ENTERPRISE, "--source", SOURCE, *window, *more])
    return written(out)


def test_spark_writes_bytes_of_local_files(spark: Any, home: Home) -> None:
    """From the tables of a lake with editors, languages and credits, or from Parquet.

    There are pseudonyms here; the test of Arrow batches has the same figures without them.
    """
    fill(home, pseudonyms=True)
    local, tables = export_locally(home), export_to_lake(home)
    for name, table in tables.items():
        (home.path / name).mkdir()
        pyarrow.parquet.write_table(table, home.path / name / "rows.parquet")
        spark.read.parquet(f"{home.path / name}").createOrReplaceTempView(name)
    details = ["--editor-languages", "editor_language_days", "--daily-totals", "daily_totals"]
    lake = ["--user-days", "user_days"]
    github = run(home, "github", *lake, *details, "--credit-days", "credit_days")
    assert [line for lines in github.values() for line in lines] == local.github
    assert not any(b"@example.com" in line for line in local.github)
    days = (f"{MONTH.start}", f"{MONTH.end}")
    assert home.run("export", *days, "--format", "parquet").code == 0
    copilot = run(home, "copilot", "--user-days", f"{home.data / 'parquet'}")
    assert copilot == {day: lines for day, lines in local.copilot.items() if lines}
