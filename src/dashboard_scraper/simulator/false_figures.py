"""Lies about figures: other people's, other days' or other amounts, with matching totals or not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from datetime import date, timedelta

from dashboard_scraper.model.dates import is_weekend
from dashboard_scraper.model.metrics import ACCEPTED, SHOWN
from dashboard_scraper.simulator.exchange import Request
from dashboard_scraper.simulator.faults import Fault
from dashboard_scraper.simulator.fields import ACTIVE_DAYS_FIELDS
from dashboard_scraper.simulator.lying import (
    EVERYTHING,
    TOTALS,
    USERS,
    Altered,
    Figures,
    Lie,
    Night,
    Record,
    Records,
    Tell,
    Unseen,
    alternating,
    always,
    answered_by,
    figures_of,
    get,
    in_each_user,
    in_users,
    is_active,
    of_day,
    of_days_until,
    on,
    put,
    times,
    with_counts,
    without,
)
from dashboard_scraper.simulator.organization import NOTHING, Counts, Member, Organization
from dashboard_scraper.sources.registry import ANALYTICS

NO_MEASURE = "the day has no version before, and days differ by more among each other"
NO_HISTORY = "a store without days has nothing that the answers could be compared with"

_WEEK, _DAY = timedelta(7), timedelta(1)
_FRIDAY = 4


def _some_days(days: Callable[[Night], Iterable[date]], figures: Figures) -> Tell:
    return lambda night: answered_by(on(days(night), figures))(night)


def nothing(_honest: Organization, _member: Member, _day: date) -> Counts:
    return NOTHING


def _newest(night: Night) -> list[date]:
    return [night.newest]


def _settled(night: Night) -> list[date]:
    return night.settled


def _one_settled(night: Night) -> list[date]:
    """A settled working day, which has many figures to lose."""
    return [max(day for day in night.settled if not is_weekend(day))]


def _weekend(night: Night) -> list[date]:
    return [day for day in night.window.days() if is_weekend(day)]


def _other_tenant(night: Night) -> list[Fault]:
    honest = night.honest
    sizes = len(honest.people), honest.seed + 1, len(honest.accounts)
    return figures_of(night, Organization(*sizes, honest.today))


def _same_day(night: Night, endpoints: Iterable[str | None] = EVERYTHING) -> list[Fault]:
    same = night.newest - 2 * _WEEK
    return figures_of(night, Altered(night.honest, of_day(lambda _day: same)), endpoints)


def _stale(night: Night) -> list[Fault]:
    honest = night.honest
    sizes = len(honest.people), honest.seed, len(honest.accounts)
    old = Organization(*sizes, honest.today)  # as it was before any day was revised
    return figures_of(night, old)


def shifted_half(honest: Organization, member: Member, day: date) -> Counts:
    """As in a time zone where a day ends later: some people's activity counts a day late."""
    return honest.figures(member, day - _DAY if member.index % 2 else day)


def _no_chat(counts: Counts) -> Counts:
    return counts._replace(chat=0)


def _more_agent(counts: Counts) -> Counts:
    return counts._replace(agent=2 * counts.agent, remote=2 * counts.remote, cli=2 * counts.cli)


def _swapped(counts: Counts) -> Counts:
    return counts._replace(
        agent=counts.agent_lines,
        agent_lines=counts.agent,
        chat=counts.instruction_lines,
        instruction_lines=counts.chat,
    )


def _billion(counts: Counts) -> Counts:
    return counts._replace(chat=10**9)


def _next_person(honest: Organization, member: Member, day: date) -> Counts:
    """Give each active person the figures of the next one."""
    active = [m for m in honest.people if any(honest.figures(m, day))]
    if member not in active:
        return honest.figures(member, day)
    return honest.figures(active[(active.index(member) + 1) % len(active)], day)


CONSISTENT = [
    Lie("all zero", answered_by(nothing)),
    Lie("nobody at all", without(lambda _member: True)),
    Lie("two people left", without(lambda m: m.index >= 2), Unseen.FIRST_NIGHT, NO_HISTORY),
    Lie("half the people", without(lambda m: m.index % 2 == 0), Unseen.FIRST_FETCH, NO_MEASURE),
    Lie("another tenant", _other_tenant, Unseen.FIRST_NIGHT, NO_HISTORY),
    Lie("one person missing", without(lambda m: m.index == 1), Unseen.ALWAYS, "people leave"),
    Lie(
        "no service account",
        without(lambda m: m.service),
        Unseen.FIRST_FETCH,
        "accounts pause",
        (ANALYTICS,),
    ),
    Lie("doubled", answered_by(times(2)), Unseen.FIRST_FETCH, NO_MEASURE),
    Lie("tenfold", answered_by(times(10)), Unseen.FIRST_NIGHT, NO_HISTORY),
    Lie("a billion messages", answered_by(with_counts(_billion)), Unseen.FIRST_NIGHT, NO_HISTORY),
    Lie("no chat", answered_by(with_counts(_no_chat)), Unseen.FIRST_FETCH, NO_MEASURE),
    Lie("agents doubled", answered_by(with_counts(_more_agent)), Unseen.FIRST_FETCH, NO_MEASURE),
    Lie(
        "lines and messages swapped",
        answered_by(with_counts(_swapped)),
        Unseen.FIRST_FETCH,
        NO_MEASURE,
    ),
    Lie(
        "figures of colleagues",
        answered_by(_next_person),
        Unseen.FIRST_FETCH,
        "all sums are right, and people have other days",
    ),
    Lie(
        "the day before",
        answered_by(of_day(lambda day: day - _DAY)),
        Unseen.FIRST_NIGHT,
        "all days are shifted alike",
    ),
    Lie(
        "the week before",
        answered_by(of_day(lambda day: day - _WEEK)),
        Unseen.FIRST_NIGHT,
        "all days are shifted alike",
    ),
    Lie(
        "another time zone",
        answered_by(shifted_half),
        Unseen.FIRST_FETCH,
        "the totals are of the same hours",
    ),
    Lie("every day the same", _same_day),
    Lie(
        "seven days as one",
        answered_by(of_days_until(7)),
        Unseen.FIRST_NIGHT,
        NO_HISTORY,
    ),
    Lie(
        "an eighth of the people on the newest day",
        lambda night: figures_of(
            night,
            Altered(
                night.honest,
                on(
                    [night.newest],
                    lambda honest, m, day: NOTHING if m.index % 8 else honest.figures(m, day),
                ),
            ),
        ),
        Unseen.FIRST_NIGHT,
        NO_HISTORY,
    ),
    Lie("newest day empty", _some_days(_newest, nothing), Unseen.FIRST_NIGHT, "a holiday"),
    Lie("newest day fiftyfold", _some_days(_newest, times(50)), Unseen.FIRST_NIGHT, NO_HISTORY),
    Lie(
        "weekends like Fridays",
        _some_days(_weekend, of_day(lambda day: day - timedelta(max(0, day.weekday() - _FRIDAY)))),
    ),
    Lie(
        "stale answers",
        _stale,
        Unseen.ALWAYS,
        "a day that did not grow since the night before says the same",
        from_night=2,
    ),
    Lie(
        "settled day emptied",
        _some_days(_one_settled, nothing),
        from_night=2,
    ),
    Lie("settled day doubled", _some_days(_one_settled, times(2)), from_night=2),
    Lie(
        "settled days a tenth higher",
        _some_days(_settled, times(11, 10)),
        from_night=2,
    ),
    Lie(
        "settled days a sixth lower",
        _some_days(_settled, times(5, 6)),
        from_night=2,
    ),
    Lie(
        "one settled day a twentieth lower",
        _some_days(_one_settled, times(19, 20)),
        Unseen.ALWAYS,
        "sources do correct a day by so little",
        from_night=2,
    ),
    Lie(
        "doubled by turns",
        lambda night: alternating(answered_by(times(2))(night)),
        Unseen.FIRST_FETCH,
        "who asks once has one answer",
    ),
    Lie("empty by turns", lambda night: alternating(answered_by(nothing)(night))),
    Lie("users doubled by turns", lambda n: alternating(answered_by(times(2), USERS)(n))),
]


def _without_one(records: Records, _request: Request) -> Records:
    lost = next(filter(is_active, records), None)
    return [record for record in records if record is not lost]


def _seven_active_days(record: Record, _request: Request) -> None:
    record.update({key: 7 for key in ACTIVE_DAYS_FIELDS if record.get(key)})


def _no_completions(record: Record, request: Request) -> None:
    for metric in (SHOWN, ACCEPTED):
        put(record, metric, request, 0)


def _completions_doubled(record: Record, request: Request) -> None:
    for metric in (SHOWN, ACCEPTED):
        put(record, metric, request, 2 * get(record, metric, request))


CONTRADICTING = [
    Lie("no users, but totals", without(lambda _member: True, USERS)),
    Lie("users, but no totals", answered_by(nothing, TOTALS)),
    Lie("users doubled", answered_by(times(2), USERS)),
    Lie("totals doubled", answered_by(times(2), TOTALS)),
    Lie("one user lost", always(in_users(_without_one))),
    Lie("users of the day before", answered_by(of_day(lambda day: day - _DAY), USERS)),
    Lie("totals of the day before", answered_by(of_day(lambda day: day - _DAY), TOTALS)),
    Lie("users of another time zone", answered_by(shifted_half, USERS)),
    Lie("users of every day the same", lambda night: _same_day(night, USERS)),
    Lie("totals of every day the same", lambda night: _same_day(night, TOTALS)),
    Lie("users of seven days", answered_by(of_days_until(7), USERS)),
    Lie(
        "seven days, as they say",
        lambda night: [
            *answered_by(of_days_until(7))(night),
            *in_each_user(_seven_active_days),
        ],
    ),
    Lie(
        "settled days restated beside the totals",
        lambda night: list(
            itertools.chain.from_iterable(
                in_each_user(_no_completions, day) for day in night.settled
            )
        ),
        from_night=2,
    ),
    Lie(
        "completions beside the totals doubled",
        always(in_each_user(_completions_doubled)),
        Unseen.FIRST_FETCH,
        "the dashboard has no total of completions",
    ),
]
