"""Lies in the form of answers: in pages, in metadata, and in single records."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta

from dashboard_scraper.model.metrics import ACCEPTED, COUNTS, MAX_COUNT, SHOWN, Whole
from dashboard_scraper.simulator.exchange import Request
from dashboard_scraper.simulator.false_figures import NO_HISTORY, NO_MEASURE, nothing, shifted_half
from dashboard_scraper.simulator.faults import Fault, edited, rename_key
from dashboard_scraper.simulator.lying import (
    ACCOUNT,
    PERSON,
    TOTALS,
    USERS,
    Altered,
    Change,
    Lie,
    Night,
    Record,
    Records,
    Tell,
    Unseen,
    always,
    answered_by,
    beside_users,
    field_of,
    figures_of,
    get,
    in_each_user,
    in_one_user,
    in_pages,
    in_text,
    in_totals,
    in_users,
    is_active,
    is_dashboard,
    name_of,
    named,
    of_day,
    put,
    without,
)
from dashboard_scraper.simulator.organization import Organization
from dashboard_scraper.sources.dashboard.fields import USER_FIELD

_LINES, _MESSAGES = (
    next(m for m in COUNTS if m.whole is whole) for whole in (Whole.LINES, Whole.MESSAGES)
)
_DAY = timedelta(1)
_LONG_AGO = "2001-01-01"
_HUGE_NAME = 1024 * 1024
_MANY_FIELDS = 2000
_DEPTH = 400


Pages = list[Records]


def _middle_lost(pages: Pages) -> Pages:
    """Lose a page with an active person: inactive ones may be missing from honest lists, too."""
    lost = next((page for page in pages[1:] if any(map(is_active, page))), None)
    return [page for page in pages if page is not lost]


def _paged(change: Callable[[Pages], Pages]) -> Tell:
    return lambda night: in_pages(night, night.honest, change)


def _middle_gone(honest: Organization) -> Altered:
    third = {member.index for member in honest.people[3:6]}
    return Altered(honest, gone=lambda member: member.index in third)


def _border_lost(pages: Pages) -> Pages:
    """As if somebody moved to a page that was already read, and somebody else came twice."""
    if not (lost := next(filter(is_active, itertools.chain(*pages[1:])), None)):
        return pages
    twice = pages[0][-1]
    return [[twice if each is lost else each for each in page] for page in pages]


def _pages_with_middle_gone(night: Night) -> list[Fault]:
    altered = _middle_gone(night.honest)
    return [*figures_of(night, altered), *in_pages(night, altered, list)]


PAGES = [
    Lie("page lost in the middle", _paged(_middle_lost)),
    Lie(
        "page lost in the middle and in the totals",
        _pages_with_middle_gone,
        Unseen.FIRST_FETCH,
        NO_MEASURE,
    ),
    Lie("last page lost", _paged(lambda pages: pages[:-1])),
    Lie("first page again", _paged(lambda pages: [*pages[:1], *pages])),
    Lie(
        "first page again in another order", _paged(lambda p: [*p, *[each[::-1] for each in p[:1]]])
    ),
    Lie("first page instead of the second", _paged(lambda p: [*p[:1], *p[:1], *p[2:]])),
    Lie("pages in another order", _paged(lambda pages: pages[::-1])),
    Lie("user lost at the border of pages", _paged(_border_lost)),
    Lie("empty page in the middle", _paged(lambda pages: [*pages[:1], [], *pages[1:]])),
    Lie(
        "has more, but no cursor",
        always(beside_users({"pagination": {"has_more": True, "next_cursor": None}})),
    ),
    Lie(
        "has no more, but a cursor",
        always(beside_users({"pagination": {"has_more": False, "next_cursor": "12"}})),
    ),
]


def _half(night: Night) -> list[Fault]:
    """Half of the users, with matching totals."""
    return without(lambda member: member.index % 2 == 0)(night)


def _half_with(**fields: object) -> Tell:
    return lambda night: [*_half(night), *beside_users(fields)]


def _none_with(**fields: object) -> Tell:
    return lambda night: [*without(lambda _member: True)(night), *beside_users(fields)]


def _in_metadata(fields: Callable[[Request], Record]) -> list[Fault]:
    """Fields in the Analytics API's metadata or, for the dashboard, beside the records."""

    def edit(body: Record, request: Request) -> Record:
        if "metadata" in body:
            return {**body, "metadata": {**body["metadata"], **fields(request)}}
        return {**body, "metadata": fields(request)}

    return [Fault(edited(edit), endpoint) for endpoint in (*USERS, *TOTALS)]


def _day_before(request: Request) -> str:
    return f"{request.day - _DAY}" if request.day else _LONG_AGO


def _total(name: str, by: int) -> Tell:
    def edit(body: Record, _request: Request) -> Record:
        records = next(value for value in body.values() if isinstance(value, list))
        return {**body, name: len(records) + by}

    return lambda _night: [Fault(edited(edit), endpoint) for endpoint in USERS]


def _shifted_and(*more: Fault) -> Tell:
    return lambda night: [*answered_by(of_day(lambda day: day - _DAY))(night), *more]


ENVELOPE = [
    Lie("half, partial", _half_with(partial=True)),
    Lie("half, truncated", _half_with(truncated=True)),
    Lie("half, incomplete", _half_with(incomplete=True)),
    Lie("half, not complete", _half_with(complete=False)),
    Lie("half, status partial", _half_with(status="partial")),
    Lie("total too high", _total("total", 3)),
    Lie("total_count too high", _total("total_count", 3)),
    Lie("count too low", _total("count", -2)),
    Lie(
        "total of zero beside users",
        always(beside_users({"total": 0})),
    ),
    Lie("error beside nobody", _none_with(error={"code": "Internal", "message": "try later"})),
    Lie("errors beside nobody", _none_with(errors=["shard 3 did not answer"])),
    Lie("message beside nobody", _none_with(message="the query timed out")),
    Lie("errors beside half", _half_with(errors=[{"message": "shard 3 did not answer"}])),
    Lie("warnings beside half", _half_with(warnings=["some results are missing"])),
    Lie("warnings beside everybody", always(beside_users({"warnings": ["results are late"]}))),
    Lie(
        "error beside totals of zero",
        lambda night: [
            *answered_by(nothing)(night),
            *(
                Fault(edited(lambda body, _request: {**body, "error": "no data"}), endpoint)
                for endpoint in TOTALS
            ),
        ],
    ),
    Lie(
        "dates of another window",
        _shifted_and(
            *_in_metadata(
                lambda request: dict.fromkeys(
                    ("effective_start_date", "effective_end_date"), _day_before(request)
                )
            )
        ),
    ),
    Lie(
        "window of the day before",
        _shifted_and(
            *beside_users({"startDate": _LONG_AGO, "endDate": _LONG_AGO}),
        ),
    ),
    Lie("more days than one", always(_in_metadata(lambda _request: {"total_days": 90}))),
    Lie(
        "another time zone, as it says",
        lambda night: [
            *answered_by(shifted_half)(night),
            *_in_metadata(lambda _request: {"timezone": "America/Los_Angeles"}),
        ],
    ),
    Lie(
        "offset from UTC, as it says",
        lambda night: [
            *answered_by(shifted_half)(night),
            *beside_users({"timeZone": "UTC-08:00"}),
        ],
    ),
    Lie(
        "half of what was there in the evening",
        lambda night: [
            *_half(night),
            *_in_metadata(lambda _request: {"generated_at": "2001-01-01T20:00:00Z"}),
        ],
    ),
    Lie("unknown field", always(beside_users({"degraded": ["region-2"]}))),
    Lie(
        "users twice, under two keys",
        lambda night: [
            *_half(night),
            *(
                Fault(edited(lambda body, _request: {**body, "items": []}), endpoint)
                for endpoint in USERS
            ),
        ],
    ),
]


def _first(value: object) -> Tell:
    """Another value for the completions of one user."""
    return lambda _night: in_one_user(lambda record, request: put(record, SHOWN, request, value))


def _accepted_more(record: Record, request: Request) -> None:
    put(record, ACCEPTED, request, get(record, SHOWN, request) + 5)


def _nested(records: Records, _request: Request) -> Records:
    return [records]  # type: ignore[list-item]  # a list in the list


def _again(change: Callable[[Record, Request], Record]) -> Change:
    def more(records: Records, request: Request) -> Records:
        first = next((each for each in records if get(each, SHOWN, request)), None)
        return records if first is None else [*records, change(first, request)]

    return more


def _copy(record: Record, _request: Request) -> Record:
    return dict(record)


def _halved(record: Record, request: Request) -> Record:
    copy = {key: dict(v) if isinstance(v, dict) else v for key, v in record.items()}
    put(copy, SHOWN, request, get(record, SHOWN, request) // 2)
    return copy


def _spelled(record: Record, _request: Request) -> Record:
    copy = dict(record)
    named(copy, name_of(record).upper())
    return copy


def _all_named(change: Callable[[str], str]) -> Tell:
    return lambda _night: in_each_user(lambda record, _: named(record, change(name_of(record))))


def _one_named(change: Callable[[str], str]) -> Tell:
    return lambda _night: in_one_user(lambda record, _: named(record, change(name_of(record))))


def _exchanged(record: Record, request: Request) -> None:
    """Turn people into service accounts, and vice versa."""
    if is_dashboard(request):
        named(record, name_of(record).partition("@")[0])
    elif ACCOUNT in record:
        record[PERSON] = f"{record.pop(ACCOUNT)}@example.com"
    else:
        record[ACCOUNT] = record.pop(PERSON).partition("@")[0]


def _parts_open(night: Night) -> list[Fault]:
    """A user's total, and with it the tenant's, exceeds the sum of its parts."""

    def change(record: Record, request: Request) -> None:
        metric = _LINES if is_dashboard(request) else _MESSAGES
        put(record, metric, request, get(record, metric, request) + 500)

    dashboard, _ = in_totals(_LINES, 500, night.newest)
    _, analytics = in_totals(_MESSAGES, 500, night.newest)
    return [*in_one_user(change, night.newest), dashboard, analytics]


def _twice(text: bytes, request: Request) -> bytes:
    """Write every user's completions twice under the same key, the second time as 0."""
    field = field_of(SHOWN, request).encode()
    start, *parts = text.split(b'"%b":' % field)
    return start + b"".join(
        b'"%b":%b,"%b":0%b' % (field, number, field, rest)
        for number, rest in map(_number_and_rest, parts)
    )


def _number_and_rest(text: bytes) -> tuple[bytes, bytes]:
    digits = len(text) - len(text.lstrip(b"0123456789"))
    return text[:digits], text[digits:]


def _deep() -> object:
    value: object = "x"
    for _ in range(_DEPTH):
        value = {"k": value}
    return value


def _other_day(record: Record, request: Request) -> None:
    record["date"] = _day_before(request)


RECORDS = [
    Lie(
        "accepted more than shown",
        always(in_each_user(_accepted_more)),
        Unseen.FIRST_FETCH,
        "what was shown before midnight may be accepted after it",
    ),
    Lie("negative count", _first(-1)),
    Lie("half a completion", _first(0.5)),
    Lie("count beyond measure", _first(1000 * MAX_COUNT)),
    Lie("trillion completions", _first(MAX_COUNT), Unseen.FIRST_NIGHT, NO_HISTORY),
    Lie("number as text", _first("12")),
    Lie("count is unknown", _first(None)),
    Lie(
        "all counts unknown",
        always(in_each_user(lambda record, request: put(record, SHOWN, request, None))),
    ),
    Lie("parts of another total", _parts_open),
    Lie("key twice in a record", always(in_text(_twice, USERS))),
    Lie("record twice", always(in_users(_again(_copy)))),
    Lie("record twice, other figures", always(in_users(_again(_halved)))),
    Lie("person under two spellings", always(in_users(_again(_spelled)))),
    Lie("zero-width space in names", _all_named(lambda name: f"{name[:3]}\u200b{name[3:]}")),
    Lie("blanks around names", _all_named(lambda name: f" {name}\u00a0")),
    Lie("name of 1 MB", _one_named(lambda name: f"{'a' * _HUGE_NAME}{name}")),
    Lie("control characters in a name", _one_named(lambda name: f"\x1b[2J\x07{name}")),
    Lie(
        "people and accounts exchanged",
        always(in_each_user(_exchanged)),
        Unseen.FIRST_NIGHT,
        NO_HISTORY,
    ),
    Lie(
        "many unknown fields",
        always(
            in_one_user(
                lambda record, _: record.update({f"field{n}": n for n in range(_MANY_FIELDS)})
            )
        ),
    ),
    Lie("deep unknown field", always(in_one_user(lambda r, _: r.update(x=_deep())))),
    Lie(
        "renamed key",
        always(
            [
                Fault(rename_key(old, "email"), endpoint)
                for old, endpoint in zip((USER_FIELD, PERSON), USERS, strict=True)
            ]
        ),
    ),
    Lie("list in the list", always(in_users(_nested))),
    Lie("records of another day", _shifted_and(*in_each_user(_other_day))),
]
