"""Who a user is in GitHub's reports: taken from IDENTITY_FILE, or from the address."""

from __future__ import annotations

import json
import logging
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Home, Result, all_files, today
from dashboard_scraper.cli.exporting import export_files
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.dates import Window
from dashboard_scraper.people.identity import (
    LARGEST_ID,
    Person,
    persons_of,
    read_identities,
    sha256_user_id,
)
from dashboard_scraper.simulator import Simulator
from databases import on_sqlite
from filled_store import LAST, MONTH, SOURCE, put, some_days, user
from stored_days import settings_of

# Found by trial: both addresses lead to the same id.
COLLIDING = ("user57491@example.com", "user77777@example.com")
ADA, BOB = "ada@example.com", "bob@example.com"
FILE = "people.csv"
FEW_WORDS = 20  # the number of names in a line of the log


def write(home: Home, text: str | bytes) -> None:
    (home.path / FILE).write_bytes(text.encode() if isinstance(text, str) else text)
    home.settings["IDENTITY_FILE"] = FILE


def read(tmp_path: Path, text: str | bytes) -> dict[str, Person]:
    file = tmp_path / FILE
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


HEADER = "email,login,id,team"
WRONG: dict[str, tuple[str | bytes, str]] = {
    "nothing": ("", "is empty"),
    "a byte order mark alone": ("\ufeff", "is empty"),
    "another header": ("mail,login,id\n", HEADER),
    "columns in another order": ("email,id,login\n", HEADER),
    "a column too many": ("email,login,id,team,name\n", HEADER),
    "no header": (f"{ADA},ada-l,11\n", HEADER),
    "semicolons": (f"email;login;id\n{ADA};ada-l;11\n", HEADER),
    "too few cells": (f"email,login,id\n{ADA},ada-l\n", "row 2"),
    "too many cells": (f"email,login,id\n{BOB},b,1\n{ADA},ada-l,11,x\n", "row 3"),
    "no address": ("email,login,id\n,ada-l,11\n", "row 2"),
    "an address of spaces": ("email,login,id\n  ,ada-l,11\n", "row 2"),
    "no login": (f"email,login,id\n{ADA},,11\n", "row 2"),
    "no id": (f"email,login,id\n{ADA},ada-l,\n", "row 2"),
    "zero": (f"email,login,id\n{ADA},ada-l,0\n", "row 2"),
    "negative": (f"email,login,id\n{ADA},ada-l,-1\n", "row 2"),
    "too large": (f"email,login,id\n{ADA},ada-l,{2**31}\n", "row 2"),
    "thousands of digits": (f"email,login,id\n{ADA},ada-l,{'9' * 5000}\n", "row 2"),
    "a fraction": (f"email,login,id\n{ADA},ada-l,1.0\n", "row 2"),
    "a word": (f"email,login,id\n{ADA},ada-l,eleven\n", "row 2"),
    "other digits": (f"email,login,id\n{ADA},ada-l,\u0661\n", "row 2"),
    "another login": (f"email,login,id\n{ADA},ada-l,11\nAda@Example.com,ada,11\n", "row 3"),
    "another id": (f"email,login,id\n{ADA},ada-l,11\n{ADA},ada-l,12\n", "row 3"),
    "another id, after an empty row": (
        f"email,login,id\n{ADA},ada-l,11\n\n{ADA},ada-l,12\n",
        "row 4",
    ),
    "a shared id": (f"email,login,id\n{ADA},ada-l,11\n{BOB},bob-m,11\n", "row 3"),
    "a shared login": (f"email,login,id\n{ADA},ada-l,11\n{BOB},Ada-L,12\n", "row 3"),
    "a quote that stays open": (f'email,login,id\n"{ADA},ada-l,11\n', "CSV"),
    "no UTF-8": (f"email,login,id\n{BOB},bob-m,12\n".encode() + b"\xff,ada-l,11\n", "row 3"),
}


def test_identity_file_in_utf_16_is_read(tmp_path: Path) -> None:
    """As spreadsheets save "Unicode text"."""
    assert read(tmp_path, f"email,login,id\n{ADA},a,1\n".encode("utf-16"))[ADA].login == "a"


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.slow
def test_identity_error_names_row_and_writes_nothing(home: Home, name: str) -> None:
    text, reason = WRONG[name]
    store_names(home, ADA)
    write(home, text)
    with pytest.raises(UsageError, match=r"^IDENTITY_FILE: ") as raised:
        export_files(settings_of(home), Window(LAST, LAST), None)
    message = str(raised.value)
    assert FILE in message
    assert reason in message
    assert "unpack" not in message  # Python's own message is no help
    assert len(message) < 400
    assert home.files() == set()


@pytest.mark.parametrize(
    ("text", "owner"),
    [(f"{ADA},ada-l,11\n{BOB},bob-m,11\n", ADA), (f"{BOB},bob-m,12\n{ADA},BOB-M,11\n", BOB)],
    ids=["id", "login"],
)
def test_shared_login_error_names_both(tmp_path: Path, text: str, owner: str) -> None:
    with pytest.raises(UsageError) as raised:
        read(tmp_path, f"email,login,id\n{text}")
    assert str(raised.value).index(owner) < str(raised.value).index({ADA: BOB, BOB: ADA}[owner])


@pytest.mark.parametrize("number", [1, LARGEST_ID])
def test_the_smallest_and_the_largest_id_are_ids(tmp_path: Path, number: int) -> None:
    assert read(tmp_path, f"email,login,id\n{ADA},ada-l,{number}\n")[ADA].id == number


def store_names(home: Home, *names: str) -> None:
    """A store with one day, on which these users were active."""
    home.settings |= {"METRICS_SOURCE": SOURCE, "STORE_URL": f"sqlite:///{home.data}/usage.db"}
    put(home.settings["STORE_URL"], {LAST: [user(name, chat_messages=1) for name in names]})


def exported(home: Home, day: date = LAST) -> Result:
    result = home.run("export", f"{day}")
    assert (result.code, "Traceback" in result.err) == (0, False)
    return result


def rows_of(home: Home, name: str, day: date = LAST) -> list[Any]:
    """The rows of a report from an export of the day."""
    (file,) = home.data.rglob(f"{name}_{day}.ndjson")
    return [json.loads(line) for line in file.read_text().splitlines()]


def logins(home: Home, day: date = LAST) -> dict[str, int]:
    """The ids of the records in an export of the day, by login."""
    exported(home, day)
    return written(home, day)


def written(home: Home, day: date = LAST) -> dict[str, int]:
    return {row["user_login"]: row["user_id"] for row in rows_of(home, "users-1-day", day)}


def logged_line(result: Result, words: str) -> str:
    """The only line of the log that contains the words."""
    (line,) = [line for line in result.err.splitlines() if words in line]
    return line


COMMANDS = {
    "fetching": ["--last-28-days"],
    "from the store": ["--last-28-days", "--offline"],
    "export": ["export", f"{today() - timedelta(2)}"],
    "serving": ["serve", "--port", "0"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_checks_identity_file_first(home: Home, sim: Simulator, command: str) -> None:
    write(home, f"email,login,id\n{ADA},ada-l,11\n{ADA},ada-l,12\n")
    before = set(all_files(home.path))
    result = home.run(*COMMANDS[command])
    assert (result.code, result.out) == (2, "")
    assert "row 3" in logged_line(result, f"IDENTITY_FILE: {home.path / FILE}")
    assert "Traceback" not in result.err
    assert list(sim.requests) == []
    assert set(all_files(home.path)) == before


@pytest.mark.parametrize("there", ["nothing", "a folder"])
def test_without_the_file_nothing_is_written(home: Home, there: str) -> None:
    store_names(home, ADA)
    home.settings["IDENTITY_FILE"] = FILE
    if there == "a folder":
        (home.path / FILE).mkdir()
    result = home.run("export", f"{LAST}")
    assert (result.code, result.out) == (2, "")
    assert FILE in logged_line(result, "IDENTITY_FILE: ")
    assert home.files() == set()


def test_pseudonyms_use_file_for_aliases_only(home: Home) -> None:
    """Logins, ids and teams would show who is behind a pseudonym."""
    old, new = "ada@old.example.com", "ada@new.example.com"
    store_names(home, old, BOB)
    put(home.settings["STORE_URL"], {LAST - timedelta(1): [user(new, chat_messages=1)]})
    write(home, f"{HEADER}\n{old},ada-l,11,core\n{new},ada-l,11,core\n")
    use_key(home)
    result = home.run("export", f"{LAST - timedelta(1)}", f"{LAST}")
    assert result.code == 0, result.err
    assert len(written(home)) == 2
    assert written(home, LAST - timedelta(1)).items() <= written(home).items()
    (folder,) = result.paths
    text = "".join(path.read_text() for path in all_files(folder) if path.suffix != ".html")
    assert not re.search(r'@|ada|core|"user_id":11\b', text)
    assert not list(folder.rglob("*teams*"))


def test_reports_use_file_and_log_lists_unmatched(home: Home) -> None:
    strangers = [f"user{number:02}@example.com" for number in range(FEW_WORDS + 3)]
    store_names(home, "Ada@Example.com", *strangers)
    again = [user(name, chat_messages=1) for name in ("ADA@example.com", *strangers)]
    put(home.settings["STORE_URL"], {LAST - timedelta(1): again})
    write(home, f"email,login,id\n{ADA},ada-l,11\n{ADA},ada-l,11\n{BOB},bob-m,12\n")
    result = home.run("export", f"{LAST - timedelta(1)}", f"{LAST}")
    assert result.code == 0
    for day in (LAST - timedelta(1), LAST):
        assert written(home, day) == {
            "ada-l": 11,
            **{name: sha256_user_id(name) for name in strangers},
        }
    unmatched = logged_line(result, "not in IDENTITY_FILE")
    assert (
        f"23 users are not in IDENTITY_FILE and appear under their addresses: {strangers[0]}"
        in unmatched
    )
    assert unmatched.endswith(f"{strangers[FEW_WORDS - 1]} and 3 more")
    assert logged_line(result, "repeated entries").endswith(f"{ADA} in row 3")
    assert logged_line(result, "nobody in the store").endswith(BOB)


@pytest.mark.parametrize("more", [0, 1])
def test_repeated_entries_are_listed_up_to_limit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, more: int
) -> None:
    rows = [f"user{n}@example.com,login-{n},{n + 1}\n" for n in range(FEW_WORDS + more)]
    found = read(tmp_path, f"email,login,id\n{''.join(rows)}{''.join(rows)}")
    assert len(found) == FEW_WORDS + more
    (message,) = caplog.messages
    assert message.count(" in row ") == FEW_WORDS
    assert message.endswith(f" and {more} more" if more else f"in row {2 * len(rows) + 1}")


def test_person_in_several_teams_appears_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = f"{HEADER}\n{ADA},ada-l,11,\n{ADA},ada-l,11,core\n{ADA},ada-l,11,web\n"
    assert read(tmp_path, text) == {ADA: Person("ada-l", 11, ("core", "web"))}
    assert caplog.messages == []
    assert read(tmp_path, f"{text}{ADA},ada-l,11,core\n")[ADA].teams == ("core", "web")
    assert [f"{ADA} in row 5" in message for message in caplog.messages] == [True]


def test_teams_are_in_their_report(home: Home) -> None:
    store_names(home, "Ada@example.com", BOB, "cyd@example.com")
    write(
        home,
        f"{HEADER}\n{ADA},ada-l,11,core\n{ADA},ada-l,11,web\n{BOB},bob-m,12,\n"
        "eve@example.com,eve-o,14,core\n",
    )
    exported(home)
    rows = rows_of(home, "user-teams-1-day")
    assert [(row["user_id"], row["user_login"], row["slug"]) for row in rows] == [
        (11, "ada-l", "core"),
        (11, "ada-l", "web"),
    ]
    assert len({row["team_id"] for row in rows}) == 2


@on_sqlite
def test_without_a_file_login_is_address_and_id_is_stable(home: Home, store_url: str) -> None:
    home.settings["METRICS_SOURCE"] = SOURCE
    # The first one in time is the last by name.
    newcomer, first = COLLIDING
    put(store_url, {LAST - timedelta(1): [user(n, chat_messages=1) for n in (ADA, first)]})
    before = logins(home, LAST - timedelta(1))
    assert before == {ADA: sha256_user_id(ADA), first: sha256_user_id(first)}
    put(
        store_url, {LAST: [user(n, chat_messages=1) for n in ("a@b.example", newcomer, ADA, first)]}
    )
    result = exported(home)
    after = written(home)
    assert after == {
        **before,
        "a@b.example": sha256_user_id("a@b.example"),
        newcomer: sha256_user_id(f"{newcomer}#2"),
    }
    assert len(set(after.values())) == 4
    assert logins(home, LAST - timedelta(1)) == before
    assert f"the id {after[newcomer]}" in logged_line(result, f"{newcomer} gets the login")


@pytest.mark.parametrize("name", [ADA, "x", "é" * 300, ""])
def test_ids_are_positive_and_below_2_to_31(name: str) -> None:
    assert 0 < sha256_user_id(name) < 2**31
    assert sha256_user_id(name) == sha256_user_id(name.upper().lower())


def test_first_address_keeps_a_shared_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = COLLIDING
    assert sha256_user_id(first) == sha256_user_id(second)
    for order in (COLLIDING, COLLIDING[::-1]):
        caplog.clear()
        people = persons_of(order, {})
        assert people[order[0]].id == sha256_user_id(first)
        assert people[order[1]] == Person(order[1], sha256_user_id(f"{order[1]}#2"))
        (record,) = caplog.records
        assert (record.levelno, order[1] in record.getMessage()) == (logging.WARNING, True)


def test_an_id_of_the_file_is_nobody_elses(caplog: pytest.LogCaptureFixture) -> None:
    people = persons_of([BOB, ADA], {ADA: Person("ada-l", sha256_user_id(BOB))})
    assert people[ADA].id == sha256_user_id(BOB) != people[BOB].id == sha256_user_id(f"{BOB}#2")
    assert BOB in caplog.text


NAMES = [
    "Ada@example.com",
    ADA,
    f"{ADA}#2",
    "Ada-L",
    "ada-l#2",
    "CI",
    "ci",
    "ci#2",
    *COLLIDING,
    f"{COLLIDING[1]}#2",
]
FILES: list[dict[str, Person]] = [
    {},
    {ADA: Person("ada-l", sha256_user_id(COLLIDING[0])), BOB: Person("CI", sha256_user_id("ci#2"))},
]


@given(st.permutations(NAMES), st.sampled_from(FILES))
@pytest.mark.slow
def test_logins_and_ids_are_unique_and_stable(
    names: list[str], identities: dict[str, Person]
) -> None:
    people = persons_of(names, identities)
    persons = {person.id: person for person in people.values()}
    assert set(people.values()) == set(persons.values())
    assert len({person.login.lower() for person in persons.values()}) == len(persons)
    assert len(persons) == len(names) - 1  # Ada has two spellings
    assert all(0 < number < 2**31 for number in persons)
    for count in range(len(names)):
        some = persons_of(names[:count], identities)
        assert some == {name: people[name] for name in names[:count]}


@pytest.mark.slow
def test_reports_give_taken_login_a_suffix(home: Home) -> None:
    store_names(home, "Ada-L", ADA)
    write(home, f"email,login,id\n{ADA},ada-l,11\n")
    assert "Ada-L#2" in logged_line(exported(home), "gets the login")
    assert written(home) == {"ada-l": 11, "Ada-L#2": sha256_user_id("Ada-L")}


def test_taken_login_gets_a_suffix() -> None:
    people = persons_of(["Ada-L", ADA, "CI", "ci"], {ADA: Person("ada-l", 11)})
    names = [people[name].login for name in ("Ada-L", ADA, "CI", "ci")]
    assert names == ["Ada-L#2", "ada-l", "CI", "ci#2"]
    assert len({person.id for person in people.values()}) == 4


def test_case_matters_for_services_not_for_addresses() -> None:
    people = persons_of(["Ada@example.com", ADA, "CI", "ci"], {})
    assert people["Ada@example.com"] is people[ADA]
    assert people[ADA].login == "Ada@example.com"
    assert people["CI"] != people["ci"]


@pytest.mark.parametrize("listed", ["CI", "ci"])
def test_file_matches_service_case_sensitively(tmp_path: Path, listed: str) -> None:
    identities = read(tmp_path, f"email,login,id\n{listed},ci-bot,21\n")
    people = persons_of(["CI", "ci"], identities)
    assert people[listed] == Person("ci-bot", 21)
    assert {people["CI"].id, people["ci"].id} == {21, sha256_user_id("ci")}


def test_file_accepts_services_that_differ_in_case(tmp_path: Path) -> None:
    identities = read(tmp_path, "email,login,id\nCI,ci-bot,21\nci,small-bot,22\n")
    people = persons_of(["CI", "ci"], identities)
    assert people == {"CI": Person("ci-bot", 21), "ci": Person("small-bot", 22)}


def test_reports_merge_address_case_not_service_case(home: Home) -> None:
    store_names(home, "Ada@example.com", ADA, "CI", "ci")
    assert logins(home) == {
        "Ada@example.com": sha256_user_id(ADA),
        "CI": sha256_user_id("CI"),
        "ci#2": sha256_user_id("ci#2"),
    }
    assert daily_users(home) == 3


def daily_users(home: Home) -> Any:
    (file,) = home.data.rglob(f"enterprise-1-day_{LAST}.json")
    return json.loads(file.read_text())["daily_active_users"]


def use_key(home: Home) -> None:
    key = home.path / "secrets" / "key"
    key.parent.mkdir(exist_ok=True)
    key.touch(0o600)
    key.write_text("k" * 40)
    home.settings["PSEUDONYM_KEY_FILE"] = "secrets/key"


@pytest.mark.slow
def test_pseudonyms_hide_addresses_in_reports(home: Home) -> None:
    store_names(home)
    put(home.settings["STORE_URL"], some_days(28))
    home.settings |= {"ORGANIZATION_ID": "77", "GITHUB_REPORTS_USERS_28_DAY": "true"}
    use_key(home)
    assert home.run("export", f"{MONTH.start}", f"{MONTH.end}").code == 0
    for row in (*rows_of(home, "users-1-day"), *rows_of(home, "organization-users-1-day")):
        assert row["user_login"].startswith("user-")
        assert row["user_id"] == sha256_user_id(row["user_login"])
    texts = {path.name: path.read_text() for path in home.data.rglob("github_reports/*")}
    assert len(texts) == 8
    for name, text in texts.items():
        assert len(text) > 100, name
        assert not any(hint in text for hint in ("@", "example", "triage")), name


def test_pseudonyms_merge_address_case(home: Home) -> None:
    store_names(home, "Ada@example.com", ADA, "CI", "ci")
    use_key(home)
    assert len(logins(home)) == 3
    assert daily_users(home) == 3
