"""No lie of a source is accepted without a mark, and none damages what was stored before.

Answers that nobody can take for others have to be refused by the source. All other lies are told
on the night after an honest one, some of them with honest nights afterwards; those that show by
themselves are told on the first night of a store, too. `lies.undetectable` lists, with the reason,
the lies that cannot be detected.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import pytest

from conftest import Home
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.settings.library_settings import CA_FILES
from dashboard_scraper.simulator.false_answers import ENVELOPE, PAGES
from dashboard_scraper.simulator.lies import ABOUT_ANSWERS, ABOUT_FIGURES, LIES, undetectable
from dashboard_scraper.simulator.lying import Lie, Unseen
from dashboard_scraper.sources.registry import ANALYTICS, DASHBOARD
from lying_nights import LAST, LYING, Left, Nights, Setup, honest_nights, window

Case = tuple[str, Lie]

# The same code judges and stores for both kinds of store, and every format is made from what is
# stored, so one lie is enough there: after it, days are held, contradicted by a total, and revised.
IN_FULL = Setup(ANALYTICS, "postgresql", every_format=True), "users doubled"

ACCEPTED = (
    *("page lost in the middle", "page lost in the middle and in the totals", "last page lost"),
    *("user lost at the border of pages", "accepted more than shown", "trillion completions"),
    *("parts of another total", "person under two spellings", "people and accounts exchanged"),
)
"""Lies about answers that no source can refuse: a night has to judge their figures."""
ACCEPTED_BY_ONE = (DASHBOARD, "count is unknown")

FOLLOWED = (
    *("all zero", "one person missing", "count is unknown"),  # held, but for the newest day
    *("doubled", "doubled by turns", "parts of another total"),  # stored as suspicious
    *("stale answers", "one settled day a twentieth lower"),  # stored without a mark
    *("settled day doubled", "settled days a sixth lower"),  # held
    *("users doubled", "totals doubled", "one user lost"),  # not reconciled
    *("an eighth of the people on the newest day", "list in the list", "errors beside half"),
)
"""Lies after which honest nights follow: some for each way in which an answer is stored, held or
refused.
"""


def _by_turns(lies: Iterable[Lie]) -> list[Case]:
    """Each lie by only one source, the sources taking turns."""
    return [(lie.sources[n % len(lie.sources)], lie) for n, lie in enumerate(lies)]


def _by_each(lies: Iterable[Lie]) -> list[Case]:
    return [(source, lie) for lie in lies for source in lie.sources]


def _is_refused(case: Case) -> bool:
    """Whether the source refuses the answer, or reads the truth in it."""
    source, lie = case
    is_accepted = lie.name in ACCEPTED or (source, lie.name) == ACCEPTED_BY_ONE
    return lie in ABOUT_ANSWERS and not is_accepted


def _case(setup: Setup, lie: Lie) -> object:
    return pytest.param(setup, lie, id=f"{lie.name}-{setup.name}")


def _cases(cases: Iterable[Case]) -> list[object]:
    return [_case(Setup(source), lie) for source, lie in cases]


# The sources differ in how an answer is read, and in how revised totals are found. Figures of new
# days pass through both in the same way, to the code that compares users with totals and a day with
# others. One module checks pages and envelopes for both; tests/sources/rest tests it for each.
_SAME_FOR_BOTH = [*(lie for lie in ABOUT_FIGURES if lie.from_night == 1), *PAGES, *ENVELOPE]
_TOLD = [*_by_turns(_SAME_FOR_BOTH), *_by_each(lie for lie in LIES if lie not in _SAME_FOR_BOTH)]
READ = [case for case in _TOLD if _is_refused(case)]
JUDGED = [case for case in _TOLD if not _is_refused(case) and case[1].name not in FOLLOWED]
RESTORED = [case for case in _TOLD if case[1].name in FOLLOWED]
FIRST_NIGHTS = _by_turns(lie for lie in ABOUT_FIGURES if lie.from_night == 1 and not lie.unseen)


Begin = Callable[[Setup], Nights]


@pytest.fixture(scope="session")
def begin(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Begin]:
    """A function that returns the nights of a setup, prepared on first use."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        # Every run reads and checks the machine's certificates, but here nothing is encrypted.
        for name in CA_FILES:
            patch.delenv(name, raising=False)

        @functools.cache
        def nights(setup: Setup) -> Nights:
            needs_server = setup.store == "postgresql"
            server = request.getfixturevalue("postgres_server") if needs_server else None
            folder = tmp_path_factory.mktemp(setup.name)
            return stack.enter_context(honest_nights(setup, server, folder))

        yield nights


@pytest.fixture
def nights(begin: Begin, request: pytest.FixtureRequest) -> Nights:
    """The nights of one case."""
    return begin(request.param)


def check_marked(left: Left, truth: Left, undetectable_days: set[date]) -> None:
    """Every day that differs from the truth has a mark, except those that nobody can detect."""
    unlike = left.days_unlike(truth)
    assert unlike - left.marked() <= undetectable_days, "these days are wrong, without a mark"
    if left.code == 0:
        unmarked = unlike - left.marked("suspicious")
        assert unmarked <= undetectable_days, "these are wrong, with exit code 0"
    if not unlike:
        assert not left.others_unlike(truth)


def test_undetectable_lies_have_a_reason() -> None:
    assert len({lie.name for lie in LIES}) == len(LIES) >= 50
    assert all(bool(lie.why) == bool(lie.unseen) for lie in LIES)
    assert len(undetectable()) == sum(lie.unseen > Unseen.NEVER for lie in LIES)
    assert {lie.name for lie in LIES} >= {*ACCEPTED, *FOLLOWED}


@pytest.mark.parametrize(("nights", "lie"), _cases(READ), indirect=["nights"])
def test_lying_answer_is_refused_or_has_the_truth(nights: Nights, lie: Lie) -> None:
    try:
        day = nights.newest(LYING, lie)
    except ContractBroken:
        return
    assert day == nights.newest(LYING)


def tell(nights: Nights, home: Home, lie: Lie) -> set[date]:
    """Tell the lie on the second night, and check the marks; returns the days that it changed."""
    asked = window(LYING)
    hidden = {
        day
        for day in asked.days()
        if lie.unseen >= (Unseen.FIRST_FETCH if day == asked.end else Unseen.ALWAYS)
    }
    lied = nights.run(home, LYING, lie)
    check_marked(lied, nights.honest(LYING), hidden)
    return lied.days_unlike(nights.honest(LYING)) & hidden


@pytest.mark.parametrize(("nights", "lie"), _cases(JUDGED), indirect=["nights"])
@pytest.mark.slow
def test_lie_after_an_honest_night_is_marked(nights: Nights, lie: Lie, tmp_path: Path) -> None:
    with nights.after_the_first(tmp_path / "home") as home:
        tell(nights, home, lie)


@pytest.mark.parametrize(
    ("nights", "lie"),
    [
        *_cases(RESTORED),
        *[_case(IN_FULL[0], lie) for lie in LIES if lie.name == IN_FULL[1]],
    ],
    indirect=["nights"],
)
@pytest.mark.slow
def test_honest_nights_after_a_lie_restore_every_file(
    nights: Nights, lie: Lie, tmp_path: Path
) -> None:
    """Without losing a stored version."""
    with nights.after_the_first(tmp_path / "home") as home:
        accepted = tell(nights, home, lie)
        # An accepted lie is revised like any other day: only after several confirmations.
        last = LAST if accepted else LYING + 1
        for night in range(LYING + 1, last + 1):
            left, truth = nights.run(home, night), nights.honest(night)
            if left.code == 0:
                break
    assert left.code == 0, "an honest night, at the latest after the last confirmation"
    assert left.manifest_lines() == truth.manifest_lines()
    assert left.files == truth.files
    days = set(left.window.days() if lie.unseen == Unseen.ALWAYS else truth.rows)
    assert {day: left.rows[day] for day in days} == {day: truth.rows[day] for day in days}


@pytest.mark.parametrize(("nights", "lie"), _cases(FIRST_NIGHTS), indirect=["nights"])
@pytest.mark.slow
def test_lie_on_the_first_night_is_marked(nights: Nights, lie: Lie, tmp_path: Path) -> None:
    with nights.before_the_first(tmp_path / "home") as home:
        check_marked(nights.run(home, 1, lie), nights.first, set())
