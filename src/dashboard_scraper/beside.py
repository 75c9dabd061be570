"""Does some work, such as a request or a query, in a thread, while other work goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import TypeVar

Result = TypeVar("Result")


def beside(function: Callable[[], Result]) -> Callable[[], Result]:
    """Call the function in a thread; the returned one waits for its result, or raises its error.

    A daemon thread, for the same reason as in `sync.workers`. Nobody has to wait for the result: an
    error that nobody asks for is lost.
    """
    future: Future[Result] = Future()

    def work() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            future.set_exception(error)

    # A copy of the context makes the thread's spans children of the caller's.
    threading.Thread(target=copy_context().run, args=(work,), name="beside", daemon=True).start()
    return future.result
