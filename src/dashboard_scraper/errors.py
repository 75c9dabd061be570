"""The errors a user can act on, each named after what they must do, each with its exit code.

ScraperError                1   unexpected: report it
+-- OutputFailed            1   free some space, fix the folder's permissions
+-- StoreFailed             1   repair the store: its disk, its server, or from a backup
+-- NotNotified             1   fix NOTIFY_URLS or HEARTBEAT_URL, or the network: nothing arrived
+-- UsageError              2   fix the command line or a setting
+-- SignInRequired          3   sign in again
+-- SourceUnavailable       4   wait, or fix the network: the source could not be reached
+-- ContractBroken          5   the source's data has an unknown shape: none of it was used
+-- DaysMissing             6   run again: some days are missing
|   +-- NotPublished            run again later: the source does not have them yet
+-- LockHeld                7   wait for the other run, or end it
|   +-- LockLost                run it again: another run took over the store
+-- Stale                   8   find out why no newer day was fetched, or why watch is silent
+-- NotReconciled           9   see which days do not add up; every file is written
+-- RevisionsHeld          10   accept or reject the revisions; the earlier versions are in force
+-- Implausible            11   compare with the source: days are empty, equal or unlike stored ones
+-- SourcesFailed          12   see each source's own error: several failed, with different codes
"""

from __future__ import annotations

import signal
from typing import Self

SIGNALLED = 128
"""What shells add to a signal's number for the exit code."""


class ScraperError(Exception):
    """Base of every error whose message alone tells a user what to do."""

    exit_code = 1

    def __init__(self, message: str = "", *, names: tuple[str, ...] = ()) -> None:
        """`names` are parts of the message that may be a user's name although they do not look like
        an address: redaction cannot find them by their form.
        """
        super().__init__(message)
        self.names = names

    def preceded_by(self, words: str) -> Self:
        """The same error with these words before its message."""
        return type(self)(f"{words}: {self}", names=self.names)


class Terminated(SystemExit):
    """A signal ended the command; `code` is its exit code."""


class Stopped(Terminated):
    """A signal ended a command that runs until it is stopped, so nothing was cut off."""


def exit_code_of(error: BaseException) -> int:
    """The exit code of a process that the error ends."""
    if isinstance(error, ScraperError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return SIGNALLED + signal.SIGINT
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code
    return 1


class OutputFailed(ScraperError):
    """A file could not be written: disk full, read-only folder, wrong permissions."""


class StoreFailed(ScraperError):
    """The store could not be read or written, or its contents are inconsistent."""

    is_away = False
    """Whether the store could not be reached, so that its contents may well be intact."""


class NotNotified(ScraperError):
    """A message or a heartbeat was not accepted. A run only logs this."""


class UsageError(ScraperError):
    """The command line or a setting is wrong."""

    exit_code = 2


class SignInRequired(ScraperError):
    """The session is missing, expired or not authorized to read the figures."""

    exit_code = 3


class SourceUnavailable(ScraperError):
    """The source did not answer within the attempts and the time allowed."""

    exit_code = 4


class ContractBroken(ScraperError):
    """The source's answer has an unexpected shape; the message names endpoint and field."""

    exit_code = 5
    of_every_day = False
    """Whether the query was refused whatever its days are: other days need not be requested."""


class DaysMissing(ScraperError):
    """The run finished, but some days are missing."""

    exit_code = 6


class NotPublished(DaysMissing):
    """The source has not published the day yet; the day is neither failed nor empty."""


class LockHeld(ScraperError):
    """Another run is working on the same store."""

    exit_code = 7


class LockLost(LockHeld):
    """This run's heartbeat stopped, and another run took over the store; this one wrote no more."""


class Stale(ScraperError):
    """The newest day in the store, or the heartbeat of `watch`, is older than it should be."""

    exit_code = 8


class NotReconciled(ScraperError):
    """Every day and every file is there, but the users or costs of some days do not add up."""

    exit_code = 9


class RevisionsHeld(ScraperError):
    """The source revised earlier days by more than is accepted without a decision."""

    exit_code = 10


class Implausible(ScraperError):
    """All days of the window are empty or equal, or their sums are unlike those of the stored days;
    more likely a fault than real usage.
    """

    exit_code = 11


class SourcesFailed(ScraperError):
    """Some of several sources failed; the others have all their days and files.

    If their exit codes are all the same, as when only one failed, that is its exit code too.
    """

    exit_code = 12
