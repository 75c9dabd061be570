"""A failed run leaves files that are still valid, and a manifest that says how fresh they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conftest import Home, Start, all_files
from dashboard_scraper.cli.exporting import export_files
from dashboard_scraper.cli.fetching import fetch_daily, fetch_period
from dashboard_scraper.cli.wiring import daily_export
from dashboard_scraper.errors import (
    OutputFailed,
    ScraperError,
    SignInRequired,
    SourceUnavailable,
    StoreFailed,
)
from dashboard_scraper.exports.manifest import is_as_listed, read_manifest
from dashboard_scraper.exports.withdrawal import withdraw
from dashboard_scraper.model.dates import Window, iso_utc
from dashboard_scraper.publication import WrittenFile
from dashboard_scraper.simulator import Fault, Organization, Request, Simulator, status
from dashboard_scraper.simulator.exchange import Answer
from dashboard_scraper.store import store_of
from stored_days import NOON, TODAY, USERS, fetch, forget, march, settings_of, stored_users

FIRST, LAST = march(3), march(9)
SETTLED, UNSETTLED = [march(day) for day in (3, 4, 5, 6)], [march(day) for day in (7, 8, 9)]
MANIFEST = "manifest.json"
STALE = ".stale"


def settings_in(data: Path) -> dict[str, str]:
    return {"MAX_RETRIES": "0", "RECHECK_DAYS": "0", "STORE_URL": f"sqlite:///{data / 'usage.db'}"}


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a home that has fetched the window; tests use copies."""
    home = Home(tmp_path_factory.mktemp("fetched"))
    home.settings |= settings_in(home.data)
    with Simulator(Organization(users=5, today=TODAY)) as simulator:
        home.settings["METRICS_API_BASE_URL"] = f"{simulator.url}/"
        home.sign_in(simulator)
        fetch(home, FIRST, LAST)
    return home.data


@pytest.fixture
def spring(start: Start, home: Home, fetched: Path) -> Simulator:
    """A simulator of five users whose today is the 10th of March, 2025; the window is fetched."""
    shutil.copytree(fetched, home.data, symlinks=True)
    home.settings |= settings_in(home.data)
    return start(Organization(users=5, today=TODAY))


def folder_of(home: Home) -> Path:
    return home.data / f"daily_exports_{FIRST}_to_{LAST}"


def contents(home: Home) -> dict[str, bytes]:
    folder = folder_of(home)
    return {str(path.relative_to(folder)): path.read_bytes() for path in all_files(folder)}


def pairs(days: list[date]) -> set[str]:
    kinds = ("augment_metrics_{}.csv", "copilot_metrics_{}.json")
    return {kind.format(day) for day in days for kind in kinds}


def manifest(home: Home) -> Any:
    return json.loads((folder_of(home) / MANIFEST).read_bytes())


def expire(sim: Simulator, home: Home) -> type[ScraperError]:
    assert home.data
    sim.expire()
    return SignInRequired


def lose_store(sim: Simulator, home: Home) -> type[ScraperError]:
    """Replace the store by a folder, which cannot be opened as a store."""
    assert sim
    (home.data / "usage.db").unlink()
    (home.data / "usage.db").mkdir()
    return StoreFailed


@pytest.mark.parametrize("trouble", [expire, lose_store])
@pytest.mark.slow
def test_failed_run_leaves_settled_days(
    home: Home, spring: Simulator, trouble: Callable[[Simulator, Home], type[ScraperError]]
) -> None:
    """All other files are set aside."""
    before = contents(home)
    error = trouble(spring, home)
    with pytest.raises(error) as raised:
        fetch(home, FIRST, LAST, NOON + timedelta(hours=1))
    after = contents(home)
    stay = pairs(SETTLED)
    assert after.keys() == stay | {MANIFEST} | {f"{name}{STALE}" for name in before.keys() - stay}
    assert {name: after[name] for name in stay} == {name: before[name] for name in stay}
    assert all(after[f"{name}{STALE}"] == before[name] for name in before.keys() - stay)
    reported = manifest(home)
    assert reported["failed"] == {
        "at": iso_utc(NOON + timedelta(hours=1)),
        "exit_code": error.exit_code,
        "reason": str(raised.value),
    }
    assert (reported["aggregated"], reported["github_reports"], reported["report"]) == (
        None,
        [],
        None,
    )
    days = {each["day"]: each for each in reported["days"]}
    complete = {"status": "complete", "fetched_at": iso_utc(NOON), "settled": True}
    assert all(complete.items() <= days[f"{day}"].items() for day in SETTLED)
    for day in UNSETTLED:
        assert days[f"{day}"].keys() == {"day", "status", "reason"}
        assert days[f"{day}"]["status"] == "failed"


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        pytest.param(KeyboardInterrupt(), 130, "the run was interrupted", id="interrupted"),
        pytest.param(SystemExit(143), 143, "the run was told to end", id="told to end"),
        pytest.param(SystemExit("nobody knows why"), None, "", id="without a code"),
        pytest.param(ZeroDivisionError(), None, "", id="broken"),
        pytest.param(OutputFailed("the disk is full"), None, "", id="full disk"),
    ],
)
@pytest.mark.slow
def test_stopped_run_leaves_settled_days(
    home: Home, spring: Simulator, error: BaseException, code: int | None, reason: str
) -> None:
    """A run that ended because of a bug, or could not write, leaves none."""
    assert spring
    settings = settings_of(home)
    export = daily_export(settings, Window(FIRST, LAST), None)
    withdraw(store_of(settings), export, lambda: NOON, error)
    fresh = {name for name in contents(home) if not name.endswith(STALE)}
    if code is None:
        assert fresh == set()
    else:
        assert fresh == pairs(SETTLED) | {MANIFEST}
        failed = {"at": iso_utc(NOON), "exit_code": code, "reason": reason}
        assert manifest(home)["failed"] == failed


@pytest.mark.slow
def test_manifest_says_how_fresh_each_day_is(home: Home, spring: Simulator) -> None:
    assert spring
    fetch(home, FIRST, LAST, NOON + timedelta(days=1))
    reported = manifest(home)
    assert reported["failed"] is None
    moments = {each["day"]: (each["fetched_at"], each["settled"]) for each in reported["days"]}
    first, second = iso_utc(NOON), iso_utc(NOON + timedelta(days=1))
    assert moments == {
        **{f"{day}": (first, True) for day in SETTLED},
        f"{march(7)}": (second, True),
        **{f"{day}": (second, False) for day in (march(8), march(9))},
    }


@pytest.mark.slow
def test_manifest_lists_every_other_file(home: Home, spring: Simulator) -> None:
    assert spring
    reported = read_manifest(folder_of(home) / MANIFEST)
    assert reported is not None
    assert {file.name for file in reported.files()} == contents(home).keys() - {MANIFEST}
    assert all(is_as_listed(folder_of(home), file) for file in reported.files())
    without_page = msgspec.structs.replace(reported, report=None)
    assert [file for file in reported.files() if file != reported.report] == without_page.files()


def test_impossible_file_name_is_not_as_listed(tmp_path: Path) -> None:
    assert not is_as_listed(tmp_path, WrittenFile("x" * 1000, 0, ""))


def fail(home: Home, sim: Simulator) -> set[str]:
    """Run with an expired session; returns the daily files that have kept their names."""
    sim.expire()
    with pytest.raises(SignInRequired):
        fetch(home, FIRST, LAST, NOON + timedelta(hours=1))
    return {name for name in contents(home) if name.endswith((".csv", ".json"))} - {MANIFEST}


def fetched_since(home: Home, sim: Simulator) -> None:
    sim.revise(march(4))
    later = NOON + timedelta(minutes=1)
    fetch_period(settings_of(home), later, Window(march(4), march(4)), None)


def edited(home: Home, sim: Simulator) -> None:
    assert sim
    path = folder_of(home) / f"augment_metrics_{march(4)}.csv"
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))


def gone(home: Home, sim: Simulator) -> None:
    assert sim
    (folder_of(home) / f"copilot_metrics_{march(4)}.json").unlink()


@pytest.mark.parametrize("change", [fetched_since, edited, gone])
@pytest.mark.slow
def test_failed_run_sets_changed_days_aside(
    home: Home, spring: Simulator, change: Callable[[Home, Simulator], None]
) -> None:
    change(home, spring)
    others = [day for day in SETTLED if day != march(4)]
    assert fail(home, spring) == pairs(others)
    days = {each["day"]: each["status"] for each in manifest(home)["days"]}
    assert days[f"{march(4)}"] == "failed"


def key(home: Home) -> str:
    path = home.path / "key"
    path.write_text("0123456789abcdef" * 4)
    path.chmod(0o600)
    return str(path)


@pytest.mark.slow
def test_days_stored_before_losing_the_store_go(home: Home, spring: Simulator) -> None:
    """The store is unavailable then, and the manifest has only the earlier figures."""

    def lose(answer: Answer, request: Request) -> Answer:
        if request.day == march(5):
            lose_store(spring, home)
        return answer

    home.settings["MAX_CONCURRENCY"] = "1"
    spring.add_fault(Fault(lose, USERS))
    with pytest.raises(StoreFailed):
        fetch_daily(settings_of(home), Window(FIRST, LAST), refresh=True, clock=lambda: NOON)
    assert all(name.endswith(STALE) for name in contents(home))


@pytest.mark.parametrize(
    ("name", "value"),
    [("ENTERPRISE_ID", "another"), ("PSEUDONYM_KEY_FILE", ""), ("METRICS_SOURCE", "analytics")],
)
@pytest.mark.slow
def test_failed_run_with_other_settings_leaves_nothing(
    home: Home, spring: Simulator, name: str, value: str
) -> None:
    home.settings |= {name: value or key(home), "AUGMENT_API_TOKEN": "expired"}
    home.settings["ANALYTICS_API_BASE_URL"] = spring.url
    home.settings.setdefault("METRICS_SOURCE", "dashboard")
    assert fail(home, spring) == set()
    assert not (folder_of(home) / MANIFEST).exists()


@pytest.mark.slow
def test_failed_run_sets_forgotten_days_aside(home: Home, spring: Simulator) -> None:
    forget(home, stored_users(home)[march(4)][0].user)
    assert fail(home, spring) == set()


@pytest.mark.slow
def test_failed_run_with_a_damaged_store_leaves_nothing(home: Home, spring: Simulator) -> None:
    assert spring
    (home.data / "usage.db").write_bytes(b"this was a store" * 1000)
    with pytest.raises(StoreFailed):
        fetch(home, FIRST, LAST)
    assert all(name.endswith(STALE) for name in contents(home))


@pytest.mark.slow
def test_failures_in_a_row_lose_nothing(home: Home, spring: Simulator) -> None:
    """The next successful run is complete again."""
    before = contents(home)
    assert fail(home, spring) == fail(home, spring) == pairs(SETTLED)
    assert contents(home)[f"{MANIFEST}{STALE}"] == before[MANIFEST]
    spring.clear_faults()
    export_files(settings_of(home), Window(FIRST, LAST), None)
    fresh = {name: data for name, data in contents(home).items() if not name.endswith(STALE)}
    assert fresh == before


@pytest.mark.slow
def test_unavailable_source_leaves_a_partial_export(home: Home, spring: Simulator) -> None:
    """Whether only some days cannot be fetched (exit 6), or none can (exit 4)."""
    spring.add_fault(Fault(status(502)))
    with pytest.raises(ScraperError) as raised:
        fetch(home, FIRST, LAST)
    assert raised.value.exit_code == 6
    fresh = {name for name in contents(home) if not name.endswith(STALE)}
    assert pairs(SETTLED) < fresh
    assert not fresh & pairs(UNSETTLED)
    with pytest.raises(SourceUnavailable):
        fetch(home, march(8), LAST)
    assert spring.count(USERS)
