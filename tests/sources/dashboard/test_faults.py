"""Answers that the dashboard is not known to give are refused as a whole, or reported."""

from __future__ import annotations

import csv
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from both_sources import dashboard
from conftest import WEEK, WEEK_JOB, Home, content_of, last_working_day, own_files
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.exports.copilot_converter import PLACES
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import USER_TITLE, Kind, Metric
from dashboard_scraper.simulator import (
    Fault,
    Simulator,
    add_field,
    html,
    null_body,
    raw_body,
    redirect,
    remove_field,
    rename_key,
    repeat_user,
    set_value,
    status,
)
from dashboard_scraper.simulator.faults import Effect
from dashboard_scraper.sources.dashboard.fields import (
    FIELDS,
    MONTHLY_ACTIVE_USERS,
    TENANT_TOTALS,
    USER_FIELD,
)
from dashboard_scraper.sources.dashboard.settings import Endpoint

USERS, TENANT, MONTHLY = (e.value for e in Endpoint)
DAY = last_working_day()
BROKEN_DAY = DAY - timedelta(3)
CSV_NAME, TENANT_NAME = f"metrics_{DAY:%Y%m%d}.csv", f"metrics_{DAY:%Y%m%d}_tenant.csv"
AGGREGATED, MANIFEST = "copilot_metrics_aggregated.json", "manifest.json"
REPORT = "report.html"


def field(kind: Kind, *, required: bool) -> Metric:
    return next(m for m in FIELDS if m.kind is kind and m.required is required)


COUNT = field(Kind.COUNT, required=True)
OPTIONAL = field(Kind.COUNT, required=False)
ACTIVE_DAYS, RATE, MOMENT = (
    field(k, required=False) for k in (Kind.DAYS, Kind.PERCENT, Kind.MOMENT)
)
TENANT_TOTAL = next(iter(TENANT_TOTALS))


def body(text: str) -> Effect:
    return raw_body(text.encode())


BROKEN_USERS: dict[str, Effect] = {
    "renamed list key": rename_key("userFeatureStats", "userStats"),
    "renamed metric": rename_key(FIELDS[COUNT], "completions"),
    "removed metric": remove_field(FIELDS[COUNT]),
    "metric null everywhere": set_value(FIELDS[COUNT], None),
    "renamed user": rename_key(USER_FIELD, "email"),
    "one record without a user": remove_field(USER_FIELD, record=3),
    "empty user": set_value(USER_FIELD, "", record=3),
    "null user": set_value(USER_FIELD, None, record=3),
    "user of another type": set_value(USER_FIELD, 12, record=3),
    "count as text": set_value(FIELDS[COUNT], "450", record=3),
    "count with decimals": set_value(FIELDS[COUNT], 1.5, record=3),
    "count as boolean": set_value(FIELDS[COUNT], True, record=3),
    "negative count": set_value(FIELDS[COUNT], -1, record=3),
    "count as list": set_value(FIELDS[COUNT], [450], record=3),
    "optional count as text": set_value(FIELDS[OPTIONAL], "7", record=3),
    "null": null_body(),
    "empty object": body("{}"),
    "bare number": body("146"),
    "bare text": body('"ok"'),
    "null list": body('{"userFeatureStats":null}'),
    "object for the list": body('{"userFeatureStats":{}}'),
    "list of numbers": body('{"userFeatureStats":[1,2]}'),
    "list of nulls": body('{"userFeatureStats":[null]}'),
    "two lists": body('{"items":[],"data":[]}'),
    "error with status 200": body('{"error":{"code":"Internal","message":"oops"}}'),
    "more after the JSON": body('{"userFeatureStats":[]}{}'),
    "no UTF-8": raw_body(b'{"userFeatureStats":[{"userEmail":"\xff"}]}'),
    "nested without an end": body('{"userFeatureStats":' + "[" * 20_000 + "]" * 20_000 + "}"),
    "user twice with two figures": repeat_user(changed=True),
    "400": status(400),
    "404": status(404),
    "204": status(204),
}

MISSING_TOTAL = "the field {} is missing"
BROKEN_TENANT: dict[str, tuple[str, Effect, str]] = {
    "missing": (TENANT, remove_field(TENANT_TOTAL), MISSING_TOTAL.format(TENANT_TOTAL)),
    "renamed": (TENANT, rename_key(TENANT_TOTAL, "messages"), MISSING_TOTAL.format(TENANT_TOTAL)),
    "null": (TENANT, set_value(TENANT_TOTAL, None), TENANT_TOTAL),
    "text": (TENANT, set_value(TENANT_TOTAL, "60720"), TENANT_TOTAL),
    "negative": (TENANT, set_value(TENANT_TOTAL, -1), TENANT_TOTAL),
    "decimals": (TENANT, set_value(TENANT_TOTAL, 0.5), TENANT_TOTAL),
    "null body": (TENANT, null_body(), "not a JSON object"),
    "bare list": (TENANT, body("[]"), "not a JSON object"),
    "empty object": (TENANT, body("{}"), "is missing"),
    "404": (TENANT, status(404), "HTTP 404"),
    "users renamed": (
        MONTHLY,
        rename_key(MONTHLY_ACTIVE_USERS, "mau"),
        MISSING_TOTAL.format(MONTHLY_ACTIVE_USERS),
    ),
    "users as boolean": (
        MONTHLY,
        set_value(MONTHLY_ACTIVE_USERS, True),
        MONTHLY_ACTIVE_USERS,
    ),
    "bare number": (MONTHLY, body("146"), "not a JSON object"),
}

SAME_PATH = f"/api/{USERS}"
REFUSED: dict[str, tuple[Effect, int, str]] = {
    "401": (status(401), 3, "--auth"),
    "403": (status(403), 3, "may not see"),
    "page": (html(), 3, "--auth"),
    "page that is only called one": (raw_body(b"Sign in", "text/html; charset=utf-8"), 3, "--auth"),
    "page of another type": (raw_body(b"\n <html></html>", "text/plain"), 3, "--auth"),
    "sign-in here": (redirect("/signin"), 3, "--auth"),
    "sign-in elsewhere": (redirect("https://login.example.com/?to=x", 307), 3, "--auth"),
    "moved": (redirect(f"https://new.example.com{SAME_PATH}", 301), 2, "METRICS_API_BASE_URL"),
    "moved for now": (redirect(f"https://new.example.com{SAME_PATH}/", 302), 2, "new.example.com"),
}


def leave_files_of_an_earlier_run(home: Home, folder: Path, *names: str) -> set[str]:
    """Leave files; returns the names that they must have after a run that failed."""
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("of an earlier run")
    return {f"{(folder / name).relative_to(home.data)}.stale" for name in names}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def manifest(home: Home) -> dict[str, dict[str, Any]]:
    days = json.loads((home.folder_of(WEEK) / MANIFEST).read_bytes())["days"]
    return {entry["day"]: entry for entry in days}


def pair(day: object) -> set[str]:
    return {f"augment_metrics_{day}.csv", f"copilot_metrics_{day}.json"}


def daily_files(home: Home) -> dict[str, bytes]:
    return {path.name: content_of(path) for path in own_files(home.folder_of(WEEK))}


WHOLE_EXPORT = {AGGREGATED, MANIFEST, REPORT}.union(*map(pair, WEEK.days()))


def test_broken_users_are_refused(home: Home, sim: Simulator) -> None:
    with dashboard(home) as source:
        for name, effect in BROKEN_USERS.items():
            sim.clear_faults()
            sim.requests.clear()
            sim.add_fault(Fault(effect, USERS))
            with pytest.raises(ContractBroken) as caught:
                source.fetch_users(Window(DAY, DAY))
            assert USERS in str(caught.value), name
            assert sim.count() == 1, name


@pytest.mark.parametrize("name", ["renamed metric", "nested without an end", "404"])
def test_broken_users_leave_no_file(home: Home, sim: Simulator, name: str) -> None:
    """Exit 5 after one request, nothing written, and earlier files no longer look fresh."""
    stale = leave_files_of_an_earlier_run(home, home.data, CSV_NAME, TENANT_NAME)
    sim.add_fault(Fault(BROKEN_USERS[name], USERS))
    result = home.run(f"{DAY}")
    assert result.code == 5, result.err
    assert USERS in result.err
    assert "Traceback" not in result.err
    assert (sim.count(), result.out) == (1, "")
    assert home.files() == stale


def test_broken_tenant_figures_are_refused(home: Home, sim: Simulator) -> None:
    with dashboard(home) as source:
        for name, (endpoint, effect, words) in BROKEN_TENANT.items():
            sim.clear_faults()
            sim.requests.clear()
            sim.add_fault(Fault(effect, endpoint))
            with pytest.raises(ContractBroken) as caught:
                source.fetch_tenant(Window(DAY, DAY))
            assert endpoint in str(caught.value), name
            assert words in str(caught.value), name
            assert [sim.count(e) for e in (TENANT, MONTHLY)] == [1, int(endpoint == MONTHLY)]


@pytest.mark.parametrize("name", ["missing", "bare number"])
def test_broken_tenant_figures_leave_no_file(home: Home, sim: Simulator, name: str) -> None:
    endpoint, effect, words = BROKEN_TENANT[name]
    stale = leave_files_of_an_earlier_run(home, home.data, CSV_NAME, TENANT_NAME)
    sim.add_fault(Fault(effect, endpoint))
    result = home.run(f"{DAY}")
    assert result.code == 5, result.err
    assert endpoint in result.err
    assert words in result.err
    assert [sim.count(e) for e in (USERS, TENANT, MONTHLY)] == [1, 1, int(endpoint == MONTHLY)]
    assert home.files() == stale


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_says_what_to_do(home: Home, sim: Simulator, name: str) -> None:
    effect, code, words = REFUSED[name]
    stale = leave_files_of_an_earlier_run(home, home.data, CSV_NAME, TENANT_NAME)
    sim.add_fault(Fault(effect))
    result = home.run(f"{DAY}")
    assert result.code == code, result.err
    assert words in result.err
    assert (sim.count(), result.out, home.files()) == (1, "", stale)


@pytest.mark.parametrize(
    ("effect", "code"), [(status(403), 3), (redirect(f"//x.example.com{SAME_PATH}"), 2)]
)
@pytest.mark.slow
def test_fault_of_every_day_ends_the_job(
    home: Home, sim: Simulator, effect: Effect, code: int
) -> None:
    """One of the first requests is refused; requests in flight may end, and no others begin."""
    home.settings["MAX_CONCURRENCY"] = "2"
    stale = leave_files_of_an_earlier_run(home, home.folder_of(WEEK), *WHOLE_EXPORT)
    sim.add_fault(Fault(effect, times=1))
    sim.latency = 0.5
    result = home.run(*WEEK_JOB)
    assert result.code == code, result.err
    assert sim.count() <= 3
    assert home.files() == stale


def test_redirect_without_location_is_refused(home: Home, sim: Simulator) -> None:
    """Without a Location, no new base URL is known, so the answer counts as broken."""
    sim.add_fault(Fault(status(302)))
    result = home.run(f"{DAY}")
    assert result.code == 5, result.err
    assert "has moved" not in result.err


def test_repeated_user_is_one_row(home: Home, sim: Simulator) -> None:
    home.run(f"{DAY}", "--out", "plain.csv")
    sim.add_fault(Fault(repeat_user()))
    assert home.run(f"{DAY}", "--out", "twice.csv").code == 0
    assert (home.path / "twice.csv").read_bytes() == (home.path / "plain.csv").read_bytes()


@pytest.mark.slow
def test_unknown_fields_become_columns(home: Home, sim: Simulator) -> None:
    sim.add_fault(Fault(add_field("zeta", 7, record=0), USERS))
    sim.add_fault(Fault(add_field("alpha", {"b": [1], "a": True}, record=1), USERS))
    result = home.run(*WEEK_JOB)
    assert result.code == 0, result.err
    rows = rows_of(home.folder_of(WEEK) / f"augment_metrics_{DAY}.csv")
    assert list(rows[0])[-3:] == ["alpha.a", "alpha.b", "zeta"]
    cells = sorted(list(row.values())[-3:] for row in rows)
    assert cells == [[""] * 3] * (len(rows) - 2) + [["", "", "7"], ["true", "[1]", ""]]
    warning = "unknown fields stored as columns of their own: alpha.a, alpha.b, zeta (3)"
    assert result.err.count(warning) == result.err.count("unknown field") == 1


def test_unknown_tenant_figure_becomes_a_row(home: Home, sim: Simulator) -> None:
    """It has its endpoint's name if both endpoints have a figure of this name."""
    monthly = Endpoint.MONTHLY_ACTIVE_USERS.value
    sim.add_fault(Fault(add_field("seats", {"paid": 9}), TENANT))
    sim.add_fault(Fault(add_field("seats", {"paid": 8}), monthly))
    result = home.run(f"{DAY}")
    assert result.code == 0, result.err
    assert result.err.count("unknown fields stored as rows of their own: seats.paid (1)") == 1
    rows = {row["metric"]: row["value"] for row in rows_of(home.data / TENANT_NAME)}
    names = [*TENANT_TOTALS, MONTHLY_ACTIVE_USERS]
    assert sorted(rows) == sorted([*names, "seats.paid", f"{monthly}.seats.paid"])
    assert (rows["seats.paid"], rows[f"{monthly}.seats.paid"]) == ("9", "8")


@pytest.mark.parametrize("metric", [OPTIONAL, MOMENT, RATE, ACTIVE_DAYS], ids=lambda m: m.name)
def test_missing_optional_field_is_a_blank_column(
    home: Home, sim: Simulator, metric: Metric
) -> None:
    sim.add_fault(Fault(remove_field(FIELDS[metric]), USERS))
    result = home.run(f"{DAY}")
    assert result.code == 0, result.err
    assert result.err.count(FIELDS[metric]) == result.err.count("WARNING") == 1
    rows = rows_of(home.data / CSV_NAME)
    assert {row[metric.title] for row in rows} == {""}
    assert all(row[COUNT.title].isdigit() for row in rows)


@pytest.mark.parametrize(
    "fault", [set_value(FIELDS[COUNT], None, 0), remove_field(FIELDS[COUNT], 0)]
)
@pytest.mark.slow
def test_missing_figure_of_a_user_is_never_0(home: Home, sim: Simulator, fault: Effect) -> None:
    """Nor in the sum over the window, of which it would be a part."""
    chat = next(m for m in FIELDS if m.title == "Chat Messages")
    sim.add_fault(Fault(set_value(FIELDS[chat], 5), USERS))  # so that every user has a record
    sim.add_fault(Fault(fault, USERS, day=BROKEN_DAY))
    result = home.run(*WEEK_JOB)
    assert result.code == 9, result.err  # the dashboard's totals are those of other users
    assert f"{FIELDS[COUNT]} is unknown" in result.err
    rows = rows_of(home.folder_of(WEEK) / f"augment_metrics_{BROKEN_DAY}.csv")
    (user,) = (row[USER_TITLE] for row in rows if not row[COUNT.title])
    assert sum(row[COUNT.title].isdigit() for row in rows) == len(rows) - 1
    (place,) = PLACES[COUNT]
    for name in (f"copilot_metrics_{BROKEN_DAY}.json", AGGREGATED):
        records = {
            r["user_login"]: r for r in json.loads((home.folder_of(WEEK) / name).read_bytes())
        }
        lacking = records.pop(user)
        features = {row["feature"]: row for row in lacking["totals_by_feature"]}
        assert place.feature
        assert features[place.feature.value][place.counter.value] is None
        assert lacking[place.counter.value] is None
        assert all(isinstance(r[place.counter.value], int) for r in records.values())


@pytest.mark.slow
def test_user_with_unknown_count_is_not_inactive(home: Home, sim: Simulator) -> None:
    """No record means no activity, but zeros beside an unknown count do not."""
    counts = [m for m in FIELDS if m.kind is Kind.COUNT]
    for metric in counts:
        sim.add_fault(Fault(set_value(FIELDS[metric], None if metric is COUNT else 0, 0), USERS))
    assert home.run(*WEEK_JOB).code == 9
    rows = rows_of(home.folder_of(WEEK) / f"augment_metrics_{DAY}.csv")
    (user,) = (row[USER_TITLE] for row in rows if not row[COUNT.title])
    records = json.loads((home.folder_of(WEEK) / f"copilot_metrics_{DAY}.json").read_bytes())
    assert user in {record["user_login"] for record in records}


ONE_DAY_BROKEN: dict[str, tuple[Effect, str]] = {
    "renamed metric": (rename_key(FIELDS[COUNT], "completions"), FIELDS[COUNT]),
    "503": (status(503), "HTTP 503"),
}


@pytest.mark.parametrize("name", ONE_DAY_BROKEN)
@pytest.mark.slow
def test_broken_day_costs_that_day_alone(home: Home, sim: Simulator, name: str) -> None:
    """Exit 6; no file of the day looks fresh, and the window has no sum; the manifest says why."""
    effect, words = ONE_DAY_BROKEN[name]
    home.settings["MAX_RETRIES"] = "0"
    lost = {*pair(BROKEN_DAY), AGGREGATED}
    leave_files_of_an_earlier_run(home, home.folder_of(WEEK), *lost, MANIFEST)
    sim.add_fault(Fault(effect, USERS, BROKEN_DAY))
    result = home.run(*WEEK_JOB)
    assert result.code == 6, result.err
    assert f"1 of 7 days are missing: {BROKEN_DAY}" in result.err
    assert sim.count(USERS, BROKEN_DAY) == 2
    assert sim.count(USERS) == 8
    asked = [each for each in sim.requests if each.endpoint == USERS]
    assert asked[-1].day == BROKEN_DAY, "tried again at the end of the run"
    stale = {f"{file}.stale" for file in lost}
    assert set(daily_files(home)) == (WHOLE_EXPORT - lost) | stale
    days = manifest(home)
    assert days.pop(f"{BROKEN_DAY}").keys() == {"day", "status", "reason"}
    assert {entry["status"] for entry in days.values()} <= {"complete", "empty"}
    entry = manifest(home)[f"{BROKEN_DAY}"]
    assert entry["status"] == "failed"
    assert words in entry["reason"]
    assert json.loads((home.folder_of(WEEK) / MANIFEST).read_bytes())["aggregated"] is None


@pytest.mark.slow
def test_day_that_works_on_retry_is_complete(home: Home, sim: Simulator) -> None:
    home.settings["MAX_RETRIES"] = "0"
    assert home.run(*WEEK_JOB).code == 0
    expected = daily_files(home)
    sim.add_fault(Fault(null_body(), USERS, BROKEN_DAY, times=1))
    sim.add_fault(Fault(status(500), USERS, DAY, times=1))
    before = sim.count(USERS)
    result = home.run(*WEEK_JOB, "--refresh")
    assert result.code == 0, result.err
    assert sim.count(USERS) - before == 9
    assert daily_files(home) == expected


@pytest.mark.parametrize(
    ("effect", "code", "requests"), [(null_body(), 5, 56), (status(502), 4, 28)]
)
@pytest.mark.slow
def test_no_day_at_all_leaves_no_file(
    home: Home, sim: Simulator, effect: Effect, code: int, requests: int
) -> None:
    """If a source is down for all days, it gets no second request for each of them."""
    home.settings["MAX_RETRIES"] = "0"
    stale = leave_files_of_an_earlier_run(home, home.daily_folder, *WHOLE_EXPORT)
    sim.add_fault(Fault(effect))
    result = home.run("--last-28-days")
    assert result.code == code, result.err
    assert sim.count(USERS) == requests
    assert (home.files(), result.out) == (stale, "")


HUGE = 2**70
EXTREME: dict[str, str] = {
    "huge count": f'"{FIELDS[COUNT]}":{HUGE}',
    "huge unknown field": f'"novel":{HUGE}',
    "moment before the calendar": f'"{FIELDS[MOMENT]}":"0001-01-01T00:00:00+14:00"',
}


@pytest.mark.parametrize(
    ("name", "form"), [*((name, "day") for name in EXTREME), ("huge unknown field", "week")]
)
@pytest.mark.slow
def test_value_of_any_size_is_written_or_refused(
    home: Home, sim: Simulator, name: str, form: str
) -> None:
    figures = ",".join(f'"{FIELDS[m]}":0' for m in FIELDS if m.kind is Kind.COUNT)
    record = f'{{"{USER_FIELD}":"ada@example.com",{figures},{EXTREME[name]}}}'
    sim.add_fault(Fault(body(f'{{"userFeatureStats":[{record}]}}'), USERS))
    result = home.run(*([f"{DAY}"] if form == "day" else WEEK_JOB))
    assert "Traceback" not in result.err
    assert result.code in (5, 9, 11), result.err  # the dashboard's totals are not zeros
    if result.code != 5:
        daily = home.folder_of(WEEK) / f"augment_metrics_{DAY}.csv"
        text = (home.data / CSV_NAME if form == "day" else daily).read_text()
        assert not name.startswith("huge") or f"{HUGE}" in text
    else:
        assert home.files() == set()
