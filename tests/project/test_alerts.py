"""The Prometheus alerts in deploy/prometheus: each fires when it should, is silent when it should
be, and is not silenced by a metric that is gone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conftest import Home
from dashboard_scraper.model.dates import Window
from dashboard_scraper.notify.occasions import Occasion
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.sources.registry import DASHBOARD, SOURCES, lag_days_of
from dashboard_scraper.store import store_at
from dashboard_scraper.store.notices import Notice
from dashboard_scraper.store.runs import NIGHTLY, RunCounts
from grafana import dashboard, panels
from made_up_days import FETCHED, LAST, MONTH, store_days, users
from prometheus import running
from serving import Served, serving
from stored_costs import store_costs
from tree import ROOT

FOLDER = ROOT / "deploy" / "prometheus"
(GROUP,) = msgspec.yaml.decode((FOLDER / "alerts.yaml").read_text())["groups"]
RULES: list[dict[str, Any]] = GROUP["rules"]
ALERTS = [rule["alert"] for rule in RULES if "alert" in rule]
METRICS = sorted(set(re.findall(r"dashboard_scraper_\w+", str([rule["expr"] for rule in RULES]))))
JOB = 'job="dashboard-scraper", instance="serve:8377"'
OCCASION = f'occasion="{Occasion.SIGN_IN_EXPIRES.value}"'


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if not found:
        assert "CI" not in os.environ, "CI provides promtool"
        pytest.skip("the alerts are checked with Debian's package prometheus")
    return found


def cases() -> Iterator[dict[str, Any]]:
    yield from msgspec.yaml.decode((FOLDER / "alerts.test.yaml").read_text())["tests"]


def expectations() -> Iterator[tuple[str, bool]]:
    """The alerts that promtool's tests check, and whether each has to fire."""
    for case in cases():
        for check in case["alert_rule_test"]:
            yield check["alertname"], bool(check.get("exp_alerts"))


@pytest.mark.heavy
@pytest.mark.slow
def test_alerts_fire_when_they_should(promtool: str) -> None:
    for words in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts.test.yaml"]):
        done = subprocess.run(
            [promtool, *words], cwd=FOLDER, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_is_tested_both_ways(alert: str) -> None:
    assert {fires for name, fires in expectations() if name == alert} == {True, False}


def _series(metric: str) -> str:
    more = f", {OCCASION}" if metric.endswith("_notices") else ""
    return f'{metric}{{{JOB}, source="{DASHBOARD}"{more}}}'


def _vanishing(metric: str) -> dict[str, Any]:
    """A test in which all is well, but this metric is gone after five minutes."""
    figure = metric.removeprefix("dashboard_scraper_")
    expected = {"job": "dashboard-scraper", "source": DASHBOARD, "figure": figure}
    rows = [{"series": f"up{{{JOB}}}", "values": "1x40"}]
    rows += [
        {"series": _series(each), "values": "0x5" if each == metric else "0x40"} for each in METRICS
    ]
    return {
        "name": metric,
        "interval": "1m",
        "input_series": rows,
        "promql_expr_test": [
            {
                "expr": 'count by (alertname, job, source, figure) (ALERTS{alertstate="firing"})',
                "eval_time": "40m",
                "exp_samples": [
                    {"labels": _labels("DashboardScraperFigureMissing", expected), "value": 1}
                ],
            }
        ],
    }


def _labels(alert: str, labels: dict[str, str]) -> str:
    listed = {"alertname": alert, **labels}
    return "{" + ", ".join(f'{name}="{value}"' for name, value in listed.items()) + "}"


@pytest.mark.heavy
@pytest.mark.slow
def test_metric_that_vanishes_fires_an_alert(tmp_path: Path, promtool: str) -> None:
    """Also `missing_days`, which all sources have: without it, nothing seems to be stored."""
    tests = [_vanishing(metric) for metric in METRICS]
    nothing = {"job": "dashboard-scraper"}
    (of_all,) = (each for each in tests if each["name"] == "dashboard_scraper_missing_days")
    of_all["promql_expr_test"][0]["exp_samples"].append(
        {"labels": _labels("DashboardScraperNothingStored", nothing), "value": 1}
    )
    shutil.copy(FOLDER / "alerts.yaml", tmp_path)
    content = {"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "vanishing.yaml").write_text(msgspec.yaml.encode(content).decode())
    done = subprocess.run(
        [promtool, "test", "rules", "vanishing.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`serve` with a store in which every metric is known: old days, and an expiring session."""
    home = Home(tmp_path_factory.mktemp("metrics"))
    names = users(6)
    store_days(home, names, MONTH)
    store_costs(home, names, Window(LAST, LAST))
    rows = [f"{name},{name[:8]},{number},all" for number, name in enumerate(names, 100)]
    (home.path / "people.csv").write_text("\n".join(["email,login,id,team", *rows]))
    home.settings["IDENTITY_FILE"] = "people.csv"
    store = store_at(home.settings["STORE_URL"])
    with store.locked(), store.opened():
        run = store.start_run(DASHBOARD, NIGHTLY, FETCHED, "1.0")
        store.end_run(run, FETCHED, 0, RunCounts(7, 0, 0, 9))
        store.put_success(DASHBOARD, FETCHED)
        store.put_notices([Notice(DASHBOARD, Occasion.SIGN_IN_EXPIRES.value, FETCHED, "Soon")])
    with serving(home) as server:
        yield server


def test_stale_alert_waits_longer_for_sources_that_are_late() -> None:
    """For each source, by the days that it is late; sources without a rule wait two days."""
    (expr,) = (rule["expr"] for rule in RULES if rule.get("alert") == "DashboardScraperStale")
    hours = dict(re.findall(r'source(!?="\w+")\} > (\d+) \* 3600', expr))
    default = Settings.model_construct()
    late = {name: days for name in SOURCES if (days := lag_days_of(default, name))}
    (name,) = late
    assert hours == {f'!="{name}"': "48", f'="{name}"': f"{48 + 24 * late[name]}"}


@pytest.mark.slow
def test_every_metric_of_alerts_and_panels_is_served(served: Served) -> None:
    text = served.get("/metrics").text
    names = set(re.findall(r"^(dashboard_scraper_\w+)\{", text, re.MULTILINE))
    drawn = {name for each in expressions() for name in re.findall(r"dashboard_scraper_\w+", each)}
    assert len(drawn) > 5
    assert {*METRICS, *drawn} <= names


@pytest.mark.slow
def test_open_notices_are_served(served: Served) -> None:
    line = f'dashboard_scraper_open_notices{{source="{DASHBOARD}",{OCCASION}}} 1'
    assert line in served.get("/metrics").text.splitlines()


def expressions() -> list[str]:
    """The PromQL expressions of the dashboard."""
    drawn = panels(dashboard("prometheus", "status"))
    return [target["expr"] for panel in drawn for target in panel["targets"]]


@pytest.mark.heavy
@pytest.mark.slow
def test_prometheus_scrapes_serve_and_answers_every_panel(
    served: Served, promtool: str, tmp_path: Path
) -> None:
    """The files of deploy/prometheus in a real Prometheus, which scrapes a real `serve`."""
    with running(Path(promtool).with_name("prometheus"), served, tmp_path) as prometheus:
        prometheus.wait_for('up{job="dashboard-scraper"} == 1')
        prometheus.wait_for("dashboard_scraper:source:known")
        for expression in expressions():
            prometheus.wait_for(expression)
        prometheus.wait_for(f'ALERTS{{alertname="DashboardScraperSignInExpires",{OCCASION}}}')
        prometheus.wait_for('ALERTS{alertname="DashboardScraperStale",alertstate="pending"}')
        (group,) = prometheus.get("rules")["groups"]
        assert [rule for rule in group["rules"] if rule.get("lastError")] == []
        assert {rule["name"] for rule in group["rules"]} >= {*ALERTS}
        assert prometheus.query("ALERTS{alertname='DashboardScraperFigureMissing'}") == []
