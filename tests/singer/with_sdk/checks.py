"""The tap in the standard tests of Meltano's SDK, and with its target for PostgreSQL."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from program import Program, demo
from psycopg.rows import dict_row
from singer_sdk import Stream, Tap
from singer_sdk.singerlib import Catalog, Metadata
from singer_sdk.testing import get_tap_test_class

Row = dict[str, Any]

SCHEMA = "usage"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT.*Z")
OTHERWISE = {"person", "unreconciled"}
"""What the views have in another form: JSON, and the person also of names that are nobody's."""
OF_VIEW = {
    "user_days": "user_days",
    "days": "daily_totals",
    "cost_days": "cost_days",
    "cost_totals": "cost_totals",
    "seats": "seats",
    "runs": "runs",
}


@pytest.fixture(scope="module", autouse=True)
def removed() -> Iterator[None]:
    yield
    shutil.rmtree(demo().folder)


def catalog() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(printed_catalog())
    return found


@cache
def printed_catalog() -> str:
    return demo().run("tap", "--discover")


class ExecutableStream(Stream):
    """A stream as described by the program's own catalogue."""

    def get_records(self, context: Any) -> Any:
        raise NotImplementedError("the program sends the records itself")


class Executable(Tap):
    """The program in place of a tap made with the SDK: its catalogue, and its messages."""

    name = "tap-dashboard-scraper"
    config_jsonschema: dict[str, Any] = {"type": "object", "properties": {}}  # noqa: RUF012

    def discover_streams(self) -> list[Stream]:
        return [self._stream(entry) for entry in catalog()["streams"]]

    def _stream(self, entry: dict[str, Any]) -> Stream:
        stream = ExecutableStream(self, schema=entry["schema"], name=entry["stream"])
        stream.primary_keys = entry["key_properties"]
        stream.replication_key = entry["replication_key"]
        return stream

    @property
    def catalog_dict(self) -> dict[str, Any]:
        return catalog()

    def run_discovery(self) -> str:
        return json.dumps(catalog())

    def run_connection_test(self) -> bool:
        return bool(demo().tap())

    def run_sync_dry_run(self, **_: Any) -> bool:
        """Run the whole sync, with every record."""
        sys.stdout.write(demo().tap())
        return True


TestOfTheSdk = get_tap_test_class(Executable)


def test_sdk_reads_the_catalogue_as_it_is_meant() -> None:
    for name, entry in Catalog.from_dict(catalog()).items():
        root = entry.metadata.root
        assert entry.key_properties == root.table_key_properties
        assert root.selected_by_default
        assert root.inclusion == Metadata.InclusionType.AVAILABLE.value
        mask = entry.metadata.resolve_selection()
        assert all(mask[("properties", field)] for field in entry.schema.properties), name


class Warehouse:
    """A database that `target-postgres` fills."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._config = folder / "target.json"
        self.state: Any = None

    def configure(self, *, hard_delete: bool) -> None:
        driver = self._url.replace("postgresql://", "postgresql+psycopg2://", 1)
        self._config.write_text(
            json.dumps(
                {
                    "sqlalchemy_url": driver,
                    "default_target_schema": SCHEMA,
                    "hard_delete": hard_delete,
                }
            )
        )

    def take(self, messages: str) -> None:
        """Pipe messages into the target, and store the state that it prints."""
        done = subprocess.run(
            [Path(sys.executable).with_name("target-postgres"), "--config", self._config],
            input=messages,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        if done.stdout.strip():
            self.state = json.loads(done.stdout.splitlines()[-1])

    def rows(self, stream: str, *, gone: bool = False) -> list[Row]:
        """The stream's rows; with `gone`, also those that are marked as gone."""
        query = f"SELECT * FROM {SCHEMA}.{stream}"
        with closing(psycopg.connect(self._url, row_factory=dict_row)) as connection:
            found = connection.execute(query.encode()).fetchall()
        return [row for row in found if gone or row["_sdc_deleted_at"] is None]


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    """A warehouse in a new database of the server TEST_POSTGRES_URL."""
    server = os.environ.get("TEST_POSTGRES_URL")
    if not server:
        pytest.fail("TEST_POSTGRES_URL: name a PostgreSQL server, where a database may be made")
    name = f"singer_{uuid4().hex[:12]}"
    with closing(psycopg.connect(server, autocommit=True)) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield Warehouse(f"{server.rpartition('/')[0]}/{name}", tmp_path)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def as_text(value: Any) -> str | None:
    """A value in the same exact form from SQLite and from PostgreSQL."""
    if isinstance(value, datetime):
        value = f"{value.isoformat()}Z"
    if isinstance(value, str) and MOMENT.fullmatch(value):
        whole, _, fraction = value.removesuffix("Z").partition(".")
        return f"{whole}.{fraction.rstrip('0')}"
    try:
        return f"{Decimal(f'{int(value) if isinstance(value, bool) else value}').normalize():f}"
    except ArithmeticError:
        return f"{value}"


def compare(program: Program, warehouse: Warehouse) -> None:
    """Every row of the store's views is in the target with equal values, and no other row is."""
    for entry in catalog()["streams"]:
        stream, key = entry["stream"], entry["key_properties"]
        stored = by_key(program.rows(f"SELECT * FROM {OF_VIEW[stream]}"), key)
        rows = [r for r in warehouse.rows(stream) if r.get("status") != "missing"]
        found = by_key(rows, key)
        assert found.keys() == stored.keys(), stream
        names = next(iter(stored.values())).keys() & rows[0].keys() - OTHERWISE
        assert len(names) > len(key) + 4
        for place, row in stored.items():
            differing = {
                name: (row[name], found[place][name])
                for name in names
                if as_text(row[name]) != as_text(found[place][name])
            }
            assert differing == {}, (stream, place)


def by_key(rows: list[Row], key: list[str]) -> dict[tuple[str | None, ...], Row]:
    return {tuple(as_text(row[name]) for name in key): row for row in rows}


def records_in(messages: str) -> list[Row]:
    found = [json.loads(line) for line in messages.splitlines()]
    return [message for message in found if message["type"] == "RECORD"]


def test_target_has_the_figures_of_the_store(warehouse: Warehouse) -> None:
    """After an interrupted run, without changes, after a revision, and after a removal."""
    program = demo()
    warehouse.configure(hard_delete=True)
    messages = program.tap().splitlines(keepends=True)
    # The target ends midway, and the next run continues from the state that it printed.
    warehouse.take("".join(messages[: len(messages) // 2]))
    warehouse.take(program.tap(warehouse.state))
    compare(program, warehouse)
    assert records_in(program.tap(warehouse.state)) == []

    query = "SELECT source, day, user_login FROM user_days ORDER BY day DESC, user_login LIMIT 1"
    (newest,) = program.rows(query)
    program.revise(newest["source"], newest["day"])
    revised = program.tap(warehouse.state)
    days = {(row["record"]["source"], row["record"]["day"]) for row in records_in(revised)}
    assert days == {(newest["source"], newest["day"])}
    warehouse.take(revised)
    compare(program, warehouse)

    gone = newest["user_login"]
    assert gone in {row["user_login"] for row in warehouse.rows("user_days")}
    program.run("forget", gone, "--source", newest["source"])
    warehouse.take(program.tap(warehouse.state))
    compare(program, warehouse)
    assert gone not in names_in(warehouse, marked=True)


def test_target_that_deletes_nothing_marks_what_is_gone(warehouse: Warehouse) -> None:
    program = demo()
    warehouse.configure(hard_delete=False)
    warehouse.take(program.tap())
    (newest,) = program.rows("SELECT source, user_login FROM user_days ORDER BY day DESC LIMIT 1")
    gone = newest["user_login"]
    program.run("forget", gone, "--source", newest["source"])
    warehouse.take(program.tap(warehouse.state))
    compare(program, warehouse)
    assert gone in names_in(warehouse, marked=True)
    assert gone not in names_in(warehouse, marked=False)


def names_in(warehouse: Warehouse, *, marked: bool) -> set[str]:
    """The names in the target; with `marked`, also those in rows that are marked as gone."""
    return {
        row["user_login"]
        for stream in ("user_days", "cost_days", "seats")
        for row in warehouse.rows(stream, gone=marked)
    }
