"""Everything that a source can make large has a bound, which a message names. Nothing uses up the
memory, and unknown data costs no user's own figures.
"""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from both_sources import DAY, WINDOW, analytics, dashboard, users_of
from conftest import Home, Start, warnings
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.flatten import DEPTH, flatten
from dashboard_scraper.simulator import (
    Fault,
    Simulator,
    add_beside,
    add_field,
    inflate,
    raw_body,
    set_value,
)
from dashboard_scraper.simulator.exchange import Answer, Request
from dashboard_scraper.sources.rest import bodies
from dashboard_scraper.sources.rest.auth import BearerToken
from dashboard_scraper.sources.rest.bodies import Unreadable, read_whole
from dashboard_scraper.sources.rest.http import Http
from dashboard_scraper.sources.rest.loose_records import MOST_VALUES
from dashboard_scraper.sources.rest.pagination import (
    MAX_RECORDS,
    parse_page,
    refuse_too_many,
)
from dashboard_scraper.sources.rest.retrying import RetryPolicy
from dashboard_scraper.sources.rest.unknown_fields import (
    DEEPEST,
    NAME_LENGTH,
    OF_A_RECORD,
    OF_A_RUN,
    VALUE_LENGTH,
)

USERS, TENANT = "user-feature-stats", "tenant-feature-stats"
EDITORS = "daily-user-activity-by-editor-language"
Log = pytest.LogCaptureFixture
MIB = 1 << 20


# Bodies


class Endless:
    """A body that starts with `first`, and then repeats `again` without end."""

    def __init__(self, again: bytes, first: bytes = b"") -> None:
        self.again = again
        self.first = first

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        assert (amt or 0) >= 0
        assert not decode_content
        first, self.first = self.first, b""
        return first or self.again


BLOCK = zlib.compressobj(wbits=-zlib.MAX_WBITS)
BLANKS = BLOCK.compress(b" " * 16 * MIB) + BLOCK.flush(zlib.Z_FULL_FLUSH)
ENDLESS: dict[str, tuple[str, Endless, str]] = {
    "plain": ("", Endless(b" " * 65536), "longer than 128 MiB"),
    "a bomb of deflate": ("deflate", Endless(BLANKS), "over 250 times longer"),
    "a bomb of gzip": (
        "gzip",
        Endless(BLANKS, gzip.compress(b"")[:10]),
        "over 250 times longer",
    ),
    "empty members of gzip": ("gzip", Endless(gzip.compress(b"") * 100), "1,000 members"),
    "empty blocks": (
        "deflate",
        Endless(b"\0\0\0\xff\xff" * 13_000, b"\x78\x9c"),
        "128 MiB before decompression",
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.slow
def test_endless_body_is_refused(name: str) -> None:
    encoding, stream, words = ENDLESS[name]
    begun = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable, match=words):
            read_whole(stream, encoding, bodies.MAX_BODY)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < (160 * MIB if name == "plain" else 32 * MIB)
    assert time.process_time() - begun < 30


@pytest.mark.slow
def test_decompression_bomb_is_refused(home: Home, sim: Simulator) -> None:
    sim.add_fault(Fault(inflate(64 * MIB, 128), USERS))
    begun = time.process_time()
    result = home.run(f"{DAY}")
    assert result.code == 5, result.err
    assert "decompressing makes the body over 250 times longer" in result.err
    assert f'"day":{DAY.day}' in result.err
    assert "Traceback" not in result.err
    assert sim.count(USERS) == 1
    assert time.process_time() - begun < 30


@pytest.mark.parametrize("size", [MIB - 1, MIB, MIB + 1, 2 * MIB])
def test_decompression_steps_do_not_change_the_body(size: int) -> None:
    """Even if the last bytes are still in the decompressor when its input has been read."""
    text = b"[" + b" " * (size - 2) + b"]"
    bare = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    for encoding, packed in {
        "gzip": gzip.compress(text),
        "deflate": bare.compress(text) + bare.flush(),
    }.items():
        assert read_whole(Whole(packed), encoding, 4 * MIB) == text


class Whole:
    """A body that is these bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        assert not decode_content
        piece, self.data = self.data[:amt], self.data[amt or 0 :]
        return piece


@pytest.fixture
def without_end() -> Iterator[str]:
    """The URL of a server that sends spaces until nobody reads any more."""

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
            while True:
                try:
                    connection.sendall(b" " * 65536)
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=serve)
        serving.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        serving.join()


def test_server_that_never_stops_sending_is_left(without_end: str) -> None:
    policy = RetryPolicy(retries=2, backoff=0.01, timeout=60, budget=300)
    http = Http(policy, BearerToken("svc"), 1, max_body=4 * MIB)
    with pytest.raises(ContractBroken, match="the body is longer than 4 MiB"):
        http.get(without_end)
    http.close()


# Numbers of things


def test_too_many_values_are_refused_before_decoding(home: Home, sim: Simulator) -> None:
    """Each takes three bytes of text, and 70 of memory."""
    body = b'{"userFeatureStats":[' + b"{}," * MOST_VALUES + b"{}]}"
    sim.add_fault(Fault(raw_body(body), USERS))
    with pytest.raises(ContractBroken, match=f"{USERS}: .* more than {MOST_VALUES:,} values"):
        users_of(home)


@pytest.mark.slow
def test_too_many_fields_beside_records_are_refused(home: Home, sim: Simulator) -> None:
    fields = b",".join(b'"field%07d":1' % number for number in range(1_200_000))
    sim.add_fault(Fault(raw_body(b'{"userFeatureStats":[],' + fields + b"}"), USERS))
    with pytest.raises(ContractBroken, match=f"{USERS}: .* more than 10,000 fields beside"):
        users_of(home)


def test_long_answer_may_consist_of_records() -> None:
    """In an answer longer than 16 MiB, the fields beside the records are counted beforehand."""
    records = b"[" + b",".join([b'"%01000d"' % 0] * 17_000) + b"]"
    page = parse_page(USERS, "userFeatureStats", b'{"userFeatureStats":' + records + b"}")
    assert len(bytes(page.records)) == len(records)


def test_an_object_that_is_one_record_has_a_bound(home: Home, sim: Simulator) -> None:
    sim.add_fault(Fault(add_beside("novel", value="x" * MIB), TENANT))
    with dashboard(home) as source, pytest.raises(ContractBroken, match="longer than 1024 KiB"):
        source.fetch_totals(WINDOW)


def test_pages_with_ever_new_records_are_cut_off() -> None:
    refuse_too_many(USERS, MAX_RECORDS)
    with pytest.raises(ContractBroken, match=f"{USERS}: more than 500,000 records"):
        refuse_too_many(USERS, MAX_RECORDS + 1)


# Unknown fields


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def test_deeply_nested_field_stays_one_column() -> None:
    flat = flatten({"x": nested(400)})
    (name,) = flat
    assert name == "x" + ".a" * (DEPTH - 1)
    assert flat[name] == msgspec.json.encode(nested(401 - DEPTH)).decode()
    assert flatten({"x": nested(DEPTH - 1)}) == {name: 1}


SILLY: dict[str, tuple[dict[str, Any], str]] = {
    "many fields": ({f"f{n}": n for n in range(20_000)}, "(10,000 or more)"),
    "many fields in one": ({"f": {f"f{n}": n for n in range(OF_A_RECORD + 1)}}, "(101)"),
    "a long name": ({"n" * (NAME_LENGTH + 1): 1}, f"more than {NAME_LENGTH} characters"),
    "a long value": ({"n": "v" * (VALUE_LENGTH + 1)}, f"more than {VALUE_LENGTH:,} characters"),
    "a long list": ({"n": ["v"] * VALUE_LENGTH}, f"more than {VALUE_LENGTH:,} characters"),
    "900 levels": ({"n": nested(900)}, f"more than {DEEPEST} levels"),
}


def with_fields(fields: dict[str, Any]) -> Any:
    """Add these fields to the third record."""

    def effect(answer: Answer, _request: Request) -> Answer:
        body = msgspec.json.decode(answer.body)
        next(value for value in body.values() if isinstance(value, list))[2].update(fields)
        return replace(answer, body=msgspec.json.encode(body))

    return effect


@pytest.mark.parametrize("name", SILLY)
@pytest.mark.slow
def test_unknown_field_beyond_a_bound_is_left_out(
    home: Home, start: Start, start_api: Start, caplog: Log, name: str
) -> None:
    """For both sources; no user's figures are lost."""
    fields, words = SILLY[name]
    expected, sim = users_after(home, start())
    sim.add_fault(Fault(with_fields(fields), USERS))
    assert users_of(home) == expected
    api = start_api()
    with analytics(home) as source:
        active = source.fetch_users(WINDOW)
    (dashboards,) = warnings(caplog)
    api.add_fault(Fault(with_fields(fields), "user-activity"))
    with analytics(home) as source:
        assert source.fetch_users(WINDOW) == active
    assert [line for line in warnings(caplog) if words in line] == [dashboards] * 2
    assert len(dashboards) < 5000


def users_after(home: Home, sim: Simulator) -> tuple[list[Any], Simulator]:
    return users_of(home), sim


@pytest.mark.parametrize("number", [b"1e999", b"9" * 5000])
def test_number_out_of_range_costs_its_field(
    home: Home, sim: Simulator, caplog: Log, number: bytes
) -> None:
    expected = users_of(home)
    sim.add_fault(Fault(add_field("novel", "PLACE", record=2), USERS))
    sim.add_fault(Fault(lambda a, _: replace(a, body=a.body.replace(b'"PLACE"', number)), USERS))
    assert users_of(home) == expected
    assert warnings(caplog) == [
        "unknown fields with a value that cannot be read, left out: novel (1)"
    ]


def test_distinct_unknown_names_are_bounded(home: Home, sim: Simulator, caplog: Log) -> None:
    expected = users_of(home)

    def effect(answer: Answer, _request: Request) -> Answer:
        body = msgspec.json.decode(answer.body)
        for number, record in enumerate(body["userFeatureStats"]):
            record.update({f"f{number:02}_{n}": n for n in range(60)})
        return replace(answer, body=msgspec.json.encode(body))

    sim.add_fault(Fault(effect, USERS))
    found = users_of(home)
    assert [user.figures for user in found] == [user.figures for user in expected]
    assert len({name for user in found for name in user.extra}) == OF_A_RUN
    stored_line, left_out = warnings(caplog)
    assert stored_line.startswith("unknown fields stored as columns of their own: f00_0, f00_1, ")
    assert stored_line.endswith(" and 480 more (500)")
    assert f"({60 * len(found) - OF_A_RUN})" in left_out


# Names


@pytest.mark.parametrize("field", ["editor", "language"])
def test_names_of_editors_are_bounded(home: Home, api: Simulator, field: str) -> None:
    """Beyond the bound, the day's editors and languages are refused, but its users are stored."""
    for length, refused in ((200, False), (201, True), (5_000_000, True)):
        api.clear_faults()
        api.add_fault(Fault(set_value(field, "e" * length, record=1), EDITORS))
        with analytics(home) as source:
            if refused:
                with pytest.raises(ContractBroken, match=f"{EDITORS}: .*{field}") as caught:
                    source.fetch_editor_languages(DAY)
                assert len(str(caught.value)) < 200
            else:
                assert source.fetch_editor_languages(DAY)
