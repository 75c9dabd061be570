"""Spans: how long the parts of a run take and how they end, for a tracer that sends them somewhere.

Without a tracer, nothing is measured. A thread that is part of a run has to be started in a copy of
the context, as `sync.workers` does, so that its spans have a parent.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import ParamSpec, Protocol, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Value = str | int | float | bool
Attributes = Mapping[str, Value]
Note = Callable[[Attributes], None]
"""Adds attributes to a span that has not ended."""


class Tracer(Protocol):
    """What measures spans. An error that leaves a span is recorded in it, and raised again."""

    def span(
        self, name: str, attributes: Attributes, *, is_request: bool
    ) -> AbstractContextManager[Note]:
        """A span within the one that is open."""
        ...

    def annotate(self, attributes: Attributes) -> None:
        """Add attributes to the innermost span that is open."""
        ...


def _forget(_attributes: Attributes) -> None:
    """The `annotate` of a span that nobody measures."""


_TRACER: ContextVar[Tracer | None] = ContextVar("tracer", default=None)
_UNMEASURED: AbstractContextManager[Note] = contextlib.nullcontext(_forget)


@contextlib.contextmanager
def traced_by(tracer: Tracer) -> Iterator[None]:
    """Measure every span until the block ends."""
    token = _TRACER.set(tracer)
    try:
        yield
    finally:
        _TRACER.reset(token)


def span(
    name: str, attributes: Attributes | None = None, *, is_request: bool = False
) -> AbstractContextManager[Note]:
    """A part of the run, as `with span("fetch day", {"day": "2026-11-03"}):`.

    Attributes contain no names of persons and no secrets; `is_request` if it waits for another
    service.
    """
    tracer = _TRACER.get()
    if tracer is None:
        return _UNMEASURED
    return tracer.span(name, attributes or {}, is_request=is_request)


def measured(
    name: str,
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorate a function whose calls are spans."""

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @functools.wraps(function)
        def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            with span(name):
                return function(*args, **kwargs)

        return call

    return decorate


def annotate(attributes: Attributes) -> None:
    """Add attributes to the innermost span that is open, if anybody measures it."""
    tracer = _TRACER.get()
    if tracer is not None:
        tracer.annotate(attributes)
