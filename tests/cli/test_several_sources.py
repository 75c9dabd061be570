"""One run over several sources: each runs separately, and a failed one does not stop the others."""

from __future__ import annotations

import contextlib
import html
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest

import toy_source
from conftest import Home, Start, today
from dashboard_scraper.cli.daily import run_daily
from dashboard_scraper.cli.several import for_each_source
from dashboard_scraper.errors import OutputFailed, SourcesFailed
from dashboard_scraper.model.dates import Window, last_complete_days
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.simulator import Organization, Simulator
from dashboard_scraper.sources.registry import ANALYTICS, SOURCES, info_of
from stored_days import settings_of

FULL = Path("/dev/full")
TOY = toy_source.NAME
DAYS = last_complete_days(2, today())
DAILY = ("--daily", f"{DAYS.start}", f"{DAYS.end}")


@pytest.fixture
def sim(home: Home, start_api: Start, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    monkeypatch.setitem(SOURCES, TOY, toy_source.__name__)
    home.settings["SOURCES"] = f"{ANALYTICS}, {TOY}"
    return start_api(Organization(users=2, today=today()))


def folders(home: Home) -> list[str]:
    return sorted(path.parent.parent.name for path in home.path.glob("data/**/manifest.json"))


def test_each_source_has_its_own_folder(home: Home, sim: Simulator) -> None:
    result = home.run(*DAILY)
    assert result.code == 0, result.err
    assert folders(home) == [ANALYTICS, TOY]
    for name in (ANALYTICS, TOY):
        folder = home.path / "data" / name / "latest"
        manifest = folder / "manifest.json"
        assert json.loads(manifest.read_bytes())["source"] == name
    assert sim.requests


def test_one_that_fails_does_not_stop_others(home: Home, sim: Simulator) -> None:
    home.settings["AUGMENT_API_TOKEN"] = "wrong"
    result = home.run(*DAILY)
    assert result.code == 3
    assert folders(home) == [TOY]
    *_, last = result.err.splitlines()
    assert f"1 of 2 sources failed: {ANALYTICS} (exit code 3); complete: {TOY}" in last
    assert sim.requests


def test_one_page_compares_them(home: Home, sim: Simulator) -> None:
    result = home.run(*DAILY)
    assert result.code == 0, result.err
    page = home.path / "data" / "report.html"
    assert page.as_uri() in result.out.splitlines()
    first = html.unescape(page.read_text())
    assert info_of(ANALYTICS).title in first
    assert info_of(TOY).title in first
    home.settings["AUGMENT_API_TOKEN"] = "wrong"
    earlier = Window(DAYS.start - timedelta(2), DAYS.start - timedelta(1))
    result = home.run("--daily", f"{earlier.start}", f"{earlier.end}")
    assert result.code == 3
    assert f"report.html of all sources: {ANALYTICS}: 2 of 2 days are missing" in result.err
    assert f"{earlier.start}" in page.read_text()
    assert sim.requests


def test_tables_of_an_earlier_run_do_not_pass_for_new_ones(home: Home, sim: Simulator) -> None:
    assert home.run(*DAILY).code == 0
    tables = sorted(path.name for path in home.data.glob("*.csv"))
    assert len(tables) == 2
    home.settings["ROSTER_FILE"] = "roster.csv"
    (home.path / "roster.csv").write_text("no such column\n")
    assert home.run(*DAILY).code == 2
    assert sorted(path.name for path in home.data.glob("*.csv*")) == [f"{n}.stale" for n in tables]
    assert [path.name for path in home.data.glob("report.html*")] == ["report.html.stale"]
    assert sim.requests


def test_interrupted_run_sets_tables_of_an_earlier_one_aside(home: Home, sim: Simulator) -> None:
    assert home.run(*DAILY).code == 0

    def interrupted(settings: Settings) -> None:
        raise KeyboardInterrupt(settings.source)

    with pytest.raises(KeyboardInterrupt):
        run_daily(settings_of(home), DAYS, around=lambda _: interrupted)
    assert {path.suffix for path in home.data.glob("*.csv*")} == {".stale"}
    assert sim.requests


def test_one_source_has_no_page_of_all(home: Home, sim: Simulator) -> None:
    result = home.run(*DAILY, "--source", ANALYTICS)
    assert result.code == 0, result.err
    assert not (home.path / "data" / "report.html").exists()
    assert sim.requests


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a device that is full")
def test_full_standard_output_does_not_stop_others(home: Home, sim: Simulator) -> None:
    """As if output goes to a log on a full disk."""
    with (
        io.TextIOWrapper(FULL.open("wb", buffering=0), write_through=True) as full,
        contextlib.redirect_stdout(full),
        pytest.raises(SourcesFailed) as failed,
    ):
        run_daily(settings_of(home), DAYS)
    assert failed.value.exit_code == OutputFailed.exit_code
    assert f"{TOY} (exit code 1)" in str(failed.value)
    assert folders(home) == [ANALYTICS, TOY]
    assert sim.requests


def test_unexpected_error_does_not_stop_others(home: Home, sim: Simulator) -> None:
    """The error is raised afterwards, since a bug report needs its traceback."""
    done: list[str] = []

    def work(settings: Settings) -> None:
        if settings.source in broken:
            raise KeyError(settings.source)
        done.append(settings.source)

    broken = {ANALYTICS}
    with pytest.raises(KeyError, match=ANALYTICS):
        for_each_source(settings_of(home), work)
    assert done == [TOY]
    broken.add(TOY)
    with pytest.raises(ExceptionGroup) as both:
        for_each_source(settings_of(home), work)
    assert [each.args for each in both.value.exceptions] == [(ANALYTICS,), (TOY,)]
    assert not sim.requests


def test_missing_standard_output_is_no_error(home: Home, sim: Simulator) -> None:
    """As in a service that has none."""
    with contextlib.redirect_stdout(None):
        run_daily(settings_of(home), DAYS)
    assert folders(home) == [ANALYTICS, TOY]
    assert sim.requests


def test_different_failures_have_a_code_of_their_own(
    home: Home, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert home.run(*DAILY).code == 0
    home.settings["AUGMENT_API_TOKEN"] = "wrong"
    monkeypatch.setitem(SOURCES, "other", toy_source.__name__)
    home.settings["SOURCES"] += ",other"
    result = home.run("status", "--check", "--max-age", "1m")
    assert result.code == 12
    assert f"{ANALYTICS} (exit code 3), {TOY} (exit code 8)" in result.err
    assert sim.requests


def test_source_option_chooses_one_and_writes_to_its_folder(home: Home, sim: Simulator) -> None:
    """As when somebody repeats the one that failed: writing elsewhere would repair nothing, and
    writing over the files of all sources would lose the others.
    """
    assert home.run(*DAILY).code == 0
    of_all = {path: path.read_bytes() for path in home.data.glob("*.[ch]*")}
    one = home.data / ANALYTICS
    for path in one.glob("*/manifest.json"):
        path.unlink()
    for command in (DAILY, ("report",), ("people", "--csv"), (f"{DAYS.start}",)):
        result = home.run(*command, "--source", ANALYTICS)
        assert result.code == 0, result.err
        assert all(f"/{ANALYTICS}/" in line for line in result.out.splitlines())
    assert folders(home) == [ANALYTICS, TOY]
    assert {path: path.read_bytes() for path in of_all} == of_all
    assert sim.requests


def test_sources_beside_another_choice_are_refused(home: Home, sim: Simulator) -> None:
    """Somebody who follows the page for one source, then that for several, has both settings."""
    home.settings["METRICS_SOURCE"] = TOY
    result = home.run(*DAILY)
    assert result.code == 2
    assert f"METRICS_SOURCE={TOY} beside SOURCES={ANALYTICS},{TOY}: remove one" in result.err
    result = home.run(*DAILY, "--source", TOY)
    assert (result.code, "METRICS_SOURCE" in result.err) == (0, False)
    (home.path / ".env").write_text(f"SOURCES={home.settings.pop('SOURCES')}\n")
    result = home.run(*DAILY)
    assert result.code == 0, "the environment overrides the file"
    assert f"METRICS_SOURCE={TOY} is in the environment, and leaves SOURCES=" in result.err
    home.settings["METRICS_SOURCE"] = "all"
    assert home.run(*DAILY).code == 0
    assert folders(home) == [ANALYTICS, TOY]
    assert sim.requests


def test_all_is_what_has_credentials(home: Home, sim: Simulator) -> None:
    """Augment's dashboard is not fetched beside its API: the same people would be counted twice."""
    del home.settings["SOURCES"]
    result = home.run(*DAILY, "--source", "all")
    assert (result.code, folders(home)) == (0, ["data"])
    del home.settings["AUGMENT_API_TOKEN"]
    result = home.run(*DAILY, "--source", "all")
    assert result.code == 2
    assert "no source has its credentials" in result.err
    assert sim.requests


def test_files_of_all_are_exported_from_the_store(home: Home, sim: Simulator) -> None:
    assert home.run("backfill", f"{DAYS.start}", f"{DAYS.end}").code == 0
    sim.requests.clear()
    out = home.path / "out"
    result = home.run("export", f"{DAYS.start}", f"{DAYS.end}", "--out", f"{out}")
    assert result.code == 0, result.err
    assert sorted(path.name for path in out.iterdir()) == [ANALYTICS, TOY]
    assert not sim.requests


def test_one_csv_needs_one_source(home: Home, sim: Simulator) -> None:
    result = home.run(f"{DAYS.start}", f"{DAYS.end}", "--out", "one.csv")
    assert result.code == 2
    assert "--out is for one CSV; give --source too" in result.err
    assert not sim.requests


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("analytics,jira", "'jira' is not a source; write some of"),
        ("analytics,analytics", "write each source once"),
        ("analytics,dashboard", "analytics and dashboard have the same people's figures"),
    ],
)
def test_sources_are_known_and_distinct(home: Home, names: str, message: str) -> None:
    home.settings["SOURCES"] = names
    result = home.run(*DAILY)
    assert result.code == 2
    assert message in result.err
