"""Nothing that the program has reported is lost in a power cut.

A trace of its calls shows what it has the disk confirm, and when. The state after a power cut at
any moment is rebuilt from a journal of its writes, then read and used again.
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from random import Random

import pytest

from conftest import Home, Start, all_files, today, yesterday
from crash_child import StoredDays, files_in, stored_days
from dashboard_scraper.exports.manifest import MANIFEST
from dashboard_scraper.files import STALE_SUFFIX
from dashboard_scraper.simulator import Organization, Simulator
from power_cut import Contents, Disk, Journal, Step
from system_calls import FOLDERS, LINKS, RENAMES, SYNCS, WRITES, Call, trace

STDOUT = 1
STORE = "usage.db"
LOCKS = {f"{STORE}.lock"}
"""Files without data: only their presence and their locks count."""

# Each run writes to stdout when it has ended, whether or not it printed anything itself.
_RUNS = """
import json, sys
from pathlib import Path
from dashboard_scraper.main import main
from dashboard_scraper.server.token_files import read_or_make_token
read_or_make_token(Path(sys.argv[1]), "127.0.0.1")
print("made", flush=True)
for words in json.loads(sys.argv[2]):
    print("exit", main(words), flush=True)
"""


@dataclass(frozen=True)
class Traced:
    """The calls of several runs in one process, and the home of these runs."""

    home: Home
    calls: list[Call]

    def select(self, names: tuple[str, ...], path: Path | None = None) -> list[Call]:
        """The calls with these names; with a path, only those whose (last) path it is."""
        return [
            call for call in self.calls if call.name in names and path in (None, call.paths[-1])
        ]

    def next_print(self, call: Call) -> Call:
        """The next message on stdout after the call, which says that something is done."""
        prints = [each for each in self.select(WRITES) if each.descriptor == STDOUT]
        return next(each for each in prints if each.after(call))

    def flushed(self, path: Path, since: Call, before: Call) -> bool:
        """Whether the disk confirmed the file or folder between two calls."""
        return any(sync.after(since) and before.after(sync) for sync in self.select(SYNCS, path))


def organization() -> Organization:
    return Organization(users=5, today=today())


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Traced:
    """The calls of every command that writes files, of a failing run, and of one that removes an
    old export.
    """
    home = Home(tmp_path_factory.mktemp("traced"), {"RETENTION_EXPORTS": "1"})
    first, last = f"{today() - timedelta(2)}", f"{yesterday()}"
    figures = home.data / "figures.json"
    csv = home.data / f"daily_exports_{first}_to_{last}" / f"augment_metrics_{last}.csv"
    broken = home.path / "broken.csv"
    broken.write_text("User,Completions\nada@example.com,many\n")
    runs = [
        ["--auth"],
        ["--daily", first],
        ["--daily", first, last],
        ["export", last, "--format", "parquet"],
        ["report"],
        [last],
        ["convert", str(csv), "--day", last, "--out", str(figures)],
        ["convert", str(broken), "--day", last, "--out", str(figures)],
    ]
    words = json.dumps([home.words(*run) for run in runs])
    program = [sys.executable, "-W", "error", "-c", _RUNS, str(home.path / "serve" / "token")]
    # Somebody is active on every weekday, since an empty file would not be written to.
    busy = Organization(users=20, today=today(), epoch=today())
    with Simulator(busy) as simulator:
        home.settings["METRICS_API_BASE_URL"] = simulator.url
        file = tmp_path_factory.mktemp("trace") / "calls"
        out, calls = trace([*program, words], home.environment(), file, simulator.cookie)
    codes = [line for line in out.splitlines() if line.startswith("exit")]
    assert codes == ["exit 0"] * (len(runs) - 1) + ["exit 5"]
    return Traced(home, [call for call in calls if is_of(home, call)])


def is_of(home: Home, call: Call) -> bool:
    """Whether the call counts: Python's own writes of compiled code do not."""
    return call.descriptor == STDOUT or call.paths[-1].is_relative_to(home.path)


def prepared(rename: Call) -> bool:
    """Whether a file is renamed that was written for the target, and not a link."""
    source, target = rename.paths
    return source.name.startswith(".") and not target.is_symlink()


@pytest.mark.slow
def test_files_are_flushed_before_they_are_renamed(
    traced: Traced,
) -> None:
    named = [rename for rename in traced.select(RENAMES) if prepared(rename)]
    for rename in named:
        source, target = rename.paths
        assert source.parent == target.parent
        if linked := traced.select(
            LINKS, source
        ):  # a link to an earlier file, whose own rename is in `named`
            earlier = [each for each in named if each.paths[1] == linked[0].paths[0]]
            assert any(linked[0].after(each) for each in earlier), target
            continue
        (last,) = traced.select(WRITES, source)[-1:]
        assert rename.after(last), target
        assert traced.flushed(source, last, rename), target
        if target.name != STORE:
            assert traced.select(WRITES, target) == []
    found = {path for path in all_files(traced.home.path) if path.name not in LOCKS}
    targets = {rename.paths[1] for rename in traced.select(RENAMES)}
    assert found - targets == {traced.home.path / "broken.csv"}


@pytest.mark.slow
def test_renames_are_flushed_before_output(traced: Traced) -> None:
    """Also renames of links, of files that are set aside, and of files that are to be removed."""
    for change in traced.select((*RENAMES, *FOLDERS)):
        printed = traced.next_print(change)
        assert traced.flushed(change.paths[-1].parent, change, printed), change.paths


def test_manifest_is_renamed_last(traced: Traced) -> None:
    manifests = [each for each in traced.select(RENAMES) if each.paths[1].name == MANIFEST]
    assert len(manifests) == 2
    for manifest in manifests:
        folder, printed = manifest.paths[1].parent, traced.next_print(manifest)
        files = [each for each in traced.select(RENAMES) if folder in each.paths[1].parents]
        files = [each for each in files if traced.next_print(each) == printed]
        assert len(files) > 5
        assert files[-1] == manifest


def test_new_store_is_renamed_before_it_is_filled(traced: Traced) -> None:
    store = traced.home.data / STORE
    (rename,) = [each for each in traced.select(RENAMES) if each.paths[1] == store]
    stored = traced.select(WRITES, store.with_name(f"{STORE}-wal"))[0]
    assert traced.flushed(store.parent, rename, stored)


def test_secrets_are_written_the_same_way(traced: Traced) -> None:
    targets = [rename.paths[1] for rename in traced.select(RENAMES) if prepared(rename)]
    assert traced.home.cookie_file in targets
    assert traced.home.path / "serve" / "token" in targets


# After a power cut


@dataclass(frozen=True)
class Recorded:
    """Two runs of the same days; the second fetches and writes everything again."""

    home: Home
    words: tuple[str, ...]
    steps: list[Step]
    days: StoredDays
    files: list[dict[str, bytes]]

    @property
    def folder(self) -> Path:
        """The folder of the export."""
        _, first, last = self.words
        return self.home.data / f"daily_exports_{first}_to_{last}"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    home = Home(tmp_path_factory.mktemp("recorded"))
    words = ("--daily", f"{today() - timedelta(3)}", f"{yesterday()}")
    journal = Journal(home, tmp_path_factory.mktemp("journal"))
    with Simulator(organization()) as simulator:
        home.settings["METRICS_API_BASE_URL"] = simulator.url
        home.sign_in(simulator)
        recorded = Recorded(home, words, [], {}, [])
        for options in ((), ("--refresh",)):
            home.settings["ENTERPRISE_ID"] = f"{1 + len(recorded.files)}"
            journal.run(*words, *options)
            recorded.files.append(files_in(recorded.folder))
    steps, days = journal.steps(), stored_days(f"sqlite:///{home.data / STORE}")
    first, second = recorded.files
    assert (len(days), first.keys()) == (3, second.keys())
    assert first[MANIFEST] != second[MANIFEST]
    return replace(recorded, steps=steps, days=days)


def reported_days(steps: list[Step]) -> set[date]:
    """The days that the log reported as fetched."""
    printed = b"".join(step.text for step in steps if step.kind == "P").decode()
    return {date.fromisoformat(day) for day in re.findall(r"(\S{10}) fetched, ", printed)}


def printed_paths(steps: list[Step]) -> int:
    """How often a run printed the paths of its files."""
    return sum(step.kind == "P" and step.number == STDOUT for step in steps)


def write_out(left: Contents, home: Home, place: Path) -> None:
    """Write the content that was left on the disk to another place."""
    for path, content in left.items():
        copy = place / path.relative_to(home.path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)


def check_left(recorded: Recorded, before: list[Step], left: Contents, place: Path) -> None:
    """Everything that was reported is there, and nothing is incomplete."""
    write_out(left, recorded.home, place)
    reported, store = reported_days(before), place / "data" / STORE
    if store.exists():
        with closing(sqlite3.connect(store)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        days = stored_days(f"sqlite:///{store}")
        assert days == {day: recorded.days[day] for day in days}
        assert reported <= days.keys()
    else:
        assert not reported
    first, second = recorded.files
    files = files_in(place / recorded.folder.relative_to(recorded.home.path))
    aside = files.pop(f"{MANIFEST}{STALE_SUFFIX}", None)
    assert aside in (None, first[MANIFEST])
    assert all(files[name] in (first[name], second[name]) for name in files)
    if MANIFEST in files or printed_paths(before):
        assert files.keys() | ({MANIFEST} if aside else set()) == first.keys()
    if files.get(MANIFEST) == first[MANIFEST]:
        assert files == first
    if printed_paths(before) == 2 or files.get(MANIFEST) == second[MANIFEST]:
        assert files == second


@pytest.mark.slow
def test_journal_has_all_that_the_program_wrote(recorded: Recorded) -> None:
    """Otherwise, the states rebuilt from the journal would prove nothing."""
    disk = Disk(recorded.home.path)
    for step in recorded.steps:
        disk.do(step)
    written = {path: path.read_bytes() for path in all_files(recorded.home.data)}
    assert disk.now() == {p: data for p, data in written.items() if p.name not in LOCKS}


@pytest.mark.slow
def test_what_was_synced_is_enough_at_every_moment(recorded: Recorded, tmp_path: Path) -> None:
    disk = Disk(recorded.home.path)
    seen: list[tuple[Contents, set[date], int]] = []
    for number, step in enumerate(recorded.steps, 1):
        disk.do(step)
        before = recorded.steps[:number]
        left = disk.after_power_cut(None)
        shown = {path: content for path, content in left.items() if path.name[0] != "."}
        moment = shown, reported_days(before), printed_paths(before)
        if seen[-1:] != [moment]:
            check_left(recorded, before, shown, tmp_path / f"{number}")
            seen.append(moment)
    assert len(seen) > 2 * len(recorded.days)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.slow
def test_partial_writes_damage_nothing(recorded: Recorded, tmp_path: Path, seed: int) -> None:
    chance = Random(seed)
    moments = chance.sample(range(len(recorded.steps)), 12)
    disk = Disk(recorded.home.path)
    for number, step in enumerate(recorded.steps):
        disk.do(step)
        if number in moments:
            left = disk.after_power_cut(chance)
            check_left(recorded, recorded.steps[: number + 1], left, tmp_path / f"{number}")


@pytest.mark.parametrize("share", [0.1, 0.3, 0.8])
@pytest.mark.slow
def test_next_run_after_a_power_cut_finishes(
    recorded: Recorded, home: Home, start: Start, share: float
) -> None:
    """A power cut while the store was made, while days were stored, or during the second run."""
    disk = Disk(recorded.home.path)
    for step in recorded.steps[: int(share * len(recorded.steps))]:
        disk.do(step)
    write_out(disk.after_power_cut(Random(share)), recorded.home, home.path)
    start(organization())
    home.settings = recorded.home.settings | home.settings
    result = home.run(*recorded.words)
    assert result.code == 0, result.err
    assert files_in(home.data / recorded.folder.name) == recorded.files[1]
    assert stored_days(f"sqlite:///{home.data / STORE}") == recorded.days
