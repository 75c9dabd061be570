"""Other processes that make files of an export, while the export's process makes those of other
days.

They begin at the last day, and it begins at the first, until they meet. Each reads the store
itself. Their files are used only if they were made from the same content that the export's process
sees, and if they fail, that process makes everything itself. So they change how long an export
takes, not what it writes.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from dashboard_scraper.beside import beside
from dashboard_scraper.errors import OutputFailed, ScraperError
from dashboard_scraper.exports.daily_export import DailyExport
from dashboard_scraper.exports.feed import Feed, reach_of
from dashboard_scraper.exports.formats import written_of
from dashboard_scraper.leftovers import TemporaryNames
from dashboard_scraper.publication import MadeFile, PartOfPublication
from dashboard_scraper.store import LedgerDay, Store

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

logger = logging.getLogger(__name__)

LEAST_USER_DAYS = 100_000
"""Fewer user-days are exported before another process is ready."""

OpenExport = Callable[[], tuple[Store, DailyExport]]
MadeOn = Callable[[date], Collection[MadeFile]]
"""The files that other processes have made of a day; none if they have not got that far."""


def usable_processors() -> int:
    """How many processors this process may use, not how many the machine has."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class DayWorkers(msgspec.Struct, frozen=True):
    """Up to `count` processes, for exports with enough user-days.

    `open_export` returns the store and the export. It is called in each process, so it must be
    picklable.
    """

    open_export: OpenExport
    count: int
    least_user_days: int = LEAST_USER_DAYS

    @contextlib.contextmanager
    def working(
        self, rows: Sequence[LedgerDay], names: TemporaryNames, folders: Collection[Path]
    ) -> Iterator[MadeOn]:
        """Within this context, other processes make the files of these days, under temporary
        `names`.

        Afterwards, no such file is left in the folders.
        """
        pool = None
        if self.count > 0 and sum(row.users for row in rows) >= self.least_user_days:
            pool = _pool(self.count, (self.open_export, names.token))
        if pool is None:
            yield _none_made
            return
        with contextlib.ExitStack() as stack:
            stack.callback(names.remove_files, folders)
            stack.callback(_end, pool)
            yield _Days(pool, [row.day for row in rows], 3 * self.count).made_on


def _none_made(_: date) -> Collection[MadeFile]:
    return ()


def _open_nothing() -> tuple[Store, DailyExport]:
    raise RuntimeError("there are no other processes")


NO_WORKERS = DayWorkers(_open_nothing, 0)
"""No other processes: the export's process makes everything."""


def _pool(count: int, prepare: tuple[OpenExport, str]) -> ProcessPoolExecutor | None:
    try:
        # Most exports and every night need no other process, and do not wait for these imports.
        import multiprocessing  # noqa: PLC0415
        from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415

        # Forked, a process would share connections and locks with this one.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(count, context, _prepare, prepare)
    except (ImportError, NotImplementedError, OSError) as error:  # a system without semaphores
        logger.info("this process writes all files alone: %s", error)
        return None


def _end(pool: ProcessPoolExecutor) -> None:
    with contextlib.suppress(RuntimeError):  # the system allowed no thread
        pool.shutdown(cancel_futures=True)


class _Days:
    """The days whose files a pool makes, the last one first."""

    def __init__(self, pool: ProcessPoolExecutor, days: Iterable[date], ahead: int) -> None:
        """`ahead`: how many days are queued, so that no process has to wait for one."""
        self._pool = pool
        self._left = [*days]
        self._ahead = ahead
        self._futures: dict[date, Future[list[MadeFile]]] = {}
        self._flushed: dict[date, Callable[[], list[MadeFile]]] = {}

    def made_on(self, day: date) -> Collection[MadeFile]:
        """The files of a day: waits for them if the pool has the day. If none, the caller makes
        them.
        """
        try:
            if day in self._left:
                self._left.remove(day)
                self._submit()
            elif flushed := self._flushed.pop(day, None):
                return flushed()
        # It failed, was killed, or never began for lack of memory or threads; or the disk is full.
        except (RuntimeError, OSError, OutputFailed) as error:
            logger.warning("another process failed to write files; going on without it: %s", error)
            self._left.clear()
            self._flushed.clear()
        return ()

    def _submit(self) -> None:
        """Submit days, but not all at once: the rest are left to whichever process is faster."""
        waiting = sum(not future.done() for future in self._futures.values())
        while self._left and waiting < self._ahead:
            day = self._left.pop()
            with _uninterrupted():
                future = self._futures[day] = self._pool.submit(_made_on, day)
            self._flushed[day] = beside(partial(_flushed, future))
            waiting += 1


def _flushed(future: Future[list[MadeFile]]) -> list[MadeFile]:
    made = future.result()
    for each in made:
        each.flush()
    return made


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes started in this context are not interrupted by Ctrl-C: the export's process ends
    them.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Worker:
    """What another process needs for its days; opened with the first day."""

    def __init__(self, open_export: OpenExport, token: str) -> None:
        self._open_export = open_export
        self._names = TemporaryNames(token)

    @cached_property
    def _opened(self) -> tuple[Feed, PartOfPublication, Mapping[date, LedgerDay]]:
        store, export = self._open_export()
        # Files of the whole window are not for this process.
        github = msgspec.structs.replace(export.github, users_28_day_files=False)
        export = msgspec.structs.replace(export, github=github)
        held = contextlib.ExitStack()
        atexit.register(held.close)
        reader = held.enter_context(store.reading())
        outputs = written_of(export)
        ledger = reader.ledger(export.source, reach_of(outputs))
        missing = [day for day in export.window.days() if day not in ledger]
        publication = PartOfPublication(export.outputs.mode, self._names)
        return Feed(outputs, reader, publication, export, missing), publication, ledger

    def made_on(self, day: date) -> list[MadeFile]:
        """The files of a day; none if the store no longer has it."""
        feed, publication, ledger = self._opened
        if day in ledger:
            feed.add_day(ledger[day])
        return publication.hand_over()


_workers: list[_Worker] = []
"""The worker of this process, if this is not the export's process."""


def _prepare(open_export: OpenExport, token: str) -> None:
    logging.disable()  # the export's process logs what there is to log
    threading.Thread(target=_end_with_parent, daemon=True).start()
    atexit.register(_workers.clear)  # DuckDB reports what is not released by then
    _workers.append(_Worker(open_export, token))


def _made_on(day: date) -> list[MadeFile]:
    """The files of a day; RuntimeError if something fails, since not every error of ours can be
    pickled.
    """
    try:
        return _workers[0].made_on(day)
    except (ScraperError, MemoryError) as error:
        raise RuntimeError(f"{error}" or "it has no memory left") from None


def _end_with_parent() -> None:
    """End this process if its parent was killed: otherwise, the pool tells it to end."""
    from multiprocessing import parent_process  # noqa: PLC0415 - as above

    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
