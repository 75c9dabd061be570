"""A made-up organization: who belongs to it, and what everybody did on each day.

Every figure depends only on the seed, the member and the day, not on earlier requests.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from dashboard_scraper.model.dates import Window, is_weekend, utc_day
from dashboard_scraper.simulator.costs import Billing, Costs
from dashboard_scraper.simulator.draws import draw, raised

_FIRST_NAMES = [
    "adira",
    "calix",
    "elowin",
    "fenric",
    "isolde",
    "jorwen",
    "nerida",
    "quillon",
    "tamsin",
    "yselle",
]
_LAST_NAMES = [
    "ambervale",
    "coldmere",
    "glasswick",
    "inkwell",
    "mossgrave",
    "stonebrook",
    "velvetine",
]
_ACCOUNT_NAMES = ["nightly-build", "code-review", "release-bot", "dependency-bot", "triage"]
_LANGUAGES = ["Python", "TypeScript", "Java", "Go", "Rust", "Kotlin", "SQL", "Unknown"]
_EDITORS = ["VSCode", "VSCode", "VSCode", "JetBrains", "JetBrains", "Vim", "Unknown"]

_CERTAIN = 65536  # one more than the largest number drawn
_LONGEST_PAUSE = 63  # days between active ones at most, so that the search for the last is short
_CACHED_DAYS = 200
_CACHED_RANGES = 16


class Counts(NamedTuple):
    """What was counted in some period; each field can be summed and divided separately.

    `cli` is the command-line agent used by hand, `script` the one used by scripts.
    """

    accepted: int = 0
    rejected: int = 0
    accepted_lines: int = 0
    rejected_lines: int = 0
    instruction_lines: int = 0
    chat: int = 0
    agent: int = 0
    agent_lines: int = 0
    remote: int = 0
    remote_lines: int = 0
    tools: int = 0
    cli: int = 0
    cli_lines: int = 0
    script: int = 0
    script_lines: int = 0
    cli_tools: int = 0

    @property
    def messages(self) -> int:
        return self.chat + self.agent + self.remote + self.cli + self.script

    @property
    def tool_calls(self) -> int:
        return self.tools + self.cli_tools

    @property
    def lines(self) -> int:
        """Lines of code changed in all ways."""
        in_editor = self.accepted_lines + self.instruction_lines + self.agent_lines
        return in_editor + self.remote_lines + self.cli_lines + self.script_lines

    @property
    def credits(self) -> int:
        """In hundredths, so that parts add up without rounding."""
        return self.chat * 40 + (self.messages - self.chat) * 125 + self.tool_calls * 15


NOTHING = Counts()
_FIRST_CLI_FIELD = Counts._fields.index("cli")


class Habits(NamedTuple):
    """The most that a member does in one day."""

    completions: int = 0
    instruction_lines: int = 0
    chat: int = 0
    agent: int = 0
    remote: int = 0
    cli: int = 0
    script: int = 0


_PROFILES = (
    Habits(completions=400, instruction_lines=40, chat=12, agent=6),
    Habits(completions=120, instruction_lines=12, chat=70, agent=15),
    Habits(completions=80, chat=20, agent=90, remote=15, cli=4),
    Habits(chat=6, agent=12, remote=4, cli=60, script=30),
)
_ACCOUNT_PROFILE = Habits(script=80)


@dataclass(frozen=True, slots=True)
class Member:
    """A person, or a service account; `name` is an address or the account's name.

    `chance` is the chance of activity on a weekday, out of 65536; 0 is a member who is never
    active. `places` are (language, editor, weight out of 100), for members who work in an editor.
    """

    index: int
    name: str
    service: bool
    joined: date
    left: date | None
    chance: int
    habits: Habits
    places: tuple[tuple[str, str, int], ...]

    def belongs(self, start: date, end: date) -> bool:
        """Whether the member was in the organization on any day of the period."""
        return self.joined <= end and (self.left is None or self.left >= start)


class Part(NamedTuple):
    """The part of a user-day that belongs to one language and editor."""

    language: str
    editor: str
    counts: Counts


class Total(NamedTuple):
    """A member's sums over a period, and the number of active days."""

    counts: Counts
    active_days: int


class Organization:
    """`users` people at example.com and some service accounts; `today` is the current UTC day.

    When members join and leave depends on `today`. The figures of a day depend on its date, not on
    `today`; with an `epoch`, they depend instead on the number of days since then, and on the
    weekday. `billing` is the unit of the organization's contract: `costs` has the costs of the
    usage in it.
    """

    def __init__(
        self,
        users: int = 200,
        seed: int = 1,
        service_accounts: int = 2,
        today: date | None = None,
        billing: Billing = "dollars",
        epoch: date | None = None,
    ) -> None:
        self.seed = seed
        self._epoch = epoch.toordinal() if epoch else 0
        self.today = today or utc_day(datetime.now(UTC))
        self.people = tuple(self._person(index) for index in range(users))
        self.accounts = tuple(
            self._account(index) for index in range(users, users + service_accounts)
        )
        self.members = self.people + self.accounts
        self._revisions: dict[date, int] = {}
        self._days: dict[date, dict[int, Total]] = {}
        self._ranges: dict[Window, dict[int, Total]] = {}
        self._lock = threading.RLock()
        self.costs = Costs(self, billing)

    def number_of(self, day: date) -> int:
        """The number from which a day's figures are drawn."""
        return day.toordinal() - self._epoch

    def figures(self, member: Member, day: date) -> Counts:
        """One user-day, with its revisions so far."""
        counts, revisions = self.first_figures(member, day), self.revisions(day)
        if counts is NOTHING or not revisions:
            return counts
        return Counts(*(raised(value, revisions) for value in counts))

    def first_figures(self, member: Member, day: date) -> Counts:
        """One user-day, before any revision."""
        draws = self._active(member, day)
        if draws is None:
            return NOTHING
        counts = _counts(member.habits, draws)
        if not any(counts):
            counts = Counts(script=1) if member.service else Counts(chat=1)
        return counts

    def revise(self, day: date) -> None:
        """Raise the day's figures for everybody who was active on it."""
        with self._lock:
            self._revisions[day] = self.revisions(day) + 1
            self._days.pop(day, None)
            self._ranges.clear()
        self.costs.compute_again(day)

    def revisions(self, day: date) -> int:
        """How often the day's figures were raised."""
        return self._revisions.get(day, 0)

    def totals(self, window: Window) -> dict[int, Total]:
        """The totals by member index, in order, of everybody with any activity in the window."""
        with self._lock:
            if window.start == window.end:
                return self._day(window.start)
            if window not in self._ranges:
                if len(self._ranges) >= _CACHED_RANGES:
                    self._ranges.clear()
                self._ranges[window] = self._sums(window)
            return self._ranges[window]

    def first_seen(self, member: Member) -> str | None:
        """RFC 3339 in UTC with a fraction of a second; None for a member who is never active."""
        return self._moment(member, member.joined, first_hour=6) if member.chance else None

    def last_seen(self, member: Member, by: date) -> str | None:
        """Like `first_seen`, for the last activity up to the end of the day `by`."""
        day = min(by, self.today, member.left or by)
        while day >= member.joined and member.chance:
            if self._active(member, day) is not None:
                return self._moment(member, day, first_hour=10)
            day -= timedelta(days=1)
        return None

    def by_editor(self, member: Member, counts: Counts) -> Iterator[Part]:
        """Parts whose sum is exactly `counts`; the command line counts as an editor."""
        in_editor = Counts(*counts[:_FIRST_CLI_FIELD])
        done, share = NOTHING, 0
        for language, editor, weight in member.places:
            share += weight
            until = Counts(*(value * share // 100 for value in in_editor))
            part = Counts(*(new - old for new, old in zip(until, done, strict=True)))
            done = until
            if any(part):
                yield Part(language, editor, part)
        by_cli = Counts(*(0,) * _FIRST_CLI_FIELD, *counts[_FIRST_CLI_FIELD:])
        if any(by_cli):
            yield Part("Unknown", "CLI", by_cli)

    def _person(self, index: int) -> Member:
        draws = draw(f"{self.seed}/person/{index}")
        fate, span = draws[0] % 100, draws[1]
        joined = self.today - timedelta(days=300 + span % 600)
        left = None
        if fate < 6:
            joined = self.today - timedelta(days=2 + span % 28)
        elif fate < 12:
            left = self.today - timedelta(days=2 + span % 84)
        chance = (25 + draws[2] % 70) * _CERTAIN // 100
        if 12 <= fate < 20:
            chance = 0 if fate < 17 else _CERTAIN // 50
        zeal = 20 + draws[3] % 130
        habits = Habits(*(most * zeal // 100 for most in _PROFILES[draws[4] % len(_PROFILES)]))
        name = address(index, draws[5], draws[6])
        return Member(index, name, False, joined, left, chance, habits, _places(draws[7:]))

    def _account(self, index: int) -> Member:
        number = index - len(self.people)
        name = f"{_ACCOUNT_NAMES[number % len(_ACCOUNT_NAMES)]}-{number + 1}"
        joined = self.today - timedelta(days=500)
        return Member(index, name, True, joined, None, _CERTAIN - 1, _ACCOUNT_PROFILE, ())

    def _active(self, member: Member, day: date) -> tuple[int, ...] | None:
        """The random numbers of a user-day; None for a day without activity."""
        if not member.chance or day > self.today or not member.belongs(day, day):
            return None
        number = self.number_of(day)
        chance = member.chance // 8 if is_weekend(day) else member.chance
        coin, *draws = draw(f"{self.seed}/{member.index}/{number}")
        certain = day == member.joined or (number - member.index) % _LONGEST_PAUSE == 0
        return tuple(draws) if certain or coin < chance else None

    def _day(self, day: date) -> dict[int, Total]:
        if day not in self._days:
            if len(self._days) >= _CACHED_DAYS:
                self._days.clear()
            figures = ((member.index, self.figures(member, day)) for member in self.members)
            self._days[day] = {
                index: Total(counts, 1) for index, counts in figures if counts is not NOTHING
            }
        return self._days[day]

    def _sums(self, window: Window) -> dict[int, Total]:
        per_member: dict[int, list[Counts]] = {}
        for day in window.days():
            for index, total in self._day(day).items():
                per_member.setdefault(index, []).append(total.counts)
        return {index: Total(add(days), len(days)) for index, days in sorted(per_member.items())}

    def _moment(self, member: Member, day: date, first_hour: int) -> str:
        hour, minute, second, fraction, *_ = draw(f"{self.seed}/{member.index}/{day}/{first_hour}")
        clock = f"{first_hour + hour % 4:02}:{minute % 60:02}:{second % 60:02}"
        return f"{day}T{clock}.{fraction}Z"


def address(index: int, first: int, last: int) -> str:
    """The made-up address of the person with this index, made from two drawn names."""
    names = _FIRST_NAMES[first % len(_FIRST_NAMES)], _LAST_NAMES[last % len(_LAST_NAMES)]
    return f"{'.'.join(names)}{index + 1}@example.com"


def add(many: Iterable[Counts]) -> Counts:
    """The sum, field by field."""
    return Counts(*map(sum, zip(*many, strict=True)))


def _counts(most: Habits, draws: tuple[int, ...]) -> Counts:
    accepted = most.completions * draws[0] >> 17
    rejected = most.completions * draws[1] >> 16
    agent = most.agent * draws[2] >> 16
    remote = most.remote * draws[3] >> 16
    cli = most.cli * draws[4] >> 16
    script = most.script * draws[5] >> 16
    return Counts(
        accepted=accepted,
        rejected=rejected,
        accepted_lines=accepted + (accepted * draws[6] >> 16),
        rejected_lines=rejected + (rejected * draws[7] >> 15),
        instruction_lines=most.instruction_lines * draws[8] >> 16,
        chat=most.chat * draws[9] >> 16,
        agent=agent,
        agent_lines=agent * (draws[10] % 17),
        remote=remote,
        remote_lines=remote * (draws[11] % 29),
        tools=(agent + remote) * (draws[12] % 5),
        cli=cli,
        cli_lines=cli * (draws[13] % 23),
        script=script,
        script_lines=script * (draws[14] % 11),
        cli_tools=(cli + script) * (draws[15] % 6),
    )


def _places(draws: tuple[int, ...]) -> tuple[tuple[str, str, int], ...]:
    """Three languages, mostly in one editor."""
    first = draws[0] % len(_LANGUAGES)
    editors = [_EDITORS[draws[1] % len(_EDITORS)]] * 2 + [_EDITORS[draws[2] % len(_EDITORS)]]
    most = 50 + draws[3] % 30
    second = draws[4] % (100 - most)
    weights = (most, second, 100 - most - second)
    languages = [_LANGUAGES[(first + step) % len(_LANGUAGES)] for step in range(3)]
    return tuple(zip(languages, editors, weights, strict=True))
