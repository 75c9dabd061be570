"""A source is a module and a row in the registry: no other code of the program knows its name."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
from decimal import Decimal

import pytest

import dashboard_scraper
import toy_source
from conftest import Home, all_files, yesterday
from dashboard_scraper.cli.wiring import daily_export
from dashboard_scraper.clock import utc_now
from dashboard_scraper.errors import DaysMissing, SignInRequired, UsageError
from dashboard_scraper.exports.withdrawal import withdraw
from dashboard_scraper.github.kinds import GithubOptions, Report, Scope, Subject
from dashboard_scraper.github.views import GithubViews
from dashboard_scraper.model.costs import CostFigures
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import BY_NAME, REQUIRED
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.sources.registry import DASHBOARD, SOURCES
from dashboard_scraper.store import store_at, store_of
from dashboard_scraper.store.cache import StoreCache
from dashboard_scraper.store.settling import Settling
from made_up_costs import ADA, DAY, cost, day_of, put_costs
from made_up_days import LAST, MONTH, store_days
from stored_days import settings_of


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    """The program with one more source in its registry; returns the source's name."""
    monkeypatch.setitem(SOURCES, toy_source.NAME, toy_source.__name__)
    return toy_source.NAME


@pytest.mark.slow
def test_daily_job_exports_a_new_source(home: Home, toy: str) -> None:
    result = home.run("--last-28-days", "--source", toy)
    assert result.code == 0, result.err
    with (home.daily_folder / f"toy_metrics_{yesterday()}.csv").open(encoding="utf-8-sig") as f:
        rows = list(csv.DictReader(f))
    sent = str(yesterday().day)
    assert [dict(row) for row in rows] == [
        {"User": name, "Chat Messages": sent, "Total Messages": sent} for name in toy_source.PEOPLE
    ]
    manifest = json.loads((home.daily_folder / "manifest.json").read_bytes())
    assert manifest["source"] == toy
    assert toy_source.INFO.title in (home.daily_folder / "report.html").read_text()


@pytest.mark.slow
def test_what_a_source_cannot_fill_is_not_written(home: Home, toy: str) -> None:
    """Nor does another source's file stay there; the manifest, the notes and the log say why."""
    sent = {metric.name for metric in toy_source.INFO.metrics}
    lacking = [metric for metric in REQUIRED if metric.name not in sent]
    (folder := home.data / "export").mkdir(parents=True)
    store_days(home, toy_source.PEOPLE, MONTH)
    words = ("export", f"{MONTH.start}", f"{MONTH.end}", "--out", f"{folder}")
    assert home.run(*words, "--source", DASHBOARD).code == 0
    assert not (folder / "NOTES.txt").exists()
    assert home.run("backfill", f"{MONTH.start}", f"{MONTH.end}", "--source", toy).code == 0
    result = home.run(*words, "--source", toy)
    assert result.code == 0, result.err
    names = {path.relative_to(folder).as_posix() for path in all_files(folder)}
    current = {name for name in names if not name.endswith(".stale")}
    days = {f"toy_metrics_{day}.csv" for day in MONTH.days()}
    assert current == {*days, "manifest.json", "report.html", "NOTES.txt"}
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert manifest["aggregated"] is None
    unwritten = {each["output"]: each for each in manifest["unwritten"]}
    assert list(unwritten) == ["Copilot JSON files", "GitHub's reports"]
    assert unwritten["Copilot JSON files"]["lacks"] == [metric.name for metric in lacking]
    for each in unwritten.values():
        assert toy_source.INFO.title in each["reason"]
        assert all(BY_NAME[name].title in each["reason"] for name in each["lacks"])
        assert each["reason"] in (folder / "NOTES.txt").read_text()
        assert each["reason"] in result.err
    assert home.run(*words, "--source", DASHBOARD).code == 0
    names = {path.relative_to(folder).as_posix() for path in all_files(folder)}
    assert not names & {*days, "NOTES.txt"}


@pytest.mark.usefixtures("toy")
def test_library_refuses_records_without_figures(home: Home) -> None:
    store_days(home, toy_source.PEOPLE, Window(LAST, LAST), source=toy_source.NAME)
    with dashboard_scraper.open_store(home.settings["STORE_URL"]) as store:
        assert [day.day for day in store.days(LAST, LAST)] == [LAST]
        for records in (store.copilot_records, store.github_records):
            with pytest.raises(UsageError, match="A toy does not have: Completions"):
                next(records(LAST, LAST, "1"))


@pytest.mark.usefixtures("toy")
def test_reports_without_figures_are_not_served(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    """So they lack no days either; the known people do not depend on figures."""
    store_days(home, toy_source.PEOPLE, Window(LAST, LAST), source=toy_source.NAME)
    audience, options = Audience(), GithubOptions("1", "2")
    with contextlib.closing(store_at(home.settings["STORE_URL"])) as store:
        views = GithubViews(
            StoreCache(store), toy_source.NAME, audience, options, Settling(3, 7), utc_now
        )
        for scope, subject in itertools.product(Scope, Subject):
            with pytest.raises(DaysMissing, match="GitHub's reports need figures that A toy"):
                views.of_day(scope, subject, LAST)
            with pytest.raises(DaysMissing, match="does not have: Completions, Accepted"):
                views.latest(scope, subject)
            report = Report(scope, subject, Window(LAST, LAST), latest=False)
            with pytest.raises(DaysMissing):
                next(views.download(report).chunks)
        assert views.people() == {toy_source.NAME: len(toy_source.PEOPLE)}
        assert {seat.person.login for seat in views.seats().seats} == {*toy_source.PEOPLE}
        assert views.missing_from_latest() == {}
    assert caplog.text.count("not served: GitHub's reports") == 1


@pytest.mark.usefixtures("toy")
def test_focus_names_the_product_and_its_vendor(home: Home) -> None:
    estimated = CostFigures(1, 2, 3, 4, None, None, Decimal("0.25"), None)
    row = cost(ADA, estimated)
    put_costs(home, [day_of([row])], source=toy_source.NAME)
    result = home.run("export", f"{DAY}", "--format", "focus")
    assert result.code == 0, result.err
    (path,) = (home.data / "focus").glob("*.csv")
    with path.open(encoding="utf-8-sig") as file:
        (charge,) = csv.DictReader(file)
    toy = toy_source.TOY
    named = ("ServiceName", "ServiceProviderName", "InvoiceIssuerName", "HostProviderName")
    assert [charge[name] for name in named] == [toy.name, toy.vendor, toy.vendor, toy.vendor]
    assert (charge["BillingAccountId"], charge["x_Source"]) == (toy.prefix, toy_source.NAME)
    assert {charge[f"{name}Cost"] for name in ("Billed", "Effective", "List", "Contracted")} == {""}
    assert charge["x_EstimatedCost"] == "0.25"
    home.settings["FOCUS_BILLING_ACCOUNT_ID"] = "contract-7"
    assert home.run("export", f"{DAY}", "--format", "focus").code == 0
    assert "contract-7" in path.read_text(encoding="utf-8-sig")


@pytest.mark.slow
def test_failure_leaves_nothing_of_another_source(
    home: Home, toy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even though its days, columns and settings are the same."""
    monkeypatch.setitem(SOURCES, "twin", toy_source.__name__)
    for source in (toy, "twin"):
        store_days(home, toy_source.PEOPLE, Window(LAST, LAST), source=source)
    assert home.run("export", f"{LAST}", "--source", toy).code == 0
    home.settings["METRICS_SOURCE"] = "twin"
    settings = settings_of(home)
    export = daily_export(settings, Window(LAST, LAST), None)
    withdraw(store_of(settings), export, utc_now, SignInRequired("no"))
    files = all_files(export.folder)
    assert {path.suffix for path in files} == {".stale"}


@pytest.mark.slow
def test_export_without_copilot_json_is_complete(home: Home, toy: str) -> None:
    assert home.run("--last-28-days", "--source", toy).code == 0
    assert (home.data / "latest").resolve() == home.daily_folder


def test_period_of_a_new_source_has_its_totals(home: Home, toy: str) -> None:
    result = home.run(f"{yesterday()}", "--source", toy)
    assert result.code == 0, result.err
    users, tenant = result.paths
    assert "user_count,2" in tenant.read_text()
    assert toy_source.PEOPLE[1] in users.read_text()


@pytest.mark.slow
def test_status_and_its_check_know_a_new_source(home: Home, toy: str) -> None:
    home.settings["METRICS_SOURCE"] = toy
    assert home.run("--last-28-days").code == 0
    status = home.run("status", "--check", "--json", "--max-age", "2d")
    assert status.code == 0, status.err
    assert json.loads(status.out)["sources"][0]["source"] == toy


def test_unregistered_source_is_refused(home: Home) -> None:
    home.settings["METRICS_SOURCE"] = toy_source.NAME
    result = home.run("--last-28-days")
    assert result.code == 2
    assert "write auto, all, dashboard, analytics" in result.err
