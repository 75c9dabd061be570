"""Does some work in a thread, such as a request or a query, while other work goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import TypeVar

Result = TypeVar("Result")


def beside(function: Callable[[], Result]) -> Callable[[], Result]:
    """Call the function in a thread; what is returned waits for its result, or raises its error.

    A daemon thread, as `sync.workers` has them and for the same reason. Nobody has to wait for it:
    an error that nobody asks for is lost.
    """
    future: Future[Result] = Future()

    def work() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            future.set_exception(error)

    # A copy of the context: spans of the thread belong to the caller's.
    threading.Thread(target=copy_context().run, args=(work,), name="beside", daemon=True).start()
    return future.result
