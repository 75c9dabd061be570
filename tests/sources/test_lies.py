"""No lie of a source is believed without a mark, and none costs what was known before.

Each lie of the simulator's catalogue is told on the second of three nights, whose first and third
are honest, and on the first night of a store. What cannot be known is listed with its reason by
`lies.undetectable`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import pytest

from dashboard_scraper.settings.library_settings import CA_FILES
from dashboard_scraper.simulator.false_figures import CONSISTENT
from dashboard_scraper.simulator.lies import ABOUT_ANSWERS, ABOUT_FIGURES, LIES, undetectable
from dashboard_scraper.simulator.lying import Lie, Unseen
from dashboard_scraper.sources.registry import SOURCES
from lying_nights import LAST, LYING, Left, Nights, honest_nights, window


def _cases(lies: Iterable[Lie], kind: str) -> list[object]:
    return [
        pytest.param((source, kind), lie, id=f"{lie.name}-{source}-{kind}")
        for source in SOURCES
        for lie in lies
        if source in lie.sources
    ]


# What changes stored figures is told with each kind of store; the rest never gets there, or is
# found in the answers alone, and costs the time of two runs.
STORIES = [*_cases(LIES, "sqlite"), *_cases(CONSISTENT, "postgresql")]
FIRST_NIGHTS = _cases([lie for lie in ABOUT_FIGURES if lie.from_night == 1], "sqlite")


Begin = Callable[[str, str], Nights]


@pytest.fixture(scope="session")
def begin(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Begin]:
    """The nights of each source and kind of store, begun when they are first asked for."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        # Every run reads and tries the machine's own certificates; here, nothing is encrypted.
        for name in CA_FILES:
            patch.delenv(name, raising=False)

        @functools.cache
        def nights(source: str, kind: str) -> Nights:
            server = request.getfixturevalue("postgres_server") if kind == "postgresql" else None
            folder = tmp_path_factory.mktemp(f"{source}-{kind}")
            return stack.enter_context(honest_nights(source, server, folder))

        yield nights


@pytest.fixture
def nights(begin: Begin, request: pytest.FixtureRequest) -> Nights:
    """Of one source and kind of store."""
    return begin(*request.param)


def check_believed(left: Left, truth: Left, unknowable: set[date]) -> None:
    """Nothing that is not the truth looks like it, but on days of which nobody can know."""
    unlike = left.days_unlike(truth)
    assert unlike - left.marked() <= unknowable, "these days are wrong, without a mark"
    if left.code == 0:
        assert unlike - left.marked("suspicious") <= unknowable, "these are wrong, with exit code 0"
    if not unlike:
        assert not left.others_unlike(truth)


def assert_no_version_lost(left: Left, truth: Left, days: set[date]) -> None:
    """The store has the days as the honest nights left them."""
    assert {day: left.rows[day] for day in days} == {day: truth.rows[day] for day in days}


def test_the_catalogue_has_each_lie_once_and_a_reason_for_what_cannot_be_known() -> None:
    assert len({lie.name for lie in LIES}) == len(LIES) >= 50
    assert all(bool(lie.why) == bool(lie.unseen) for lie in LIES)
    assert len(undetectable()) == sum(lie.unseen > Unseen.NEVER for lie in LIES)


@pytest.mark.parametrize(("nights", "lie"), STORIES, indirect=["nights"])
def test_a_lie_between_honest_nights_is_not_believed(
    nights: Nights, lie: Lie, tmp_path: Path
) -> None:
    asked = window(LYING)
    unknowable = {
        day
        for day in asked.days()
        if lie.unseen >= (Unseen.FIRST_FETCH if day == asked.end else Unseen.ALWAYS)
    }
    with nights.after_the_first(tmp_path / "home") as home:
        lied = nights.run(home, LYING, lie)
        check_believed(lied, nights.honest(LYING), unknowable)
        if lie in ABOUT_ANSWERS and lied.rows == nights.honest(1).rows:
            return  # it left nothing: the third night is as after a night without a run
        believed = lied.days_unlike(nights.honest(LYING)) & unknowable
        # What was believed is revised as anything is: not before it was said several times.
        last = LAST if believed else LYING + 1
        for night in range(LYING + 1, last + 1):
            left, truth = nights.run(home, night), nights.honest(night)
            if left.code == 0:
                break
    assert left.code == 0, "an honest night, at the latest after the last confirmation"
    assert left.manifest_lines() == truth.manifest_lines()
    assert left.files == truth.files
    days = set(left.window.days()) if lie.unseen == Unseen.ALWAYS else truth.rows.keys()
    assert_no_version_lost(left, truth, set(days))


@pytest.mark.parametrize(("nights", "lie"), FIRST_NIGHTS, indirect=["nights"])
def test_a_lie_on_the_first_night_is_not_believed(nights: Nights, lie: Lie, tmp_path: Path) -> None:
    unknowable = set(window(1).days()) if lie.unseen else set()
    with nights.before_the_first(tmp_path / "home") as home:
        check_believed(nights.run(home, 1, lie), nights.first, unknowable)
