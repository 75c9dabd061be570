"""What people should know about a run, and when it is worth another message."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import pytest
from msgspec.structs import replace

from dashboard_scraper import errors
from dashboard_scraper.errors import ScraperError
from dashboard_scraper.model.dates import Window
from dashboard_scraper.notify.compared import Change, Comparison, compare, recorded
from dashboard_scraper.notify.messages import FAILURES, message_of, part_of
from dashboard_scraper.notify.occasions import Occasion, Revised, RunFacts, SignIn, findings_in
from dashboard_scraper.store import Notice, Run
from ledger_days import by_day, ledger_day

NIGHT = datetime(2026, 11, 20, 2, 10, tzinfo=UTC)  # a Friday
THURSDAY = date(2026, 11, 19)
DAYS = Window(THURSDAY - timedelta(6), THURSDAY)
WITH_WEEKS = Window(DAYS.start - timedelta(28), DAYS.end)
REMINDER = timedelta(days=7)


def facts(code: int = 0, missing: Iterable[date] = (), quiet: Iterable[date] = ()) -> RunFacts:
    """The facts of a nightly run; nobody was active on the quiet days."""
    gone, nobody = {*missing}, {*quiet}
    rows = [
        ledger_day(day, active_users=0 if day in nobody else 10)
        for day in WITH_WEEKS.days()
        if day not in gone
    ]
    return RunFacts(
        "toy",
        "last-28-days",
        code,
        NIGHT,
        stores_days=True,
        ledger=by_day(rows),
        asked=[*DAYS.days()],
        expected=[*DAYS.days()],
        recent=[*DAYS.days()],
    )


def kinds(found: RunFacts) -> list[Occasion]:
    return [finding.occasion for finding in findings_in(found, 10)]


class Nights:
    """Runs on consecutive nights, and the notices that are remembered between them."""

    def __init__(self) -> None:
        self.notices: dict[tuple[str, datetime], Notice] = {}
        self.now = NIGHT

    def run(self, found: RunFacts, *, sent: bool = True) -> Comparison:
        found = replace(found, ended_at=self.now)
        still = [notice for notice in self.notices.values() if notice.ended_at is None]
        comparison = compare(findings_in(found, 10), still, found, REMINDER)
        kept = [recorded(n, part_of(n), self.now, sent=sent) for n in comparison.news]
        for notice in [*comparison.silent, *kept]:
            if notice is not None:
                self.notices[notice.occasion, notice.since] = notice
        self.now += timedelta(days=1)
        return comparison

    def changes(self, found: RunFacts, *, sent: bool = True) -> list[Change]:
        return [news.change for news in self.run(found, sent=sent).news]


def last(count: int) -> list[date]:
    return [THURSDAY - timedelta(back) for back in range(count)]


def test_good_night_is_no_occasion() -> None:
    assert kinds(facts()) == []


def test_missing_days_are_not_a_failure_too() -> None:
    assert kinds(facts(6, missing=last(1))) == [Occasion.DAYS_MISSING]
    assert kinds(facts(6)) == [Occasion.RUN_FAILED]
    assert kinds(facts(4, missing=last(2))) == [Occasion.RUN_FAILED, Occasion.DAYS_MISSING]


def test_failure_is_not_that_of_days_which_an_earlier_run_did_not_get() -> None:
    """As when a day was lost for good, and costs are missing now."""
    lost = DAYS.start - timedelta(1)
    found = facts(6, missing=[lost])
    found = replace(found, expected=[lost, *found.expected])
    assert kinds(found) == [Occasion.RUN_FAILED, Occasion.DAYS_MISSING]


def test_missing_days_are_told_when_they_have_doubled() -> None:
    nights = Nights()
    told = [bool(nights.changes(facts(6, missing=last(count)))) for count in range(1, 8)]
    assert told == [True, True, False, True, False, False, False]
    assert nights.changes(facts()) == [Change.OVER]
    assert nights.changes(facts()) == []


def test_missing_day_is_told_beside_days_that_stay_missing() -> None:
    """As after a break: otherwise the number of missing days would have to double first."""
    nights = Nights()
    stays = [DAYS.start, DAYS.start + timedelta(1), DAYS.start + timedelta(2)]
    new = DAYS.start + timedelta(5)
    changes = [
        nights.changes(facts(6, missing=[*stays, *new_days]))
        for new_days in ([], [], [new], [new], [new, new + timedelta(1)], [])
    ]
    assert changes == [[Change.NEW], [], [Change.WORSE], [], [], []]


def test_source_that_is_late_every_night_is_told_once() -> None:
    nights = Nights()
    late = [nights.changes(facts(6, missing=[day])) for day in reversed(last(5))]
    assert late == [[Change.NEW], [], [], [], []]


def test_failure_is_told_again_when_its_code_changes() -> None:
    nights = Nights()
    changes = [nights.changes(facts(code)) for code in (4, 4, 3, 3, 0)]
    assert changes == [[Change.NEW], [], [Change.WORSE], [], [Change.OVER]]


def test_open_occasion_is_repeated_after_a_week() -> None:
    nights = Nights()
    changes = [nights.changes(facts(3)) for _ in range(15)]
    assert [number for number, change in enumerate(changes) if change] == [0, 7, 14]
    assert changes[7] == [Change.STILL]


def test_what_goes_on_unchanged_is_not_written_again() -> None:
    """`keep-alive` runs every 20 minutes, and writing would take the store's lock each time."""
    nights = Nights()
    assert nights.changes(facts(3, missing=last(1))) == [Change.NEW, Change.NEW]
    again = nights.run(facts(3, missing=last(1)))
    assert (again.news, again.silent) == ([], [])
    other = nights.run(facts(3, missing=[THURSDAY - timedelta(1)]))
    assert [notice.occasion for notice in other.silent] == [Occasion.DAYS_MISSING.value]
    assert nights.changes(facts()) == [Change.OVER, Change.OVER]


def test_message_that_was_not_sent_is_tried_again() -> None:
    nights = Nights()
    assert nights.changes(facts(3), sent=False) == [Change.NEW]
    assert [notice.notified_at for notice in nights.notices.values()] == [None]
    assert nights.changes(facts(3)) == [Change.NEW]
    assert nights.changes(facts(4), sent=False) == [Change.WORSE]
    assert nights.changes(facts(4)) == [Change.WORSE]
    assert nights.changes(facts(), sent=False) == [Change.OVER]
    assert nights.changes(facts()) == [Change.OVER]
    assert nights.changes(facts()) == []
    assert len(nights.notices) == 1


def test_all_is_well_only_when_nothing_is_open() -> None:
    nights = Nights()
    assert len(nights.changes(facts(4, missing=last(2)))) == 2
    assert nights.changes(facts(0, missing=last(2))) == []
    assert nights.changes(facts()) == [Change.OVER]


def test_unreadable_store_ends_nothing_but_the_failure() -> None:
    nights = Nights()
    nights.run(facts(6, missing=last(2)))
    assert nights.changes(replace(facts(), ledger={}, expected=())) == []
    assert nights.changes(facts()) == [Change.OVER]


def test_csv_of_a_period_ends_only_its_own_failures() -> None:
    nights = Nights()
    period = replace(facts(), command="fetch", stores_days=False, ledger={}, expected=())
    nights.run(facts(4, missing=last(1)))
    assert nights.changes(period) == []
    nights.run(facts())
    nights.run(replace(period, exit_code=4))
    assert nights.changes(period) == [Change.OVER]
    nights.run(facts(3))
    assert nights.changes(period) == [Change.OVER]  # the run signed in


def test_weekday_without_anybody_is_a_doubt() -> None:
    nights = Nights()
    (news,) = nights.run(facts(quiet=last(1))).news
    assert (news.finding.occasion, news.finding.details.days) == (
        Occasion.NO_ACTIVITY,
        (THURSDAY,),
    )
    text = part_of(news)
    assert text.startswith("toy: nobody was active, which may be a fault\n")
    assert "This may be true, as on a holiday, or figures may be lost:" in text
    assert "- Thursday 2026-11-19: nobody, on the same weekday before 10 to 10" in text
    assert nights.changes(facts()) == [Change.OVER]


def test_quiet_weekends_and_small_teams_are_no_doubt() -> None:
    assert kinds(facts(quiet=[date(2026, 11, 14), date(2026, 11, 15)])) == []
    assert kinds(facts(quiet=[THURSDAY - timedelta(1)])) == []  # the latest day has figures again
    quiet = facts(quiet=last(1))
    weeks = [THURSDAY - timedelta(weeks=back) for back in range(1, 5)]
    few = {day: ledger_day(day, active_users=2) for day in weeks}
    assert kinds(replace(quiet, ledger={**quiet.ledger, **few})) == []


def test_large_revision_is_told_once() -> None:
    large = Revised(THURSDAY, 12, f"{THURSDAY}: total_messages 100 -> 112")
    small = Revised(THURSDAY, 10, f"{THURSDAY}: total_messages 100 -> 110")
    nights = Nights()
    assert nights.changes(replace(facts(), revised=[small])) == []
    (news,) = nights.run(replace(facts(), revised=[small, large]), sent=False).news
    assert "- 2026-11-19: total_messages 100 -> 112\nWhat to do" in part_of(news)
    assert nights.changes(facts()) == [Change.NEW]
    assert nights.changes(facts()) == []  # a revision is not a state that can end


def runs(*codes: int) -> list[Run]:
    """Nightly runs, newest first."""
    found = []
    for back, code in enumerate(codes):
        at = NIGHT - timedelta(days=back)
        found.append(Run(99 - back, "toy", "last-28-days", at, "1", at, code))
    return found


SESSION = SignIn(session_life=timedelta(hours=1))


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (runs(0), []),  # the time of the next run is unknown
        (runs(0, 0), []),  # something renews the session
        (runs(0, 3, 0), [Occasion.SIGN_IN_EXPIRES]),
        (runs(0, 0, 3, 0), []),
    ],
    ids=["first", "renewed", "expired last time", "renewed since"],
)
def test_session_that_did_not_last_will_not(before: list[Run], expected: list[Occasion]) -> None:
    assert kinds(replace(facts(), sign_in=SESSION, runs=before)) == expected
    assert kinds(replace(facts(), runs=before)) == []  # the session's life is unknown


@pytest.mark.parametrize(("days", "told"), [(8, False), (7, True), (1, True)])
def test_token_is_told_a_week_before_it_expires(days: int, *, told: bool) -> None:
    expires_at = NIGHT + timedelta(days=days)
    news = Nights().run(replace(facts(), sign_in=SignIn(expires_at=expires_at))).news
    texts = [part_of(each).splitlines()[0] for each in news]
    assert texts == [f"toy: the token expires on {expires_at:%Y-%m-%d}"] * told


def test_every_exit_code_of_a_run_has_words() -> None:
    found = [each for each in vars(errors).values() if isinstance(each, type)]
    codes = {each.exit_code for each in found if issubclass(each, ScraperError)}
    of_no_single_run = {errors.Stale.exit_code, errors.SourcesFailed.exit_code}
    assert {kind.exit_code for kind in FAILURES} == codes - of_no_single_run


def test_subject_counts_several_occasions() -> None:
    message = message_of(Nights().run(facts(4, missing=last(2))).news)
    assert message.subject == "dashboard-scraper: toy: the run failed (exit code 4), and 1 more"
    assert "toy: 2 days are missing\nNot in the store: 2026-11-18 to 2026-11-19.\n" in message.body


@pytest.mark.parametrize(
    ("oldest", "words", "advice"),
    [
        pytest.param(18, "", "Run it again, or `backfill 2026-11-18 2026-11-19`;", id="none"),
        pytest.param(
            19,
            "\nThe source no longer has 2026-11-18.\n",
            "Run it again, or `backfill 2026-11-19 2026-11-19`;",
            id="one",
        ),
        pytest.param(
            20,
            "\nThe source no longer has 2026-11-18 to 2026-11-19.\n",
            "Nothing can be fetched any more;",
            id="all",
        ),
    ],
)
def test_message_names_missing_days_that_the_source_no_longer_has(
    oldest: int, words: str, advice: str
) -> None:
    found = replace(facts(6, missing=last(2)), oldest=date(2026, 11, oldest))
    body = message_of(Nights().run(found).news).body
    assert words in body
    assert ("no longer has" in body) == bool(words)
    assert f"What to do: {advice} `status` lists every day." in body


def test_message_names_each_of_many_gaps() -> None:
    """The new gap is the last one: a message with only their number would not show it."""
    gaps = sorted(last(28))[::4]
    found = replace(facts(6, missing=gaps), expected=sorted(last(28)))
    body = message_of(Nights().run(found).news).body
    assert f"Not in the store: {', '.join(f'{day}' for day in gaps)}.\n" in body
