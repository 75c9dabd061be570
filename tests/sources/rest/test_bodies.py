"""The ways in which a body can be incomplete: retried, then an error; never figures."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from both_sources import Asking, each
from dashboard_scraper.errors import ContractBroken, ScraperError, SourceUnavailable
from dashboard_scraper.simulator import (
    Fault,
    Request,
    Simulator,
    compressed,
    cut_body,
    raw_body,
    reset_mid_body,
)
from dashboard_scraper.simulator.exchange import Answer, Delivery
from dashboard_scraper.simulator.faults import Effect
from dashboard_scraper.sources.rest.auth import BearerToken
from dashboard_scraper.sources.rest.http import Http
from dashboard_scraper.sources.rest.retrying import RetryPolicy
from effects import of_bytes

__all__ = ["each"]


def by_close(effect: Effect) -> Effect:
    """Send the whole body, and end it by closing the connection."""

    def doubled(answer: Answer, request: Request) -> Answer:
        answer = effect(answer, request)
        padded = answer.body + b" " * len(answer.body)
        return replace(answer, body=padded, delivery=Delivery.CUT_CLOSE)

    return doubled


def flipped(data: bytes) -> bytes:
    """Flip one bit of the checksum."""
    return data[:-5] + bytes((data[-5] ^ 1,)) + data[-4:]


def two_lengths(answer: Answer, _request: Request) -> Answer:
    """A second Content-Length contradicts the first."""
    return answer.with_headers(("Content-Length", "5"))


def shorter(by: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:-by]


INCOMPLETE: dict[str, tuple[Effect, str]] = {
    "empty": (raw_body(b""), "empty"),
    "white space": (raw_body(b" \r\n"), "empty"),
    "empty, no length": (by_close(raw_body(b"")), "empty"),
    "cut, by length": (cut_body("length"), ": the body was cut short;"),
    "cut, by chunk": (cut_body("chunked"), ": the body was cut short;"),
    "cut, no last chunk": (cut_body("last chunk"), ": the body was cut short;"),
    "two lengths": (two_lengths, "Content-Length"),
    "cut, no length": (cut_body("close"), "cut short"),
    "cut, right length": (of_bytes(lambda body: body[: len(body) // 2]), "cut short"),
    "last byte lost, right length": (of_bytes(shorter(1)), "cut short"),
    "cut in the headers": (cut_body("head"), "within the headers"),
    "reset in the body": (reset_mid_body(), ""),
    "gzip cut in half": (compressed("gzip", lambda b: b[: len(b) // 2]), "compressed"),
    "gzip without trailer": (compressed("gzip", shorter(8)), "compressed"),
    "gzip without last byte": (compressed("gzip", shorter(1)), "compressed"),
    "gzip of one byte": (compressed("gzip", lambda b: b[:1]), "compressed"),
    "gzip with wrong checksum": (compressed("gzip", flipped), "compressed"),
    "gzip with more bytes": (compressed("gzip", lambda b: b + b"garbage"), "compressed"),
    "gzip with half a member more": (
        compressed("gzip", lambda b: b + gzip.compress(b"  ")[:-8]),
        "compressed",
    ),
    "empty gzip body": (compressed("gzip", lambda _: b""), "empty"),
    "gzip that is none": (compressed("gzip", gzip.decompress), "compressed"),
    "deflate cut in half": (compressed("deflate", lambda b: b[: len(b) // 2]), "compressed"),
    "deflate without checksum": (compressed("deflate", shorter(4)), "compressed"),
    "deflate with wrong checksum": (
        compressed("deflate", lambda b: b[:-1] + bytes((b[-1] ^ 1,))),
        "compressed",
    ),
    "deflate with more bytes": (compressed("deflate", lambda b: b + b"xx"), "compressed"),
    "deflate of one byte": (compressed("deflate", lambda b: b[:1]), "compressed"),
    "bare deflate cut": (compressed("raw deflate", shorter(2)), "compressed"),
}

ALL_AT = "user-activity"
FEW = (
    "empty",
    "cut, by length",
    "cut, right length",
    "gzip without trailer",
    "deflate cut in half",
)

WHOLE: dict[str, Effect] = {
    "gzip": compressed("gzip"),
    "deflate": compressed("deflate"),
    "bare deflate": compressed("raw deflate"),
    "gzip of two members": compressed(
        "gzip",
        lambda b: gzip.compress(gzip.decompress(b)[:9]) + gzip.compress(gzip.decompress(b)[9:]),
    ),
    "no length": by_close(of_bytes(bytes)),
    "byte order mark": of_bytes(lambda body: b"\xef\xbb\xbf" + body),
    "white space around": of_bytes(lambda body: b"\r\n " + body + b"\n\n"),
}

BROKEN: dict[str, Effect] = {
    "two JSON texts": of_bytes(lambda body: body + body),
    "trailing garbage": of_bytes(lambda body: body + b"<!-- cached -->"),
    "UTF-16": of_bytes(lambda body: body.decode().encode("utf-16")),
    "an encoding that was not asked for": compressed("br"),
    "gzip that is not called so": of_bytes(gzip.compress),
    "damaged without a checksum": of_bytes(lambda body: body.replace(b":", b";", 1)),
}


def incomplete_at(each: Asking) -> dict[str, tuple[Effect, str]]:
    """Every kind at one endpoint, and a few at the others: the same code reads every body."""
    names = list(INCOMPLETE) if each.endpoint == ALL_AT else FEW
    return {name: INCOMPLETE[name] for name in names}


@pytest.mark.slow
def test_incomplete_body_is_asked_for_again(each: Asking) -> None:
    expected = each.ask()
    for name, (effect, _) in incomplete_at(each).items():
        each.sim.clear_faults()
        each.sim.add_fault(Fault(effect, each.endpoint, times=1))
        before = each.requests()
        assert each.ask() == expected, name
        assert each.requests() - before == 2, name


@pytest.mark.slow
def test_body_that_stays_incomplete_is_unavailable(each: Asking) -> None:
    for name, (effect, words) in incomplete_at(each).items():
        each.sim.clear_faults()
        each.sim.add_fault(Fault(effect, each.endpoint))
        with pytest.raises(ScraperError) as caught:
            each.ask()
        assert caught.type is SourceUnavailable, name
        assert words in str(caught.value), name
        assert "gave up after 2 attempts" in str(caught.value), name


@pytest.mark.slow
def test_whole_body_is_read_in_every_form(each: Asking) -> None:
    expected = each.ask()
    for name, effect in WHOLE.items():
        each.sim.clear_faults()
        each.sim.add_fault(Fault(effect, each.endpoint))
        assert each.ask() == expected, name


def test_complete_body_of_another_kind_is_not_retried(each: Asking) -> None:
    for name, effect in BROKEN.items():
        each.sim.clear_faults()
        each.sim.add_fault(Fault(effect, each.endpoint))
        before = each.requests()
        with pytest.raises(ScraperError) as caught:
            each.ask()
        assert caught.type is ContractBroken, name
        assert each.endpoint in str(caught.value), name
        assert each.requests() - before == 1, name


def packed(data: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.compress(data)
    return zlib.compress(data) if encoding else data


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
def test_body_without_bound_is_refused(api: Simulator, encoding: str) -> None:
    """A kilobyte of a compressed body may hold a megabyte: its decompressed size counts."""
    data = b"[" + b" " * (1 << 20) + b"]"
    named = (("Content-Encoding", encoding),) if encoding else ()
    api.add_fault(
        Fault(lambda _answer, _request: Answer(200, packed(data, encoding), headers=named))
    )
    policy = RetryPolicy(retries=2, backoff=0.01, timeout=60, budget=300)
    url = f"{api.url}/analytics/v0/dau-count"
    whole = Http(policy, BearerToken(api.token), 1, max_body=len(data))
    assert len(whole.get(url).body) == len(data)
    with pytest.raises(ContractBroken, match="longer than 1 MiB"):
        Http(policy, BearerToken(api.token), 1, max_body=1 << 20).get(url)
    assert api.count() == 2
    whole.close()
