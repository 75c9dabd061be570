"""Doing many fetches at once, a few at a time, in threads that never keep the program alive.

`concurrent.futures` waits for its threads when the program ends; one that reads from a server that
hangs would keep a run that was told to end for the whole of the read timeout.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from dashboard_scraper.errors import ScraperError

Item = TypeVar("Item")
Result = TypeVar("Result")


def each_done(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[tuple[Item, Result | ScraperError]]:
    """Yield each item with what the function returned or the ScraperError that it raised.

    In the order in which they are done. A new item begins only when the caller comes back for the
    next one, so at most `workers` results are held.
    """
    tasks: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
    results: queue.SimpleQueue[tuple[Item, Result | ScraperError] | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            while (item := tasks.get()) is not None:
                try:
                    results.put((item, function(item)))
                except ScraperError as error:
                    results.put((item, error))
        finally:
            results.put(None)

    waiting = iter(items)
    outstanding = 0
    for item in itertools.islice(waiting, workers):
        tasks.put(item)
        outstanding += 1
        threading.Thread(target=work, name=f"fetch-{outstanding}", daemon=True).start()
    started = outstanding
    try:
        while outstanding:
            done = results.get()
            if done is None:
                raise RuntimeError("a worker died; its traceback stands above")
            yield done
            outstanding -= 1
            for item in itertools.islice(waiting, 1):
                tasks.put(item)
                outstanding += 1
    finally:
        for _ in range(started):
            tasks.put(None)
