"""ROSTER_FILE: read strictly, so that a slip in a spreadsheet does not count anybody wrongly."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from dashboard_scraper.errors import UsageError
from dashboard_scraper.people.people import People
from dashboard_scraper.people.roster import Colleague, Roster, read_roster, sources_alike
from dashboard_scraper.sources.registry import ANALYTICS, DASHBOARD

ADA, BEN = "ada@example.com", "ben@example.com"
ALIASES = People({"ada.old@example.com": ADA})


def read(folder: Path, text: str | bytes) -> Roster:
    file = folder / "roster.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_roster(file, ALIASES)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_rows_are_people_with_seats_and_days(tmp_path: Path, encoding: str) -> None:
    text = (
        "Email,name,team,seats,started,left\r\n"
        f'{ADA},"L\u00f6ve, Ada",core, Dashboard ; ;analytics ,2024-01-01,2026-10-31\r\n'
        f",,,,,\r\n{BEN},,,,,\r\n"
    )
    roster = read(tmp_path, text.encode(encoding))
    started, left = date(2024, 1, 1), date(2026, 10, 31)
    assert roster.has_seats
    assert list(roster.people.values()) == [
        Colleague(ADA, "L\u00f6ve, Ada", "core", frozenset({DASHBOARD, ANALYTICS}), started, left),
        Colleague(BEN),
    ]


def test_columns_may_be_few_and_in_any_order(tmp_path: Path) -> None:
    roster = read(tmp_path, f"team,email\ncore,{ADA}\n")
    assert roster.people == {ADA: Colleague(ADA, team="core")}
    assert not roster.has_seats


def test_seat_of_augment_is_for_both_its_sources() -> None:
    assert sources_alike(ANALYTICS) == {ANALYTICS, DASHBOARD} == sources_alike(DASHBOARD)


HEADER = "email,seats,started,left\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("name,team\nAda,core\n", "must have email"),
        (f"email,Email\n{ADA},{ADA}\n", "once"),
        (f"email,manager\n{ADA},Ben\n", "it is email,manager"),
        (f"{HEADER}{ADA},,\n", "row 2: 3 cells under 4 columns"),
        (f"{HEADER}{ADA},,,\n,dashboard,,\n", "row 3: '' is not an e-mail address"),
        (f"{HEADER}ada,,,\n", "row 2: 'ada' is not an e-mail address"),
        (f"{HEADER}ada @example.com,,,\n", "not an e-mail address"),
        (f"{HEADER}{ADA},pilot,,\n", "'pilot' is not an assistant; write some of dashboard"),
        (f"{HEADER}{ADA},dashboard analytics,,\n", "'dashboard analytics' is not an assistant"),
        (f"{HEADER}{ADA},,31.10.2026,\n", "row 2: started is '31.10.2026'; write a day as"),
        (f"{HEADER}{ADA},,,2026-02-30\n", "row 2: left is '2026-02-30'"),
        (f"{HEADER}{ADA},,,20261031\n", "left is '20261031'"),
        (f"{HEADER}{ADA},,2026-02-02,2026-02-01\n", "left on 2026-02-01, before started"),
        (f"{HEADER}{ADA},,,\n{BEN},,,\nADA@example.com,,,\n", "row 4: .* the person of row 2"),
        (f"{HEADER}{ADA},,,\nada.old@example.com,,,\n", "row 3: .* the person of row 2"),
        (f"{HEADER}{ADA},,,\n".encode() + b"\xff@example.com,,,\n", "row 3: not valid UTF-8"),
        (f'{HEADER}"{ADA},,,\n', "not a valid CSV"),
    ],
)
def test_wrong_roster_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(UsageError, match=f"(?s)^ROSTER_FILE: .*{message}"):
        read(tmp_path, text)


def test_missing_roster_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_roster(tmp_path / "none.csv", ALIASES)
