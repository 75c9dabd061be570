"""The lock of a PostgreSQL store: a lease with a heartbeat and a fencing token, in one row.

An advisory lock would belong to a connection: a gateway that drops the connection drops the lock,
and behind a pooler it belongs to no run at all. This row belongs to the run:

- `fence` grows by one whenever the lease changes hands. Every writing transaction ends with an
  update of the row under its own fence; if another run has the row, that updates nothing, and the
  transaction is rolled back with LockLost.
- `beat` grows with each heartbeat. A run that finds the lease held watches it: if the number
  grows, the holder is alive (LockHeld); if it does not grow for `seconds`, measured by the
  watcher's monotonic clock, the holder counts as dead and the watcher takes over. Wall clocks are
  never compared, since they differ between machines and jump; the timestamps are for people.
- `writes` is the number of the holder's last transaction. It answers whether a transaction was
  committed when the connection was lost during COMMIT.
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
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg
from psycopg.rows import class_row
from sqlalchemy import Connection, text

from dashboard_scraper.errors import LockHeld, LockLost
from dashboard_scraper.model.dates import iso_utc
from dashboard_scraper.store.patience import Retries

logger = logging.getLogger(__name__)

Connect = Callable[[], psycopg.Connection[Any]]
"""Opens a connection in autocommit mode."""

BEATS = 30
"""Heartbeats within the time after which a silent holder counts as dead."""
_LOOKS_A_BEAT = 4
# A watch is extended while the watcher itself could not look (see `_Watch`); after so many lease
# times it gives up.
_MOST_WATCHES = 4
# Missed heartbeats after which the log says why nothing happens, and the watcher looks less often.
_QUIET_BEATS = 5
_CREATION_LOCK = 0x6461_7368_7363_7261  # arbitrary: "dashscra" in ASCII

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
# A dead run's open transaction would hold its row locks until the server notices.
_END_TRANSACTIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE strpos(application_name, %s) > 0 AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
"""
_SEAL = text("""
    UPDATE store_lease SET writes = :number, beat = beat + 1, beat_at = clock_timestamp()
    WHERE name = 'run' AND held AND fence = :fence
""")
# FOR UPDATE waits for a transaction that is just being committed.
_SEALED = "SELECT writes FROM store_lease WHERE name = 'run' AND held AND fence = %s FOR UPDATE"


class _Held(msgspec.Struct, frozen=True):
    """The row while another run holds the lease."""

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
            " after its last heartbeat"
        )


def _moment(utc: datetime) -> str:
    return iso_utc(utc.replace(microsecond=0, tzinfo=UTC))


class _Watch:
    """Measures, by this process' own clock, for how long a holder has sent no heartbeat."""

    def __init__(self, first: _Held) -> None:
        self._first = first
        self._beat = first.seconds / BEATS
        self._began = self._quiet_since = self._looked_at = time.monotonic()

    def sees_life(self, now_held: _Held) -> bool:
        """Whether the row has changed since the first look."""
        now = time.monotonic()
        # A gap between two looks means that the server was down or this process was suspended; the
        # holder may have been unable to send a heartbeat too, so the silence starts again.
        if now - self._looked_at > self._first.seconds / 3:
            self._quiet_since = now
        self._looked_at = now
        return (now_held.fence, now_held.beat) != (self._first.fence, self._first.beat)

    @property
    def quiet(self) -> float:
        """Seconds without a heartbeat."""
        return self._looked_at - self._quiet_since

    @property
    def is_silent(self) -> bool:
        """Whether so many heartbeats were missed that the holder is probably dead."""
        return self.quiet > _QUIET_BEATS * self._beat

    @property
    def interval(self) -> float:
        """Seconds until the next look, which opens a connection: soon while a heartbeat is due."""
        return self._beat if self.is_silent else self._beat / _LOOKS_A_BEAT

    @property
    def has_lasted(self) -> float:
        """Seconds since the first look."""
        return self._looked_at - self._began


class Lease:
    """The store's lock, held from `take`, which waits for it, until `free`."""

    def __init__(self, connect: Connect, retries: Retries, token: str, seconds: float) -> None:
        """After `seconds` without a heartbeat, this run counts as dead. The unique `token` is also
        in the application_name of this run's connections, by which they can be terminated.
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
        """Take the lock; LockHeld if another run has it and is alive."""
        held = self._retries.run(lambda: self._try(None))
        if held is not None:
            self._wait_until_dead(held, shown)
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def _wait_until_dead(self, held: _Held, shown: str) -> None:
        """Watch the holder, and take over once it counts as dead; LockHeld on any heartbeat."""
        watch = _Watch(held)
        logged = False
        while True:
            dead = held if watch.quiet >= held.seconds else None
            now_held = self._retries.run(functools.partial(self._try, dead))
            if now_held is None:
                break
            if watch.sees_life(now_held) or watch.has_lasted > _MOST_WATCHES * held.seconds:
                raise LockHeld(f"another run works on {shown}: {now_held}")
            if watch.is_silent and not logged:
                logged = True
                logger.info(
                    "%s holds the store and is silent; waiting for up to %g s",
                    held.holder,
                    held.seconds,
                )
            time.sleep(watch.interval)
        if watch.quiet >= held.seconds:
            self._end_transactions_of(held)

    def _try(self, dead: _Held | None) -> _Held | None:
        """Take the lease if it is free, or unchanged since `dead` held it; otherwise return its
        holder.
        """
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
                held = _held(connection)
                if held is not None:  # otherwise it was freed between the two statements
                    return held

    def _end_transactions_of(self, dead: _Held) -> None:
        logger.warning(
            "took over the store from %s, which had sent no heartbeat for %g s",
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
            except psycopg.Error as error:  # the next heartbeat may succeed
                logger.debug("a heartbeat failed: %s", error)
                if connection is not None:
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def free(self) -> None:
        """Let the next run start at once; if the server is down, it has to wait for the timeout."""
        self._ended.set()
        with contextlib.suppress(psycopg.Error), self._connect() as connection:
            connection.execute(_FREE, [self._fence])

    def check(self) -> None:
        """Raise LockLost if another run has taken over."""
        self._retries.run(self._read_writes)

    def raise_if_lost(self) -> None:
        """Like `check`, but while another error is handled: a server that is down is ignored."""
        with contextlib.suppress(psycopg.Error):
            self._read_writes()

    def next_number(self) -> int:
        """The number for the next writing transaction."""
        return self._writes + 1

    def seal(self, connection: Connection, number: int) -> None:
        """The last statement of a writing transaction; LockLost rolls it back."""
        values = {"number": number, "fence": self._fence}
        if self._lost.is_set() or connection.execute(_SEAL, values).rowcount == 0:
            raise self._taken_over()

    def is_sealed(self, number: int) -> bool:
        """Whether the transaction was committed, after its COMMIT got no answer."""
        return self._read_writes() == number

    def note_sealed(self, number: int) -> None:
        """Record that the transaction with this number was committed."""
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
            held = _held(connection)
            who = held.holder if held else who
        return LockLost(
            f"this run sent no heartbeat for {self._seconds:g} s, and {who} took over the store;"
            " this run wrote nothing since then: run it again"
        )


def _held(connection: psycopg.Connection[Any]) -> _Held | None:
    return connection.cursor(row_factory=class_row(_Held)).execute(_LOOK).fetchone()


def _make_table(connection: psycopg.Connection[Any]) -> None:
    """Create the lease's table, which is needed before the store's own tables are created."""
    found = connection.execute("SELECT to_regclass('store_lease')").fetchone()
    if found is None or found[0] is None:
        with connection.transaction():
            # If two sessions run CREATE TABLE IF NOT EXISTS at once, it fails in one of them.
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_CREATION_LOCK])
            connection.execute(_TABLE)
