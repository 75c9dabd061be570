"""`tap`: the catalogue, the selection, whom rows show, and invalid files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from conftest import Home
from dashboard_scraper.csv_text import render
from dashboard_scraper.model.costs import AMOUNT_METRICS
from dashboard_scraper.model.metrics import COUNTS, METRICS
from dashboard_scraper.model.seats import Seat
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.people.identity import HEADER
from dashboard_scraper.people.shown_costs import SERVICE_ACCOUNTS
from dashboard_scraper.store import store_at
from dashboard_scraper.store.schema import RUN, VIEWS
from filled_store import FETCHED, LAST, SOURCE, put, user
from singer_target import Row, Target, file, fresh, kinds, sync
from stored_costs import cost, day_of

ADA, SAME_ADA = "ada@example.com", "Ada@example.com"
BOT = "triage-bot"


@pytest.fixture
def small(home: Home) -> Home:
    """Two days of two people and a service account, with costs and seats."""
    url = f"sqlite:///{home.data / 'usage.db'}"
    home.settings |= {"STORE_URL": url, "METRICS_SOURCE": SOURCE}
    home.data.mkdir()
    users = [user(name, chat_messages=n) for n, name in enumerate((ADA, "ben@example.com", BOT), 1)]
    put(url, {LAST: users, LAST - timedelta(1): [*users, user(SAME_ADA, chat_messages=10)]})
    store = store_at(url)
    with store.locked(), store.opened():
        costs = [cost(ADA, "1.25"), cost(SAME_ADA, "2"), cost(BOT, "4")]
        store.put_costs(SOURCE, day_of(LAST, costs), FETCHED)
        store.put_seats(SOURCE, [Seat(ADA, "pro"), Seat("cyd@example.com")], FETCHED)
    return home


def catalog_of(home: Home) -> Any:
    result = home.run("tap", "--discover")
    assert result.code == 0, result.err
    return json.loads(result.out)


def stream_in(catalog: Any, name: str) -> Any:
    return next(each for each in catalog["streams"] if each["tap_stream_id"] == name)


def metadata_of(stream: Any, *breadcrumb: str) -> Any:
    found = (m["metadata"] for m in stream["metadata"] if m["breadcrumb"] == [*breadcrumb])
    return next(found)


def with_catalog(home: Home, catalog: Any) -> tuple[str, ...]:
    return "--catalog", file(home.path / "catalog.json", catalog)


def test_catalogue_needs_no_store(home: Home) -> None:
    home.settings["METRICS_SOURCE"] = SOURCE
    catalog = catalog_of(home)
    names = [stream["tap_stream_id"] for stream in catalog["streams"]]
    assert names == ["user_days", "days", "cost_days", "cost_totals", "seats", "runs"]
    for stream in catalog["streams"]:
        properties = stream["schema"]["properties"]
        assert all(each["description"] for each in properties.values())
        assert "version" not in properties, "target-postgres cannot remove rows of such a table"
        assert {*stream["key_properties"]} <= properties.keys()
        for key in stream["key_properties"]:
            assert "null" not in properties[key]["type"]
            assert metadata_of(stream, "properties", key)["inclusion"] == "automatic"


def test_fields_are_those_of_the_views_and_the_catalogue(home: Home) -> None:
    home.settings["METRICS_SOURCE"] = SOURCE
    catalog = catalog_of(home)
    views = {"user_days": "user_days", "cost_days": "cost_days", "days": "daily_totals"}
    for stream, view in {**views, "cost_totals": "cost_totals", "seats": "seats"}.items():
        columns = {column.name for column in VIEWS[view].selected_columns} - {"digest", "version"}
        assert columns <= stream_in(catalog, stream)["schema"]["properties"].keys()
    runs = stream_in(catalog, "runs")["schema"]["properties"].keys()
    assert {*RUN.c.keys()} - {"version"} == runs - {"program_version"}
    users = stream_in(catalog, "user_days")["schema"]["properties"]
    for metric in METRICS:
        assert users[metric.name]["description"] == metric.definition
    assert {users[metric.name]["type"][0] for metric in COUNTS} == {"integer"}
    costs = stream_in(catalog, "cost_days")["schema"]["properties"]
    for amount in AMOUNT_METRICS:
        assert (costs[amount.name]["type"], costs[amount.name]["format"]) == (
            ["string", "null"],
            "x-singer.decimal",
        )


def test_discovered_catalogue_selects_everything(small: Home) -> None:
    target = fresh(small, *with_catalog(small, catalog_of(small)))
    assert target.content() == fresh(small).content()
    assert len(target.tables) == 6


def test_only_selected_streams_and_fields_are_sent(small: Home) -> None:
    catalog = catalog_of(small)
    for stream in catalog["streams"]:
        metadata_of(stream)["selected"] = stream["tap_stream_id"] == "user_days"
    users = stream_in(catalog, "user_days")
    for each in users["metadata"]:
        if each["breadcrumb"]:
            each["metadata"]["selected"] = each["breadcrumb"][1] == "chat_messages"
    target = fresh(small, *with_catalog(small, catalog))
    assert target.tables.keys() == {"user_days"}
    automatic = {"source", "day", "user_login", "accepted_at", "_sdc_deleted_at"}
    assert {frozenset(row) for row in target.rows("user_days")} == {
        frozenset({*automatic, "chat_messages"})
    }


def test_other_selection_sends_the_rows_again(small: Home) -> None:
    """Otherwise, earlier rows would have null in the new field, as if it were unknown."""
    catalog = catalog_of(small)
    users = stream_in(catalog, "user_days")
    metadata_of(users, "properties", "chat_messages")["selected"] = False
    target = fresh(small, *with_catalog(small, catalog))
    lines = sync(small, target)
    assert {each["stream"] for each in kinds(lines, "ACTIVATE_VERSION")} == {"user_days"}
    assert target.content() == fresh(small).content()


def test_stream_can_be_replicated_whole(small: Home) -> None:
    catalog = catalog_of(small)
    users = stream_in(catalog, "user_days")
    metadata_of(users)["replication-method"] = users["replication_method"] = "FULL_TABLE"
    words = with_catalog(small, catalog)
    target = fresh(small, *words)
    lines = sync(small, target, *words)
    assert len(kinds(lines, stream="user_days")) == len(target.rows("user_days"))
    assert {record["stream"] for record in kinds(lines)} == {"user_days"}


def test_older_names_of_the_catalogue_and_of_what_it_selects_work(small: Home) -> None:
    catalog = catalog_of(small)
    for stream in catalog["streams"]:
        stream["metadata"] = []
        stream["schema"]["selected"] = stream["tap_stream_id"] == "runs"
    words = ("--properties", file(small.path / "old.json", catalog))
    assert fresh(small, *words).tables.keys() == {"runs"}


def test_catalogue_without_selection_is_a_warning(small: Home) -> None:
    catalog = catalog_of(small)
    for stream in catalog["streams"]:
        metadata_of(stream)["selected"] = False
    result = small.run("tap", *with_catalog(small, catalog))
    assert (result.code, len(kinds(result.out.splitlines(), "STATE"))) == (0, 1)
    assert "selects no stream" in result.err


def test_older_catalogue_is_a_warning(small: Home) -> None:
    catalog = catalog_of(small)
    users = stream_in(catalog, "user_days")
    del users["schema"]["properties"]["chat_messages"]
    users["metadata"] = [m for m in users["metadata"] if "chat_messages" not in m["breadcrumb"]]
    result = small.run("tap", *with_catalog(small, catalog))
    assert result.code == 0
    assert "user_days: not in the catalogue: chat_messages; make a new one" in result.err


def rows_of(target: Target, stream: str) -> list[Row]:
    return [row for row in target.rows(stream) if row.get("day") in (None, f"{LAST}")]


def test_pseudonyms_hold_and_a_new_key_sends_everything_again(small: Home) -> None:
    key = small.path / "key"
    small.settings["PSEUDONYM_KEY_FILE"] = f"{key}"
    target = fresh_without(small, "first" * 10)
    before = target.content()
    key.write_text("second" * 10)
    lines = sync(small, target)
    assert {each["stream"] for each in kinds(lines, "ACTIVATE_VERSION")} >= {"seats", "user_days"}
    assert target.content() == fresh(small).content()
    names = {
        row["user_login"] for stream in before for row in before[stream] if "user_login" in row
    }
    assert not names & {row["user_login"] for row in target.rows("user_days")}


def test_state_does_not_let_anybody_try_names(small: Home) -> None:
    """Its digests cover only what rows show: if they covered names, these could be guessed."""
    small.settings["PSEUDONYM_KEY_FILE"] = f"{small.path / 'key'}"
    first, second = (fresh_without(small, word * 10).state for word in ("first", "second"))
    marks = [state["bookmarks"]["user_days"]["days"][SOURCE] for state in (first, second)]
    assert marks[0].keys() == marks[1].keys()
    assert not {*marks[0].values()} & {*marks[1].values()}


def fresh_without(home: Home, key: str) -> Target:
    """A target that has no names."""
    file_of_key = home.path / "key"
    file_of_key.write_text(key)
    file_of_key.chmod(0o600)
    target = fresh(home)
    assert "@" not in f"{target.tables}"
    assert f"'{BOT}'" not in f"{target.tables}"
    assert all(row["person"] == row["user_login"] for row in target.rows("user_days"))
    return target


def test_one_person_is_one_row(small: Home) -> None:
    target = fresh(small)
    (ada,) = (row for row in target.rows("user_days") if row["chat_messages"] == 11)
    assert (ada["person"], ada["day"]) == (ADA, f"{LAST - timedelta(1)}")
    days = {row["day"]: row for row in target.rows("days")}
    assert (days[ada["day"]]["users"], days[ada["day"]]["chat_messages"]) == (3, 16)
    (costs,) = (row for row in target.rows("cost_days") if row["person"] == ADA)
    assert costs["billed"] == "3.25"


def test_service_accounts_that_are_left_out_are_not_in_sums(small: Home) -> None:
    small.settings["INCLUDE_SERVICE_ACCOUNTS"] = "false"
    target = fresh(small)
    users = rows_of(target, "user_days")
    (day,) = rows_of(target, "days")
    assert BOT not in {row["user_login"] for row in users}
    assert (day["users"], day["active_users"]) == (2, 2)
    for metric in COUNTS:
        assert day[metric.name] == sum(row[metric.name] for row in users)
    (bots,) = (r for r in rows_of(target, "cost_days") if r["account"] == "service_account")
    assert (bots["user_login"], bots["billed"]) == (SERVICE_ACCOUNTS, "4")


def test_day_of_accounts_that_are_left_out_has_no_figure_that_the_source_does_not_know(
    small: Home,
) -> None:
    put(small.settings["STORE_URL"], {LAST: [user(BOT, chat_messages=1, commits=None)]})
    small.settings["INCLUDE_SERVICE_ACCOUNTS"] = "false"
    day = next(row for row in fresh(small).rows("days") if row["day"] == f"{LAST}")
    assert (day["users"], day["chat_messages"], day["commits"]) == (0, 0, None)


def test_identity_file_that_changes_sends_everything_again(small: Home) -> None:
    target = fresh(small)
    identities = small.path / "people.csv"
    identities.write_bytes(
        render(HEADER, [[ADA, "ada", "7", ""], ["ben@example.com", "ada", "7", ""]])
    )
    small.settings["IDENTITY_FILE"] = f"{identities}"
    sync(small, target)
    assert target.content() == fresh(small).content()
    assert {row["person"] for row in target.rows("user_days")} == {ADA, BOT}


def test_seat_is_that_of_the_newest_spelling_and_one_that_is_gone_says_so(small: Home) -> None:
    target = fresh(small)
    store = store_at(small.settings["STORE_URL"])
    with store.locked(), store.opened():
        store.put_seats(SOURCE, [Seat(SAME_ADA, "max")], FETCHED + timedelta(1))
    lines = sync(small, target)
    assert {record["stream"] for record in kinds(lines)} == {"seats"}
    assert [(row["user_login"], row["plan"], row["current"]) for row in target.rows("seats")] == [
        (SAME_ADA, "max", True),
        ("cyd@example.com", None, False),
    ]


def test_settings_may_come_from_the_runners_file(small: Home) -> None:
    url = small.settings.pop("STORE_URL")
    config = file(small.path / "config.json", {"store_url": url, "metrics_source": SOURCE})
    assert len(fresh(small, "--config", config).rows("user_days")) == 6


def test_home_may_come_from_the_runners_file(small: Home, tmp_path: Path) -> None:
    del small.settings["STORE_URL"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".env").write_text(f"STORE_URL=sqlite:///{small.data / 'usage.db'}\n")
    config = file(small.path / "config.json", {"home": f"{elsewhere}"})
    assert len(fresh(small, "--config", config).rows("user_days")) == 6


def unknown_stream(catalog: Any) -> None:
    catalog["streams"][0]["tap_stream_id"] = "clicks"


def unknown_field(catalog: Any) -> None:
    stream_in(catalog, "days")["schema"]["properties"]["clicks"] = {"type": "integer"}


def unknown_field_in_metadata(catalog: Any) -> None:
    more = {"breadcrumb": ["properties", "clicks"], "metadata": {"selected": True}}
    stream_in(catalog, "days")["metadata"].append(more)


def stream_twice(catalog: Any) -> None:
    catalog["streams"].append(catalog["streams"][0])


def no_streams(catalog: Any) -> None:
    del catalog["streams"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (unknown_stream, "there is no stream clicks; the streams are user_days, days,"),
        (unknown_field, "days has no field clicks"),
        (unknown_field_in_metadata, "days has no field clicks"),
        (stream_twice, "a stream has two entries"),
        (no_streams, "missing required field `streams`"),
    ],
)
def test_wrong_catalogue_is_refused(small: Home, change: Callable[[Any], None], words: str) -> None:
    catalog = catalog_of(small)
    change(catalog)
    result = small.run("tap", *with_catalog(small, catalog))
    assert (result.code, result.out) == (2, "")
    assert words in result.err


@pytest.mark.parametrize(
    ("option", "content", "words"),
    [
        ("--state", "", "--state: "),
        ("--state", "[]", "Expected `object`"),
        ("--state", '{"bookmarks": {"clicks": {"table_version": 1, "made_with": ""}}}', "clicks"),
        ("--state", '{"bookmarks": {"days": {"since": "2026"}}}', "is not a state of this tap"),
        (
            "--state",
            '{"bookmarks": {"days": {"table_version": 1, "made_with": "", "days":'
            ' {"analytics": {"2026-10-31": "1"}}}}}',
            "is not a state of this tap",
        ),
        ("--config", '{"store": "x"}', "there is no setting store"),
        ("--config", '{"home": "/nowhere"}', "home: /nowhere is not a directory"),
        ("--config", '{"settle_days": -1}', "SETTLE_DAYS"),
        ("--catalog", "{", "--catalog: "),
    ],
)
def test_wrong_file_is_refused(small: Home, option: str, content: str, words: str) -> None:
    path = small.path / "file.json"
    path.write_text(content)
    result = small.run("tap", option, f"{path}")
    assert (result.code, result.out) == (2, "")
    assert words in result.err
    path.unlink()
    assert small.run("tap", option, f"{path}").code == 2


def test_state_of_another_store_is_refused(small: Home) -> None:
    target = fresh(small)
    url = f"sqlite:///{small.data / 'other.db'}"
    store = store_at(url)
    with store.locked(), store.opened():
        store.put(SOURCE, DayUsage(LAST, [user(ADA)]), FETCHED + timedelta(days=1))
    small.settings["STORE_URL"] = url
    result = small.run("tap", "--state", file(small.path / "state.json", target.state))
    assert (result.code, result.out) == (2, "")
    assert "is of another store: it has figures of analytics fetched from 2026-11-10" in result.err
    assert "start without --state" in result.err


def test_lake_is_refused(small: Home) -> None:
    small.settings["STORE_URL"] = "iceberg:///lake"
    result = small.run("tap")
    assert (result.code, result.out) == (2, "")
    assert "STORE_URL names a lake" in result.err


@pytest.mark.slow
def test_target_that_ends_ends_the_tap(small: Home) -> None:
    tap = subprocess.Popen(
        small.command("tap"),
        env=small.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tap.stdout and tap.stderr
    tap.stdout.close()
    err = tap.stderr.read()
    tap.stderr.close()
    assert tap.wait() == 1
    assert "the target has ended before everything was sent" in err.splitlines()[-1]
    assert "Traceback" not in err


@pytest.mark.slow
def test_runners_command_is_installed(small: Home) -> None:
    """Meltano starts a program without any subcommand."""
    program = Path(sys.executable).with_name("tap-dashboard-scraper")
    code = "import sys; from dashboard_scraper.main import run_tap; run_tap()"
    words = [f"{program}"] if program.exists() else [sys.executable, "-c", code]
    done = subprocess.run(
        [*words, "--home", f"{small.path}"],
        env=small.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    target = Target()
    target.take(done.stdout.splitlines())
    assert target.content() == fresh(small).content()
