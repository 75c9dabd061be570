"""Messages in words: what happened, since when, which days, what to do. They contain no names of
people, no addresses, and no text of errors, which may quote some.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from dashboard_scraper.errors import (
    ContractBroken,
    DaysMissing,
    Implausible,
    LockHeld,
    NotReconciled,
    RevisionsHeld,
    ScraperError,
    SignInRequired,
    SourceUnavailable,
    UsageError,
)
from dashboard_scraper.installation import NAME
from dashboard_scraper.model.dates import iso_utc
from dashboard_scraper.model.listing import NAMED_AT_MOST, listed_days
from dashboard_scraper.notify.compared import Change, News
from dashboard_scraper.notify.occasions import (
    KEEP_ALIVE,
    KILLED,
    TERMINATED,
    Details,
    Finding,
    Occasion,
)

_ALL_SOURCES = "all sources"
_CHANGES_AT_MOST = 5

FAILURES: dict[type[ScraperError], tuple[str, str]] = {
    ScraperError: (
        "An unexpected error, or a file or the store could not be read or written.",
        "Read the end of the run's log: it says what to fix.",
    ),
    UsageError: (
        "The command line or a setting is wrong.",
        "Fix what the run's log names.",
    ),
    SignInRequired: (
        "The session, token or key is missing, has expired, or may not read the figures.",
        "Sign in again, or replace the token or key; then run it again.",
    ),
    SourceUnavailable: (
        "The source could not be reached, or did not answer in time.",
        "Nothing, if the next run succeeds; otherwise check the network and the source.",
    ),
    ContractBroken: (
        "The source's answer has an unknown shape, and none of it was used.",
        "Update the program; if that does not help, report it.",
    ),
    DaysMissing: (
        "The run finished, but some figures are missing.",
        "Run it again; its log says what is missing.",
    ),
    LockHeld: (
        "Another run was working on the same store.",
        "Wait for the other run, or end it; then run it again.",
    ),
    NotReconciled: (
        "Every day and file is there, but the users or the costs of some days do not add up.",
        "`status` lists the days: compare them with the source before you use them.",
    ),
    RevisionsHeld: (
        "The source revised earlier days by more than is accepted without a decision; the earlier"
        " figures stay in force.",
        "`revisions` lists them; then `revisions accept DAY` or `revisions reject DAY`.",
    ),
    Implausible: (
        "All days are empty or equal, or their sums are unlike those of the stored days: more"
        " likely a fault than real usage.",
        "Compare with the source; every file is written and marked.",
    ),
}
"""What happened and what to do, by the exit code of a source's run."""
_BY_CODE = {kind.exit_code: words for kind, words in FAILURES.items()}
_BY_CODE |= {
    KILLED: (
        "It could not record how it ended: it was killed, or its machine or the store went down.",
        "Find out why: too little memory, or a restart of the machine. The days that it had stored"
        " stay, and the next run fetches the others.",
    ),
    TERMINATED: (
        "The last two runs were terminated by a signal before they had ended.",
        "Find out what ends them, such as a time limit. The days that they had stored stay.",
    ),
}
_OTHER = ("It ended with an unknown exit code.", "Read the run's log.")


class Message(msgspec.Struct, frozen=True):
    """A message, the same for every channel. `is_problem` is false if it says that all is well."""

    subject: str
    body: str
    is_problem: bool


def message_of(news: Sequence[News]) -> Message:
    """One message about everything new after a run."""
    problems = [each for each in news if each.change is not Change.OVER]
    recovered = list(dict.fromkeys(e.finding.source for e in news if e.change is Change.OVER))
    parts = [part_of(each) for each in problems]
    parts += [_recovery([e for e in news if e.finding.source == source]) for source in recovered]
    headlines = [_headline(each) for each in problems]
    first, *others = headlines + [_all_is_well(source) for source in recovered]
    more = f", and {len(others)} more" if others else ""
    return Message(f"{NAME}: {first}{more}", "\n\n".join(parts) + "\n", bool(problems))


def test_message() -> Message:
    """The message that the command `notify-test` sends."""
    body = "This is a test. Messages about failed runs and missing days will arrive here.\n"
    return Message(f"{NAME}: test message", body, is_problem=False)


def part_of(news: News) -> str:
    """The paragraph about one occasion; its first line also makes sense without the rest."""
    details = news.finding.details
    lines = [_headline(news), *_explained(news.finding)]
    lines += [f"- {change}" for change in details.changes[:_CHANGES_AT_MOST]]
    if more := details.changes[_CHANGES_AT_MOST:]:
        lines.append(f"- and {len(more)} more")
    if news.change is not Change.NEW:
        lines.append(f"Since {iso_utc(news.notice.since)}.")
    lines.append(f"What to do: {_advice(news.finding)}")
    return "\n".join(lines)


def _headline(news: News) -> str:
    still = "still: " if news.change is Change.STILL else ""
    return f"{_named(news.finding.source)}: {still}{_short(news.finding)}"


def _named(source: str) -> str:
    return source or _ALL_SOURCES


def _all_is_well(source: str) -> str:
    return f"{_named(source)}: all is well again"


def _short(finding: Finding) -> str:
    details = finding.details
    match finding.occasion:
        case Occasion.RUN_FAILED:
            return _failure(details)
        case Occasion.DAYS_MISSING:
            return f"{_days(details)} missing"
        case Occasion.SIGN_IN_EXPIRES if details.expires_at:
            return f"the token expires on {details.expires_at:%Y-%m-%d}"
        case Occasion.SIGN_IN_EXPIRES:
            return "the session will have expired before the next run"
        case Occasion.NO_ACTIVITY:
            return "nobody was active, which may be a fault"
        case Occasion.DAYS_REVISED:
            return f"{_days(details)} revised"


def _failure(details: Details) -> str:
    code = details.exit_code
    if code == KILLED:
        return "the last run was cut off"
    if code == TERMINATED:
        return "the last two runs were terminated"
    if details.command != KEEP_ALIVE:
        return f"the run failed (exit code {code})"
    if code == SignInRequired.exit_code:
        return "the session is over, and the next run will fail"
    return f"the session could not be kept alive (exit code {code})"


def _days(details: Details) -> str:
    return "1 day is" if len(details.days) == 1 else f"{len(details.days)} days are"


def _explained(finding: Finding) -> list[str]:
    details = finding.details
    match finding.occasion:
        case Occasion.RUN_FAILED:
            return [_BY_CODE.get(details.exit_code or 0, _OTHER)[0]]
        case Occasion.DAYS_MISSING:
            return [*_missing(details)]
        case Occasion.SIGN_IN_EXPIRES if details.expires_at:
            return [f"It is valid until {iso_utc(details.expires_at)}."]
        case Occasion.SIGN_IN_EXPIRES:
            return [
                "A session lasts about an hour after its last use, and did not survive the last"
                " break between runs that was longer."
            ]
        case Occasion.NO_ACTIVITY:
            return [
                "The source says that nobody used the assistant, unlike in the weeks before. This"
                " may be true, as on a holiday, or figures may be lost:"
            ]
        case Occasion.DAYS_REVISED:
            return ["The source replaced figures of days that had settled, and they are in force:"]


def _missing(details: Details) -> Iterator[str]:
    yield f"Not in the store: {listed_days(details.days, NAMED_AT_MOST)}."
    if details.lost:
        lost = listed_days(details.days[: details.lost], NAMED_AT_MOST)
        yield f"The source no longer has {lost}."


def _advice(finding: Finding) -> str:
    match finding.occasion:
        case Occasion.RUN_FAILED:
            return _BY_CODE.get(finding.details.exit_code or 0, _OTHER)[1]
        case Occasion.DAYS_MISSING:
            days = finding.details.days[finding.details.lost :]
            if not days:
                return "Nothing can be fetched any more; `status` lists every day."
            return f"Run it again, or `backfill {days[0]} {days[-1]}`; `status` lists every day."
        case Occasion.SIGN_IN_EXPIRES if finding.details.expires_at:
            return "Create a new token, and put it in place of the old one."
        case Occasion.SIGN_IN_EXPIRES:
            return "Sign in again shortly before the next run, or have `keep-alive` renew it."
        case Occasion.NO_ACTIVITY:
            return "Compare with the source before you use these days."
        case Occasion.DAYS_REVISED:
            return "Nothing, unless somebody used the earlier figures: `history DAY` has both."


def _recovery(news: Sequence[News]) -> str:
    over = [each for each in news if each.change is Change.OVER]
    lines = [_all_is_well(over[0].finding.source)]
    lines += [f"- over: {_short(e.finding)}, since {iso_utc(e.notice.since)}" for e in over]
    return "\n".join(lines)
