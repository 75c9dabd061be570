"""PostgreSQL's lock: a row that says which run works on the store, and that it still lives.

A lock of the server's own would belong to a connection: it is gone when a gateway ends that, and
behind a pooler it belongs to nobody. The row belongs to the run:

- `fence` grows by one whenever the row changes hands. Every writing transaction seals itself by an
  update of the row under its own number; another run's number means LockLost, and a rollback.
- `beat` grows every few moments for as long as the run lives. Who finds the row held watches it:
  where the number moves, the holder lives (LockHeld); where it stands still for `seconds`, by the
  watcher's own monotonic clock, the holder counts as dead, and the row changes hands. No clock of
  the day is compared with another, so none that jumps can fool anybody; the moments in the row are
  for people.
- `writes` is the number of the holder's last transaction. It tells whether one was committed whose
  connection was lost at that very moment.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.rows import class_row
from sqlalchemy import Connection, text

from dashboard_scraper.errors import LockHeld, LockLost
from dashboard_scraper.model.dates import iso_utc
from dashboard_scraper.store.patience import Retries

logger = logging.getLogger(__name__)

Connect = Callable[[], psycopg.Connection[Any]]
"""Opens a connection on which every statement is a transaction."""

BEATS = 30
"""Heartbeats in the time after which a holder that gave none counts as dead."""
_LOOKS_A_BEAT = 4
_MOST_WATCHES = 4  # of a holder that may only seem silent, since nobody could look for so long
_QUIET_BEATS = 5  # then somebody is told why nothing happens
_MAKING = 0x6461_7368_7363_7261  # any number that no other program locks with

_TABLE = """
    CREATE TABLE IF NOT EXISTS store_lease (
        name text PRIMARY KEY,
        fence bigint NOT NULL,
        held boolean NOT NULL,
        holder text NOT NULL,
        token text NOT NULL,
        taken_at timestamptz NOT NULL,
        beat bigint NOT NULL,
        beat_at timestamptz NOT NULL,
        seconds double precision NOT NULL,
        writes bigint NOT NULL
    )
"""
_TAKE = """
    INSERT INTO store_lease AS lease
    VALUES ('run', 1, true, %(holder)s, %(token)s, clock_timestamp(), 0, clock_timestamp(),
            %(seconds)s, 0)
    ON CONFLICT (name) DO UPDATE SET
        fence = lease.fence + 1, held = true, holder = excluded.holder,
        token = excluded.token, taken_at = excluded.taken_at, beat = 0,
        beat_at = excluded.beat_at, seconds = excluded.seconds, writes = 0
    WHERE NOT lease.held
        OR lease.token = excluded.token
        OR (lease.fence = %(fence)s AND lease.beat = %(beat)s)
    RETURNING fence
"""
_LOOK = """
    SELECT fence, beat, holder, token, seconds,
           taken_at AT TIME ZONE 'UTC' AS taken_at, beat_at AT TIME ZONE 'UTC' AS beat_at
    FROM store_lease WHERE name = 'run' AND held
"""
_BEAT = """
    UPDATE store_lease SET beat = beat + 1, beat_at = clock_timestamp()
    WHERE name = 'run' AND held AND fence = %s
"""
_FREE = "UPDATE store_lease SET held = false WHERE name = 'run' AND held AND fence = %s"
# A transaction that is open on a connection that nobody will use again keeps others from its days.
_END_TRANSACTIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE strpos(application_name, %s) > 0 AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
"""
_SEAL = text("""
    UPDATE store_lease SET writes = :number, beat = beat + 1, beat_at = clock_timestamp()
    WHERE name = 'run' AND held AND fence = :fence
""")
# It waits for a transaction that is being committed.
_SEALED = "SELECT writes FROM store_lease WHERE name = 'run' AND held AND fence = %s FOR UPDATE"


@dataclass(frozen=True, slots=True)
class _Held:
    """The row as somebody else has it."""

    fence: int
    beat: int
    holder: str
    token: str
    seconds: float
    taken_at: datetime
    beat_at: datetime

    def __str__(self) -> str:
        return (
            f"{self.holder}, since {_moment(self.taken_at)}, last heartbeat"
            f" {_moment(self.beat_at)}; wait for it to end: it counts as dead {self.seconds:g} s"
            " after a heartbeat that is its last"
        )


def _moment(utc: datetime) -> str:
    return iso_utc(utc.replace(microsecond=0, tzinfo=UTC))


class _Watch:
    """Sees by this process' own clock whether a holder gives signs of life."""

    def __init__(self, first: _Held) -> None:
        self._first = first
        self.interval = first.seconds / BEATS / _LOOKS_A_BEAT
        self._began = self._quiet_since = self._looked_at = time.monotonic()

    def sees_life(self, now_held: _Held) -> bool:
        """Whether the row has moved since the first look."""
        now = time.monotonic()
        # While nobody could look, the holder may not have been able to give a sign either: the
        # server was away, or this process stood still.
        if now - self._looked_at > self._first.seconds / 3:
            self._quiet_since = now
        self._looked_at = now
        return (now_held.fence, now_held.beat) != (self._first.fence, self._first.beat)

    @property
    def quiet(self) -> float:
        """Seconds without a sign of life."""
        return self._looked_at - self._quiet_since

    @property
    def has_lasted(self) -> float:
        """Seconds since the first look."""
        return self._looked_at - self._began


class Lease:
    """The lock while this run holds it: from `take`, which waits for it, until `free`."""

    def __init__(self, connect: Connect, retries: Retries, token: str, seconds: float) -> None:
        """`seconds` without a sign of life, and this run counts as dead. The token, which no other
        run has, is in the server's names of this run's connections.
        """
        self._connect = connect
        self._retries = retries
        self._holder = f"process {os.getpid()} on {socket.gethostname()}"
        self._token = token
        self._seconds = seconds
        self._fence = 0
        self._writes = 0
        self._ended = threading.Event()
        self._lost = threading.Event()

    def take(self, shown: str) -> None:
        """Hold the lock; LockHeld where another run has it and lives."""
        held = self._retries.run(lambda: self._try(None))
        if held is not None:
            self._outlive(held, shown)
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def _outlive(self, held: _Held, shown: str) -> None:
        """Watch the holder, and take over when it is dead; LockHeld as soon as it shows life."""
        watch = _Watch(held)
        told = False
        while True:
            dead = held if watch.quiet >= held.seconds else None
            now_held = self._retries.run(functools.partial(self._try, dead))
            if now_held is None:
                break
            if watch.sees_life(now_held) or watch.has_lasted > _MOST_WATCHES * held.seconds:
                raise LockHeld(f"another run works on {shown}: {now_held}")
            if not told and watch.quiet > held.seconds * _QUIET_BEATS / BEATS:
                told = True
                logger.info(
                    "%s holds the store and is silent; waiting for up to %g s",
                    held.holder,
                    held.seconds,
                )
            time.sleep(watch.interval)
        if watch.quiet >= held.seconds:
            self._bury(held)

    def _try(self, dead: _Held | None) -> _Held | None:
        """Take the row if it is free, or as it was with the dead; who has it otherwise."""
        values = {
            "holder": self._holder,
            "token": self._token,
            "seconds": self._seconds,
            "fence": dead.fence if dead else None,
            "beat": dead.beat if dead else None,
        }
        with self._connect() as connection:
            _make_table(connection)
            while True:
                taken = connection.execute(_TAKE, values).fetchone()
                if taken is not None:
                    self._fence, self._writes = taken[0], 0
                    return None
                held = connection.cursor(row_factory=class_row(_Held)).execute(_LOOK).fetchone()
                if held is not None:  # else it became free between the two
                    return held

    def _bury(self, dead: _Held) -> None:
        logger.warning(
            "took the store over from %s, which had given no sign of life for %g s",
            dead.holder,
            dead.seconds,
        )
        with contextlib.suppress(psycopg.Error), self._connect() as connection:
            connection.execute(_END_TRANSACTIONS, [dead.token])

    def _beat(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        while not self._ended.wait(self._seconds / BEATS):
            try:
                connection = connection or self._connect()
                if connection.execute(_BEAT, [self._fence]).rowcount == 0:
                    self._lost.set()
                    break
            except psycopg.Error as error:  # the next one may come through
                logger.debug("a heartbeat failed: %s", error)
                if connection is not None:
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def free(self) -> None:
        """Let the next run begin at once; where the server is away, it has to wait."""
        self._ended.set()
        with contextlib.suppress(psycopg.Error), self._connect() as connection:
            connection.execute(_FREE, [self._fence])

    def check(self) -> None:
        """LockLost where another run has it by now."""
        self._retries.run(self._read_writes)

    def raise_if_lost(self) -> None:
        """The same, where there is an error already: a server that is away has no say in it."""
        with contextlib.suppress(psycopg.Error):
            self._read_writes()

    def next_number(self) -> int:
        """The number of the transaction that is about to be written."""
        return self._writes + 1

    def seal(self, connection: Connection, number: int) -> None:
        """The last statement of a writing transaction: what it wrote counts only with the lock."""
        values = {"number": number, "fence": self._fence}
        if self._lost.is_set() or connection.execute(_SEAL, values).rowcount == 0:
            raise self._taken_over()

    def is_sealed(self, number: int) -> bool:
        """Whether the transaction was committed, where nobody had the answer to its COMMIT."""
        return self._read_writes() == number

    def note_sealed(self, number: int) -> None:
        """Go on with the next number."""
        self._writes = number

    def _read_writes(self) -> int:
        with self._connect() as connection:
            row = connection.execute(_SEALED, [self._fence]).fetchone()
        if row is None:
            raise self._taken_over()
        return int(row[0])

    def _taken_over(self) -> LockLost:
        who = "another run"
        with contextlib.suppress(psycopg.Error), self._connect() as connection:
            held = connection.cursor(row_factory=class_row(_Held)).execute(_LOOK).fetchone()
            who = held.holder if held else who
        return LockLost(
            f"this run gave no sign of life for {self._seconds:g} s, and {who} took the store over;"
            " nothing was written since then: run it again"
        )


def _make_table(connection: psycopg.Connection[Any]) -> None:
    """Not with the store's own tables: the lock is there before them."""
    found = connection.execute("SELECT to_regclass('store_lease')").fetchone()
    if found is None or found[0] is None:
        with connection.transaction():
            # Of two that make it at once, one would fail.
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MAKING])
            connection.execute(_TABLE)
