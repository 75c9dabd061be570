"""When the nightly job is due: a cron expression in a time zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from cronsim import CronSim, CronSimError

UTC_NAME = "UTC"
_FIELDS = 5
_ANY = datetime(2026, 1, 1, tzinfo=UTC)
# The library cannot tell which of two equal hours a start is in, so it never starts in one of them.
_LONGEST_SHIFT = timedelta(hours=3)


def read_time_zone(name: str) -> tzinfo:
    """A time zone by its name in the IANA database; ValueError if the system does not have it.

    UTC needs no database, which a small container may lack.
    """
    if name.upper() == UTC_NAME:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder of zones
        raise ValueError(
            "not a time zone of this system; write UTC or a name as Europe/Berlin (if that fails"
            " too, the system has no time zones: install tzdata)"
        ) from None


class Schedule(msgspec.Struct, frozen=True):
    """A cron expression of five fields, checked by `read`; all moments are in UTC.

    Daylight saving is handled as in Debian's cron: a time that the clock skips is due when the
    clock moves forward, and a time that comes twice is due the first time. An expression whose
    minute or hour begins with `*` follows the clock instead: it is due as often as it matches.
    """

    expression: str
    zone: tzinfo

    @classmethod
    def read(cls, expression: str, zone: tzinfo) -> Schedule:
        """Parse it; ValueError for an expression that is not cron syntax, or that is never due."""
        # A sixth field would be seconds, for which daylight saving is not handled.
        if len(expression.split()) != _FIELDS:
            raise ValueError("write five fields, as `5 3 * * *`: minute, hour, day, month, weekday")
        try:
            next(CronSim(expression, _ANY))
        except CronSimError as error:
            problem = str(error)
            raise ValueError(
                f"{problem[0].lower()}{problem[1:]}; write cron syntax, as `5 3 * * *`"
            ) from None
        except StopIteration:
            raise ValueError("there is no such day in the next 50 years") from None
        return cls(" ".join(expression.split()), zone)

    def after(self, moment: datetime) -> datetime:
        """The first moment after this one at which it is due."""
        return next(due for due in self._from(moment - _LONGEST_SHIFT) if due > moment)

    def latest(self, moment: datetime) -> datetime | None:
        """The last moment at which it was due, up to and including this one."""
        found = self._from(moment + _LONGEST_SHIFT, reverse=True)
        return next((due for due in found if due <= moment), None)

    def _from(self, start: datetime, *, reverse: bool = False) -> Iterator[datetime]:
        times = CronSim(self.expression, start.astimezone(self.zone), reverse=reverse)
        return (due.astimezone(UTC) for due in times)

    def __str__(self) -> str:
        return f"{self.expression} ({self.zone.tzname(None) or self.zone})"
