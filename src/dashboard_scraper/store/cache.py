"""Values computed from a store, each only once until something is written there."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar, cast

from dashboard_scraper.errors import DaysMissing, StoreFailed
from dashboard_scraper.store.reader import Reader
from dashboard_scraper.store.store import Store

_MOST_TRIES = 3

T = TypeVar("T")


class _Slot:
    """A value, or a place for one; the thread that holds the lock computes it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.is_filled = False
        self.value: Any = None


class _Values:
    """All values of one state of the store."""

    def __init__(self, state: Hashable) -> None:
        self.state = state
        self._lock = threading.Lock()
        self._slots: dict[Hashable, _Slot] = {}

    def slot(self, key: Hashable) -> _Slot:
        with self._lock:
            return self._slots.setdefault(key, _Slot())


class CachedView:
    """One state of the store: a reader on it, and the values already computed from it."""

    def __init__(self, reader: Reader, values: _Values) -> None:
        self.reader = reader
        self._values = values

    def get(self, key: Hashable, compute: Callable[[CachedView], T]) -> T:
        """The value of the key in this state. `compute` may get other keys, but not in a cycle."""
        slot = self._values.slot(key)
        with slot.lock:
            if not slot.is_filled:
                slot.value = compute(self)
                slot.is_filled = True
            return cast("T", slot.value)


class StoreCache:
    """Values computed from the current state of a store; may be used from any thread.

    If several threads ask for a value at once, one computes it and the others wait for it. Raises
    what the store raises, DaysMissing if there is no store yet, and StoreFailed if there was one
    before: it may be on a disk that is not mounted now.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._values = _Values(None)
        self._was_there = False

    @property
    def shown(self) -> str:
        """The store's place, without a password."""
        return self._store.shown

    def state(self) -> Hashable:
        """Equal to an earlier state only if nothing was written in between."""
        return self._store.state()

    def get(self, key: Hashable, compute: Callable[[CachedView], T]) -> T:
        """The value of the key in the current state; the store is read only if it is not known."""
        slot = self._current().slot(key)
        if slot.is_filled:  # read without the lock: it is set after the value
            return cast("T", slot.value)
        with self.view() as view:
            return view.get(key, compute)

    @contextlib.contextmanager
    def view(self) -> Iterator[CachedView]:
        """A snapshot of the store, with the values of exactly this state."""
        for _ in range(_MOST_TRIES):
            values = self._current()
            with self._reading() as reader:
                if self._store.state() == values.state:  # nothing was written before it began
                    yield CachedView(reader, values)
                    return
        # Something is written all the time: this snapshot shares no value with others.
        with self._reading() as reader:
            yield CachedView(reader, _Values(None))

    def _current(self) -> _Values:
        state = self._store.state()
        with self._lock:
            if self._values.state != state:
                self._values = _Values(state)
            return self._values

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Reader]:
        if not self._store.exists():
            if self._was_there:
                raise StoreFailed(f"{self.shown} has gone; put it back, or start again without it")
            raise DaysMissing("no day has been fetched yet")
        self._was_there = True
        with self._store.reading() as reader:
            yield reader
