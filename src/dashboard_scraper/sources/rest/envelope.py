"""What an answer says of itself beside its records; what contradicts them is refused, by its name.

One table for both sources, and for every level of the envelope: which names there are, and what
each means. Capitals, underscores and hyphens make no difference. A field that is not in it may say
that the answer is not what it seems, so it is refused, unless it is null or empty.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from typing import Any

import msgspec

from dashboard_scraper.decoding import decoding
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.dates import Window, end_of_day
from dashboard_scraper.sources.rest.pages import cleaned

LONGEST_FIELD = 1 << 16
"""Bytes of a field of an envelope; the list of records has no such bound."""
_SHOWN = 60
_Raws = Mapping[str, msgspec.Raw]


class Says(Enum):
    """What a field is for, and so when it contradicts the records."""

    PART = "that the answer is a part: unless it is false"
    WHOLE = "that the answer is whole: unless it is true"
    STATUS = "how it went: unless it is a word for success"
    TROUBLE = "what went wrong: unless it is empty"
    MORE = "where more is: unless it is empty, or the source's own way to go on"
    TOTAL = "how many records there are: unless so many came on all pages"
    COUNT = "how many this page has: unless it has, or all pages have"
    PAGE = "which page it is: unless it is this one, counted from 0 or 1"
    PAGES = "how many pages there are: unless so many came"
    OFFSET = "how many records came before: unless so many did"
    START = "the first day: unless it was asked for"
    END = "the last day: unless it was asked for"
    DAY = "the only day: unless it was asked for alone"
    DAYS = "how many days: unless so many were asked for"
    WINDOW = "the days, as an object or a text: unless they were asked for"
    ZONE = "whose midnight ends a day: unless it is UTC's"
    MADE = "when it was made: unless that was after the days that are over"
    RECORDS = "further records: whatever it holds"
    INNER = "nothing by itself: an envelope within"
    NOTHING = "nothing of the records"


_NAMES: dict[Says, str] = {
    Says.PART: "partial is_partial partial_data partial_result partial_results truncated"
    " is_truncated incomplete is_incomplete sampled is_sampled",
    Says.WHOLE: "complete is_complete ok success succeeded",
    Says.STATUS: "status",
    Says.TROUBLE: "error errors error_message error_code warning warnings failure failures"
    " exception exceptions",
    Says.TOTAL: "total total_count total_records total_results total_items total_users"
    " total_elements",
    Says.COUNT: "count record_count result_count item_count returned_count",
    Says.PAGE: "page page_number page_index current_page",
    Says.PAGES: "pages page_count total_pages",
    Says.OFFSET: "offset",
    Says.START: "start start_date start_day start_time from effective_start_date"
    " effective_start period_start window_start range_start",
    Says.END: "end end_date end_day end_time to effective_end_date effective_end period_end"
    " window_end range_end",
    Says.DAY: "date day report_date report_day effective_date effective_day usage_date"
    " activity_date",
    Says.DAYS: "days total_days day_count",
    Says.WINDOW: "window period range date_range time_range interval",
    Says.ZONE: "timezone tz utc_offset timezone_offset tz_offset",
    Says.MADE: "generated_at generated created_at made_at computed_at timestamp updated_at"
    " last_updated last_updated_at as_of",
    Says.RECORDS: "items data results records users user_feature_stats",
    Says.INNER: "metadata meta pagination paging page_info links",
    # Which request it was, who answered in which version, how large a page may be, and where this
    # very answer is: no figure depends on these.
    Says.NOTHING: "request_id trace_id correlation_id version api_version schema_version"
    " page_size per_page self",
}


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


_MEANINGS = {_plain(name): says for says, names in _NAMES.items() for name in names.split()}
# Whatever is called so says that there is more: the first page would pass for the whole.
_MORE = re.compile(r"next|cursor|has_?more|page_?token|continuation", re.IGNORECASE)


@functools.lru_cache(maxsize=1000)
def _meaning(name: str) -> Says | None:
    return Says.MORE if _MORE.search(name) else _MEANINGS.get(_plain(name))


# Of an object that is a record itself, such as the tenant's figures, these alone are no figures;
# and what names days, as in any record.
_HEARD_IN_FIGURES = (Says.PART, Says.WHOLE, Says.TROUBLE, Says.ZONE, Says.MADE)
_GOOD = ("ok", "success", "succeeded", "complete", "completed", "done", "200")
_UTC = ("utc", "etc/utc", "z", "zulu", "gmt", "etc/gmt", "0", "+00:00", "-00:00", "+0000", "00:00")
_NO = (False, 0, "false")


class Envelope:
    """What the pages of one answer say of themselves; `asked` are the days, at the moment `now`."""

    def __init__(self, endpoint: str, asked: Window, now: datetime) -> None:
        self.endpoint = endpoint
        self._asked = asked
        self._now = now
        self._pages = 0
        self._records: list[int] = []
        self._said: list[tuple[Says, str, int]] = []
        self._counts: dict[str, list[tuple[int, int]]] = {}

    def read(self, fields: _Raws, understood: Collection[str] = ()) -> None:
        """The next page's fields but its records; those `understood` elsewhere, as `pagination` or
        `pagination.has_more`, are passed over.
        """
        self._pages += 1
        for name, raw in fields.items():
            self._hear(name, name, self._decoded(name, raw), understood)

    def read_figures(self, fields: _Raws) -> None:
        """Those of an object that is the record itself: what is not known is a figure."""
        heard = {name: raw for name, raw in fields.items() if _meaning(name) is not None}
        figures = {name: self._decoded(name, raw) for name, raw in heard.items()}
        self._hear_figures(self.endpoint, "", figures)

    def _hear_figures(self, where: str, prefix: str, figures: Mapping[str, Any]) -> None:
        refuse_other_days(where, figures, self._asked)
        for name, value, says in _heard(figures):
            path = f"{prefix}{name}"
            if says in _HEARD_IN_FIGURES:
                self._hear(path, name, value, ())
            elif says is Says.INNER and isinstance(value, dict):
                self._hear_figures(f"{where}: {_name(path)}", f"{path}.", value)

    def count(self, records: int) -> None:
        """How many records came on the page that was read last."""
        self._records.append(records)

    def check(self, distinct: int) -> None:
        """After the last page: ContractBroken for a number that so many different records are not.

        A record that came on two pages, because one joined meanwhile, counts once or twice.
        """
        came = (sum(self._records), distinct)
        for says, path, number in self._said:
            if says is Says.TOTAL and number not in came:
                raise self._broken(path, number, f"{came[0]} records came")
            if says is Says.PAGES and number != self._pages:
                raise self._broken(path, number, f"{self._pages} pages came")
        for path, counts in self._counts.items():
            told = [number for _, number in counts]
            here = [self._records[page - 1] for page, _ in counts]
            if told not in (here, *([each] * len(told) for each in came)):
                wrong = next(n for n, right in zip(told, here, strict=True) if n != right)
                raise self._broken(path, wrong, f"{came[0]} records came")

    def _decoded(self, path: str, raw: msgspec.Raw) -> Any:
        if len(bytes(raw)) > LONGEST_FIELD:
            raise ContractBroken(
                f"{self.endpoint}: {_name(path)} is longer than {LONGEST_FIELD >> 10} KiB"
            )
        with decoding(f"{self.endpoint}: {_name(path)}"):
            return msgspec.json.decode(raw)

    def _broken(self, path: str, value: object, why: str) -> ContractBroken:
        return ContractBroken(f"{self.endpoint}: {_name(path)} is {_shown(value)}, but {why}")

    def _hear(self, path: str, name: str, value: Any, understood: Collection[str]) -> None:
        says = _meaning(name)
        if path in understood:
            return
        if says is Says.RECORDS:
            raise ContractBroken(
                f"{self.endpoint}: {_name(path)} is a second list of records; one is due"
            )
        if value in (None, "", [], {}):
            return
        if isinstance(value, dict) and says in (Says.INNER, Says.WINDOW) and not _is_date(value):
            for inner, each in value.items():
                self._hear(f"{path}.{inner}", inner, each, understood)
            return
        if says is Says.MORE and value not in _NO:
            raise ContractBroken(
                f"{self.endpoint}: {_name(path)} seems to lead to more pages, in a way that is not"
                " known"
            )
        if says in (None, Says.INNER):
            raise ContractBroken(
                f"{self.endpoint}: {_name(path)} is not known, and may say that the answer is not"
                " what it seems"
            )
        if why := self._contradiction(says, path, value):
            raise self._broken(path, value, why)

    def _contradiction(self, says: Says | None, path: str, value: Any) -> str | None:
        if says is Says.PART:
            return None if value in _NO else "a part of the answer is not enough"
        if says is Says.WHOLE:
            return None if value is True else "only a whole answer will do"
        if says is Says.STATUS:
            return None if str(value).casefold() in _GOOD else "only a whole answer will do"
        if says is Says.TROUBLE:
            return None if value in _NO else "an answer in which something went wrong will not do"
        if says is Says.ZONE:
            return None if str(value).casefold() in _UTC else "days are those of UTC"
        if says in (Says.START, Says.END, Says.DAY, Says.DAYS, Says.WINDOW):
            return _other_days(says, value, self._asked)
        if says is Says.MADE:
            return self._made_too_early(value)
        return self._other_number(says, path, value)

    def _other_number(self, says: Says | None, path: str, value: Any) -> str | None:
        if says not in (Says.TOTAL, Says.COUNT, Says.PAGE, Says.PAGES, Says.OFFSET):
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            return "a number is due"
        if says is Says.PAGE and value not in (self._pages - 1, self._pages):
            return f"this is page {self._pages}"
        if says is Says.OFFSET and value != sum(self._records):
            return f"{sum(self._records)} records came before"
        if says is Says.COUNT:
            self._counts.setdefault(path, []).append((self._pages, value))
        else:
            self._said.append((says, path, value))
        return None

    def _made_too_early(self, value: Any) -> str | None:
        """A copy from before the end of a day lacks the rest of it; without a zone, who knows."""
        made, end = _moment(value), end_of_day(self._asked.end)
        if isinstance(made, datetime) and made.tzinfo and made < end <= self._now:
            return f"{self._asked.end} was not over then"
        return None


def _name(path: str) -> str:
    return cleaned(path, _SHOWN)


def _shown(value: object) -> str:
    """Fit for a log: a long word could be the token, which a server may repeat."""
    return cleaned(ascii(value), _SHOWN)


def _is_date(value: Mapping[str, object]) -> bool:
    return value.keys() == {"year", "month", "day"}


def _moment(value: Any) -> date | datetime | None:
    """A day or a moment as sources write them; None for anything else."""
    try:
        if isinstance(value, dict) and _is_date(value):
            return date(**value)
        if isinstance(value, str):
            return date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
    except (ValueError, TypeError, OverflowError):
        pass
    return None


def _other_days(says: Says, value: Any, asked: Window) -> str | None:
    """What speaks against a field about days, if something does."""
    if says is Says.DAYS:
        return None if value == len(asked) and value is not True else _asked_for(asked)
    if says is Says.WINDOW:
        return _other_window(value, asked)
    told = _moment(value)
    if told is None:
        return f"no day can be read from it; {_asked_for(asked)}"
    if says is Says.DAY:
        fits = asked.start == asked.end and _begins(told, asked.start)
    elif says is Says.START:
        fits = _begins(told, asked.start)
    else:
        fits = _ends(told, asked.end)
    return None if fits else _asked_for(asked)


def _asked_for(asked: Window) -> str:
    return f"asked for {asked}"


def _other_window(value: Any, asked: Window) -> str | None:
    ends = re.split(r"/|\.\.|,| to ", value) if isinstance(value, str) else value
    if isinstance(ends, str | dict) or (isinstance(ends, list) and len(ends) == 1):
        return _other_days(Says.DAY, ends[0] if isinstance(ends, list) else ends, asked)
    if not isinstance(ends, list) or len(ends) != 2:
        return f"no days can be read from it; {_asked_for(asked)}"
    start, end = (each.strip() if isinstance(each, str) else each for each in ends)
    return _other_days(Says.START, start, asked) or _other_days(Says.END, end, asked)


def _begins(told: date | datetime, day: date) -> bool:
    if not isinstance(told, datetime):
        return told == day
    return _is_utc(told) and told.replace(tzinfo=None) == datetime.combine(day, time.min)


def _ends(told: date | datetime, day: date) -> bool:
    """A moment may be any in the day, or the midnight after it: the end of an interval."""
    if not isinstance(told, datetime):
        return told == day
    begin = datetime.combine(day, time.min, UTC)
    return _is_utc(told) and begin < told.replace(tzinfo=UTC) <= begin + timedelta(days=1)


def _is_utc(told: datetime) -> bool:
    return not told.utcoffset()


def refuse_other_days(where: str, record: Mapping[str, object], asked: Window) -> None:
    """ContractBroken where a record says by a field that is not its source's own that it is of
    other days, a part, or that something went wrong.

    A start alone may be anything's, as of somebody's membership; with an end, it is a period's.
    """
    for name, value, says in _heard(record):
        if says is Says.DAY and _moment(value) and _other_days(says, value, asked):
            raise _of_record(where, name, value, _asked_for(asked))
        if says is Says.PART and value is True:
            raise _of_record(where, name, value, "a part of the answer is not enough")
        if says is Says.TROUBLE and value and isinstance(value, str | list | dict):
            raise _of_record(where, name, value, "a record in which something went wrong is none")
        if says is Says.WINDOW and isinstance(value, dict):
            refuse_other_days(f"{where}: {_name(name)}", value, asked)
    ends = [each for each in _heard(record) if each[2] in (Says.START, Says.END)]
    if {says for _, _, says in ends} == {Says.START, Says.END}:
        for name, value, says in ends:
            if _moment(value) and _other_days(says, value, asked):
                raise _of_record(where, name, value, _asked_for(asked))


def _heard(record: Mapping[str, object]) -> Iterator[tuple[str, Any, Says]]:
    for name, value in record.items():
        says = _meaning(name)
        if says is not None:
            yield name, value, says


def _of_record(where: str, name: str, value: object, why: str) -> ContractBroken:
    return ContractBroken(f"{where}: {_name(name)} is {_shown(value)}, but {why}")


def refuse_too_many_days(endpoint: str, field: str, user: str, days: int, asked: Window) -> None:
    """ContractBroken where somebody was active on more days than were asked for."""
    if days > len(asked):
        error = ContractBroken(
            f"{endpoint}: {field} of {user} is {days}, but {_asked_for(asked)}: these are the"
            " figures of other days"
        )
        error.names = (user,)
        raise error
