"""Run the dbt package on real stores, whole and damaged: `.venv/bin/python tools/check_dbt.py DBT`.

`DBT` is the program. TEST_POSTGRES_URL names a PostgreSQL server on which a database is created and
removed. A project includes the package as its users would. In PostgreSQL, SQLite and a lake, all
tests must pass, and the marts must have the store's figures. In damaged stores, exactly the tests
and the freshness checks that are meant for each damage must fail.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

import dbt_figures
import dbt_stores
from dashboard_scraper.cli.demo import clock_of
from dashboard_scraper.clock import utc_now
from dashboard_scraper.model.dates import utc_day
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.settings.groups import sqlite_url
from dashboard_scraper.sources.registry import ALL_SOURCES, COPILOT
from dbt_catalogue import PACKAGE

SERVER = "TEST_POSTGRES_URL"
_SECONDS = 300
_BAD = ("fail", "error", "runtime error")


class CheckFailed(Exception):
    """A check that did not hold."""


@dataclass(frozen=True)
class Project:
    """The project that includes the package, for one kind of store."""

    dbt: Path
    folder: Path
    store: str
    environment: Mapping[str, str]
    variables: Mapping[str, Any]

    def run(self, *words: str, fails: bool = False) -> list[dict[str, Any]]:
        """The results of a dbt command; CheckFailed if it does not end as expected."""
        done = self._run(*words)
        if (done.returncode == 0) == fails or done.returncode > 1:
            raise CheckFailed(f"dbt {' '.join(words)} on {self.store}:\n{done.stdout}{done.stderr}")
        if words == ("deps",):
            return []
        name = "sources.json" if "freshness" in words else "run_results.json"
        results: list[dict[str, Any]] = json.loads((self.folder / "target" / name).read_text())[
            "results"
        ]
        return results

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        store = {"store": self.store, **self.variables}
        options = ["--target", self.store, "--vars", json.dumps(store)]
        command = [f"{self.dbt}", "--quiet", "--no-use-colors", *words, *options]
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, **self.environment, "DBT_PROFILES_DIR": f"{self.folder}"},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )


def bad_in(results: list[dict[str, Any]]) -> set[str]:
    """The names of failed tests."""
    found = [each["unique_id"].split(".") for each in results if each["status"] in _BAD]
    return {parts[-1] if parts[0] == "source" else parts[2] for parts in found}


def projects(
    dbt: Path,
    scratch: Path,
    url: str,
    sqlite: Path,
    lake: Path,
    extensions: Path,
    lag_days: Mapping[str, int],
) -> Iterator[Project]:
    """For each kind of store, the example project with the package beside it."""
    server = make_url(url)
    environments = {
        "postgres": {
            "PGHOST": server.host or "localhost",
            "PGPORT": f"{server.port or 5432}",
            "PGUSER": server.username or "",
            "PGPASSWORD": f"{server.password or ''}",
            "PGDATABASE": server.database or "",
        },
        "sqlite": {"USAGE_DB": f"{sqlite}", "DUCKDB_EXTENSIONS": f"{extensions}"},
        "lake": {"LAKE": f"{lake}"},
    }
    for store, environment in environments.items():
        shutil.copytree(
            PACKAGE,
            scratch / "projects" / store,
            ignore=shutil.ignore_patterns("target", "logs", "dbt_packages"),
        )
        folder = scratch / "projects" / store / "example"
        more = {"DUCKDB_PATH": f"{scratch / store}.duckdb"}
        variables: dict[str, Any] = {"lag_days": lag_days}
        if store == "sqlite":
            variables["store_database"] = "usage_store"
        yield Project(dbt, folder, store, {**environment, **more}, variables)


_EXTENSION = """
import pathlib, sys, duckdb, duckdb_extension_sqlite_scanner as package
(file,) = pathlib.Path(package.__file__).parent.rglob("*.duckdb_extension")
duckdb.connect(config={"extension_directory": sys.argv[1]}).execute(f"INSTALL '{file}'")
"""


def install_extension(dbt: Path, folder: Path) -> None:
    """Put DuckDB's extension that reads SQLite, which it would download, where it looks for it."""
    subprocess.run([dbt.with_name("python"), "-c", _EXTENSION, folder], check=True)


def check_whole(project: Project, settings: Settings, url: str) -> None:
    """Every test passes, and the marts have the store's figures."""
    project.run("deps")
    results = project.run("build")
    fresh = project.run("source", "freshness")
    if project.store == "postgres":
        marts = dbt_figures.in_postgres(url)
    else:
        marts = dbt_figures.in_duckdb(Path(project.environment["DUCKDB_PATH"]))
    compared = dbt_figures.compare(marts, settings)
    print(
        f"{project.store}: {len(results)} models and tests pass, {len(fresh)} sources are fresh,"
        f" {compared} figures are those of the store"
    )


def check_damaged(project: Project, expected: set[str], stale: set[str]) -> None:
    """Exactly these tests fail, and exactly these sources are stale."""
    project.run("run")
    found = bad_in(project.run("test", fails=True))
    wrong = {name for name in expected if not any(each.startswith(name) for each in found)}
    wrong |= {each for each in found if not each.startswith(tuple(expected))}
    if wrong:
        raise CheckFailed(f"{project.store}, damaged: expected {expected}, and {found} fail")
    if (old := bad_in(project.run("source", "freshness", fails=True))) != stale:
        raise CheckFailed(f"{project.store}, stale: expected {stale}, found {old}")
    print(f"{project.store}, damaged: {len(found)} tests and {len(stale)} sources are red")


def main(dbt: Path, server: str) -> None:
    """Run all checks; CheckFailed for the first that fails."""
    with (
        tempfile.TemporaryDirectory() as name,
        dbt_stores.database(server) as url,
        ThreadPoolExecutor() as pool,
    ):
        scratch, today = Path(name), utc_day(clock_of(ALL_SOURCES, utc_now)())
        sqlite, lake, extensions = scratch / "usage.db", scratch / "lake", scratch / "extensions"
        settings = dbt_stores.fill(scratch, [sqlite_url(sqlite), url], today)
        dbt_stores.export_lake(settings, lake, today)
        install_extension(dbt, extensions)
        lag_days = {COPILOT: settings.copilot_ready_days}
        found = list(projects(dbt, scratch, url, sqlite, lake, extensions, lag_days))
        list(pool.map(lambda each: check_whole(each, settings, url), found))
        dbt_stores.damage(url, today)
        dbt_stores.damage_lake(lake, today)
        of_store = {test for _, test in dbt_stores.DAMAGES.values()}
        checks = [
            pool.submit(check_damaged, found[0], of_store, {"daily_totals", "cost_totals", "runs"}),
            pool.submit(check_damaged, found[2], {"no_day_is_missing"}, {"daily_totals"}),
        ]
        for check in checks:
            check.result()


if __name__ == "__main__":
    if SERVER not in os.environ:
        sys.exit(f"{SERVER} has to name a PostgreSQL server, as postgresql://postgres@127.0.0.1/")
    try:
        main(Path(sys.argv[1]).absolute(), os.environ[SERVER])
    except CheckFailed as error:
        sys.exit(f"{error}")
