"""The heartbeat: a file whose modification time says that `watch` is alive, and whose content says
what it is doing.

A beat sets only the time, unless the content has changed: that writes nothing, and works on a full
disk.
"""

from __future__ import annotations

import contextlib
import logging
import os
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from dashboard_scraper.decoding import UNDECODABLE, decodable
from dashboard_scraper.errors import OutputFailed, Stale
from dashboard_scraper.files import make_folder
from dashboard_scraper.publication import write_whole

logger = logging.getLogger(__name__)

BEAT_SECONDS = 60.0
SILENCE = timedelta(minutes=5)
"""How old the newest beat may be: beyond that, several were missed."""

WAITING, RUNNING, ENDED = "waiting", "running", "ended"


class LastRun(msgspec.Struct, frozen=True):
    """The last run that this process started."""

    started_at: datetime
    ended_at: datetime
    exit_code: int


@decodable
class Heartbeat(msgspec.Struct, frozen=True):
    """The content of the file; `sources` are those that run now, or that run next."""

    state: str
    process: int
    started_at: datetime
    next_run: datetime | None = None
    sources: tuple[str, ...] = ()
    last_run: LastRun | None = None
    session: str = ""


class HeartbeatFile:
    """Writes the file. If it cannot be written, it logs a warning, and the program goes on."""

    def __init__(self, path: Path, mode: int) -> None:
        self._path = path
        self._mode = mode
        self._written: Heartbeat | None = None
        self._failed = False

    def beat(self, content: Heartbeat, now: datetime) -> None:
        """Write the content if it has changed or the file is missing, and set the file's time."""
        if content.state == ENDED and self._is_of_another():
            return
        try:
            if content != self._written or not self._path.exists():
                make_folder(self._path.parent, self._mode)
                write_whole(self._path, _encoded(content), self._mode)
                self._written, self._failed = content, False
        except OutputFailed as error:
            if not self._failed:
                logger.warning("the heartbeat: %s", error)
            self._failed = True
        with contextlib.suppress(OSError):
            os.utime(self._path, (now.timestamp(), now.timestamp()))

    def _is_of_another(self) -> bool:
        """Whether a process that was started later has written the file, for example when a newer
        container replaces an older one: that process is alive.
        """
        with contextlib.suppress(OSError):
            return self._written is not None and self._path.read_bytes() != _encoded(self._written)
        return False


def _encoded(content: Heartbeat) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content)) + b"\n"


def raise_unless_alive(path: Path, now: datetime) -> Heartbeat:
    """Return what `watch` wrote last; raises Stale if it has ended, or is silent."""
    try:
        beat = path.stat().st_mtime
        content = msgspec.json.decode(path.read_bytes(), type=Heartbeat)
    except FileNotFoundError:
        raise Stale(f"there is no heartbeat in {path}: watch has never run here") from None
    except (OSError, *UNDECODABLE) as error:
        raise Stale(f"the heartbeat in {path} cannot be read: {error}") from error
    age = now.timestamp() - beat
    if content.state == ENDED:
        raise Stale(f"watch has ended, {age:.0f} s ago")
    if age > SILENCE.total_seconds():
        raise Stale(f"watch is silent: its last heartbeat was {age:.0f} s ago")
    if age < -SILENCE.total_seconds():  # if it were alive, it would write a new one in a minute
        raise Stale(
            f"watch is silent since the clock was set back: its last heartbeat is {-age:.0f} s"
            " ahead"
        )
    return content
