"""Several processes with one stored session: none replaces newer cookies with older ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from conftest import Home, Start, yesterday
from dashboard_scraper.files import turn_in
from dashboard_scraper.model.dates import Window
from dashboard_scraper.simulator import Simulator
from dashboard_scraper.sources.dashboard.client import DashboardSource
from dashboard_scraper.sources.dashboard.cookie_auth import (
    SESSION_COOKIE,
    CookieSession,
)
from dashboard_scraper.sources.dashboard.session_store import FileStore
from dashboard_scraper.sources.rest.urls import origin_of
from saved_cookies import save_cookies
from sessions import saved_cookies
from stored_days import settings_of

ORIGIN = "https://dashboard.example.com"
FUTURE = datetime(2100, 1, 1).astimezone().timestamp()


def cookie(value: str) -> dict[str, str]:
    return {SESSION_COOKIE: value}


def process(home: Home) -> CookieSession:
    """The session as another process sees it."""
    return CookieSession(FileStore(home.cookie_file), ORIGIN)


@pytest.fixture
def signed_in(home: Home) -> Home:
    save_cookies(home.cookie_file, cookie("first"), ORIGIN)
    return home


@contextmanager
def waiting(session: CookieSession, value: str, folder: Path) -> Iterator[None]:
    """A process that has received a renewal, but stores it only after the block."""
    thread = threading.Thread(target=session.renew, args=[cookie(value)])
    before = len([*folder.iterdir()])
    with turn_in(folder):
        thread.start()
        while not [path for path in folder.iterdir() if path.suffix == ".tmp"]:
            assert thread.is_alive()
        yield
    thread.join()
    assert len([*folder.iterdir()]) == before


def set_stored(path: Path, **values: object) -> None:
    """Store other values, as a faster process would."""
    stored = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode(stored | values))


def test_later_renewal_is_stored(signed_in: Home) -> None:
    one, other = process(signed_in), process(signed_in)
    for session, value in ((one, "a"), (other, "b"), (one, "c")):
        session.renew(cookie(value))
        assert saved_cookies(signed_in) == cookie(value)


@pytest.mark.parametrize(
    ("moment", "stays"), [(None, True), (FUTURE, False)], ids=["later", "clock was ahead"]
)
def test_slow_process_keeps_newer_cookies(
    signed_in: Home, moment: float | None, stays: bool
) -> None:
    path = signed_in.cookie_file
    with waiting(process(signed_in), "older", path.parent):
        set_stored(path, cookies=cookie("newer"), renewed_at=moment or time.time())
    assert saved_cookies(signed_in) == cookie("newer" if stays else "older")


def test_renewal_does_not_undo_a_sign_in(signed_in: Home) -> None:
    running = process(signed_in)
    save_cookies(signed_in.cookie_file, cookie("somebody else"), ORIGIN)
    running.renew(cookie("renewed"))
    assert saved_cookies(signed_in) == cookie("somebody else")
    signed_in.cookie_file.unlink()
    running.renew(cookie("again"))
    assert not signed_in.cookie_file.exists()


def test_damaged_file_is_replaced_by_a_renewal(signed_in: Home) -> None:
    running = process(signed_in)
    signed_in.cookie_file.write_bytes(b"{")
    running.renew(cookie("renewed"))
    assert saved_cookies(signed_in) == cookie("renewed")


def test_refused_process_takes_what_another_stored(home: Home, sim: Simulator) -> None:
    """For example, if each renewal ends the previous session at once."""
    window = Window(yesterday(), yesterday())
    with closing(DashboardSource(settings_of(home))) as source:
        source.check(window)
        sim.sign_in()
        save_cookies(home.cookie_file, cookie(sim.cookie), origin_of(sim.url))
        source.check(window)
    assert [request.status for request in sim.requests] == [200, 401, 200]


@pytest.mark.slow
@pytest.mark.usefixtures("csv_alone")
def test_session_outlives_many_processes_at_once(home: Home, start: Start, forks: object) -> None:
    from crash_child import Forks  # noqa: PLC0415

    assert isinstance(forks, Forks)
    sim = start(rolling=True)
    home.settings["MAX_CONCURRENCY"] = "2"
    running = [forks.start(home, "--daily", f"{yesterday()}", f"{yesterday()}")]
    running += [forks.start(home, "keep-alive") for _ in range(5)]
    assert [run.wait().code for run in running] == [0] * 6
    assert {request.status for request in sim.requests} == {200}
    assert home.run("keep-alive").code == 0
