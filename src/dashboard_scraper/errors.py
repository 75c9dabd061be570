"""The errors a user can act on, each named after what they must do, each with its exit code.

ScraperError                1   unexpected: report it
+-- OutputFailed            1   free some space, mend the folder's permissions
+-- StoreFailed             1   mend the store: its disk, its server, or from a backup
+-- UsageError              2   mend the command line or a setting
+-- SignInRequired          3   sign in again
+-- SourceUnavailable       4   wait, or mend the network: the source could not be reached
+-- ContractBroken          5   the source's data is not what we know: nothing of it was used
+-- DaysMissing             6   run again: some days could not be had
|   +-- NotPublished            run again later: the source does not have them yet
+-- LockHeld                7   wait for the other run, or end it
|   +-- LockLost                run it again: another run took this one for dead
+-- Stale                   8   look why no newer day was fetched
+-- NotReconciled           9   see which days do not add up; every file is written
+-- RevisionsHeld          10   accept or reject the revisions; the versions before are in force
+-- Implausible            11   compare with the source: every day is empty, or they are all equal
"""

from __future__ import annotations


class ScraperError(Exception):
    """Base of every error whose message alone tells a user what to do."""

    exit_code = 1
    names: tuple[str, ...] = ()
    """What in the message may be the name of a user, where that can not be seen from its form."""


class OutputFailed(ScraperError):
    """A file could not be written: disk full, read-only folder, wrong permissions."""


class StoreFailed(ScraperError):
    """The store could not be read or written, or what it holds does not add up."""

    is_away = False
    """Whether it could not be reached, which says nothing of what it holds."""


class UsageError(ScraperError):
    """The command line or a setting is wrong; nothing was fetched."""

    exit_code = 2


class SignInRequired(ScraperError):
    """The session is missing, expired or not allowed to see the figures."""

    exit_code = 3


class SourceUnavailable(ScraperError):
    """The source did not answer within the attempts and the time allowed."""

    exit_code = 4


class ContractBroken(ScraperError):
    """The source answered with data of another shape; the message names endpoint and field."""

    exit_code = 5


class DaysMissing(ScraperError):
    """The run finished, but some days could not be had."""

    exit_code = 6


class NotPublished(DaysMissing):
    """The source has no figures of the day yet; it is neither failed nor empty."""


class LockHeld(ScraperError):
    """Another run works on the same store."""

    exit_code = 7


class LockLost(LockHeld):
    """This run gave no sign of life, and another took the store over; it wrote nothing since."""


class Stale(ScraperError):
    """The newest day in the store is older than the user allows."""

    exit_code = 8


class NotReconciled(ScraperError):
    """Every day is there and every file written, but the users of some do not add up."""

    exit_code = 9


class RevisionsHeld(ScraperError):
    """The source revised earlier days too much to be believed at once."""

    exit_code = 10


class Implausible(ScraperError):
    """The whole window is empty, or its days are all equal: more likely a fault than the truth."""

    exit_code = 11
