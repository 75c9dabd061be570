"""Runs fetches in a few daemon threads.

Not `concurrent.futures`, which waits for its threads when the program ends: a thread that reads
from a hanging server would delay the end of an interrupted run by the whole read timeout.
"""

from __future__ import annotations

import contextvars
import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

from dashboard_scraper.errors import ScraperError

Item = TypeVar("Item")
Result = TypeVar("Result")


def each_done(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    meanwhile: Callable[[], None],
) -> Iterator[tuple[Item, Result | ScraperError]]:
    """Yield each item with what the function returned or the ScraperError that it raised.

    The items come in the order in which they finish. A new one starts only when the caller asks for
    the next result, so at most `workers` results are in memory. `meanwhile` is called while the
    first results are awaited, to do work that would otherwise come next.
    """
    tasks: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
    results: queue.SimpleQueue[tuple[Item, Result | ScraperError] | None] = queue.SimpleQueue()
    work = partial(_work, function, tasks, results)
    waiting = iter(items)
    outstanding = 0
    for item in itertools.islice(waiting, workers):
        tasks.put(item)
        outstanding += 1
        # A copy of the context makes the thread's spans children of the caller's.
        run = contextvars.copy_context().run
        name = f"fetch-{outstanding}"
        threading.Thread(target=run, args=(work,), name=name, daemon=True).start()
    started = outstanding
    try:
        meanwhile()
        while outstanding:
            done = results.get()
            if done is None:
                raise RuntimeError("a worker thread died; its traceback is above")
            yield done
            outstanding -= 1
            for item in itertools.islice(waiting, 1):
                tasks.put(item)
                outstanding += 1
    finally:
        for _ in range(started):
            tasks.put(None)


def _work(
    function: Callable[[Item], Result],
    tasks: queue.SimpleQueue[Item | None],
    results: queue.SimpleQueue[tuple[Item, Result | ScraperError] | None],
) -> None:
    """Do tasks until one is None; the result None says that this thread has ended."""
    try:
        while (item := tasks.get()) is not None:
            try:
                results.put((item, function(item)))
            except ScraperError as error:
                results.put((item, error))
    finally:
        results.put(None)
