"""Answers in pages: read to the end in every style, never in a circle or from another origin."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from both_sources import dashboard
from conftest import WEEK_JOB, Home, Start, content_of, last_working_day, own_files
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.dates import Window
from dashboard_scraper.simulator import (
    Fault,
    Organization,
    Paging,
    Request,
    Simulator,
    alternate_cursors,
    next_elsewhere,
    raw_body,
    repeat_cursor,
    repeat_user,
    status,
)
from dashboard_scraper.simulator.exchange import Answer
from dashboard_scraper.simulator.faults import Effect
from dashboard_scraper.sources.dashboard.fields import USER_FIELD
from dashboard_scraper.sources.dashboard.settings import Endpoint
from dashboard_scraper.sources.rest.pagination import (
    MAX_PAGES,
    Page,
    Paginator,
    parse_page,
)

USERS = Endpoint.USERS.value
OWN_KEY = "userFeatureStats"
PATH = f"/api/{USERS}"
DAY = last_working_day()
CSV_NAME = f"metrics_{DAY:%Y%m%d}.csv"
STYLES = ("next", "next-relative", "cursor")


@pytest.fixture(autouse=True)
def _users_only(home: Home) -> None:
    """One request per page."""
    home.settings["SCRAPE_ENDPOINTS"] = USERS


def assert_refused(home: Home, sim: Simulator, requests: int, words: str = "") -> None:
    """Exit 5 after this many requests, and no file."""
    result = home.run(f"{DAY}")
    assert result.code == 5, result.err
    assert "Traceback" not in result.err
    assert words in result.err
    assert (sim.count(), result.out, home.files()) == (requests, "", set())


def edited(**fields: object) -> Effect:
    """The first page, with other fields beside its records."""

    def effect(answer: Answer, _request: Request) -> Answer:
        records = msgspec.json.decode(answer.body)[OWN_KEY]
        return replace(answer, body=msgspec.json.encode({OWN_KEY: records, **fields}))

    return effect


@pytest.mark.parametrize(
    ("style", "key"),
    [
        *((style, OWN_KEY) for style in ("none", *STYLES)),
        *((style, key) for style in ("none", "cursor") for key in ("items", "data", "results")),
    ],
)
@pytest.mark.slow
def test_every_style_gives_the_file_of_one_page(
    home: Home, start: Start, users_csv: bytes, style: Any, key: str
) -> None:
    rows = users_csv.count(b"\n") - 1
    sim = start(paging=Paging(style, page_size=5, list_key=key))
    result = home.run(f"{DAY}")
    assert result.code == 0, result.err
    assert (home.data / CSV_NAME).read_bytes() == users_csv
    assert sim.count() == (1 if style == "none" else -(-rows // 5))


def test_bare_array_gives_the_file_of_one_page(home: Home, start: Start, users_csv: bytes) -> None:
    sim = start(paging=Paging(list_key=None))
    assert home.run(f"{DAY}").code == 0
    assert (home.data / CSV_NAME).read_bytes() == users_csv
    assert sim.count() == 1


def reverse(answer: Answer, _request: Request) -> Answer:
    """The users of a page in the opposite order."""
    body = msgspec.json.decode(answer.body)
    return replace(answer, body=msgspec.json.encode({**body, OWN_KEY: body[OWN_KEY][::-1]}))


@pytest.mark.slow
def test_daily_files_do_not_depend_on_pages_or_order(home: Home, start: Start) -> None:
    def export() -> dict[str, bytes]:
        result = home.run("--daily", f"{DAY - timedelta(3)}", f"{DAY}", "--refresh")
        assert result.code == 0, result.err
        return {path.name: content_of(path) for path in own_files(result.paths[0])}

    start()
    expected = export()
    assert len(expected) == 2 * 4 + 3
    sim = start(paging=Paging("cursor", page_size=7))
    sim.add_fault(Fault(reverse, "user-feature-stats"))
    assert export() == expected
    assert sim.count("user-feature-stats") == 2 * 4


ASTRAY = {
    "another port": "http://127.0.0.1:{other}{path}?cursor=x",
    "without a scheme": "//127.0.0.1:{other}{path}",
    "backslashes": "http:\\\\127.0.0.1:{other}{path}",
    "slash and backslash": "/\\127.0.0.1:{other}{path}",
    "backslash before the path": "http://127.0.0.1:{other}\\@127.0.0.1:{own}{path}",
    "own origin as user": "http://127.0.0.1:{own}@127.0.0.1:{other}{path}",
    "user at the own origin": "http://ada@127.0.0.1:{own}{path}",
    "user and password": "http://ada:secret@127.0.0.1:{own}{path}",
    "tab in the scheme's slashes": "/\t/127.0.0.1:{other}{path}",
    "line break": "\n//127.0.0.1:{other}{path}",
    "own name in another spelling": "http://localhost:{own}{path}",
    "number for an address": "http://2130706433:{other}{path}",
    "another scheme": "https://127.0.0.1:{own}{path}",
    "scheme's default port": "http://127.0.0.1{path}",
    "file": "file:///etc/hostname",
    "script": "javascript:alert(1)",
    "no URL": "http://[",
    "port of letters": "http://127.0.0.1:port{path}",
}


def assert_each_refused(home: Home, sim: Simulator, effects: dict[str, Effect], words: str) -> None:
    """Each costs one request, and is an error that a run reports with exit 5."""
    with dashboard(home) as source:
        for name, effect in effects.items():
            sim.clear_faults()
            sim.requests.clear()
            sim.add_fault(Fault(effect))
            with pytest.raises(ContractBroken) as caught:
                source.fetch_users(Window(DAY, DAY))
            assert words in str(caught.value), name
            assert sim.count() == 1, name


def test_next_to_another_origin_is_refused(
    home: Home, sim: Simulator, elsewhere: socket.socket
) -> None:
    """The other origin has not even received a connection."""
    own, other = sim.url.rpartition(":")[2], elsewhere.getsockname()[1]
    effects = {
        name: next_elsewhere(url.format(own=own, other=other, path=PATH))
        for name, url in ASTRAY.items()
    }
    assert_each_refused(home, sim, effects, "next leads to another origin")
    with pytest.raises(BlockingIOError):
        elsewhere.accept()


def test_next_on_another_server_gets_no_cookie(home: Home, start: Start) -> None:
    other = start()
    sim = start()
    sim.add_fault(Fault(next_elsewhere(f"{other.url}{PATH}?startDate=x")))
    assert_refused(home, sim, 1)
    assert other.requests == []


@pytest.mark.usefixtures("csv_alone")
@pytest.mark.slow
def test_next_to_another_origin_costs_one_day(
    home: Home, sim: Simulator, elsewhere: socket.socket
) -> None:
    other = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/"
    sim.add_fault(Fault(next_elsewhere(other), day=DAY))
    assert home.run(*WEEK_JOB).code == 6
    assert sim.count(day=DAY) == 2
    with pytest.raises(BlockingIOError):
        elsewhere.accept()


def same_page_with_new_cursors() -> Effect:
    """The first page again and again, each time with a new cursor."""
    cursors = iter(range(1000))

    def effect(answer: Answer, request: Request) -> Answer:
        following = {"has_more": True, "next_cursor": f"c{next(cursors)}"}
        first = first_pages.setdefault(request.path, msgspec.json.decode(answer.body)[OWN_KEY])
        body = {OWN_KEY: first, "pagination": following}
        return replace(answer, status=200, body=msgspec.json.encode(body))

    first_pages: dict[str, object] = {}
    return effect


@pytest.mark.parametrize(
    ("style", "effect", "requests", "words"),
    [
        ("cursor", repeat_cursor(), 2, "circle"),
        ("next", repeat_cursor(), 2, "circle"),
        ("next-relative", repeat_cursor(), 2, "circle"),
        ("cursor", alternate_cursors(), 3, "circle"),
        ("next", alternate_cursors(), 3, "circle"),
        ("cursor", repeat_user(changed=True), 2, "came twice"),
        ("next", repeat_user(changed=True), 2, "came twice"),
        ("none", same_page_with_new_cursors(), 2, "a page came a second time"),
    ],
)
def test_repeated_page_is_refused(
    home: Home, start: Start, style: Any, effect: Effect, requests: int, words: str
) -> None:
    sim = start(paging=Paging(style, page_size=3))
    sim.add_fault(Fault(effect))
    assert_refused(home, sim, requests, words)


def test_next_to_the_page_itself_is_refused(home: Home, sim: Simulator) -> None:
    def effect(answer: Answer, request: Request) -> Answer:
        dates = f'startDate={request.query["startDate"]}&endDate={request.query["endDate"]}'
        return edited(next=f"{PATH}?{dates}")(answer, request)

    sim.add_fault(Fault(effect))
    assert_refused(home, sim, 2, "a page came a second time")


@pytest.mark.parametrize("style", STYLES)
def test_same_user_on_two_pages_is_one_row(
    home: Home, start: Start, users_csv: bytes, style: Any
) -> None:
    """Pages shift if somebody joins while they are read."""
    start(paging=Paging(style, page_size=5)).add_fault(Fault(repeat_user()))
    assert home.run(f"{DAY}").code == 0
    assert (home.data / CSV_NAME).read_bytes() == users_csv


NOT_UNDERSTOOD: dict[str, dict[str, object]] = {
    "next is a number": {"next": 5},
    "next is a boolean": {"next": True},
    "next is a list": {"next": []},
    "next is an object": {"next": {"href": PATH}},
    "pagination is a number": {"pagination": 5},
    "pagination is a text": {"pagination": "c1"},
    "pagination is a list": {"pagination": []},
    "has_more is a text": {"pagination": {"has_more": "true", "next_cursor": "c1"}},
    "has_more is a number": {"pagination": {"has_more": 1, "next_cursor": "c1"}},
    "next_cursor is a number": {"pagination": {"has_more": True, "next_cursor": 5}},
    "has_more without next_cursor": {"pagination": {"has_more": True}},
    "has_more with null": {"pagination": {"has_more": True, "next_cursor": None}},
    "has_more with an empty text": {"pagination": {"has_more": True, "next_cursor": ""}},
    "another spelling": {"pagination": {"hasMore": True, "nextCursor": "c1"}},
    "next inside pagination": {"pagination": {"next": f"{PATH}?cursor=c1"}},
    "cursor at the top": {"next_cursor": "c1", "has_more": True},
    "cursor at the top, another spelling": {"nextCursor": "c1", "hasMore": True},
    "token at the top": {"nextPageToken": "c1"},
}


@pytest.mark.parametrize("relation", ['rel="next"', "rel=next", 'REL="last Next"', "rel = 'next'"])
def test_link_header_to_more_pages_is_refused(home: Home, sim: Simulator, relation: str) -> None:
    link = ("Link", f'<{PATH}?page=1>; rel="prev", <{PATH}?page=2>; {relation}')
    sim.add_fault(Fault(lambda answer, _request: answer.with_headers(link)))
    assert_refused(home, sim, 1, "Link")


def test_unknown_paging_is_refused(home: Home, sim: Simulator) -> None:
    """Otherwise, the first page would look like the whole tenant."""
    effects = {name: edited(**fields) for name, fields in NOT_UNDERSTOOD.items()}
    assert_each_refused(home, sim, effects, USERS)


@pytest.mark.parametrize(
    "fields",
    [
        {"next": None},
        {"next": ""},
        {"pagination": None},
        {"pagination": {"has_more": False}},
        {"pagination": {"has_more": False, "next_cursor": None}},
        {"pagination": {"has_more": False, "next_cursor": "left over"}},
        {"next": None, "pagination": {"has_more": False, "next_cursor": None}},
    ],
    ids=json.dumps,
)
def test_last_page_is_recognized_in_every_form(
    home: Home, sim: Simulator, fields: dict[str, object]
) -> None:
    sim.add_fault(Fault(edited(**fields)))
    with dashboard(home) as source:
        assert source.fetch_users(Window(DAY, DAY))
    assert sim.count() == 1


def test_fault_of_a_later_page_retries_it_alone(home: Home, start: Start, users_csv: bytes) -> None:
    sim = start(paging=Paging("cursor", page_size=5))
    sim.add_fault(Fault(status(503), after=1, times=1))
    assert home.run(f"{DAY}").code == 0
    assert (home.data / CSV_NAME).read_bytes() == users_csv
    cursors = [request.query.get("cursor") for request in sim.requests]
    assert (len(cursors), cursors[0], cursors[1]) == (4, None, cursors[2])


def test_endless_pages_are_refused() -> None:
    """Empty pages with ever new cursors; over a socket, this would take too long."""
    paginator = Paginator(USERS, "http://127.0.0.1/")
    url: str | None = "http://127.0.0.1/"
    with pytest.raises(ContractBroken, match=f"more than {MAX_PAGES} pages"):
        for number in range(MAX_PAGES + 1):
            assert url
            url = paginator.after(url, Page(msgspec.Raw(b"[]"), OWN_KEY, None, f"c{number}"))
    assert number == MAX_PAGES - 1


def test_white_space_before_a_list_is_skipped() -> None:
    """However long it is."""
    for space in (b"", b" ", b"\r\n" * 100):
        page = parse_page(USERS, OWN_KEY, space + b'{"items":' + space + b"[ ]}" + space)
        assert bytes(page.records).split() == [b"[", b"]"]


OTHERS = (
    b'[{"value":2,"timestamp":1761062531,"user":{"plan":"pro","id":7},"tags":["a","b"],'
    b'"name":"=1+1"},{"metric":"x","ok":true,"at":"2025-10-21T18:00:00+02:00","value":1.5}]'
)
OTHERS_CSV = """\
timestamp,metric,value,at,name,ok,tags,user.id,user.plan
2025-10-21T16:02:11Z,,2,,'=1+1,,"[""a"",""b""]",7,pro
,x,1.5,2025-10-21T16:00:00Z,,true,,,
"""


@pytest.mark.parametrize("shape", ["{}", '{{"items":{}}}', '{{"data":{}}}', '{{"results":{}}}'])
def test_records_of_another_api_are_flattened(home: Home, sim: Simulator, shape: str) -> None:
    body = OTHERS.decode() if shape == "{}" else shape.format(OTHERS.decode())
    sim.add_fault(Fault(raw_body(body.encode())))
    result = home.run(f"{DAY}")
    assert result.code == 0, result.err
    assert (home.data / CSV_NAME).read_bytes().decode() == OTHERS_CSV.replace("\n", "\r\n")


@pytest.mark.slow
def test_records_of_another_api_have_no_days(home: Home, sim: Simulator) -> None:
    """The daily job would turn them into empty days: exit 5, and no file."""
    sim.add_fault(Fault(raw_body(b'{"items":' + OTHERS + b"}")))
    result = home.run("--last-28-days")
    assert result.code == 5, result.err
    assert "not user statistics" in result.err
    assert home.files() == set()


@pytest.mark.parametrize("others_first", [True, False])
def test_users_and_other_records_do_not_mix(home: Home, start: Start, others_first: bool) -> None:
    def effect(answer: Answer, request: Request) -> Answer:
        if ("cursor" in request.query) is others_first:
            return answer
        page = msgspec.json.decode(answer.body)
        return replace(answer, body=msgspec.json.encode({**page, "items": msgspec.Raw(OTHERS)}))

    sim = start(Organization(users=6, today=DAY), paging=Paging("cursor", 3, "items"))
    sim.add_fault(Fault(effect))
    assert_refused(home, sim, 2, "some records are user statistics")


def test_other_records_among_users_are_refused(home: Home, sim: Simulator) -> None:
    records = [{USER_FIELD: "ada@example.com"}, {"metric": "x", "value": 1}]
    sim.add_fault(Fault(raw_body(msgspec.json.encode({"items": records}))))
    assert_refused(home, sim, 1, "record 2")


def test_other_records_under_the_own_key_are_refused(home: Home, sim: Simulator) -> None:
    sim.add_fault(Fault(raw_body(b'{"userFeatureStats":' + OTHERS + b"}")))
    assert_refused(home, sim, 1, USER_FIELD)
