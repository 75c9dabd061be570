"""Lines of GitHub's reports on users, as JSON: the stamp of a report and day, then the user's part.

Reports of different scopes and windows differ only in the stamp.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import cache
from typing import Any

import msgspec

from dashboard_scraper.github.adoption import VERSION, phase_fields
from dashboard_scraper.github.records import Cells, Column, Part, text_of, texts_of, user_fields
from dashboard_scraper.model.dates import Window

_encode = msgspec.json.Encoder().encode


class Stamp(msgspec.Struct, frozen=True):
    """The fields that all records of a file have in common, besides the day.

    `window` is the period of a file of several days; None for GitHub's one-day reports.
    """

    enterprise_id: str
    window: Window | None = None
    organization_id: str | None = None


def stamp_of(stamp: Stamp, day: date) -> bytes:
    """How every line of a day begins."""
    fields: dict[str, Any] = {}
    if stamp.window:
        fields = {"report_start_day": stamp.window.start, "report_end_day": stamp.window.end}
    fields |= {"day": day, "enterprise_id": stamp.enterprise_id}
    if stamp.organization_id:
        fields["organization_id"] = stamp.organization_id
    return _encode(fields)[:-1]


def head_of(user_id: int, login: str) -> bytes:
    """How a user's part begins, the same on every day."""
    return _encode({"user_id": user_id, "user_login": login})[1:-1]


def user_part(
    head: bytes,
    cells: Cells,
    parts: Sequence[Part] = (),
    credits_used: float | None = None,
    phase: int | None = None,
) -> bytes:
    """The line after the stamp and a comma; made from a template if there are no parts."""
    fields = _encode(user_fields(cells, parts))[1:-1] if parts else text_of(cells)
    consumed = b"" if credits_used is None else b',"ai_credits_used":%b' % _encode(credits_used)
    return b"%b,%b%b%b" % (head, fields, consumed, _end_of(phase))


def user_parts(
    heads: Iterable[bytes], cells: Sequence[Column], phases: Iterable[int | None]
) -> Iterator[bytes]:
    """`user_part` for many users without parts or credits."""
    return texts_of((head + b"," for head in heads), cells, map(_end_of, phases))


@cache
def _end_of(phase: int | None) -> bytes:
    """How a line ends."""
    if phase is None:
        return b"}"
    return b',"ai_adoption_phase":%b}' % _encode({**phase_fields(phase), "version": VERSION})
