"""Who a user is in GitHub's reports: from IDENTITY_FILE, or from the address."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from conftest import Home
from dashboard_scraper.errors import UsageError
from dashboard_scraper.identity import LARGEST_ID, Person, natural_id, persons_of, read_identities
from filled_store import LAST, SOURCE, put, user

# Found by trying: the ids that follow from these two addresses are one.
COLLIDING = ("user57491@example.com", "user77777@example.com")
ADA, BOB = "ada@example.com", "bob@example.com"


def read(tmp_path: Path, text: str | bytes) -> dict[str, Person]:
    file = tmp_path / "people.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return dict(read_identities(file))


@pytest.mark.parametrize(
    "text",
    [
        f"email,login,id,team\n{ADA},ada-l,11,core\n{ADA},ada-l,11,web\n{BOB},bob-m,12,\n",
        f"\ufeffEmail, Login ,ID,Team\r\n {ADA} ,ada-l, 11 ,core\r\nADA@EXAMPLE.COM,ada-l,11,web\r"
        f"\n\r\n{BOB},bob-m,12,\r\n",
        f'email,login,id,team\n"{ADA}","ada-l","11","core"\n{ADA},ada-l,11,web\n'
        f",,,\n{BOB},bob-m,12,",
    ],
    ids=["plain", "as spreadsheets write it", "quoted"],
)
def test_each_person_has_a_login_an_id_and_teams(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == {
        ADA: Person("ada-l", 11, ("core", "web")),
        BOB: Person("bob-m", 12, ()),
    }


def test_the_column_of_teams_may_be_left_out(tmp_path: Path) -> None:
    assert read(tmp_path, f"email,login,id\n{ADA},ada-l,11\n") == {ADA: Person("ada-l", 11)}


WRONG: dict[str, tuple[str | bytes, str]] = {
    "nothing": ("", "people.csv"),
    "another header": ("mail,login,id\n", "email,login,id,team"),
    "no header": (f"{ADA},ada-l,11\n", "email,login,id,team"),
    "too few cells": (f"email,login,id\n{ADA},ada-l\n", "row 2"),
    "too many cells": (f"email,login,id\n{BOB},b,1\n{ADA},ada-l,11,x\n", "row 3"),
    "no address": ("email,login,id\n,ada-l,11\n", "row 2"),
    "no login": (f"email,login,id\n{ADA},,11\n", "row 2"),
    "no id": (f"email,login,id\n{ADA},ada-l,\n", "row 2"),
    "zero": (f"email,login,id\n{ADA},ada-l,0\n", "row 2"),
    "negative": (f"email,login,id\n{ADA},ada-l,-1\n", "row 2"),
    "too large": (f"email,login,id\n{ADA},ada-l,{LARGEST_ID + 1}\n", "row 2"),
    "a fraction": (f"email,login,id\n{ADA},ada-l,1.0\n", "row 2"),
    "a word": (f"email,login,id\n{ADA},ada-l,eleven\n", "row 2"),
    "other digits": (f"email,login,id\n{ADA},ada-l,\u0661\n", "row 2"),
    "another login": (f"email,login,id\n{ADA},ada-l,11\nAda@Example.com,ada,11\n", "row 3"),
    "another id": (f"email,login,id\n{ADA},ada-l,11\n{ADA},ada-l,12\n", "row 3"),
    "a shared id": (f"email,login,id\n{ADA},ada-l,11\n{BOB},bob-m,11\n", BOB),
    "a shared login": (f"email,login,id\n{ADA},ada-l,11\n{BOB},Ada-L,12\n", BOB),
    "a quote that stays open": (f'email,login,id\n"{ADA},ada-l,11\n', "people.csv"),
    "no UTF-8": (b"email,login,id\n\xff,ada-l,11\n", "people.csv"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_with_its_row(tmp_path: Path, name: str) -> None:
    text, told = WRONG[name]
    with pytest.raises(UsageError, match=r"^IDENTITY_FILE: ") as raised:
        read(tmp_path, text)
    assert told in str(raised.value)
    assert "people.csv" in str(raised.value)


def kept(home: Home, *names: str) -> None:
    """A store with one day, on which these users did something."""
    home.settings |= {"METRICS_SOURCE": SOURCE, "STORE_URL": f"sqlite:///{home.data}/usage.db"}
    put(home.settings["STORE_URL"], {LAST: [user(name, chat_messages=1) for name in names]})


def logins(home: Home) -> dict[str, int]:
    """Of the records that an export of the day has, by login."""
    home.run("export", f"{LAST}")
    (file,) = home.data.rglob(f"users-1-day_{LAST}.ndjson")
    records = map(json.loads, file.read_text().splitlines())
    return {record["user_login"]: record["user_id"] for record in records}


@pytest.mark.parametrize("text", ["mail,login,id\n", None], ids=["wrong", "missing"])
def test_with_a_file_that_cannot_be_used_nothing_is_written(home: Home, text: str | None) -> None:
    kept(home, ADA)
    home.settings["IDENTITY_FILE"] = "people.csv"
    if text is not None:
        (home.path / "people.csv").write_text(text)
    result = home.run("export", f"{LAST}")
    assert (result.code, result.out) == (2, "")
    assert "IDENTITY_FILE" in result.err
    assert "people.csv" in result.err
    assert home.files() == set()


def test_reports_have_the_files_names_and_the_log_lists_once_who_is_not_in_it(home: Home) -> None:
    strangers = [f"user{number:02}@example.com" for number in range(23)]
    kept(home, "Ada@Example.com", *strangers)
    (home.path / "people.csv").write_text(
        f"email,login,id\n{ADA},ada-l,11\n{ADA},ada-l,11\n{BOB},bob-m,12\n"
    )
    home.settings["IDENTITY_FILE"] = "people.csv"
    assert logins(home)["ada-l"] == 11
    result = home.run("export", f"{LAST}")
    (unmatched,) = [line for line in result.err.splitlines() if "not in IDENTITY_FILE" in line]
    assert (
        f"23 users are not in IDENTITY_FILE, and go by their addresses: {strangers[0]}" in unmatched
    )
    assert unmatched.endswith(f"{strangers[19]} and 3 more")
    (twice,) = [line for line in result.err.splitlines() if "there twice" in line]
    assert f"{ADA} in row 3" in twice
    (unused,) = [line for line in result.err.splitlines() if "nobody in the store" in line]
    assert BOB in unused


def test_without_a_file_the_address_is_the_login_and_the_id_stays(home: Home) -> None:
    kept(home, ADA, BOB)
    before = logins(home)
    assert before == {ADA: natural_id(ADA), BOB: natural_id(BOB)}
    put(
        home.settings["STORE_URL"], {LAST: [user(n, chat_messages=1) for n in ("a@b.example", ADA)]}
    )
    assert logins(home)[ADA] == before[ADA]


@pytest.mark.parametrize("name", [ADA, "x", "é" * 300, ""])
def test_an_id_is_a_positive_number_below_two_to_the_31(name: str) -> None:
    assert 0 < natural_id(name) < 2**31
    assert natural_id(name) == natural_id(name.upper().lower())


def test_of_two_addresses_with_one_id_the_first_that_came_keeps_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = COLLIDING
    assert natural_id(first) == natural_id(second)
    for order in (COLLIDING, COLLIDING[::-1]):
        caplog.clear()
        people = persons_of(order, {})
        assert people[order[0]].id == natural_id(first)
        assert people[order[1]] == Person(order[1], natural_id(f"{order[1]}#2"))
        (record,) = caplog.records
        assert (record.levelno, order[1] in record.getMessage()) == (logging.WARNING, True)


def test_an_id_of_the_file_is_nobody_elses(caplog: pytest.LogCaptureFixture) -> None:
    people = persons_of([BOB, ADA], {ADA: Person("ada-l", natural_id(BOB))})
    assert people[ADA].id == natural_id(BOB) != people[BOB].id == natural_id(f"{BOB}#2")
    assert BOB in caplog.text


def test_a_name_that_is_anothers_login_gets_one_of_its_own() -> None:
    people = persons_of(["Ada-L", ADA, "CI", "ci"], {ADA: Person("ada-l", 11)})
    names = [people[name].login for name in ("Ada-L", ADA, "CI", "ci")]
    assert names == ["Ada-L#2", "ada-l", "CI", "ci#2"]
    assert len({person.id for person in people.values()}) == 4


def test_addresses_that_differ_in_capitals_are_one_person_and_names_of_services_are_two() -> None:
    people = persons_of(["Ada@example.com", ADA, "CI", "ci"], {})
    assert people["Ada@example.com"] is people[ADA]
    assert people[ADA].login == "Ada@example.com"
    assert people["CI"] != people["ci"]


def test_with_pseudonyms_no_report_has_an_address(home: Home) -> None:
    kept(home, ADA, BOB)
    key = home.path / "secrets" / "key"
    key.parent.mkdir()
    key.write_text("k" * 40)
    key.chmod(0o600)
    home.settings["PSEUDONYM_KEY_FILE"] = "secrets/key"
    shown = logins(home)
    assert len(shown) == 2
    assert all(
        name.startswith("user-") and number == natural_id(name) for name, number in shown.items()
    )
    written = [p.read_text() for p in home.data.rglob("github_reports/*")]
    assert len(written) == 2
    assert not any("@example.com" in text for text in written)
