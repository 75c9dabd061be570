"""Runs fetches in a few daemon threads.

Not `concurrent.futures`, which waits for its threads when the program ends: one that reads from a
server that hangs would delay the end of an interrupted run by the whole read timeout.
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

    In the order in which they finish. A new item starts only when the caller asks for the next
    result, so at most `workers` results are in memory. `meanwhile` is called while the first are
    awaited, for work that would be next.
    """
    tasks: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
    results: queue.SimpleQueue[tuple[Item, Result | ScraperError] | None] = queue.SimpleQueue()
    work = partial(_work, function, tasks, results)
    waiting = iter(items)
    outstanding = 0
    for item in itertools.islice(waiting, workers):
        tasks.put(item)
        outstanding += 1
        # A copy of the context: spans of the thread belong to the caller's.
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
    """Do one task after another until one is None; a result that is None says that this ended."""
    try:
        while (item := tasks.get()) is not None:
            try:
                results.put((item, function(item)))
            except ScraperError as error:
                results.put((item, error))
    finally:
        results.put(None)
