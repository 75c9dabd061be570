"""Who in the organization uses which other assistants besides Augment, and on which days.

Like the whole organization, it depends only on the seed, the person and the day. About a third of
Augment's users also have another assistant, and some colleagues have only others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property

from dashboard_scraper.model.dates import is_weekend
from dashboard_scraper.simulator.draws import draw
from dashboard_scraper.simulator.organization import Member, Organization, address

COPILOT, CURSOR, CLAUDE_CODE = ASSISTANTS = ("copilot", "cursor", "claude_code")

_CERTAIN = 65536  # one more than the largest number drawn
_FEWEST_COLLEAGUES = 6
_FIRST_ACCOUNT = 10_000_000  # the number of a GitHub account


@dataclass(frozen=True, slots=True)
class Colleague:
    """A person who has other assistants; `member` is the same person as a user of Augment.

    `assistants` has, for each assistant, the first day, the last day if it was taken away, and the
    chance of activity on a weekday, out of 65536: 0 is a seat that nobody uses.
    """

    index: int
    email: str
    login: str
    account: int
    member: Member | None
    assistants: dict[str, tuple[date, date | None, int]] = field(hash=False)

    def has(self, assistant: str, day: date) -> bool:
        """Whether the person may use the assistant on the day."""
        joined, left, _ = self.assistants[assistant]
        return joined <= day and (left is None or day <= left)

    def joined(self, assistant: str) -> date:
        return self.assistants[assistant][0]

    def left(self, assistant: str) -> date | None:
        return self.assistants[assistant][1]


class Assistants:
    """The other assistants of an organization."""

    def __init__(self, organization: Organization) -> None:
        self.organization = organization

    @cached_property
    def colleagues(self) -> tuple[Colleague, ...]:
        """Everybody who has any; those who also use Augment come first."""
        people = self.organization.people
        extra = max(_FEWEST_COLLEAGUES, len(people) // 4)
        both = (self._colleague(person.index, person) for person in people)
        only = (self._colleague(len(people) + number, None) for number in range(extra))
        return tuple(each for each in (*both, *only) if each.assistants)

    def members(self, assistant: str) -> tuple[Colleague, ...]:
        """Those who have, or had, the assistant."""
        return tuple(each for each in self.colleagues if assistant in each.assistants)

    def active(self, assistant: str, day: date) -> Iterator[tuple[Colleague, tuple[int, ...]]]:
        """Everybody who used it on the day, with seventeen numbers below 65536 to draw from."""
        for colleague in self.members(assistant):
            draws = self.draws(assistant, colleague, day)
            if draws is not None:
                yield colleague, draws

    def draws(self, assistant: str, colleague: Colleague, day: date) -> tuple[int, ...] | None:
        """The random numbers of a user-day; None for a day without activity."""
        if day > self.organization.today or not colleague.has(assistant, day):
            return None
        joined, _, usual = colleague.assistants[assistant]
        chance = usual // 8 if is_weekend(day) else usual
        coin, *draws = draw(
            f"{self.organization.seed}/{assistant}/{colleague.index}/{day.toordinal()}"
        )
        certain = usual > 0 and day == joined
        return tuple(draws) if certain or coin < chance else None

    def _colleague(self, index: int, member: Member | None) -> Colleague:
        draws = draw(f"{self.organization.seed}/colleague/{index}")
        email = member.name if member else address(index, draws[0], draws[1])
        login = email.partition("@")[0].replace(".", "-")
        if draws[2] % 4 == 0:  # GitHub keeps the spelling, but ignores case in comparisons
            login = login.title()
        names = self._names(index, draws[3], member)
        return Colleague(
            index,
            email,
            login,
            _FIRST_ACCOUNT + index * 977 + draws[4] % 977,
            member,
            {name: self._span(name, index, member) for name in names},
        )

    def _names(self, index: int, number: int, member: Member | None) -> list[str]:
        """The assistants of a person; colleagues take turns, so that each one has a user."""
        if member is None:
            first = index % len(ASSISTANTS)
            second = (first + 1) % len(ASSISTANTS)
            return [ASSISTANTS[first], *([ASSISTANTS[second]] if number % 6 == 0 else [])]
        chosen = {0: [0], 1: [1], 2: [2], 3: [0, 1], 4: [0, 2]}.get(number % 15, [])
        return [ASSISTANTS[place] for place in chosen]

    def _span(
        self, assistant: str, index: int, member: Member | None
    ) -> tuple[date, date | None, int]:
        """From when to when the person has the assistant, and how often they use it."""
        today = self.organization.today
        fate, since, until, chance, *_ = draw(f"{self.organization.seed}/{assistant}/{index}/span")
        joined = today - timedelta(days=60 + since % 400)
        left = member.left if member else None
        if fate % 10 == 0:
            joined = today - timedelta(days=2 + since % 28)
        elif fate % 10 == 1 and left is None:
            left = today - timedelta(days=2 + until % 55)
        if member:
            joined = max(joined, member.joined)
        if left is not None:
            joined = min(joined, left)
        usual = 0 if fate % 10 == 2 else (25 + chance % 70) * _CERTAIN // 100
        return joined, left, usual
