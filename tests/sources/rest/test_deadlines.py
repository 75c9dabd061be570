"""Time and size limits apply to a whole answer, from the look-up of the name to the last byte."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from test_network import Proxy, begin, certificate, proxies

from conftest import Home, Start, yesterday
from crash_child import Forks
from dashboard_scraper.errors import SourceUnavailable
from dashboard_scraper.simulator import (
    Fault,
    Simulator,
    cut_body,
    drip,
    hang,
    interim,
    long_head,
    slow_head,
    status,
)
from dashboard_scraper.simulator.faults import Effect
from dashboard_scraper.sources.rest.auth import BearerToken
from dashboard_scraper.sources.rest.http import Http, Response
from dashboard_scraper.sources.rest.retrying import RetryPolicy

__all__ = ["certificate", "proxies"]

PATH = "/analytics/v0/dau-count?start_date={0}&end_date={0}"
ENDLESS: dict[str, tuple[Effect, float, str]] = {
    "interim responses, slow": (interim(100, None, 0.02), 0.4, "headers were not complete within"),
    "interim responses, quick": (interim(103, None), 30, "interim responses"),
    "headers": (slow_head(0.05), 0.4, "headers were not complete within"),
    "silence": (hang(300), 0.4, "headers were not complete within"),
}
"""What the server does, how long a silence is allowed, and what is said of it."""


def get(
    sim: Simulator, *, timeout: float = 30.0, budget: float = 120.0, retries: int = 0
) -> Response:
    policy = RetryPolicy(retries=retries, backoff=0.01, timeout=timeout, budget=budget)
    with contextlib.closing(Http(policy, BearerToken(sim.token), 1)) as http:
        return http.get(sim.url + PATH.format(yesterday()))


def refused(sim: Simulator, **limits: Any) -> str:
    """The error message of a request that fails."""
    with pytest.raises(SourceUnavailable) as caught:
        get(sim, **limits)
    return str(caught.value)


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.slow
def test_endless_head_is_one_failed_attempt(api: Simulator, name: str) -> None:
    """It takes the longest silence, not the whole budget: there is time for another attempt."""
    effect, timeout, words = ENDLESS[name]
    api.add_fault(Fault(effect))
    said = refused(api, timeout=timeout, retries=1, budget=120)
    assert words in said
    assert "gave up after 2 attempts" in said
    api.clear_faults()
    api.add_fault(Fault(effect, times=1))
    assert get(api, timeout=timeout, retries=20, budget=120).status == 200


@pytest.mark.parametrize(
    "effect", [interim(100, None, 0.02), slow_head(0.05), drip(0.02)], ids=["100", "head", "body"]
)
@pytest.mark.slow
def test_budget_ends_what_the_silence_allows(api: Simulator, effect: Effect) -> None:
    api.add_fault(Fault(effect))
    said = refused(api, timeout=30, budget=1, retries=3)
    assert "RETRY_BUDGET_SECONDS=1 is spent" in said
    assert api.count() == 1


@pytest.mark.parametrize("way", ["TLS", "tunnel"])
@pytest.mark.parametrize("effect", [interim(100, None, 0.02), drip(0.02)], ids=["100", "body"])
@pytest.mark.slow
def test_limits_hold_through_tls_and_proxies(
    start_api: Start,
    certificate: tuple[str, str],
    proxies: list[Proxy],
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    effect: Effect,
) -> None:
    sim = start_api(tls=certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate[0])
    if way == "tunnel":
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{begin(proxies, sim).port}")
    else:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert get(sim).status == 200
    sim.add_fault(Fault(effect))
    said = refused(sim, timeout=30, budget=0.5)
    assert "RETRY_BUDGET_SECONDS" in said or "gave up" in said


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (long_head(80, 60_000), "headers are longer than 256 KiB"),
        (long_head(150, 10), "HTTPException"),
        (interim(100, 200), "more than 100 interim responses"),
    ],
    ids=["long headers", "many headers", "many interim responses"],
)
def test_head_is_bounded(api: Simulator, effect: Effect, words: str) -> None:
    api.add_fault(Fault(effect))
    assert words in refused(api)


def test_large_head_within_the_bounds_is_read(api: Simulator) -> None:
    api.add_fault(Fault(long_head(80, 1000)))
    assert get(api).status == 200


def test_cut_headers_are_no_refusal(api: Simulator) -> None:
    """The status line came with 401, but the missing part is unknown."""
    api.add_fault(Fault(status(401), times=1))
    api.add_fault(Fault(cut_body("head"), times=1))
    assert get(api, retries=1).status == 200


@pytest.mark.parametrize(("pause", "timeout"), [(300, 0.3), (0.3, 300)], ids=["silence", "drip"])
@pytest.mark.slow
def test_slow_page_of_a_refusal_does_not_hide_it(
    api: Simulator, pause: float, timeout: float
) -> None:
    api.add_fault(Fault(status(401)))
    api.add_fault(Fault(drip(pause)))
    assert get(api, timeout=timeout, budget=300, retries=20).status == 401  # its head may be late


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        yield listening


def port_of(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


def connect(url: str, timeout: float) -> str:
    policy = RetryPolicy(retries=0, backoff=0.01, timeout=timeout, budget=60)
    with (
        contextlib.closing(Http(policy, BearerToken("x"), 1)) as http,
        pytest.raises(SourceUnavailable) as caught,
    ):
        http.get(url)
    return str(caught.value)


@pytest.mark.slow
def test_handshake_that_hangs_is_bounded(silent: socket.socket) -> None:
    said = connect(f"https://127.0.0.1:{port_of(silent)}/", 0.4)
    assert "no connection within 0.4 s" in said or "silent" in said


@pytest.mark.slow
def test_name_look_up_that_hangs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be interrupted, so its thread is left behind."""
    answered = threading.Event()

    def look_up(*_question: object, **_options: object) -> None:
        answered.wait(60)
        raise socket.gaierror("nobody")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    try:
        said = connect("http://dashboard.example.com/", 0.4)
    finally:
        answered.set()
    assert "no connection within 0.4 s" in said


@pytest.mark.parametrize(
    ("state", "number"),
    [("interim responses", signal.SIGTERM), ("handshake", signal.SIGINT)],
)
@pytest.mark.slow
def test_signal_ends_a_run_within_seconds(
    home: Home,
    sim: Simulator,
    silent: socket.socket,
    forks: Forks,
    state: str,
    number: signal.Signals,
) -> None:
    home.settings["SCRAPE_ENDPOINTS"] = "user-feature-stats"
    home.settings["REQUEST_TIMEOUT_SECONDS"] = "300"
    sim.add_fault(Fault(interim(100, None, 0.1)))
    if state == "handshake":
        home.settings["HTTP_PROXY"] = f"https://127.0.0.1:{port_of(silent)}"
    run = forks.start(home, f"{yesterday()}", "--log-level", "DEBUG")
    try:
        with hanging(sim, silent, state):
            run.kill(number)
            result = run.wait()
    finally:
        run.kill()
    assert result.code == 128 + number, result.err


@contextlib.contextmanager
def hanging(sim: Simulator, silent: socket.socket, state: str) -> Iterator[None]:
    """The run waits for the rest of an answer, or for the server's part of the handshake."""
    if state == "handshake":
        connection, _ = silent.accept()
        with connection:
            connection.recv(1)  # the client's part of the handshake
            yield
        return
    deadline = time.monotonic() + 60
    while not sim.count() and time.monotonic() < deadline:
        time.sleep(0.02)
    yield
