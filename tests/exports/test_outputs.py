"""An export's formats: each gets every stored day once, whichever formats there are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from conftest import Home
from dashboard_scraper.exports import formats
from dashboard_scraper.exports.daily_export import DailyExport
from dashboard_scraper.exports.manifest import MANIFEST
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.distinct import DistinctPeople
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.output import OutputDay, OutputFile, OutputRun
from made_up_days import store_days, users
from stored_days import sql

LAST = datetime.now(UTC).date() - timedelta(10)
WINDOW = Window(LAST - timedelta(3), LAST)
NAME = "head_count.txt"


class HeadCount:
    """A made-up format: the number of active people on each day, in one file."""

    needs = None

    def __init__(self, export: DailyExport) -> None:
        self._export = export
        self._lines: list[bytes] = []
        self._run: OutputRun

    @property
    def reach(self) -> Window:
        return self._export.window

    def targets(self) -> list[Path]:
        return [self._export.folder / NAME]

    def day_targets(self, day: date) -> list[Path]:  # noqa: ARG002
        return []

    def sample(self, users: Sequence[UserUsage]) -> Iterable[bytes]:  # noqa: ARG002
        return ()

    def begin(self, run: OutputRun) -> None:
        self._run = run

    def add_day(self, day: OutputDay) -> None:
        self._lines.append(f"{day.day} {len(day.shown.active)}\n".encode())

    def finish(self) -> list[OutputFile]:
        if self._run.missing:
            return []
        (path,) = self.targets()
        return [OutputFile(self._run.publication.add(path, self._lines))]


@pytest.fixture
def with_head_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program with this format added to its registry."""
    monkeypatch.setattr(formats, "OUTPUTS", (*formats.OUTPUTS, HeadCount))


def export(home: Home) -> tuple[int, Path]:
    result = home.run("export", f"{WINDOW.start}", f"{WINDOW.end}")
    return result.code, home.data / f"daily_exports_{WINDOW.start}_to_{WINDOW.end}"


@pytest.mark.usefixtures("with_head_count")
@pytest.mark.slow
def test_new_format_is_a_class_and_a_row(home: Home) -> None:
    """Its file is in the manifest, and is set aside if a run does not write it."""
    store_days(home, users(3), WINDOW)
    code, folder = export(home)
    assert code == 0
    lines = (folder / NAME).read_text().splitlines()
    assert [line.split()[0] for line in lines] == [f"{day}" for day in WINDOW.days()]
    (listed,) = json.loads((folder / MANIFEST).read_bytes())["others"]
    assert listed["name"] == NAME
    sql(home.settings["STORE_URL"], f"DELETE FROM day_ledger WHERE day = '{LAST}'")
    assert export(home) == (6, folder)
    assert not (folder / NAME).exists()
    assert (folder / f"{NAME}.stale").exists()


@pytest.mark.slow
def test_export_reads_each_stored_day_once(home: Home, reads: Counter[str]) -> None:
    """Only those of the window: the page's sums and counts before it come from the database."""
    store_days(home, users(3), Window(WINDOW.start - timedelta(55), WINDOW.end))
    reads.clear()
    assert export(home)[0] == 0
    assert reads == Counter(f"{day}" for day in WINDOW.days())


def test_distinct_people_need_every_day() -> None:
    """If a day is missing, the exact number is unknown, and only a lower bound is known."""
    first = WINDOW.start
    ada, ben, cyd = 1, 2, 4
    people = DistinctPeople()
    people.add(first, ada | ben)
    people.add(first + timedelta(2), ben | cyd)
    last = first + timedelta(2)
    assert (people.exactly(last, 1), people.at_least(last, 1)) == (2, 2)
    assert (people.exactly(last, 3), people.at_least(last, 3)) == (None, 3)
    people.add(first + timedelta(1), 0)
    assert (people.exactly(last, 3), people.at_least(last, 2)) == (3, 2)
    assert (people.exactly(last, 4), people.at_least(last, 4)) == (None, 3)
    assert (people.exactly(first, 2), people.at_least(first, 28)) == (None, 2)
