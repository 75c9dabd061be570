"""`export --format parquet`: read back by another engine, in a folder and in an object store."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from conftest import Home, Result, Start
from dashboard_scraper.cli.exporting import export_parquet
from dashboard_scraper.errors import DaysMissing, StoreFailed
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.doubts import DoubtKind
from dashboard_scraper.model.figures import values_of
from dashboard_scraper.model.metrics import METRICS, Kind
from dashboard_scraper.simulator import Fault, Organization, Simulator, add_field, set_value
from dashboard_scraper.sources.dashboard.fields import FIELDS, USER_FIELD
from databases import on_sqlite
from lakes import epoch_us
from object_stores import BUCKET, SECRET, bucket_at, objects, sign_in_at
from stored_days import (
    TODAY,
    USERS,
    answer_with_nobody,
    backfill,
    march,
    mark,
    settings_of,
    sql,
    stored_users,
)

FIRST, LAST = march(4), march(6)
EMPTY = march(5)
FILE = "user_days.parquet"
TYPES = {
    Kind.COUNT: "BIGINT",
    Kind.DAYS: "BIGINT",
    Kind.PERCENT: "DOUBLE",
    Kind.MOMENT: "TIMESTAMP WITH TIME ZONE",
}


@pytest.fixture
def spring(start: Start) -> Simulator:
    """A simulator of five users whose today is the 10th of March, 2025."""
    return start(Organization(users=5, today=TODAY))


def export(home: Home, place: Path, first: date = FIRST, last: date = LAST) -> None:
    export_parquet(settings_of(home), Window(first, last), f"{place}")


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def partition(day: date) -> str:
    return f"day={day}/{FILE}"


def visible(found: dict[str, bytes]) -> set[str]:
    """The files that readers of Hive partitions see: no name begins with a dot or an underscore."""
    return {name for name in found if Path(name).name[0] not in "._"}


def query(folder: Path, what: str) -> list[tuple[Any, ...]]:
    """The rows that DuckDB reads from the folder."""
    with duckdb.connect() as engine:
        source = f"read_parquet('{folder}/*/*.parquet', hive_partitioning = true)"
        return engine.execute(f"SELECT {what} FROM {source} ORDER BY day, user_login").fetchall()


@pytest.fixture
def three_days(home: Home, spring: Simulator, store_url: str) -> Simulator:
    """One day with unknown figures and unknown fields, one without users, and a usual one."""
    assert store_url
    spring.add_fault(Fault(add_field("plan", {"tier": "pro", "seats": [1, "zwei"]}), USERS, FIRST))
    spring.add_fault(Fault(add_field("größe", 2**70, record=1), USERS, FIRST))
    for number, metric in enumerate(FIELDS):
        spring.add_fault(Fault(set_value(FIELDS[metric], None, number % 4), USERS, FIRST))
    largest = next(m for m in METRICS if m.kind is Kind.COUNT)
    spring.add_fault(Fault(set_value(FIELDS[largest], 10**12, record=4), USERS, FIRST))
    spring.add_fault(Fault(set_value(USER_FIELD, "Ünal Ö'Neill", record=0), USERS, LAST))
    answer_with_nobody(spring, EMPTY)
    backfill(home, FIRST, LAST)
    return spring


@on_sqlite
@pytest.mark.usefixtures("three_days")
@pytest.mark.slow
def test_duckdb_reads_every_stored_value(home: Home) -> None:
    export(home, home.path / "out")
    assert files(home.path / "out").keys() == {partition(march(day)) for day in (4, 5, 6)}
    names = [f"epoch_us({m.name})" if m.kind is Kind.MOMENT else m.name for m in METRICS]
    rows = query(home.path / "out", ", ".join(["day", "source", "user_login", *names, "extra"]))
    users = stored_users(home)
    assert [row[:-1] for row in rows] == [
        (day, "dashboard", user.user, *map(epoch_us, values_of(user.figures)))
        for day in (FIRST, LAST)
        for user in users[day]
    ]
    extras = [json.loads(row[-1]) if row[-1] else {} for row in rows]
    assert extras == [user.extra for day in (FIRST, LAST) for user in users[day]]
    assert {"größe", "plan.tier", "plan.seats"} == {name for extra in extras for name in extra}
    assert {None, 10**12} <= {value for row in rows for value in row}
    for number in range(3, 3 + len(FIELDS)):
        assert None in [row[number] for row in rows]
        assert [row[number] for row in rows if row[number] is not None]


@on_sqlite
@pytest.mark.usefixtures("three_days")
@pytest.mark.slow
def test_types_hold_for_a_day_without_users(home: Home) -> None:
    export(home, home.path / "out")
    figures = [(metric.name, TYPES[metric.kind]) for metric in METRICS]
    columns = [("source", "VARCHAR"), ("user_login", "VARCHAR"), *figures]
    columns += [("extra", "VARCHAR"), ("service_account", "BOOLEAN"), ("person", "VARCHAR")]
    columns += [(kind.word, "VARCHAR") for kind in DoubtKind]
    with duckdb.connect() as engine:
        describe = "DESCRIBE SELECT * FROM read_parquet(?, hive_partitioning = ?)"
        for name in files(home.path / "out"):
            found = engine.execute(describe, [f"{home.path / 'out' / name}", False]).fetchall()
            assert [row[:2] for row in found] == columns
        whole = [f"{home.path}/out/*/*.parquet", True]
        found = engine.execute(describe, whole).fetchall()
        assert sorted(row[:2] for row in found) == sorted([*columns, ("day", "DATE")])
        counted = "SELECT count(*) FROM read_parquet(?)"
        empty = [f"{home.path / 'out' / partition(EMPTY)}"]
        assert engine.execute(counted, empty).fetchone() == (0,)


@on_sqlite
@pytest.mark.usefixtures("three_days")
@pytest.mark.slow
def test_second_export_replaces_the_same_bytes(home: Home) -> None:
    export(home, home.path / "out")
    export(home, home.path / "again")
    before = files(home.path / "out")
    assert files(home.path / "again") == before
    for path in (home.path / "out").rglob(FILE):
        path.write_text("old")
    export(home, home.path / "out")
    assert files(home.path / "out") == before


@on_sqlite
@pytest.mark.usefixtures("three_days")
@pytest.mark.slow
def test_older_file_of_a_missing_day_is_hidden(home: Home) -> None:
    out = home.path / "out"
    for day in (FIRST, march(7)):
        (out / partition(day)).parent.mkdir(parents=True)
        (out / partition(day)).write_text("old")
    words = ["2025-03-04", "2025-03-08", "--format", "parquet", "--out", f"{out}"]
    result = home.run("export", *words)
    assert (result.code, result.out) == (6, "")
    assert "2 of 5 days are missing: 2025-03-07 to 2025-03-08" in result.err.splitlines()[-1]
    found = files(out)
    assert visible(found) == {partition(march(day)) for day in (4, 5, 6)}
    (hidden,) = found.keys() - visible(found)
    assert (Path(hidden).parent.name, found[hidden]) == ("day=2025-03-07", b"old")
    assert {row[0] for row in query(out, "day")} == {FIRST, LAST}


@on_sqlite
@pytest.mark.usefixtures("spring", "store_url")
def test_export_of_missing_days_sets_files_aside(home: Home) -> None:
    backfill(home, march(3), march(3))
    path = home.path / "out" / partition(FIRST)
    path.parent.mkdir(parents=True)
    path.write_text("old")
    with pytest.raises(DaysMissing):
        export(home, home.path / "out")
    found = files(home.path / "out")
    assert (visible(found), list(found.values())) == (set(), [b"old"])


@on_sqlite
@pytest.mark.usefixtures("three_days")
@pytest.mark.slow
def test_damaged_day_keeps_only_unchanged_files(home: Home, store_url: str) -> None:
    export(home, home.path / "out", FIRST, EMPTY)
    old = home.path / "out" / partition(LAST)
    old.parent.mkdir()
    old.write_text("old")
    before = files(home.path / "out")
    sql(store_url, f"UPDATE user_day SET chat_messages = 777 WHERE day = '{LAST}'")
    with pytest.raises(StoreFailed, match=f"the rows of {LAST} do not match the ledger"):
        export(home, home.path / "out")
    found = files(home.path / "out")
    assert visible(found) == {partition(FIRST), partition(EMPTY)}
    assert sorted(found.values()) == sorted(before.values())
    with pytest.raises(StoreFailed):
        export(home, home.path / "new")
    assert files(home.path / "new") == {}


def identities(folder: Path) -> dict[str, int]:
    """The inode of each file, which changes when the file is written again."""
    return {f"{path.parent.name}/{path.name}": path.stat().st_ino for path in folder.rglob(FILE)}


@on_sqlite
@pytest.mark.usefixtures("three_days")
@pytest.mark.slow
def test_only_changed_days_are_written_again(home: Home, store_url: str) -> None:
    export(home, home.path / "out")
    before = identities(home.path / "out")
    export(home, home.path / "out")
    assert identities(home.path / "out") == before
    home.settings["OUTPUT_MODE"] = "640"
    mark(store_url, LAST, "suspicious", "who knows")
    export(home, home.path / "out")
    assert {path.stat().st_mode & 0o777 for path in (home.path / "out").rglob(FILE)} == {0o640}
    after = identities(home.path / "out")
    assert {name for name in after if after[name] != before[name]} == {partition(LAST)}
    assert {row[0] for row in query(home.path / "out", "suspicious")} == {None, "who knows"}
    home.settings["INCLUDE_SERVICE_ACCOUNTS"] = "false"
    export(home, home.path / "out")
    again = identities(home.path / "out")
    assert all(again[name] != after[name] for name in after), "the settings show other users"


@pytest.mark.slow
def test_missing_library_names_the_extra(home: Home, spring: Simulator) -> None:
    backfill(home, FIRST, FIRST)
    spring.stop()
    code = (
        "import sys; sys.modules['pyarrow'] = None; words = sys.argv[1:]\n"
        "from dashboard_scraper.main import main\n"
        "sys.exit(main([*words, '--format', 'parquet']) * 10 + main(words))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "export", "--home", f"{home.path}", f"{FIRST}"],
        env=home.environment(),
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 20, "2 of the first export, 0 of the other"
    assert b"[parquet]" in done.stderr
    assert b"install dashboard-scraper" not in done.stderr
    assert b"Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == 2, "the folder and the page of the other"
    assert not (home.data / "parquet").exists()


def put_old(url: str, prefix: str, day: date) -> None:
    """Write an object of an earlier export."""
    path = f"{BUCKET}/{prefix}/{partition(day)}"
    with bucket_at(url).open_output_stream(path) as stream:
        stream.write(b"old")


def upload(home: Home, place: str, last: date = LAST) -> Result:
    result = home.run("export", f"{FIRST}", f"{last}", "--format", "parquet", "--out", place)
    assert "Traceback" not in result.err
    assert SECRET not in result.out + result.err
    return result


@on_sqlite
@pytest.mark.usefixtures("three_days")
@pytest.mark.slow
def test_object_store_gets_the_folders_bytes(home: Home, object_store: str) -> None:
    sign_in_at(home, object_store)
    export(home, home.path / "out")
    place = f"s3://{BUCKET}/{home.path.name}"
    result = upload(home, place)
    assert result.code == 0, result.err
    assert result.out == f"{place}\n"
    assert objects(object_store, home.path.name) == files(home.path / "out")


@pytest.mark.usefixtures("spring")
@pytest.mark.slow
def test_object_store_credentials_come_from_env_file(home: Home, object_store: str) -> None:
    backfill(home, FIRST, FIRST)
    sign_in_at(home, object_store)
    names = [name for name in home.settings if name.startswith("AWS_")]
    lines = "".join(f"{name}={home.settings.pop(name)}\n" for name in names)
    (home.path / ".env").touch(0o600)
    (home.path / ".env").write_text(lines)
    result = upload(home, f"s3://{BUCKET}/{home.path.name}", FIRST)
    assert result.code == 0, result.err
    assert objects(object_store, home.path.name).keys() == {partition(FIRST)}


@on_sqlite
@pytest.mark.usefixtures("three_days")
@pytest.mark.slow
def test_older_object_of_a_missing_day_is_hidden(home: Home, object_store: str) -> None:
    sign_in_at(home, object_store)
    prefix = home.path.name
    for day in (FIRST, march(7)):
        put_old(object_store, prefix, day)
    result = upload(home, f"s3://{BUCKET}/{prefix}", march(8))
    assert (result.code, result.out) == (6, "")
    found = objects(object_store, prefix)
    assert visible(found) == {partition(march(day)) for day in (4, 5, 6)}
    assert b"old" not in [found[name] for name in visible(found)]
    assert [found[name] for name in found.keys() - visible(found)] == [b"old"]


@on_sqlite
@pytest.mark.usefixtures("three_days")
@pytest.mark.slow
def test_damaged_day_hides_older_objects(home: Home, store_url: str, object_store: str) -> None:
    sign_in_at(home, object_store)
    prefix = home.path.name
    for day in (FIRST, LAST):
        put_old(object_store, prefix, day)
    sql(
        store_url,
        f"UPDATE user_day SET chat_messages = 777 WHERE day = '{EMPTY}' OR day = '{LAST}'",
    )
    result = upload(home, f"s3://{BUCKET}/{prefix}")
    assert result.code == 1
    found = objects(object_store, prefix)
    assert b"old" not in [found[name] for name in visible(found)]


@pytest.mark.usefixtures("spring")
@pytest.mark.slow
@pytest.mark.heavy
def test_unwritable_place_is_a_clear_error(home: Home, object_store: str) -> None:
    backfill(home, FIRST, FIRST)
    sign_in_at(home, object_store)
    missing = upload(home, "s3://no-such-bucket/prefix", FIRST)
    assert (missing.code, missing.out) == (1, "")
    assert "no-such-bucket" in missing.err
    unknown = upload(home, "foo://bucket/prefix", FIRST)
    assert (unknown.code, unknown.out) == (2, "")
    assert "foo" in unknown.err
    home.settings["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    refused = upload(home, f"s3://{BUCKET}/prefix", FIRST)
    assert (refused.code, refused.out) == (1, "")
    assert f"s3://{BUCKET}/prefix" in refused.err


@pytest.mark.usefixtures("spring")
@pytest.mark.slow
def test_credentials_in_a_url_are_refused(home: Home) -> None:
    """And they are never shown."""
    backfill(home, FIRST, FIRST)
    refused = upload(home, f"s3://made-up-id:{SECRET}@{BUCKET}/{home.path.name}", FIRST)
    assert (refused.code, refused.out) == (2, "")
    assert "AWS_ACCESS_KEY_ID" in refused.err


@pytest.mark.usefixtures("spring")
@pytest.mark.slow
def test_url_without_a_bucket_is_a_clear_error(home: Home) -> None:
    backfill(home, FIRST, FIRST)
    for place in ("s3://", "s3:///prefix"):
        assert upload(home, place, FIRST).code in (1, 2)
