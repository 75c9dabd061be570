"""PSEUDONYM_KEY_FILE: no output names a person, and figures stay those of the same person."""

from __future__ import annotations

import csv
import hmac
import json
import re
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from conftest import Home, Start, all_files, content_of
from dashboard_scraper.cli.conversion import convert
from dashboard_scraper.cli.exporting import export_files, export_parquet
from dashboard_scraper.cli.fetching import fetch_period
from dashboard_scraper.errors import DaysMissing, NotReconciled, UsageError
from dashboard_scraper.exports.copilot_converter import md5_user_id
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import COUNTS, USER_TITLE
from dashboard_scraper.simulator import (
    Fault,
    Organization,
    Simulator,
    add_field,
    raw_body,
    repeat_user,
)
from report_reading import without_code
from stored_days import (
    NOON,
    TENANT,
    TODAY,
    USERS,
    backfill,
    fetch,
    march,
    record_of,
    settings_of,
    stored_users,
)

FIRST, LAST = march(4), march(6)
WINDOW = Window(FIRST, LAST)
KEY, OTHER_KEY = "0123456789abcdef" * 4, "fedcba9876543210" * 4
ADA, BOB = "ada@example.com", "bob@example.com"


@pytest.fixture
def spring(start: Start) -> Simulator:
    """A simulator of six users whose today is the 10th of March, 2025."""
    return start(Organization(users=6, today=TODAY))


def use_key(home: Home, key: str = KEY, mode: int = 0o600) -> None:
    file = home.path / "secrets" / "key"
    file.parent.mkdir(exist_ok=True)
    file.touch(mode)
    file.chmod(mode)
    file.write_text(f"{key}\n")
    home.settings["PSEUDONYM_KEY_FILE"] = "secrets/key"


def pseudonym(address: str, key: str = KEY) -> str:
    return f"user-{hmac.new(key.encode(), address.encode(), sha256).hexdigest()[:20]}"


def write_csv(home: Home, *users: str) -> Path:
    """A CSV as saved from the dashboard."""
    file = home.path / "saved-2025-03-04.csv"
    titles = [USER_TITLE, *(metric.title for metric in COUNTS)]
    rows = "".join(f"{user}{',2' * len(COUNTS)}\r\n" for user in users)
    file.write_bytes(f"{','.join(titles)}\r\n{rows}".encode())
    return file


def write_everything(home: Home) -> Path:
    """Write every kind of output to one folder; the daily files come from a run."""
    settings, out = settings_of(home), home.data
    fetch(home, FIRST, LAST)
    for window in (WINDOW, Window(FIRST, FIRST)):
        fetch_period(settings, NOON, window, None)
    export_files(settings, WINDOW, out / "export")
    export_parquet(settings, WINDOW, f"{out / 'parquet'}")
    file = write_csv(home, *(user.user for user in stored_users(home)[FIRST]))
    convert(settings, file, (None, None, None), out / "converted.json")
    return out


def text_of(path: Path) -> str:
    if path.suffix == ".parquet":
        binary = path.read_bytes().decode("latin-1").replace("@", "")  # it may contain any byte
        return f"{pyarrow.parquet.read_table(path).to_pylist()}{binary}"
    text = path.read_bytes().decode()
    return without_code(text) if path.suffix == ".html" else text


def outputs(folder: Path) -> dict[str, str]:
    """The text of every file except the store's files."""
    files = [path for path in folder.rglob("*") if path.is_file() and "usage.db" not in path.name]
    return {str(path.relative_to(folder)): text_of(path) for path in files}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def export(home: Home, name: str) -> Path:
    export_files(settings_of(home), WINDOW, home.path / name)
    return home.path / name


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: content_of(path) for path in all_files(folder)}


@pytest.mark.slow
def test_no_output_contains_an_address(home: Home, spring: Simulator) -> None:
    use_key(home)
    names = [member.name for member in spring.organization.people]
    nested = {"who": names[0], names[1]: [names[2], {"deep": f"by <{names[3]}>"}]}
    spring.add_fault(Fault(add_field("notes", nested), USERS))
    found = outputs(write_everything(home))
    assert len(found) == 2 * (3 * 4 + 3) + 2 * 2 + 3 + 1
    parts = {part for name in names for part in re.split(r"[@.\d]+", name) if part != "com"}
    for name, text in found.items():
        assert "@" not in text.lower(), name
        assert not [part for part in parts if part in text.lower()], name
        if not any(whole in name for whole in ("tenant", "manifest", "enterprise")):
            assert re.search("user-[0-9a-f]{20}", text), name


@pytest.mark.slow
def test_pseudonym_depends_on_user_and_key_alone(home: Home, spring: Simulator) -> None:
    use_key(home)
    shown = {
        name: set(re.findall("user-[0-9a-f]+", text))
        for name, text in outputs(write_everything(home)).items()
    }
    users = {user.user for users in stored_users(home).values() for user in users}
    assert len(users) > 3
    everyone = {pseudonym(user) for user in users}
    assert set.union(*shown.values()) == everyone
    for name in ("metrics_20250304_to_20250306.csv", "converted.json"):
        assert shown[name] <= everyone
    first_day = {pseudonym(user.user) for user in stored_users(home)[FIRST]}
    for name in (
        "export/augment_metrics_2025-03-04.csv",
        "daily_exports_2025-03-04_to_2025-03-06/augment_metrics_2025-03-04.csv",
        "metrics_20250304.csv",
        "parquet/day=2025-03-04/user_days.parquet",
        "converted.json",
    ):
        assert shown[name] == first_day, name
    spring.stop()
    use_key(home, OTHER_KEY)
    others = {pseudonym(user, OTHER_KEY) for user in users}
    text = "".join(outputs(export(home, "other")).values())
    assert set(re.findall("user-[0-9a-f]+", text)) == others
    assert not everyone & others


@pytest.mark.slow
def test_ids_and_order_follow_pseudonyms(home: Home, spring: Simulator) -> None:
    backfill(home, FIRST, LAST)
    spring.stop()
    plain = export(home, "plain")
    use_key(home)
    hidden = export(home, "hidden")
    assert contents(plain).keys() == contents(hidden).keys()
    for day in WINDOW.days():
        name = f"augment_metrics_{day}.csv"
        rows = rows_of(plain / name)
        renamed = [{**row, USER_TITLE: pseudonym(row[USER_TITLE])} for row in rows]
        assert rows_of(hidden / name) == sorted(renamed, key=lambda row: row[USER_TITLE])
        assert renamed != rows_of(hidden / name)
    for path in [*plain.glob("copilot_metrics_2*.json"), plain / "copilot_metrics_aggregated.json"]:
        records: list[dict[str, Any]] = json.loads(path.read_bytes())
        for each in records:
            each["user_login"] = pseudonym(each["user_login"])
            each["user_id"] = md5_user_id(each["user_login"])
        records.sort(key=lambda each: str(each["user_login"]))
        assert len(records) > 1
        assert json.loads((hidden / path.name).read_bytes()) == records


@pytest.mark.slow
def test_store_has_addresses_not_pseudonyms(home: Home, spring: Simulator) -> None:
    backfill(home, FIRST, LAST)
    before = contents(export(home, "plain"))
    stored_before = stored_users(home)
    use_key(home)
    fetch(home, FIRST, LAST)
    fetch_period(settings_of(home), NOON, Window(FIRST, FIRST), None)
    assert stored_users(home) == stored_before
    assert {user.user for user in stored_before[FIRST]} <= {
        m.name for m in spring.organization.people
    }
    assert contents(export(home, "hidden")) != before
    del home.settings["PSEUDONYM_KEY_FILE"]
    assert contents(export(home, "again")) == before


@pytest.mark.usefixtures("spring")
def test_converted_csv_with_pseudonyms_keeps_them(home: Home) -> None:
    """Pseudonyms of pseudonyms would look like other people."""
    use_key(home)
    fetch(home, FIRST, FIRST)
    export_files(settings_of(home), Window(FIRST, FIRST), home.data / "export")
    day, made = home.data / "export" / f"copilot_metrics_{FIRST}.json", home.path / "made.json"
    file = day.with_name(f"augment_metrics_{FIRST}.csv")
    convert(settings_of(home), file, (None, None, None), made)
    assert made.read_bytes() == day.read_bytes()
    assert made.read_bytes().count(b'"user-') > 1


@pytest.mark.slow
def test_addresses_in_unknown_fields_are_replaced(home: Home, spring: Simulator) -> None:
    use_key(home)
    ada = record_of(
        ADA,
        manager=BOB,
        self=f"mailto:{ADA}?subject=x",
        nested={"deep": {"list": [BOB, {"who": ADA}]}, ADA: 7},
        text=f"{ADA}, <{BOB}>;cyd_o-neill+x@mail.example.com.",
        plain="no address",
        number=5,
        **{f"by {BOB}": True},
    )
    account = record_of("release-bot", made="by release-bot for all")
    body = json.dumps({"userFeatureStats": [ada, account]}).encode()
    spring.add_fault(Fault(raw_body(body), USERS))
    with pytest.raises(NotReconciled):
        fetch(home, FIRST, FIRST)
    folder = home.data / f"daily_exports_{FIRST}_to_{FIRST}"
    rows = {row[USER_TITLE]: row for row in rows_of(folder / f"augment_metrics_{FIRST}.csv")}
    row = rows[pseudonym(ADA)]
    shown_ada, shown_bob = pseudonym(ADA), pseudonym(BOB)
    assert row["manager"] == shown_bob
    assert row["self"].startswith("mailto:user-")
    assert json.loads(row["nested.deep.list"]) == [shown_bob, {"who": shown_ada}]
    assert row[f"nested.{shown_ada}"] == "7"
    assert row["text"].startswith(f"{shown_ada}, <{shown_bob}>;")
    assert (row["plain"], row["number"], row[f"by {shown_bob}"]) == ("no address", "5", "true")
    bot = pseudonym("release-bot")
    assert rows[bot]["made"] == f"by {bot} for all"
    for name, text in outputs(folder).items():
        words = re.sub("[0-9a-f]{32,}", "", text)  # a digest may contain any letters
        assert not re.search("@|ada|bob|cyd_|neill|example|release", words), name


def test_address_with_apostrophe_is_replaced(home: Home, spring: Simulator) -> None:
    use_key(home)
    cyd = "cyd.o'neill@example.com"
    body = json.dumps({"userFeatureStats": [record_of(ADA, manager=cyd), record_of(cyd)]}).encode()
    spring.add_fault(Fault(raw_body(body), USERS))
    with pytest.raises(NotReconciled):
        fetch(home, FIRST, FIRST)
    folder = home.data / f"daily_exports_{FIRST}_to_{FIRST}"
    shown = {row[USER_TITLE]: row for row in rows_of(folder / f"augment_metrics_{FIRST}.csv")}
    assert shown[pseudonym(ADA)]["manager"] == pseudonym(cyd)


def test_name_in_a_word_is_not_told_by_the_rest_of_it(home: Home, spring: Simulator) -> None:
    use_key(home)
    users = [record_of(ADA, metadata="x"), record_of("data", metadata="job_data_1 of data: update")]
    body = json.dumps({"userFeatureStats": users}).encode()
    spring.add_fault(Fault(raw_body(body), USERS))
    with pytest.raises(NotReconciled):
        fetch(home, FIRST, FIRST)
    folder = home.data / f"daily_exports_{FIRST}_to_{FIRST}"
    rows = {row[USER_TITLE]: row for row in rows_of(folder / f"augment_metrics_{FIRST}.csv")}
    bot = pseudonym("data")
    assert rows[bot]["metadata"] == f"job_{bot}_1 of {bot}: update"
    assert rows[pseudonym(ADA)]["metadata"] == "x"


def test_unknown_tenant_figures_hide_names(home: Home, spring: Simulator) -> None:
    use_key(home)
    spring.add_fault(Fault(add_field("mostActive", ADA), TENANT))
    spring.add_fault(Fault(add_field("byUser", {BOB: 3}), TENANT))
    fetch_period(settings_of(home), NOON, WINDOW, None)
    text = (home.data / "metrics_20250304_to_20250306_tenant.csv").read_text()
    assert f"mostActive,{pseudonym(ADA)}" in text
    assert re.search(r"^2025-03-04,2025-03-06,user-[0-9a-f]{20},3$", text, re.MULTILINE)
    assert "@" not in text
    assert "bob" not in text


def test_failure_reason_hides_names(home: Home, spring: Simulator) -> None:
    use_key(home)
    spring.add_fault(Fault(repeat_user(changed=True), USERS, LAST))
    with pytest.raises(DaysMissing):
        fetch(home, FIRST, LAST)
    folder = home.data / f"daily_exports_{FIRST}_to_{LAST}"
    (reason,) = (
        day["reason"]
        for day in json.loads((folder / "manifest.json").read_bytes())["days"]
        if day["status"] == "failed"
    )
    assert "came twice" in reason
    assert "@" not in reason


@pytest.mark.parametrize(
    ("key", "mode", "advice"),
    [
        (KEY, 0o644, "chmod 600"),
        (KEY, 0o640, "chmod 600"),
        (None, 0o600, "(umask 077; openssl rand -hex 32 > "),
        (KEY[:31], 0o600, "(umask 077; openssl rand -hex 32 > "),
        (" " * 64, 0o600, "(umask 077; openssl rand -hex 32 > "),
    ],
)
def test_bad_key_stops_before_fetching(
    home: Home, spring: Simulator, key: str | None, mode: int, advice: str
) -> None:
    use_key(home, key or "", mode)
    if key is None:
        (home.path / "secrets" / "key").unlink()
    settings, file = settings_of(home), write_csv(home, ADA)
    attempts: list[Callable[[], None]] = [
        lambda: fetch(home, FIRST, LAST),
        lambda: fetch_period(settings, NOON, WINDOW, None),
        lambda: export_files(settings, WINDOW, None),
        lambda: export_parquet(settings, WINDOW, None),
        lambda: convert(settings, file, (None, None, None), None),
    ]
    for attempt in attempts:
        with pytest.raises(UsageError, match=re.escape(advice)):
            attempt()
        assert not home.data.exists()
    assert set(home.path.iterdir()) == {file, home.path / "secrets"}
    assert spring.count() == 0


def test_a_key_of_the_shortest_length_is_a_key(home: Home) -> None:
    use_key(home, KEY[:32])
    convert(settings_of(home), write_csv(home, ADA), (None, None, None), None)
    (shown,) = json.loads((home.path / "saved-2025-03-04.json").read_bytes())
    assert shown["user_login"] == pseudonym(ADA, KEY[:32])


def test_missing_key_exits_2_with_instructions(home: Home, spring: Simulator) -> None:
    use_key(home)
    shutil.rmtree(home.path / "secrets")
    result = home.run("--daily", "2025-03-04", "2025-03-05")
    assert (result.code, result.out) == (2, "")
    assert f"openssl rand -hex 32 > {home.path / 'secrets' / 'key'}" in result.err
    assert KEY not in result.err
    assert (spring.count(), home.data.exists()) == (0, False)


def test_foreign_records_are_refused_with_pseudonyms(home: Home, spring: Simulator) -> None:
    """It is unknown which of their fields name a person."""
    use_key(home)
    spring.add_fault(Fault(raw_body(b'{"items":[{"email":"ada@example.com","value":1}]}'), USERS))
    home.data.mkdir()
    names = ("metrics_20250304.csv", "metrics_20250304_tenant.csv")
    for name in names:
        (home.data / name).write_text("old")
    result = home.run("2025-03-04")
    assert (result.code, result.out) == (2, "")
    assert "are not user statistics" in result.err
    assert outputs(home.data) == {f"{name}.stale": "old" for name in names}
    del home.settings["PSEUDONYM_KEY_FILE"]
    assert home.run("2025-03-04").code == 0
    assert ADA in (home.data / names[0]).read_text()
