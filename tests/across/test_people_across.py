"""Which sources a person is in: one bit for each person, whatever name each source uses."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from dashboard_scraper.across.people import PeopleAcross, Presence
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.dates import Window
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.identity import people_of, read_identities
from dashboard_scraper.people.pseudonyms import rename_of
from dashboard_scraper.store import store_at
from filled_store import LAST, SOURCE, put
from source_kinds import person
from toy_ids import NAME as IDS
from toy_logins import NAME as LOGINS

pytestmark = pytest.mark.usefixtures("kinds_of_names")

BEFORE = LAST - timedelta(1)
WINDOW = Window(BEFORE, LAST)
ADA, OLD, BEN, CYD = (f"{name}@example.com" for name in ("ada", "ada.old", "ben", "cyd"))
IDENTITIES = f"""\
email,login,id,team,{IDS}_id
{ADA},Ada-M,11,core,71
{OLD},Ada-M,11,core,72
{BEN},bm,12,core,
"""


@pytest.fixture
def filled(tmp_path: Path) -> str:
    store_url = f"sqlite:///{tmp_path / 'usage.db'}"
    bot = person("bm", service=True)
    put(store_url, {BEFORE: [person(ADA), bot], LAST: [person(OLD.upper()), person(CYD, 0), bot]})
    put(store_url, {LAST: [person("ada-m", 2), person("bm"), person("zed"), person("71")]}, LOGINS)
    put(store_url, {BEFORE: [person("72"), person("73"), person("bm")], LAST: []}, IDS)
    return store_url


def identities(folder: Path, text: str = IDENTITIES) -> Audience:
    file = folder / "people.csv"
    file.write_text(text)
    known = read_identities(file)
    return Audience(identities=known, people=people_of(known))


def across(url: str, audience: Audience) -> PeopleAcross:
    with store_at(url).reading() as reader:
        return PeopleAcross(reader, (SOURCE, LOGINS, IDS), WINDOW, audience)


def keys(found: PeopleAcross, bitmap: int) -> list[str]:
    return sorted(key for bit, key in found.keys.items() if bitmap >> bit & 1)


def test_logins_ids_and_addresses_meet_in_one_person(filled: str, tmp_path: Path) -> None:
    found = across(filled, identities(tmp_path))
    assert keys(found, found.used[SOURCE]) == [ADA]
    assert keys(found, found.used[LOGINS]) == [ADA, BEN, "github:71", "github:zed"]
    assert keys(found, found.used[IDS]) == [ADA, f"{IDS}:73", f"{IDS}:bm"]
    assert keys(found, found.listed(SOURCE, LAST)) == [ADA, CYD]
    assert keys(found, found.active(SOURCE, LAST)) == [ADA]
    assert found.unmatched == {SOURCE: [], LOGINS: ["71", "zed"], IDS: ["73", "bm"]}
    assert found.names(found.used[SOURCE] & found.used[LOGINS]) == [ADA]


def test_service_account_is_not_its_namesake(filled: str, tmp_path: Path) -> None:
    found = across(filled, identities(tmp_path))
    assert keys(found, found.services(SOURCE, LAST)) == ["bm"]
    assert not found.services(SOURCE, LAST) & found.used[LOGINS]
    hidden = across(filled, Audience(service_accounts=False))
    assert hidden.services(SOURCE, LAST) == 0


def test_person_with_a_service_account_is_a_person(tmp_path: Path) -> None:
    """On a day of the window, and on a day before it."""
    url = f"sqlite:///{tmp_path / 'usage.db'}"
    put(url, {LAST: [person(ADA, 0), person(OLD, service=True)]})
    with store_at(url).reading() as reader:
        found = PeopleAcross(reader, [SOURCE], WINDOW, identities(tmp_path))
        later = Window(LAST + timedelta(1), LAST + timedelta(1))
        before = PeopleAcross(reader, [SOURCE], later, identities(tmp_path))
        shown = replace(identities(tmp_path), service_accounts=False)
        without = PeopleAcross(reader, [SOURCE], WINDOW, shown)
    assert keys(found, found.used[SOURCE]) == [ADA]
    assert keys(before, before.active_before(SOURCE)) == [ADA]
    assert found.services(SOURCE, LAST) == 0
    assert not without.used[SOURCE], "the service account is left out, also as hers"


def test_without_identities_only_addresses_meet(filled: str) -> None:
    found = across(filled, Audience())
    assert keys(found, found.used[SOURCE]) == [OLD, ADA]
    assert found.unmatched[LOGINS] == ["71", "ada-m", "bm", "zed"]
    assert not found.used[SOURCE] & (found.used[LOGINS] | found.used[IDS])


def test_presence_has_days_and_names_of_each_source(filled: str, tmp_path: Path) -> None:
    found = across(filled, identities(tmp_path))
    ada = found.bit_of("", ADA)
    assert found.present(SOURCE)[ada] == Presence((OLD.upper(), ADA), False, BEFORE, LAST, 2, LAST)
    assert found.present(LOGINS)[ada] == Presence(("ada-m",), False, LAST, LAST, 1, LAST)
    assert found.present(IDS)[ada] == Presence(("72",), False, BEFORE, BEFORE, 1, BEFORE)
    cyd = found.bit_of("", CYD)
    assert found.present(SOURCE)[cyd] == Presence((CYD,), False, LAST, LAST, 0, None)
    assert found.days(LOGINS) == [LAST]


def test_pseudonym_is_one_for_all_sources(filled: str, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("0123456789abcdef" * 4)
    key.chmod(0o600)
    plain = identities(tmp_path)
    audience = Audience(rename_of(key, plain.people.key), people=plain.people)
    of_ada = ((SOURCE, OLD), (LOGINS, "ADA-M"), (IDS, "71"), (LOGINS, ADA))
    assert len({audience.of(source).rename(name) for source, name in of_ada}) == 1
    found = across(filled, audience)
    names = [found.name(bit) for bit in found.keys]
    assert len({*names}) == len(found.keys)
    assert all(name.startswith("user-") for name in names)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (f"{ADA},a,11,core,71\n{BEN},b,12,core,71\n", f"same {IDS}_id 71"),
        (f"{ADA},a,11,core\n", "4 cells under 5 columns"),
    ],
)
def test_identity_file_with_wrong_ids_is_refused(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        identities(tmp_path, f"email,login,id,team,{IDS}_id\n{rows}")


def test_identity_file_rejects_ids_of_unknown_source(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"and then .*{IDS}_id"):
        identities(tmp_path, f"email,login,id,team,other_id\n{ADA},a,11,core,1\n")
