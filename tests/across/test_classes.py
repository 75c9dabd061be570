"""Everybody, and every unit of usage, is in exactly one class."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from dashboard_scraper.across.classes import Classes, Members, PersonClass, SeatsFrom
from dashboard_scraper.across.people import PeopleAcross
from dashboard_scraper.across.usage import usage_of
from dashboard_scraper.model.columns import sum_of
from dashboard_scraper.model.costs import USD, Account, Cost, CostDay, CostFigures, sum_costs
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.seats import Seat
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.identity import people_of, read_identities
from dashboard_scraper.people.people import People
from dashboard_scraper.people.roster import read_roster
from dashboard_scraper.store import Reader, store_at
from filled_store import FETCHED, LAST, SOURCE
from source_kinds import person
from toy_ids import NAME as IDS
from toy_logins import NAME as LOGINS

pytestmark = pytest.mark.usefixtures("kinds_of_names")

DAYS = [LAST - timedelta(back) for back in (3, 2, 1, 0)]
WINDOW = Window(DAYS[1], LAST)
NAMES = (SOURCE, LOGINS, IDS)
IDENTITIES = f"""\
email,login,id,team,{IDS}_id
ada@example.com,ada-m,11,core,71
ada@old.example.com,ada-m,11,core,
ben@example.com,ben-m,12,core,72
"""
ALICE, BEN, CYD, DAN, EVE, FAY = (
    f"{n}@example.com" for n in ["alice", "ben", "cyd", "dan", "eve", "fay"]
)


class World:
    """A store, its identities and its roster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'usage.db'}"
        self.people = People()
        self.roster: str | None = None

    def days(self, source: str, days: dict[date, list[UserUsage]]) -> None:
        store = store_at(self.url)
        with store.locked(), store.opened():
            for day, users in days.items():
                store.put(source, DayUsage(day, sorted(users, key=lambda u: u.user)), FETCHED)

    def seats(self, source: str, *seats: Seat) -> None:
        store = store_at(self.url)
        with store.locked(), store.opened():
            store.put_seats(source, seats, FETCHED)

    def costs(self, source: str, day: date, costs: Iterable[Cost]) -> None:
        store = store_at(self.url)
        with store.locked(), store.opened():
            store.put_costs(source, CostDay(day, list(costs), None), FETCHED)

    def identities(self) -> None:
        file = self.folder / "identities.csv"
        file.write_text(IDENTITIES)
        self.people = people_of(read_identities(file))

    def classes(self, reader: Reader) -> Classes:
        roster = None
        if self.roster is not None:
            file = self.folder / "roster.csv"
            file.write_text(self.roster)
            roster = read_roster(file, self.people)
        across = PeopleAcross(reader, NAMES, WINDOW, Audience(people=self.people))
        return Classes(reader, across, roster)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def named(classes: Classes, members: Members) -> dict[PersonClass, list[str]]:
    return {
        each: names for each, found in members.of.items() if (names := classes.across.names(found))
    }


def test_each_class_has_whom_its_definition_names(world: World) -> None:
    world.identities()
    bot = person("bot", service=True)
    world.days(SOURCE, {DAYS[0]: [person(CYD), person(DAN), bot], LAST: [person(ALICE), bot]})
    world.days(SOURCE, {DAYS[2]: [person("ada@example.com"), person(FAY, 0)]})
    world.days(LOGINS, {LAST: [person("ada-m"), person("zed"), person("ben-m")]})
    world.days(SOURCE, {DAYS[1]: [person("ada@old.example.com")]})
    world.seats(LOGINS, Seat("ben-m"), Seat("zed"), Seat(DAN), Seat(EVE, last_active=FETCHED))
    world.roster = (
        "email,seats,left,started\n"
        f"{CYD},{SOURCE},,\n{BEN},,{DAYS[2]},\nnew@example.com,,,{LAST + timedelta(1)}\n"
        f"gone@example.com,,{DAYS[0]},\nhal@example.com,,,\n"
    )
    with store_at(world.url).reading() as reader:
        classes = world.classes(reader)
    assert named(classes, classes.of[SOURCE]) == {
        PersonClass.UNATTRIBUTED: ["bot"],
        PersonClass.SEVERAL: ["ada@old.example.com"],
        PersonClass.ACTIVE: [ALICE],
        PersonClass.IDLE_WITH_SEAT: [CYD],
        PersonClass.NEVER_SEEN: [FAY],
    }
    assert named(classes, classes.of[LOGINS]) == {
        PersonClass.UNATTRIBUTED: ["zed"],
        PersonClass.LEFT_ACTIVE: [BEN],
        PersonClass.ACTIVE: ["ada@old.example.com"],
        PersonClass.NEVER_SEEN: [DAN],
        PersonClass.IDLE_WITH_SEAT: [EVE],
    }
    assert named(classes, classes.overall) == {
        PersonClass.UNATTRIBUTED: ["bot", "zed"],
        PersonClass.LEFT_ACTIVE: [BEN],
        PersonClass.SEVERAL: ["ada@old.example.com"],
        PersonClass.ACTIVE: [ALICE],
        PersonClass.NEVER_SEEN: [FAY, "hal@example.com"],
        PersonClass.IDLE_WITH_SEAT: [CYD, DAN, EVE],
    }
    of = classes.of
    assert [of[name].seats_from for name in NAMES] == [
        SeatsFrom.ROSTER,
        SeatsFrom.SOURCE,
        SeatsFrom.ROSTER,
    ]


def test_last_day_at_work_is_not_after_leaving(world: World) -> None:
    world.days(SOURCE, {LAST: [person(ALICE), person(BEN)]})
    world.roster = f"email,left\n{ALICE},{LAST}\n{BEN},{LAST - timedelta(1)}\n"
    with store_at(world.url).reading() as reader:
        classes = world.classes(reader)
    assert classes.overall.counts()[PersonClass.ACTIVE] == 1
    assert named(classes, classes.overall)[PersonClass.LEFT_ACTIVE] == [BEN]
    assert classes.of[SOURCE].seated is None, "the roster has no column of seats"


def test_spelling_is_not_another_identity(world: World) -> None:
    world.days(SOURCE, {DAYS[2]: [person(ALICE.upper())], LAST: [person(ALICE), person(BEN)]})
    world.seats(SOURCE, Seat(ALICE.title()), Seat(BEN), Seat("ben@old.example.com"))
    world.people = People({"ben@old.example.com": BEN})
    with store_at(world.url).reading() as reader:
        classes = world.classes(reader)
    assert named(classes, classes.of[SOURCE]) == {
        PersonClass.ACTIVE: [ALICE],
        PersonClass.SEVERAL: ["ben@old.example.com"],
    }


def test_capitals_of_a_login_are_not_another_identity(world: World) -> None:
    """Also if the two spellings are on two days, or if one of them is that of a seat."""
    world.identities()
    world.days(LOGINS, {DAYS[2]: [person("Ada-M"), person("Zed")]})
    world.days(LOGINS, {LAST: [person("ada-m"), person("Ben-M"), person("zed")]})
    world.seats(LOGINS, Seat("ada-m"), Seat("ben-m"))
    with store_at(world.url).reading() as reader:
        classes = world.classes(reader)
        assert classes.across.unmatched[LOGINS] == ["zed"]
    assert named(classes, classes.of[LOGINS]) == {
        PersonClass.UNATTRIBUTED: ["zed"],
        PersonClass.ACTIVE: ["ada@example.com", BEN],
    }


def test_person_of_a_login_alone_has_the_address_as_name(world: World) -> None:
    world.identities()
    world.days(LOGINS, {LAST: [person("ben-m")]})
    with store_at(world.url).reading() as reader:
        classes = world.classes(reader)
    assert named(classes, classes.of[LOGINS]) == {PersonClass.ACTIVE: [BEN]}


def test_seats_of_the_source_win_over_the_roster(world: World) -> None:
    world.days(LOGINS, {DAYS[0]: [person(ALICE), person(BEN)]})
    world.seats(LOGINS, Seat(ALICE), Seat(BEN))
    world.seats(LOGINS, Seat(ALICE), Seat("alice-2"), Seat(CYD))
    world.roster = f"email,seats\n{BEN},{LOGINS}\n"
    with store_at(world.url).reading() as reader:
        classes = world.classes(reader)
    assert named(classes, classes.of[LOGINS]) == {
        PersonClass.UNATTRIBUTED: ["alice-2"],
        PersonClass.NEVER_SEEN: [CYD],
        PersonClass.IDLE_WITH_SEAT: [ALICE],
    }
    assert named(classes, classes.overall)[PersonClass.IDLE] == [BEN]


def test_address_of_the_roster_is_not_another_identity(world: World) -> None:
    """Also if the source has a login, or another address of the same person."""
    world.identities()
    world.days(LOGINS, {LAST: [person("ada-m"), person("ben-m")]})
    world.days(SOURCE, {LAST: [person("ada@old.example.com")]})
    world.roster = f"email,seats\nada@example.com,{LOGINS};{SOURCE}\n{BEN},{LOGINS}\n"
    with store_at(world.url).reading() as reader:
        classes = world.classes(reader)
    for source, count in ((LOGINS, 2), (SOURCE, 1)):
        assert classes.of[source].counts()[PersonClass.ACTIVE] == count
    assert classes.overall.counts()[PersonClass.ACTIVE] == 2


def random_world(world: World, draw: random.Random) -> None:
    """People, namesakes, service accounts, seats, costs and a roster, in any combination."""
    if draw.random() < 0.8:
        world.identities()
    names = {
        SOURCE: ["ada@example.com", "ada@old.example.com", BEN, "bot", "ada-m", ALICE],
        LOGINS: ["ada-m", "ben-m", "zed", "bot", DAN],
        IDS: ["71", "72", "73", "bot", BEN, ALICE],
    }
    accounts = [Account.PERSON, Account.SERVICE_ACCOUNT]
    for source, known in names.items():
        for day in DAYS:
            if draw.random() < 0.8:
                here = draw.sample(known, draw.randrange(len(known)))
                service = source == SOURCE
                days = [
                    person(n, draw.randrange(3), service=service and "@" not in n) for n in here
                ]
                world.days(source, {day: days})
                payers = {*draw.sample(known, 2), f"{draw.choice('xy')}-only", ""}
                world.costs(
                    source,
                    day,
                    [
                        Cost(
                            name,
                            draw.choice(accounts) if name else Account.UNATTRIBUTED,
                            "MODEL",
                            "m",
                            CostFigures(input_tokens=draw.randrange(9), billed=Decimal("0.1")),
                        )
                        for name in payers
                    ],
                )
        if draw.random() < 0.6:
            world.seats(source, *(Seat(name) for name in draw.sample(known, 3)))
    lines = [
        f"{name},{draw.choice(['', SOURCE, f'{LOGINS};{IDS}'])},{draw.choice(['', f'{DAYS[1]}'])}"
        for name in draw.sample([ALICE, BEN, CYD, "ada@old.example.com"], draw.randrange(4))
    ]
    world.roster = "\n".join(["email,seats,left", *lines])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_nobody_and_no_usage_is_lost_or_counted_twice(world: World, seed: int) -> None:
    random_world(world, random.Random(seed))
    with store_at(world.url).reading() as reader:
        classes = world.classes(reader)
        for members in (*classes.of.values(), classes.overall):
            assert sum(members.counts().values()) == members.everybody.bit_count()
        together = 0
        for source in NAMES:
            across, members = classes.across, classes.of[source]
            together |= members.everybody
            rows = [u for d in reader.ledger(source, WINDOW).values() for u in reader.day(d).users]
            ledger = reader.cost_ledger(source, WINDOW).values()
            costs = [cost for day in ledger for cost in reader.costs(day)]
            seats = [each.seat.user for each in reader.seats(source) if each.current]
            named = {u.user for u in rows} | {c.user for c in costs if c.user} | {*seats}
            for name in named:
                members.class_of(across.bit_of(source, name))
            used = usage_of(reader, classes, source)
            assert sum_of(each.figures for each in used.values()) == sum_of(
                row.figures for row in rows
            )
            spent = [each.costs[USD] for each in used.values() if USD in each.costs]
            assert sum_costs(spent) == sum_costs(cost.figures for cost in costs)
        assert not together & ~classes.overall.everybody
        assert not {*map(str, classes.overall.of)} ^ {*map(str, PersonClass)}


def test_costs_of_nobody_are_unattributed(world: World) -> None:
    world.days(SOURCE, {LAST: [person(ALICE)]})
    figures = CostFigures(billed=Decimal("0.5"))
    nobody = Cost("", Account.UNATTRIBUTED, "MODEL", "m", figures)
    world.costs(SOURCE, LAST, [nobody, Cost(ALICE, Account.PERSON, "MODEL", "m", figures)])
    with store_at(world.url).reading() as reader:
        used = usage_of(reader, world.classes(reader), SOURCE)
    spent = {each: usage.costs[USD].billed for each, usage in used.items()}
    half = {PersonClass.UNATTRIBUTED: Decimal("0.5"), PersonClass.ACTIVE: Decimal("0.5")}
    assert spent == dict.fromkeys(PersonClass, Decimal(0)) | half, "others cost nothing: no gap"


def test_person_in_one_source_is_a_person_over_all(world: World) -> None:
    world.days(SOURCE, {LAST: [person(ALICE, service=True)]})
    world.days(IDS, {LAST: [person(ALICE, 0)]})
    with store_at(world.url).reading() as reader:
        classes = world.classes(reader)
    assert named(classes, classes.of[SOURCE]) == {PersonClass.UNATTRIBUTED: [ALICE]}
    assert named(classes, classes.overall) == {PersonClass.NEVER_SEEN: [ALICE]}


def test_moment_of_seats_is_the_answers(world: World) -> None:
    world.days(LOGINS, {LAST: [person(ALICE)]})
    world.seats(LOGINS, Seat(ALICE))
    with store_at(world.url).reading() as reader:
        members = world.classes(reader).of[LOGINS]
    assert members.seats_as_of == datetime(2026, 11, 10, 3, tzinfo=UTC)
    assert members.seated is not None
    assert members.seated.bit_count() == 1
