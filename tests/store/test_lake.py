"""A lake as the store: what is read from it, and what is rejected."""

from __future__ import annotations

import subprocess
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from pyiceberg.catalog.sql import SqlCatalog

from conftest import Home, all_files, content_of
from dashboard_scraper.model.usage import EditorLanguageUsage, UserUsage
from dashboard_scraper.store import DetailStatus, store_at
from dashboard_scraper.store.lake.place import CATALOG_FILE, NAMESPACE
from filled_store import FETCHED, LAST, SOURCE, figures_of, put, some_days, user
from lakes import REST, RestCatalogue, merge_files
from stored_days import mark

pytestmark = pytest.mark.slow

FIRST = LAST - timedelta(2)
DAYS = (f"{FIRST}", f"{LAST}")


def export_lake(home: Home, *more: str) -> None:
    result = home.run("export", *DAYS, "--format", "iceberg", *more)
    assert result.code == 0, result.err
    assert "resolve region" not in result.err, "AWS was asked for a bucket of another server"


def reading(home: Home, place: Path | str) -> Home:
    """The same home, but the lake is its store."""
    url = f"iceberg:///{place}" if isinstance(place, Path) else place
    return Home(home.path, home.settings | {"STORE_URL": url})


def written(home: Home, name: str) -> dict[str, bytes]:
    """The files that an export and a report write."""
    folder = home.path / name
    result = home.run("export", *DAYS, "--out", f"{folder}")
    assert result.code == 0, result.err
    assert home.run("report").code == 0
    found = {str(path.relative_to(folder)): content_of(path) for path in all_files(folder)}
    return found | {"page": (home.data / "report.html").read_bytes()}


@pytest.fixture
def details(home: Home, lake: Path) -> None:
    """Unknown figures, timestamps, doubts, editors and credits in the store."""
    assert lake
    url = home.settings["STORE_URL"]
    odd = UserUsage("odd@example.com", figures_of(chat_messages=3), {"größe": 1})
    bot = user("triage-bot", chat_messages=None)
    put(url, {LAST: [odd, bot], FIRST: []})
    mark(url, LAST, "suspicious", "who knows")
    usage = EditorLanguageUsage(odd.user, "VSCode", "Python", figures_of(chat_messages=3))
    store = store_at(url)
    with store.locked(), store.opened():
        store.put_editor_languages(SOURCE, LAST, [usage], DetailStatus.COMPLETE, FETCHED)
        store.put_credits(SOURCE, LAST, {odd.user: 1.5}, FETCHED)
    home.settings |= {"GITHUB_REPORTS_CREDITS": "true", "ORGANIZATION_ID": "7"}


@pytest.mark.usefixtures("details")
def test_outputs_are_those_of_the_store(home: Home, lake: Path) -> None:
    export_lake(home)
    assert written(reading(home, lake), "of-lake") == written(home, "of-store")


@pytest.mark.heavy
@pytest.mark.usefixtures("details")
def test_store_in_an_object_store(home: Home, remote_catalogue: RestCatalogue) -> None:
    assert remote_catalogue
    export_lake(home, "--out", REST)
    assert written(reading(home, REST), "of-lake") == written(home, "of-store")


@pytest.mark.heavy
def test_merged_files_are_read_and_replaced(home: Home, lake: Path) -> None:
    """Another program may put several days into one file."""
    export_lake(home)
    catalog = catalog_of(lake)
    table = catalog.load_table((NAMESPACE, "user_days"))
    merge_files(table)
    snapshot = table.metadata.current_snapshot_id
    export_lake(home)
    table.refresh()
    assert table.metadata.current_snapshot_id == snapshot, "nothing has changed"
    assert written(reading(home, lake), "of-lake") == written(home, "of-store")
    put(home.settings["STORE_URL"], {LAST: some_days(1, seed=7)[LAST]})
    export_lake(home)
    catalog.close()
    assert written(reading(home, lake), "of-lake") == written(home, "of-store")


@pytest.mark.usefixtures("details")
def test_rows_that_another_program_added_again(home: Home, lake: Path) -> None:
    """They would double the figures of their day: it is not read until it is replaced."""
    export_lake(home)
    added = {"daily_totals": FIRST, "user_days": FIRST + timedelta(1), "credit_days": LAST}
    with closing(catalog_of(lake)) as catalog:
        tables = {name: catalog.load_table((NAMESPACE, name)) for name in added}
        before = {name: table.scan().to_arrow().num_rows for name, table in tables.items()}
        for name, table in tables.items():
            table.append(table.scan(row_filter=f"day = '{added[name]}'").to_arrow())
        result = reading(home, lake).run("status")
        assert result.code == 1
        assert f"{FIRST} to {LAST}: the rows are not those of the totals" in result.err
        export_lake(home)
        for name, table in tables.items():
            assert table.refresh().scan().to_arrow().num_rows == before[name], name
        totals = tables["daily_totals"]
        totals.append(totals.scan().to_arrow())
    export_lake(home)
    assert reading(home, lake).run("status").code == 0


def catalog_of(lake: Path) -> SqlCatalog:
    """The lake as another program opens it."""
    return SqlCatalog("lake", uri=f"sqlite:///{lake / CATALOG_FILE}", warehouse=f"{lake}")


def test_lake_can_only_be_read(exported_lake: tuple[Home, Path]) -> None:
    home, lake = exported_lake
    before = {path: path.read_bytes() for path in all_files(lake)}
    store = reading(home, lake)
    for words in (("backfill", *DAYS), ("forget", "user0@example.com"), ("--daily", *DAYS)):
        result = store.run(*words)
        assert result.code == 2, words
        assert "is a lake, which can only be read here" in result.err
    versions = [["export", *DAYS, "--as-of", "2026-11-20"], ["history", DAYS[0]], ["revisions"]]
    for asked in versions:
        result = store.run(*asked)
        assert result.code == 2, asked
        assert "has each day as it is now" in result.err
    result = store.run("export", *DAYS, "--format", "iceberg")
    assert result.code == 2
    assert "is the store that is read" in result.err
    assert {path: path.read_bytes() for path in all_files(lake)} == before


def test_status_of_a_lake_in_a_folder_of_any_name(home: Home, lake: Path) -> None:
    """In a process of its own, at whose end DuckDB lists what has not been released."""
    odd = lake / "a?b#c%20"
    export_lake(home, "--out", f"{odd}")
    assert (odd / CATALOG_FILE).is_file()
    reader = reading(home, odd)
    status = subprocess.run(
        reader.command("status"), env=reader.environment(), capture_output=True, check=True
    )
    assert (b"3 complete" in status.stdout, status.stderr) == (True, b"")


def test_lake_that_is_not_there(home: Home, lake: Path) -> None:
    result = reading(home, lake).run("report")
    assert result.code == 2
    assert "there is no store at" in result.err
    assert not lake.exists()


def test_pseudonyms_are_not_replaced_again(home: Home, lake: Path) -> None:
    key = home.path / "pseudonym.key"
    key.touch(0o600)
    key.write_text("0123456789abcdef" * 4)
    home.settings["PSEUDONYM_KEY_FILE"] = f"{key}"
    export_lake(home)
    csv = f"augment_metrics_{LAST}.csv"

    def csv_from(store: Home, folder: str) -> bytes:
        assert store.run("export", *DAYS, "--out", folder).code == 0
        return (home.path / folder / csv).read_bytes()

    of_store = csv_from(home, "of-store")
    store = reading(home, lake)
    result = store.run("report")
    assert result.code == 2
    assert "unset PSEUDONYM_KEY_FILE" in result.err
    del store.settings["PSEUDONYM_KEY_FILE"]
    assert csv_from(store, "of-lake") == of_store
