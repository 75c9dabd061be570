"""The events and states that somebody was notified of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy import Connection, delete, insert, select

from dashboard_scraper.model.dates import iso_utc
from dashboard_scraper.store.schema import NOTICE


class Notice(msgspec.Struct, frozen=True):
    """Something that somebody must know, first found at `since`. Without `notified_at`, no message
    could be sent; without `ended_at`, it still holds. An empty `source` means that it is not about
    a single source. `details`, as JSON, are for comparison with a later run.
    """

    source: str
    occasion: str
    since: datetime
    message: str
    notified_at: datetime | None = None
    ended_at: datetime | None = None
    details: str = "{}"

    @property
    def headline(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0]


class NoticeStatus(msgspec.Struct):
    """The notice that was sent last, and those that still hold."""

    last: Notice | None
    open: list[Notice]


def status_of(notices: Iterable[Notice]) -> NoticeStatus | None:
    """What `status` reports about notices; None if there never was one."""
    notices = list(notices)
    if not notices:
        return None
    sent = [notice for notice in notices if notice.notified_at]
    last = max(sent, key=lambda notice: notice.notified_at or notice.since, default=None)
    return NoticeStatus(last, [notice for notice in notices if notice.ended_at is None])


def as_text(status: NoticeStatus) -> str:
    """The status as text for people; every line ends with a line break."""
    last = status.last
    if last and last.notified_at:
        lines = [f"last message: {iso_utc(last.notified_at)}, {_shown(last)}"]
    else:
        lines = ["last message: none could be sent"]
    lines += [
        f"  {notice.headline}, since {iso_utc(notice.since)}"
        + ("" if notice.notified_at else "; no message could be sent")
        for notice in status.open
    ]
    return "".join(f"{line}\n" for line in lines)


def _shown(notice: Notice) -> str:
    """The headline, marked as over if the last message said so; about an event there is only one
    message.
    """
    is_over = notice.ended_at is not None and notice.since < notice.ended_at == notice.notified_at
    return f"over: {notice.headline}" if is_over else notice.headline


ALL = select(*(NOTICE.c[name] for name in Notice.__struct_fields__)).order_by(
    NOTICE.c.since, NOTICE.c.source, NOTICE.c.occasion
)


def put(connection: Connection, notices: Iterable[Notice]) -> None:
    """Upsert notices by source, occasion and `since`."""
    for notice in notices:
        connection.execute(
            delete(NOTICE).where(
                NOTICE.c.source == notice.source,
                NOTICE.c.occasion == notice.occasion,
                NOTICE.c.since == notice.since,
            )
        )
        connection.execute(insert(NOTICE), msgspec.structs.asdict(notice))
