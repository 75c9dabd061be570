"""Large answers take turns, so that memory holds two of their days instead of one per thread."""

from __future__ import annotations

import io
import sys
import threading
import traceback
from collections.abc import Callable

import pytest

from crash_child import until
from dashboard_scraper.sources.rest.bodies import read_whole
from dashboard_scraper.sources.rest.turns import Turns, TurnTaking

SMALL = b" " * 1000 + b"{}"
LARGE = b" " * (1 << 20) + b"{}"
WAIT_SECONDS = 60  # for what must happen; only a failing test takes this long
A_MOMENT_SECONDS = 0.2  # for what must not happen


class Body(io.BytesIO):
    """A response's body, as urllib3 passes it on."""

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        del decode_content
        return super().read1(-1 if amt is None else amt)


class Day:
    """A day that is read in a thread of its own, and stored when the test says so."""

    def __init__(self, turns: Turns, body: bytes) -> None:
        self.was_read = threading.Event()
        self.may_store = threading.Event()
        self.waited = 0.0
        self.body = Body(body)
        self._turns = turns
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        with self._turns.day():
            read_whole(TurnTaking(self.body, self._note), "", 1 << 30)
            self.was_read.set()
            self.may_store.wait(WAIT_SECONDS)

    def _note(self, seconds: float) -> None:
        self.waited = seconds

    def is_waiting(self) -> bool:
        """Whether it is now waiting for its turn."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        return "take" in {each.f_code.co_name for each, _ in traceback.walk_stack(frame)}

    def store(self) -> None:
        self.may_store.set()
        self._thread.join(WAIT_SECONDS)


@pytest.fixture
def two_large_days() -> tuple[Turns, Day, Day]:
    """Turns, and the two large days that have them: read, but not stored yet."""
    turns = Turns()
    first, second = Day(turns, LARGE), Day(turns, LARGE)
    assert first.was_read.wait(WAIT_SECONDS)
    assert second.was_read.wait(WAIT_SECONDS)
    return turns, first, second


def test_third_large_day_waits_until_one_is_stored(two_large_days: tuple[Turns, Day, Day]) -> None:
    turns, first, second = two_large_days
    third = Day(turns, LARGE)
    until(third.is_waiting, WAIT_SECONDS)  # on a busy machine, a thread starts late
    assert not third.was_read.wait(A_MOMENT_SECONDS)
    second.store()
    assert third.was_read.wait(WAIT_SECONDS)
    assert third.waited > A_MOMENT_SECONDS / 20  # its deadline stands still meanwhile
    first.store()
    third.store()


def test_small_day_needs_no_turn(two_large_days: tuple[Turns, Day, Day]) -> None:
    turns, first, second = two_large_days
    small = Day(turns, SMALL)
    assert small.was_read.wait(WAIT_SECONDS)
    for day in (small, first, second):
        day.store()


def read_in(turns: Turns, then: Callable[[], None]) -> None:
    with turns.day():
        for _ in range(3):  # pages of one day share its turn
            read_whole(TurnTaking(Body(LARGE), lambda _: None), "", 1 << 30)
        then()


def test_failed_day_returns_its_turn() -> None:
    def fail() -> None:
        raise ValueError("this day cannot be stored")

    turns = Turns()
    for _ in range(3):
        with pytest.raises(ValueError, match="cannot be stored"):
            read_in(turns, fail)
    after = Day(turns, LARGE)
    assert after.was_read.wait(WAIT_SECONDS)
    after.store()


def test_turn_that_does_not_come_is_done_without() -> None:
    turns = Turns(patience=0)
    days = [Day(turns, LARGE) for _ in range(3)]
    for day in days:
        assert day.was_read.wait(WAIT_SECONDS)
    for day in days:
        day.store()
    read_in(turns, lambda: None)  # days without a turn have not returned one
