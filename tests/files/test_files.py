"""Files appear whole or not at all, and files of an earlier run never look fresh."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from conftest import Home, Result, yesterday
from dashboard_scraper.errors import OutputFailed
from dashboard_scraper.files import make_folder, replaced_or_set_aside, set_aside, turn_in
from dashboard_scraper.leftovers import TemporaryNames, remove_leftovers
from dashboard_scraper.publication import PartOfPublication, Publication, write_whole
from dashboard_scraper.simulator import Fault, Simulator, status

DAY = f"{yesterday()}"
TWO_DAYS = ("--daily", f"{yesterday() - timedelta(1)}", DAY)
USERS = "user-feature-stats"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0, 0o027, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Umasks that take nothing away, something, or all rights of others; restored at the end."""
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files and folders that were flushed to the disk."""
    found: list[Path] = []
    original = os.fsync

    def fsync(descriptor: int) -> None:
        found.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def test_files_appear_on_publish(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("old")
    with Publication() as publication:
        written = [publication.add(first, b"new"), publication.add(second, [b"a", b"", b"bc"])]
        assert first.read_text() == "old"
        assert not second.exists()
        publication.publish()
        assert (first.read_text(), second.read_text()) == ("new", "abc")
    assert names(tmp_path) == {"first", "second"}
    assert [(each.name, each.size) for each in written] == [("first", 3), ("second", 3)]
    assert [each.sha256 for each in written] == [
        sha256(data).hexdigest() for data in (b"new", b"abc")
    ]


def test_file_behind_a_link_is_named_as_the_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    with Publication() as publication:
        written = publication.add(tmp_path / "link", b"new")
        publication.publish()
    assert (written.name, (tmp_path / "real").read_bytes()) == ("link", b"new")


def test_publications_rename_one_at_a_time(tmp_path: Path) -> None:
    target = tmp_path / "file"
    thread = threading.Thread(target=write_whole, args=(target, b"new"))
    with turn_in(tmp_path):
        thread.start()
        thread.join(0.1)
        assert thread.is_alive()
        assert not target.exists()
    thread.join()
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("others", [0, 1, 9])
def test_file_of_wrong_size_is_not_published(tmp_path: Path, others: int) -> None:
    """Whether it is flushed at the end or while other files are written."""

    def chunks() -> Iterator[bytes]:
        yield b"figures"
        (temporary,) = tmp_path.glob(".*.tmp")
        os.truncate(temporary, 100)

    with pytest.raises(OutputFailed, match="file: only a part of it"), Publication() as publication:
        publication.add(tmp_path / "file", chunks())
        for number in range(others):
            publication.add(tmp_path / f"{number}", b"figures")
        publication.publish()
    assert names(tmp_path) == set()


def part_of(publication: Publication, folder: Path) -> PartOfPublication:
    """A part as another process makes it, which knows only the token of the names."""
    token = publication.names(folder).token
    return PartOfPublication(publication.mode, TemporaryNames(token))


def test_part_of_a_publication_appears_with_it(tmp_path: Path, flushed: list[Path]) -> None:
    """Its files are flushed once, by the process that publishes it."""
    with Publication() as publication:
        part = part_of(publication, tmp_path)
        written = [part.add(tmp_path / name, name.encode()) for name in "abc"]
        made = part.hand_over()
        assert [each.written for each in made] == written
        assert flushed == []
        for each in made:
            each.flush()
            publication.adopt(tmp_path / each.written.name, each)
        publication.publish()
    assert sorted(flushed[:-1]) == sorted(each.temporary for each in made)
    assert flushed[-1] == tmp_path
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {name: name for name in "abc"}


def test_part_that_lost_bytes_is_not_published(tmp_path: Path) -> None:
    with Publication() as publication:
        part = part_of(publication, tmp_path)
        part.add(tmp_path / "file", b"figures")
        (made,) = part.hand_over()
        os.truncate(made.temporary, 3)
        with pytest.raises(OutputFailed, match="file: only a part of it"):
            made.flush()
        made.temporary.unlink()
    assert names(tmp_path) == set()


def test_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with pytest.raises(OutputFailed, match="folder/file could not be written: No such file"):
        write_whole(folder / "file", b"new")
    folder.mkdir()
    with Publication() as publication:
        publication.add(folder / "file", b"new")
        shutil.rmtree(folder)
        with pytest.raises(OutputFailed, match="folder/file could not be written: No such file"):
            publication.publish()


def test_files_are_flushed_where_no_thread_can_be_started(
    tmp_path: Path, flushed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container with a limit of processes: an export works without threads."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with Publication() as publication:
        for name in "123":
            publication.add(tmp_path / name, b"figures")
        publication.publish()
    assert len(flushed) == len("123") + 1
    assert names(tmp_path) == {*"123"}


def test_folder_that_has_become_a_file_is_named(tmp_path: Path) -> None:
    """Although the temporary file cannot be removed then."""
    folder = tmp_path / "folder"
    folder.mkdir()
    named = "folder/file could not be written: Not a directory"
    with pytest.raises(OutputFailed, match=named), Publication() as publication:
        publication.add(folder / "file", b"new")
        shutil.rmtree(folder)
        folder.touch()
        publication.publish()


def test_set_aside_tolerates_missing_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")

    def meanwhile(name: str) -> str:
        (tmp_path / name).unlink()
        return f"{name}.stale"

    set_aside([tmp_path / "file"], meanwhile)
    assert names(tmp_path) == set()


def test_file_that_cannot_be_set_aside_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "file.stale").mkdir()
    with pytest.raises(OutputFailed, match="file could not be written: Is a directory"):
        set_aside([tmp_path / "file"])


def failing_chunks() -> Iterator[bytes]:
    yield b"half"
    raise ZeroDivisionError


@pytest.mark.parametrize("data", [b"whole", failing_chunks()], ids=["after", "within"])
def test_error_before_publish_leaves_old_file_only(
    tmp_path: Path, data: bytes | Iterator[bytes]
) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), Publication() as publication:
        publication.add(tmp_path / "other", b"other")
        publication.add(target, data)
        raise ZeroDivisionError
    assert names(tmp_path) == {"file"}
    assert target.read_text() == "old"


def test_error_during_publish_leaves_no_temporary_file(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputFailed, match="second could not be written"),
        Publication() as publication,
    ):
        for name in ("first", "second", "third"):
            publication.add(tmp_path / name, b"new")
        (tmp_path / "second").mkdir()
        publication.publish()
    assert names(tmp_path) == {"first", "second"}


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("asked", [0o600, 0o640, 0o664])
def test_file_has_its_mode_from_the_first_byte(tmp_path: Path, asked: int) -> None:
    seen = []

    def chunks() -> Iterator[bytes]:
        (temporary,) = tmp_path.glob(".*.tmp")
        seen.append((mode(temporary), temporary.stat().st_size))
        yield b"secret"

    with Publication(asked) as publication:
        publication.add(tmp_path / "file", chunks())
        publication.publish()
    assert seen == [(asked, 0)]
    assert mode(tmp_path / "file") == asked


def test_readable_file_is_replaced_by_private_one(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    target.chmod(0o644)
    write_whole(target, b"new", 0o600)
    assert (target.read_text(), mode(target)) == ("new", 0o600)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize(("of_files", "given"), [(0o600, 0o700), (0o640, 0o750), (0o664, 0o775)])
def test_only_a_folder_that_is_made_gets_the_mode(
    tmp_path: Path, of_files: int, given: int
) -> None:
    folder = tmp_path / "parent" / "folder"
    make_folder(folder, of_files)
    assert (mode(folder.parent), mode(folder)) == (given, given)
    folder.chmod(0o711)
    make_folder(folder, of_files)
    assert mode(folder) == 0o711


def test_folders_are_flushed_once_that_of_the_last_file_last(
    tmp_path: Path, flushed: list[Path]
) -> None:
    top, below = tmp_path / "b", tmp_path / "b" / "a"
    below.mkdir(parents=True)
    with Publication() as publication:
        for name in "123":
            publication.add(below / name, b"figures")
            publication.add(top / name, b"figures")
        publication.publish()
    assert [path for path in flushed if path.is_dir()] == [below, top]


def test_folders_of_new_names_are_flushed(tmp_path: Path, flushed: list[Path]) -> None:
    """Otherwise, a power cut could lose the folder with everything that was published there."""
    folder = tmp_path / "new" / "newer"
    make_folder(folder)
    assert flushed == [tmp_path, folder.parent]
    write_whole(folder / "file", b"figures")
    assert flushed[-1] == folder
    flushed.clear()
    make_folder(folder)
    assert flushed == []


def test_file_in_place_of_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(OutputFailed, match=r"data is not a folder"):
        make_folder(tmp_path / "data")
    with pytest.raises(OutputFailed, match=r"below could not be written"):
        make_folder(tmp_path / "data" / "below")


def test_failure_sets_earlier_files_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old, older, absent = (tmp_path / name for name in ("old", "old.stale", "absent"))
    old.write_text("old")
    older.write_text("older")
    with replaced_or_set_aside([old, absent]):
        pass
    assert (old.read_text(), older.read_text()) == ("old", "older")
    with pytest.raises(ZeroDivisionError), replaced_or_set_aside([old, absent]):
        raise ZeroDivisionError
    assert names(tmp_path) == {"old.stale"}
    assert older.read_text() == "old"
    (warning,) = caplog.messages
    assert warning == f"1 files of an earlier run, such as {old}, now end in .stale"


def run_one_file(home: Home, out: Path) -> Result:
    home.settings["SCRAPE_ENDPOINTS"] = USERS
    result = home.run(DAY, "--out", str(out))
    assert "Traceback" not in result.err
    return result


@pytest.mark.usefixtures("sim")
@pytest.mark.parametrize("exists", [True, False])
def test_target_of_link_is_replaced(home: Home, exists: bool) -> None:
    real, link = home.path / "elsewhere" / "real.csv", home.path / "link.csv"
    real.parent.mkdir()
    if exists:
        real.write_text("old")
    link.symlink_to(Path("elsewhere") / "real.csv")
    assert run_one_file(home, link).code == 0
    assert link.is_symlink()
    assert real.read_text().startswith("User,")
    assert names(real.parent) == {"real.csv"}


def test_file_behind_link_is_set_aside(home: Home, sim: Simulator) -> None:
    real, link = home.path / "elsewhere" / "real.csv", home.path / "link.csv"
    real.parent.mkdir()
    link.symlink_to(real)
    assert run_one_file(home, link).code == 0
    sim.add_fault(Fault(status(404)))
    assert run_one_file(home, link).code == 5
    assert link.is_symlink()
    assert not link.exists()
    assert names(real.parent) == {"real.csv.stale"}


@pytest.mark.usefixtures("sim")
def test_folder_or_pipe_is_not_overwritten(home: Home) -> None:
    (home.path / "folder").mkdir()
    os.mkfifo(home.path / "pipe")
    before = names(home.path)
    for name in ("folder", "pipe"):
        result = run_one_file(home, home.path / name)
        assert (result.code, result.out) == (2, "")
        assert f"{name} is not a regular file" in result.err
    assert names(home.path) == before
    assert (home.path / "pipe").is_fifo()


@pytest.mark.usefixtures("sim")
@pytest.mark.parametrize("kind", ["long", "longer", "loop"])
def test_impossible_file_name_is_reported(home: Home, kind: str) -> None:
    (home.path / "a").symlink_to("b")
    (home.path / "b").symlink_to("a")
    name = {"long": "x" * 250 + ".csv", "longer": "x" * 300, "loop": "a"}[kind]
    result = run_one_file(home, home.path / name)
    if kind == "long" and result.code == 0:  # the longest possible name
        return
    assert (result.code, result.out) == (1, "")
    assert "ERROR" in result.err.splitlines()[-1]
    assert "could not be written" in result.err.splitlines()[-1]


def run_with_largest_file(home: Home, blocks: int, *words: str) -> Result:
    """Run with a limit on the size of files, in blocks of 512 or 1,024 bytes."""
    limited = ["sh", "-c", f'ulimit -f {blocks} && exec "$@"', "sh", *home.command(*words)]
    # Python's compiled files would be cut off too, and stay like that.
    environment = {**home.environment(), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(limited, env=environment, capture_output=True, timeout=300, check=False)
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.usefixtures("sim")
@pytest.mark.parametrize(
    ("blocks", "words"),
    [(0, (DAY,)), (1, TWO_DAYS)],
)
@pytest.mark.slow
def test_file_is_written_completely_or_not_at_all(
    home: Home, blocks: int, words: tuple[str, ...]
) -> None:
    assert home.run(*words).code == 0
    before = home.files()
    result = run_with_largest_file(home, blocks, *words)
    assert (result.code, result.out) == (1, "")
    assert "Traceback" not in result.err, result.err
    assert "ERROR" in result.err.splitlines()[-1]
    assert home.files() == {f"{name}.stale" for name in before}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A separate file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)]
    try:
        mounted = not subprocess.run(mount, capture_output=True, timeout=60, check=False).returncode
    except OSError:
        mounted = False
    if not mounted:
        assert "CI" not in os.environ, "CI must be able to mount a file system"
        pytest.skip("mounting needs root, and a mount command")
    yield folder
    subprocess.run(["umount", str(folder)], timeout=300, check=True)


def fill(folder: Path) -> None:
    with contextlib.suppress(OSError), (folder / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.usefixtures("sim")
@pytest.mark.parametrize("words", [(DAY,), TWO_DAYS])
@pytest.mark.slow
def test_full_disk_leaves_no_partial_file(
    home: Home, small_disk: Path, words: tuple[str, ...]
) -> None:
    home.settings["EXPORT_DIR"] = str(small_disk)
    assert home.run(*words).code == 0
    before = {path.relative_to(small_disk) for path in small_disk.rglob("*") if path.is_file()}
    fill(small_disk)
    result = home.run(*words)
    assert (result.code, result.out) == (1, "")
    assert "could not be written: No space left on device" in result.err.splitlines()[-1]
    left = {path.relative_to(small_disk) for path in small_disk.rglob("*") if path.is_file()}
    assert left == {path.with_name(f"{path.name}.stale") for path in before} | {Path("ballast")}


def test_leftover_without_lock_is_removed_after_a_day(home: Home) -> None:
    """Written by an earlier version of the program, or on a file system without locks."""
    start_of_name = f".{'0a' * 15}"
    old, new, other = (home.path / f"{start_of_name}{end}" for end in ("00.tmp", "01.tmp", "x.tmp"))
    for path in (old, new, other):
        path.write_text("part")
    two_days_ago = time.time() - 2 * 24 * 3600
    for path in (old, other):
        os.utime(path, (two_days_ago, two_days_ago))
    remove_leftovers([home.path])
    assert names(home.path) == {new.name, other.name}


def test_publication_may_exceed_open_file_limit(tmp_path: Path) -> None:
    """Such as years of days in Parquet, with a folder for each file."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = len(list(Path("/proc/self/fd").iterdir())) + 20
    targets = [tmp_path / f"day={number}" / "file" for number in range(40)]
    with Publication() as publication:
        for target in targets:
            make_folder(target.parent)
            publication.add(target, b"figures")
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, before[1]))
        try:
            publication.publish()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert {target.read_bytes() for target in targets} == {b"figures"}


def test_unfinished_file_prevents_publication(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="still being written"),
        Publication() as publication,
    ):
        publication.add(tmp_path / "whole", b"whole")
        publication.begin(tmp_path / "half").write(b"half")
        publication.publish()
    assert list(tmp_path.iterdir()) == []
