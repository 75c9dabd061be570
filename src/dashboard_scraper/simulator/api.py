"""What the simulator's APIs have in common: paths, credentials and a rate limit."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from dashboard_scraper.simulator.exchange import Answer, Request, json_answer
from dashboard_scraper.simulator.faults import FaultBook
from dashboard_scraper.simulator.gate import Bucket
from dashboard_scraper.simulator.organization import Organization

_CACHED_BYTES = 512 * 1024 * 1024


class Bodies:
    """A cache of encoded answers. Thread-safe."""

    def __init__(self) -> None:
        self.generation = 0
        self._answers: dict[object, Answer] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, request: Request) -> Answer | None:
        with self._lock:
            return self._answers.get(request.key)

    def store(self, request: Request, answer: Answer, generation: int) -> Answer:
        """Store the answer, unless figures were revised while it was computed; returns it."""
        with self._lock:
            if generation == self.generation:
                if self._bytes > _CACHED_BYTES:
                    self._answers.clear()
                    self._bytes = 0
                self._answers[request.key] = answer
                self._bytes += len(answer.body)
        return answer

    def clear(self) -> None:
        with self._lock:
            self.generation += 1
            self._answers.clear()
            self._bytes = 0


@dataclass
class Stage:
    """What the APIs of one simulator share; `url` is its address, without a slash at its end.

    With `clock_scale`, the time of rate limits runs that many times faster.
    """

    organization: Organization
    url: Callable[[], str]
    rate_limit: bool = True
    clock_scale: float = 1.0
    faults: FaultBook = field(default_factory=FaultBook)
    bodies: Bodies = field(default_factory=Bodies)

    def bucket(self, per_minute: int, burst: int) -> Bucket | None:
        """The bucket of a rate limit; None if limits are off."""
        return Bucket(per_minute, burst, self.clock_scale) if self.rate_limit else None


class Api(ABC):
    """One API of the simulator. Its APIs are listed in `server.Simulator`."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    @abstractmethod
    def handles(self, request: Request) -> bool:
        """Whether the request is for this API; two APIs never handle the same one."""

    @abstractmethod
    def refusal(self, request: Request) -> Answer | None:
        """The answer to a request that is refused before its parameters are read: because of its
        method, its credentials, or the rate limit.
        """

    @abstractmethod
    def honest_answer(self, organization: Organization, request: Request) -> Answer:
        """The answer without faults: this organization's figures, or an error for parameters."""

    def is_cached(self, request: Request) -> bool:
        """Whether the same request always has the same answer, until figures are revised."""
        return request.day is not None

    def answer(self, request: Request) -> Answer:
        """The answer to a request that this API handles; faults do not change refusals."""
        refused = self.refusal(request)
        if refused is not None:
            return refused
        return self.stage.faults.apply(self.cached_answer(request), request)

    def cached_answer(self, request: Request) -> Answer:
        """The honest answer; figures of single days are computed only once."""
        bodies, organization = self.stage.bodies, self.stage.organization
        if not self.is_cached(request):
            return self.honest_answer(organization, request)
        known = bodies.get(request)
        if known is not None:
            return known
        generation = bodies.generation
        answer = self.honest_answer(organization, request)
        return bodies.store(request, answer, generation) if answer.status == 200 else answer


def wrong_method(right: str) -> Answer:
    """The refusal of a request with the wrong method."""
    refused = json_answer({"error": f"use {right}"}, 405)
    return refused.with_headers(("Allow", right))
