"""No lie of a source is accepted without a mark, and none damages what was stored before.

Each lie of the simulator's catalogue is told on the second of three nights, whose first and third
are honest, and on the first night of a store. `lies.undetectable` lists, with the reason, the lies
that cannot be detected.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import pytest

from dashboard_scraper.settings.library_settings import CA_FILES
from dashboard_scraper.simulator.false_answers import ENVELOPE, PAGES
from dashboard_scraper.simulator.lies import ABOUT_ANSWERS, ABOUT_FIGURES, LIES, undetectable
from dashboard_scraper.simulator.lying import Lie, Unseen
from dashboard_scraper.sources.registry import ANALYTICS, DASHBOARD, SOURCES
from lying_nights import LAST, LYING, Left, Nights, Setup, honest_nights, window

# The same code judges and stores for both kinds of store, and every format is made from what is
# stored, so a few lies are enough there: one that is held, one that is stored and later revised,
# one that a total contradicts.
FEW = ("settled day doubled", "one person missing", "users doubled by turns")
IN_FULL = (Setup(DASHBOARD, "postgresql", True), Setup(ANALYTICS, every_format=True))


def _case(lie: Lie, setup: Setup) -> object:
    return pytest.param(setup, lie, id=f"{lie.name}-{setup.name}")


def _by_one_source(lies: Iterable[Lie]) -> list[object]:
    """Each lie by only one source, the sources taking turns."""
    return [_case(lie, Setup(lie.sources[n % len(lie.sources)])) for n, lie in enumerate(lies)]


def _by_each_source(lies: Iterable[Lie]) -> list[object]:
    return [
        _case(lie, Setup(source)) for source in SOURCES for lie in lies if source in lie.sources
    ]


# The sources differ in how an answer is read, and in how revised totals are found. Figures of new
# days pass through both in the same way, to the code that compares users with totals and a day with
# others. One module checks pages and envelopes for both; tests/sources/rest tests it for each.
_SAME_FOR_BOTH = [*(lie for lie in ABOUT_FIGURES if lie.from_night == 1), *PAGES, *ENVELOPE]
STORIES = [
    *_by_one_source(_SAME_FOR_BOTH),
    *_by_each_source([lie for lie in LIES if lie not in _SAME_FOR_BOTH]),
    *[_case(lie, setup) for setup in IN_FULL for lie in LIES if lie.name in FEW],
]
FIRST_NIGHTS = _by_one_source([lie for lie in ABOUT_FIGURES if lie.from_night == 1])


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
    assert {lie.name for lie in LIES} >= set(FEW)


@pytest.mark.parametrize(("nights", "lie"), STORIES, indirect=["nights"])
@pytest.mark.slow
def test_lie_between_honest_nights_is_marked(nights: Nights, lie: Lie, tmp_path: Path) -> None:
    """The honest nights after it restore every file, without losing a stored version."""
    asked = window(LYING)
    hidden = {
        day
        for day in asked.days()
        if lie.unseen >= (Unseen.FIRST_FETCH if day == asked.end else Unseen.ALWAYS)
    }
    with nights.after_the_first(tmp_path / "home") as home:
        lied = nights.run(home, LYING, lie)
        check_marked(lied, nights.honest(LYING), hidden)
        if lie in ABOUT_ANSWERS and lied.rows == nights.honest(1).rows:
            return  # nothing was stored: the third night is the same as after a night without a run
        accepted = lied.days_unlike(nights.honest(LYING)) & hidden
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


@pytest.mark.parametrize(("nights", "lie"), FIRST_NIGHTS, indirect=["nights"])
@pytest.mark.slow
def test_lie_on_the_first_night_is_marked(nights: Nights, lie: Lie, tmp_path: Path) -> None:
    hidden = set(window(1).days()) if lie.unseen else set()
    with nights.before_the_first(tmp_path / "home") as home:
        check_marked(nights.run(home, 1, lie), nights.first, hidden)
