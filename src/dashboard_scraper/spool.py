"""Days that were fetched, on the disk until they are given out: a month is too much for memory."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from dashboard_scraper.errors import OutputFailed
from dashboard_scraper.files import explained
from dashboard_scraper.usage import DayUsage


class Spool:
    """Keeps DayUsages in a file without a name: it is gone with the process, however that ends."""

    def __init__(self) -> None:
        try:
            self._file = tempfile.TemporaryFile(prefix="dashboard-scraper-")  # noqa: SIM115
        except OSError as error:
            raise OutputFailed(f"no temporary file could be made: {error.strerror}") from error
        self._lock = threading.Lock()
        self._places: dict[date, tuple[int, int]] = {}
        self._decode = msgspec.msgpack.Decoder(DayUsage).decode
        self.addresses: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        # The errors are those of a full disk; what is in the file is not needed any more.
        with self._lock, contextlib.suppress(OSError):
            self._file.close()

    def __contains__(self, day: date) -> bool:
        return day in self._places

    def put(self, usage: DayUsage) -> None:
        """Keep a day, from any thread; OutputFailed where the temporary folder is full."""
        data = msgspec.msgpack.encode(usage)
        with self._lock, explained(Path(tempfile.gettempdir())):
            if self._file.closed:  # the run has ended, this thread just does not know it yet
                return
            start = self._file.seek(0, os.SEEK_END)
            self._file.write(data)
            self._file.flush()
            self._places[usage.day] = (start, len(data))
            self.addresses.update(user.user for user in usage.users)

    def get(self, day: date) -> DayUsage:
        """The day as it was put."""
        with self._lock:
            start, length = self._places[day]
            self._file.seek(start)
            return self._decode(self._file.read(length))
