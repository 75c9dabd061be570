"""`export --format iceberg`: what other engines read from a lake, after runs of every kind."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.types import StringType

from conftest import Home, Result, all_files
from crash_child import Forks, Run, Trap, until
from dashboard_scraper.cli.exporting import export_lake
from dashboard_scraper.errors import UsageError
from dashboard_scraper.exports import iceberg_export
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import values_of
from dashboard_scraper.model.flatten import Cell
from dashboard_scraper.model.metrics import METRICS, Kind
from dashboard_scraper.model.usage import DayUsage, EditorLanguageUsage, UserUsage
from dashboard_scraper.store import DetailStatus, store_at
from dashboard_scraper.store.lake.place import CATALOG_FILE, NAMESPACE
from dashboard_scraper.store.lake.tables import TABLES
from filled_store import FETCHED, LAST, SOURCE, figures_of, put, some_days, user
from lakes import REST, TOKEN, Refused, RestCatalogue, epoch_us
from object_stores import objects
from stored_days import mark, settings_of, sql

pytestmark = pytest.mark.slow

FIRST = LAST - timedelta(2)
DAYS = [FIRST, FIRST + timedelta(1), LAST]
EARLIER = date(2026, 9, 30)
"""A day in another month."""


def export(home: Home, *more: str, first: date = FIRST, last: date = LAST) -> Result:
    return home.run("export", f"{first}", f"{last}", "--format", "iceberg", *more)


def exported(home: Home, *more: str, first: date = FIRST) -> None:
    result = export(home, *more, first=first)
    assert result.code == 0, result.err


def catalog_in(folder: Path) -> Catalog:
    return SqlCatalog("lake", uri=f"sqlite:///{folder / CATALOG_FILE}", warehouse=f"{folder}")


def files_of(catalog: Catalog, table: str) -> list[str]:
    """The data files of a table's current snapshot."""
    scan = catalog.load_table((NAMESPACE, table)).scan()
    return [task.file.file_path for task in scan.plan_files()]


def query(folder: Path, table: str, what: str, order: str = "day") -> list[tuple[Any, ...]]:
    """The rows that DuckDB reads from the files listed in the catalogue."""
    with contextlib.closing(catalog_in(folder)) as catalog, duckdb.connect() as engine:
        return read(engine, files_of(catalog, table), what, order)


def read(
    engine: duckdb.DuckDBPyConnection, files: list[str], what: str, order: str = "day"
) -> list[tuple[Any, ...]]:
    if not files:
        return []
    found = engine.execute(
        f"SELECT {what} FROM read_parquet($files, hive_partitioning = false) ORDER BY {order}",
        {"files": files},
    )
    return found.fetchall()


def snapshots(folder: Path) -> dict[str, int | None]:
    """The current snapshot of each table."""
    catalog = catalog_in(folder)
    try:
        found = {kind.name: catalog.load_table((NAMESPACE, kind.name)) for kind in TABLES}
        return {name: table.metadata.current_snapshot_id for name, table in found.items()}
    finally:
        catalog.close()


def stored(url: str) -> dict[date, list[UserUsage]]:
    with store_at(url).reading() as reader:
        return {day: reader.day(row).users for day, row in reader.ledger(SOURCE).items()}


def state(folder: Path) -> dict[date, set[tuple[Any, ...]]]:
    """For each day, the tables with the contents of their rows, and how many rows have each."""
    found: dict[date, set[tuple[Any, ...]]] = {}
    with contextlib.closing(catalog_in(folder)) as catalog, duckdb.connect() as engine:
        for kind in TABLES:
            rows = read(engine, files_of(catalog, kind.name), "day, content")
            for (day, content), count in Counter(rows).items():
                found.setdefault(day, set()).add((kind.name, content, count))
    return found


def consistent(folder: Path) -> bool:
    """Whether all tables have the same content for each day."""
    return all(len({content for _, content, _ in found}) == 1 for found in state(folder).values())


def test_duckdb_reads_every_stored_value(home: Home, lake: Path) -> None:
    seen = figures_of(chat_messages=None, total_messages=10**12)
    seen = replace(seen, last_seen=FETCHED, acceptance_rate=12.5, active_days=1)
    odd = UserUsage("Ünal Ö'Neill", seen, {"größe": "zwei"}, service=True)
    put(home.settings["STORE_URL"], {FIRST: [odd, user("ada@example.com")], DAYS[1]: []})
    exported(home)
    users = stored(home.settings["STORE_URL"])
    names = [f"epoch_us({m.name})" if m.kind is Kind.MOMENT else m.name for m in METRICS]
    rows = query(
        lake,
        "user_days",
        ", ".join(["day", "source", "user_login", *names, "extra", "service_account"]),
        "day, user_login",
    )
    assert [row[:-2] for row in rows] == [
        (day, SOURCE, each.user, *map(epoch_us, values_of(each.figures)))
        for day in DAYS
        for each in users[day]
    ]
    assert {row[-2] for row in rows} == {None, '{"größe":"zwei"}'}
    assert [row[-1] for row in rows] == [e.service for day in DAYS for e in users[day]]
    totals = query(lake, "daily_totals", "day, users, total_messages, digest, pseudonyms")
    with store_at(home.settings["STORE_URL"]).reading() as reader:
        assert totals == [
            (day, row.users, row.sums.total_messages, row.digest, False)
            for day, row in reader.ledger(SOURCE).items()
        ]
    assert consistent(lake)


def test_details_are_tables_of_their_own(home: Home, lake: Path) -> None:
    store = store_at(home.settings["STORE_URL"])
    put(home.settings["STORE_URL"], {LAST: [user("ada@example.com"), user("Ada@Example.com")]})
    usages = [
        EditorLanguageUsage(name, "VSCode", "Python", figures_of(chat_messages=count))
        for name, count in (("ada@example.com", 3), ("Ada@Example.com", 4))
    ]
    with store.locked(), store.opened():
        store.put_editor_languages(SOURCE, LAST, usages, DetailStatus.COMPLETE, FETCHED)
        store.put_credits(SOURCE, LAST, {"ada@example.com": 1.5, "Ada@Example.com": 2.0}, FETCHED)
    exported(home)
    what = "day, user_login, person, editor, language, chat_messages"
    person = "ada@example.com"
    assert query(lake, "editor_language_days", what) == [
        (LAST, person, person, "VSCode", "Python", 7)
    ]
    assert query(lake, "credit_days", "day, user_login, credits_consumed") == [(LAST, person, 3.5)]
    assert query(lake, "user_days", "user_login, content", "day DESC")[0][0] == person
    assert consistent(lake)


@pytest.mark.parametrize("pseudonyms", [False, True])
def test_details_of_a_left_out_service_account_are_not_its_persons(
    home: Home, lake: Path, pseudonyms: bool
) -> None:
    ada = "ada@example.com"
    store = store_at(home.settings["STORE_URL"])
    put(home.settings["STORE_URL"], {LAST: [user(ada), user("bot")]})
    usages = [
        EditorLanguageUsage(name, "VSCode", "Python", figures_of(chat_messages=count))
        for name, count in ((ada, 3), ("bot", 4))
    ]
    with store.locked(), store.opened():
        store.put_editor_languages(SOURCE, LAST, usages, DetailStatus.COMPLETE, FETCHED)
        store.put_credits(SOURCE, LAST, {ada: 1.5, "bot": 2.0}, FETCHED)
    people = home.path / "people.csv"
    people.write_text(f"email,login,id\n{ada},ada,7\nbot,ada,7\n")
    home.settings |= {"INCLUDE_SERVICE_ACCOUNTS": "false", "IDENTITY_FILE": f"{people}"}
    if pseudonyms:
        (home.path / "key").write_text("k" * 32)
        (home.path / "key").chmod(0o600)
        home.settings["PSEUDONYM_KEY_FILE"] = f"{home.path / 'key'}"
    exported(home)
    person, *_ = query(lake, "user_days", "user_login", "day DESC")[0]
    assert query(lake, "editor_language_days", "user_login, chat_messages") == [(person, 3)]
    assert query(lake, "credit_days", "user_login, credits_consumed") == [(person, 1.5)]


def test_second_run_writes_nothing(exported_lake: tuple[Home, Path]) -> None:
    home, lake = exported_lake
    before = snapshots(lake), {*all_files(lake)}
    exported(home)
    assert (snapshots(lake), {*all_files(lake)}) == before


def test_library_repeats_no_commit_by_itself(exported_lake: tuple[Home, Path]) -> None:
    """Not even for tables that somebody has created or changed with another setting."""
    home, lake = exported_lake
    name = "commit.retry.num-retries"
    catalog = catalog_in(lake)
    tables = [catalog.load_table((NAMESPACE, kind.name)) for kind in TABLES]
    assert {table.properties[name] for table in tables} == {"0"}
    with tables[0].transaction() as change:
        change.remove_properties(name)
    exported(home)
    assert tables[0].refresh().properties[name] == "0"
    catalog.close()


def test_fresh_fetch_alone_writes_no_rows(exported_lake: tuple[Home, Path]) -> None:
    home, lake = exported_lake
    before = snapshots(lake)
    store = store_at(home.settings["STORE_URL"])
    later = FETCHED + timedelta(1)
    with store.locked(), store.opened():
        store.put(SOURCE, DayUsage(LAST, stored(home.settings["STORE_URL"])[LAST]), later)
    exported(home)
    after = snapshots(lake)
    assert {name for name in after if after[name] != before[name]} == {"daily_totals"}
    fetched = query(lake, "daily_totals", "epoch_us(fetched_at)")
    assert fetched == [(epoch_us(moment),) for moment in (FETCHED, FETCHED, later)]


def test_revised_day_replaces_its_rows(exported_lake: tuple[Home, Path]) -> None:
    home, lake = exported_lake
    before = state(lake)
    put(home.settings["STORE_URL"], {LAST: [user("new@example.com", chat_messages=5)]})
    exported(home)
    assert query(lake, "user_days", "user_login", "day DESC")[0] == ("new@example.com",)
    after = state(lake)
    assert {day for day in DAYS if after[day] != before[day]} == {LAST}
    assert {(name, count) for name, _, count in after[LAST]} == {
        ("user_days", 1),
        ("daily_totals", 1),
    }


def test_partitions_are_months_of_a_source(home: Home, lake: Path) -> None:
    url = home.settings["STORE_URL"]
    put(url, {EARLIER: some_days(1)[LAST]})
    result = export(home, first=EARLIER)
    assert result.code == 6, "most days are missing"
    catalog = catalog_in(lake)
    for name in ("user_days", "daily_totals"):
        partitions = catalog.load_table((NAMESPACE, name)).inspect.partitions().to_pylist()
        found = {
            (each["partition"]["source"], each["partition"]["day_month"]) for each in partitions
        }
        assert found == {(SOURCE, (2026 - 1970) * 12 + month) for month in (8, 9)}
    catalog.close()


def test_day_that_is_not_stored_any_more_is_removed(exported_lake: tuple[Home, Path]) -> None:
    home, lake = exported_lake
    for table in ("user_day", "day_ledger"):
        sql(home.settings["STORE_URL"], f"DELETE FROM {table} WHERE day = '{DAYS[1]}'")
    result = export(home)
    assert result.code == 6
    assert f"removed the usage of {DAYS[1]}" in result.err
    assert state(lake).keys() == {FIRST, LAST}
    assert consistent(lake)


def test_damaged_day_leaves_the_lake_as_it_was(exported_lake: tuple[Home, Path]) -> None:
    home, lake = exported_lake
    before = state(lake)
    url = home.settings["STORE_URL"]
    put(url, {day: [user("new@example.com", chat_messages=5)] for day in (FIRST, LAST)})
    sql(url, f"UPDATE user_day SET chat_messages = 777 WHERE day = '{LAST}'")
    result = export(home)
    assert result.code == 1
    assert f"the rows of {LAST} do not match the ledger" in result.err
    assert state(lake) == before
    data = [path for path in lake.rglob("*.parquet") if "user_days" in path.parts]
    assert len(data) == len(DAYS), "what was written before the error is removed"


def test_doubts_and_settings_rewrite_a_day(exported_lake: tuple[Home, Path]) -> None:
    home, lake = exported_lake
    mark(home.settings["STORE_URL"], LAST, "suspicious", "who knows")
    exported(home)
    assert query(lake, "user_days", "DISTINCT suspicious", "1 NULLS FIRST") == [
        (None,),
        ("who knows",),
    ]
    home.settings["INCLUDE_SERVICE_ACCOUNTS"] = "false"
    exported(home)
    assert query(lake, "user_days", "DISTINCT service_account", "1") == [(False,)]
    counted = query(lake, "user_days", "count(*), sum(chat_messages)", "1")
    assert query(lake, "daily_totals", "sum(users), sum(chat_messages)", "1") == counted


def test_pseudonyms_leave_no_name_in_any_file(home: Home, lake: Path) -> None:
    key = home.path / "pseudonym.key"
    key.write_text("0123456789abcdef" * 4)
    key.chmod(0o600)
    home.settings["PSEUDONYM_KEY_FILE"] = f"{key}"
    exported(home)
    rows = query(lake, "user_days", "user_login, person")
    assert all("@" not in name and name == person for name, person in rows)
    assert query(lake, "daily_totals", "DISTINCT pseudonyms", "1") == [(True,)]


def test_manifests_have_no_names(exported_lake: tuple[Home, Path]) -> None:
    _, lake = exported_lake
    catalog = catalog_in(lake)
    table = catalog.load_table((NAMESPACE, "user_days"))
    named = {table.schema().find_field(name).field_id for name in ("user_login", "person", "extra")}
    for task in table.scan().plan_files():
        assert not named & {*task.file.lower_bounds, *task.file.upper_bounds}
    catalog.close()


def test_column_of_the_customer_stays(exported_lake: tuple[Home, Path]) -> None:
    """The totals of a month are in one file: when written again, the other days keep the column."""
    home, lake = exported_lake
    with contextlib.closing(catalog_in(lake)) as catalog:
        table = catalog.load_table((NAMESPACE, "daily_totals"))
        with table.update_schema() as change:
            change.add_column("note", StringType())
        rows = table.refresh().scan().to_arrow()
        place = rows.schema.get_field_index("note")
        table.overwrite(rows.set_column(place, "note", pa.array(["ours"] * len(rows), pa.string())))
    put(home.settings["STORE_URL"], {LAST: some_days(1, seed=7)[LAST]})
    exported(home)
    assert query(lake, "daily_totals", "note") == [("ours",), ("ours",), (None,)]


def everything_in(folder: Path) -> set[str]:
    """The names in the rows of every file of a lake, in the current state or an earlier one."""
    names: set[str] = set()
    for path in folder.rglob("*.parquet"):
        if "user_days" in path.parts or "credit_days" in path.parts:
            names.update(pq.read_table(path, partitioning=None)["user_login"].to_pylist())
    return names


def test_expiry_removes_earlier_states(home: Home, lake: Path) -> None:
    revise(home, 1)
    exported(home)
    revise(home, 2)
    exported(home, "--expire", "1")
    assert everything_in(lake) == {"user1@example.com", "user2@example.com"}
    exported(home, "--expire", "0")
    assert everything_in(lake) == {"user2@example.com"}
    assert users_in(lake) == {day: {"user2@example.com"} for day in DAYS}
    assert consistent(lake)
    refused = home.run("export", f"{LAST}", "--expire", "0")
    assert refused.code == 2
    assert "only a lake has earlier states" in refused.err


def test_forgotten_person_is_in_no_file(home: Home, lake: Path) -> None:
    person, other = "ada@example.com", "bob@example.com"
    put(home.settings["STORE_URL"], {LAST: [user(person), user(other)], FIRST: [user(other)]})
    exported(home)
    before = set(files_of_day(lake, FIRST))
    orphan = lake / "usage" / "user_days" / "data" / "killed.parquet"
    shutil.copy(files_of_day(lake, LAST)[0], orphan)
    listed = home.run("forget", person)
    assert listed.out.count("still shown in") == 2
    result = home.run("forget", person, "--files")
    assert result.code == 0, result.err
    assert "could not be searched" not in result.err
    assert person not in everything_in(lake)
    assert not orphan.exists(), "a file of a run that was killed before its commit"
    assert states_of(lake) == 1
    assert other in users_in(lake)[LAST]
    assert set(files_of_day(lake, FIRST)) == before, "days without the person stay as they are"
    assert consistent(lake)
    assert query(lake, "daily_totals", "forgotten", "day DESC")[0] == (1,)


def test_days_mentioning_forgotten_people_are_as_stored(home: Home, lake: Path) -> None:
    """They are named in a field of another user. A word there that is not an address stays."""
    url, day = home.settings["STORE_URL"], f"{LAST}"
    account, boss, deputy = "deploy", "boss@example.com", "deputy@example.com"
    extra: dict[str, Cell] = {"account": account, "boss": boss, "deputy": deputy}
    report = UserUsage("ada@example.com", figures_of(chat_messages=1), extra)
    people = [user(name) for name in (account, boss, deputy, "bob@example.com")]
    put(url, {FIRST: people, LAST: [report]})
    parquet = home.data / "parquet" / f"day={day}" / "user_days.parquet"

    def shown() -> list[tuple[str, str]]:
        of_lake = query(lake, "user_days", "user_login, extra", "day DESC")[:1]
        table = pq.read_table(parquet, partitioning=None)
        names, extras = (table[column].to_pylist() for column in ("user_login", "extra"))
        return [*of_lake, *zip(names, extras, strict=True)]

    def as_stored() -> list[tuple[str, str]]:
        (stays,) = stored(url)[LAST]
        assert list(stays.extra) == list(extra)
        return 2 * [(stays.user, msgspec.json.encode(stays.extra).decode())]

    for words in (
        [],
        ["forget", boss],
        ["forget", deputy, "--files"],
        ["forget", account, "--files"],
    ):
        if words:
            assert home.run(*words).code == 0
        if "--files" not in words:
            exported(home)
            assert home.run("export", day, "--format", "parquet").code == 0
        assert shown() == as_stored()
    text = shown()[0][1]
    assert (account in text, boss in text, deputy in text) == (True, False, False)
    assert users_in(lake)[FIRST] == {"bob@example.com"}
    assert consistent(lake)


@pytest.mark.parametrize("damaged", ["*.json", "snap-*.avro"])
def test_damaged_lake_keeps_no_name_in_other_files(home: Home, lake: Path, damaged: str) -> None:
    person, other = "ada@example.com", "bob@example.com"
    put(home.settings["STORE_URL"], {LAST: [user(person), user(other)]})
    exported(home)
    table = lake / "usage" / "user_days"
    data = {*table.rglob("*.parquet")}
    (home.data / "metrics_20261031.csv").write_text(f"User\n{person}\n")
    for path in (table / "metadata").glob(damaged):
        path.write_text("{")
    result = home.run("forget", person, "--files")
    assert result.code == 1
    assert f"the lake in {lake} could not be rewritten: " in result.err
    assert f"files of {lake} still show the person: restore the lake" in result.err
    assert person not in result.err
    assert not (home.data / "metrics_20261031.csv").exists()
    assert {*table.rglob("*.parquet")} == data, "the lake refers to them"


def states_of(folder: Path) -> int:
    """The number of states of the users' rows; each must have all its files."""
    catalog = catalog_in(folder)
    table = catalog.load_table((NAMESPACE, "user_days"))
    states = [table.scan(snapshot_id=each.snapshot_id).to_arrow() for each in table.snapshots()]
    catalog.close()
    return len(states)


def files_of_day(folder: Path, day: date) -> list[str]:
    catalog = catalog_in(folder)
    scan = catalog.load_table((NAMESPACE, "user_days")).scan(row_filter=f"day = '{day}'")
    found = [task.file.file_path for task in scan.plan_files()]
    catalog.close()
    return found


def test_files_get_the_output_mode(home: Home, lake: Path) -> None:
    home.settings["OUTPUT_MODE"] = "640"
    exported(home)
    modes = {path.is_dir(): path.stat().st_mode & 0o777 for path in lake.rglob("*")}
    assert modes == {True: 0o750, False: 0o640}
    assert len({(p.is_dir(), p.stat().st_mode & 0o777) for p in lake.rglob("*")}) == 2


def revise(home: Home, number: int) -> dict[date, set[str]]:
    """Give each day a new user, who was in no earlier revision."""
    name, store = f"user{number}@example.com", store_at(home.settings["STORE_URL"])
    put(home.settings["STORE_URL"], {day: [user(name, chat_messages=number + 1)] for day in DAYS})
    with store.locked(), store.opened():
        for day in DAYS:
            store.put_credits(SOURCE, day, {name: 1.0}, FETCHED)
    return {day: {name} for day in DAYS}


def users_in(folder: Path) -> dict[date, set[str]]:
    found: dict[date, set[str]] = {}
    for day, name in query(folder, "user_days", "day, user_login"):
        found.setdefault(day, set()).add(name)
    return found


WORDS = ("export", f"{FIRST}", f"{LAST}", "--format", "iceberg")


COMMITS = (1, 2, 3)
"""One to each table that has rows: users, credits, totals."""


@pytest.mark.parametrize(
    "number",
    [pytest.param(1, marks=pytest.mark.heavy), 2, pytest.param(3, marks=pytest.mark.heavy)],
)
def test_killed_run_is_finished_by_the_next(
    home: Home, lake: Path, forks: Forks, number: int
) -> None:
    """Killed before a commit, a run leaves each table with all days as before, or all as after."""
    forks.load(iceberg_export.__name__)
    before = revise(home, 0)
    exported(home)
    after = revise(home, number)
    trap = Trap("statement", number, "UPDATE iceberg_tables")
    assert forks.run(home, *WORDS, trap=trap).code == -signal.SIGKILL
    assert users_in(lake) == (after if number > 1 else before)
    assert consistent(lake) == (number == 1)
    if number > 1:
        report = Home(home.path, home.settings | {"STORE_URL": f"iceberg:///{lake}"}).run("report")
        assert report.code == 1
        assert "the rows are not those of the totals" in report.err
    exported(home)
    assert users_in(lake) == after
    assert consistent(lake)


def test_killed_run_with_other_settings_is_undone(
    exported_lake: tuple[Home, Path], forks: Forks
) -> None:
    """The totals were still made with the settings before, but the rows were not."""
    forks.load(iceberg_export.__name__)
    home, lake = exported_lake
    before = state(lake)
    others = Home(home.path, home.settings | {"INCLUDE_SERVICE_ACCOUNTS": "false"})
    trap = Trap("statement", 2, "UPDATE iceberg_tables")
    assert forks.run(others, *WORDS, trap=trap).code == -signal.SIGKILL
    assert not consistent(lake)
    exported(home)
    assert state(lake) == before


def has_ended(run: Run) -> bool:
    """Wait until the run has stopped or ended; returns whether it has ended."""
    states = []

    def is_at_rest() -> bool:
        states.append(Path(f"/proc/{run.pid}/stat").read_text().rpartition(")")[2].split()[0])
        return states[-1] in "TZ"

    until(is_at_rest, 60)
    return states[-1] == "Z"


@pytest.fixture
def other(home: Home, lake: Path) -> Home:
    """Another home with a store of its own, which writes to the same lake."""
    assert lake
    found = Home(home.path / "other", {**home.settings})
    found.path.mkdir()
    found.settings["STORE_URL"] = f"sqlite:///{found.data / 'usage.db'}"
    return found


def meet(home: Home, other: Home, lake: Path, forks: Forks, number: int) -> bool:
    """Stop one writer before its commit of that number, until another has written the same days.
    Returns whether the first one ended without such a commit.
    """
    mine, theirs = revise(home, number), revise(other, 100 + number)
    trap = Trap("statement", number, "UPDATE iceberg_tables", then="stop")
    slow = forks.start(home, *WORDS, trap=trap)
    ended = has_ended(slow)
    exported(other, "--out", f"{lake}")
    if not ended:
        slow.kill(signal.SIGCONT)
    result = slow.wait()
    assert result.code == 0, result.err
    assert consistent(lake)
    found = [row for row in query(lake, "user_days", "day, user_login") if row[0] in DAYS]
    assert {day: {name} for day, name in found} in (mine, theirs)
    assert len(found) == len(DAYS), "each row once"
    return ended


@pytest.mark.parametrize(
    "number",
    [pytest.param(1, marks=pytest.mark.heavy), 2, pytest.param(3, marks=pytest.mark.heavy)],
)
def test_two_writers_end_with_one_version(
    home: Home, other: Home, lake: Path, forks: Forks, number: int
) -> None:
    forks.load(iceberg_export.__name__)
    revise(home, 0)
    exported(home)
    before = snapshots(lake)
    assert not meet(home, other, lake, forks, number)
    after = snapshots(lake)
    assert sum(after[name] != before[name] for name in after) == len(COMMITS)


def test_two_writers_add_new_days_once(home: Home, other: Home, lake: Path, forks: Forks) -> None:
    """Neither writer finds a file to replace."""
    forks.load(iceberg_export.__name__)
    put(home.settings["STORE_URL"], {EARLIER: [user("old@example.com")]})
    assert export(home, first=EARLIER, last=EARLIER).code == 0
    assert not meet(home, other, lake, forks, 1)


def rows_of(catalogue: RestCatalogue, table: str) -> list[dict[str, Any]]:
    found = catalogue.tables.load_table(("figures", table)).scan().to_arrow().to_pylist()
    return sorted(found, key=lambda row: (row["day"], row.get("user_login", "")))


@pytest.mark.heavy
def test_rest_catalogue_and_object_store(
    home: Home, remote_catalogue: RestCatalogue, object_store: str
) -> None:
    catalogue = remote_catalogue
    result = export(home, "--out", REST)
    assert (result.code, result.out) == (0, f"{REST}\n")
    assert TOKEN not in result.err
    users = stored(home.settings["STORE_URL"])
    assert [(row["day"], row["user_login"]) for row in rows_of(catalogue, "user_days")] == [
        (day, each.user) for day in DAYS for each in users[day]
    ]
    assert [row["users"] for row in rows_of(catalogue, "daily_totals")] == [
        len(users[day]) for day in DAYS
    ]
    uploaded = objects(object_store, f"lake/{home.path.name}")
    assert sum(name.endswith(".parquet") for name in uploaded) == len(DAYS) + 1
    commits = len(catalogue.commits)
    exported(home, "--out", REST)
    assert len(catalogue.commits) == commits


@pytest.mark.heavy
def test_lost_answer_does_not_add_rows_twice(home: Home, catalogue: RestCatalogue) -> None:
    exported(home, "--out", REST)
    put(home.settings["STORE_URL"], {LAST: [user("new@example.com", chat_messages=5)]})
    lost: list[str] = []

    def lose(table: str) -> None:
        if table not in lost:
            lost.append(table)
            raise Refused(502, "BadGateway")

    catalogue.after = lose
    exported(home, "--out", REST)
    assert lost == ["user_days", "daily_totals"]
    assert [row["user_login"] for row in rows_of(catalogue, "user_days") if row["day"] == LAST] == [
        "new@example.com"
    ]
    assert len(rows_of(catalogue, "daily_totals")) == len(DAYS)


@pytest.mark.heavy
def test_writer_that_never_wins_gives_up(home: Home, catalogue: RestCatalogue) -> None:
    exported(home, "--out", REST)
    put(home.settings["STORE_URL"], {LAST: [user("new@example.com", chat_messages=5)]})
    tries: list[str] = []

    def refuse(table: str) -> None:
        tries.append(table)
        raise Refused(409, "CommitFailedException")

    catalogue.before = refuse
    before = {*catalogue.folder.rglob("*.parquet")}
    assert before
    result = export(home, "--out", REST)
    assert result.code == 7
    assert "other programs keep changing the same tables" in result.err
    assert tries == ["user_days"] * 10
    assert {*catalogue.folder.rglob("*.parquet")} == before, "what was written is removed"


def test_catalogue_settings_come_from_env_file(home: Home, catalogue: RestCatalogue) -> None:
    names = [name for name in home.settings if name.startswith(("PYICEBERG_", "AWS_"))]
    lines = "".join(f"{name}={home.settings.pop(name)}\n" for name in names)
    (home.path / ".env").touch(0o644)
    (home.path / ".env").write_text(lines.replace(TOKEN, "wrong"))
    assert export(home, "--out", REST).code == 2, "others can read the token"
    (home.path / ".env").chmod(0o600)
    refused = export(home, "--out", REST)
    assert refused.code == 1
    assert "NotAuthorized" in refused.err
    (home.path / ".env").write_text(lines)
    exported(home, "--out", REST)
    assert len(rows_of(catalogue, "daily_totals")) == len(DAYS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "iceberg://nowhere/x"], "PYICEBERG_CATALOG__NOWHERE__URI"),
        (["--out", "iceberg://a/b/c"], "does not name a lake"),
        (["--out", "s3://bucket/prefix"], "name a folder, or iceberg://CATALOG/NAMESPACE"),
        (["--as-of", "2026-11-20"], "a lake has each day as it is now"),
    ],
)
def test_place_that_is_not_a_lake_is_refused(
    home: Home, lake: Path, words: list[str], message: str
) -> None:
    result = export(home, *words)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert not lake.exists()


def test_folder_whose_name_is_not_utf_8_is_refused(home: Home, lake: Path) -> None:
    """Without a log: pytest's workers cannot send one with such a name."""
    folder = home.path / "l\udce4ke"
    with pytest.raises(UsageError, match="a lake needs a folder whose name is UTF-8"):
        export_lake(settings_of(home), Window(FIRST, LAST), f"{folder}")
    assert not folder.exists()
    assert not lake.exists()


def test_missing_library_names_the_extra(home: Home, lake: Path) -> None:
    code = (
        "import sys; sys.modules['pyiceberg'] = None\n"
        "from dashboard_scraper.main import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *home.words(*WORDS)],
        env=home.environment(),
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2
    assert b"[iceberg]" in done.stderr
    assert not lake.exists()
