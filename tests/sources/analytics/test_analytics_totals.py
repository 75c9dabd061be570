"""Days whose users do not add up to the organization's own totals."""

from __future__ import annotations

import json
import logging

import msgspec
import pytest

from analytics_runs import (
    AGGREGATED,
    COUNT,
    DAU,
    DAY,
    MANIFEST,
    REPORT,
    SOUND,
    USAGE,
    USERS,
    Capture,
    Json,
    Left,
    Logged,
    asked,
    assert_only_the_sound_day,
    assert_whole,
    failure,
    files_of,
    left_by,
    manifest,
)
from conftest import Home
from dashboard_scraper.cli.commands.status import print_status
from dashboard_scraper.errors import (
    DaysMissing,
    NotReconciled,
)
from dashboard_scraper.exports.notes import NOTES
from dashboard_scraper.model.checks import Difference
from dashboard_scraper.model.metrics import DETAILED, USER_COUNT
from dashboard_scraper.simulator import (
    Fault,
    Simulator,
    null_body,
)
from dashboard_scraper.simulator.faults import Effect
from effects import in_place
from stored_days import NOON, fetch, settings_of


def raised_by(number: int) -> Effect:
    """Every total of the day is higher by this much."""

    def change(body: Json) -> None:
        for record in body.get("daily_usage", []):
            record["metrics"] = {name: n + number for name, n in record["metrics"].items()}
        for record in body.get("daily_active_user_counts", []):
            record["user_count"] += number

    return in_place(change)


@pytest.mark.slow
def test_every_metric_and_the_user_count_are_compared(
    home: Home, spring: Simulator, undisturbed: Left
) -> None:
    for endpoint in (USAGE, DAU):
        spring.add_fault(Fault(raised_by(3), endpoint))
    with pytest.raises(NotReconciled):
        fetch(home, SOUND, DAY)
    row, users = left_by(home).days[DAY]
    assert users == undisturbed.days[DAY][1]
    sums = {metric.name: row.sums[metric] for metric in DETAILED}
    assert {each.metric: (each.users, each.tenant) for each in row.unreconciled} == {
        **{name: (count, (count or 0) + 3) for name, count in sums.items()},
        USER_COUNT.name: (len(users), len(users) + 3),
    }
    assert len(row.unreconciled) == len(DETAILED) + 1 == 17


def add_to_count(body: Json) -> None:
    body["users"][1]["metrics"][COUNT] += 1


def lose_a_user(body: Json) -> None:
    """Lose a user, with a user count to match, so that the page looks complete."""
    body["users"].pop()
    body["metadata"]["returned_user_count"] -= 1


OPEN: dict[str, tuple[str, Effect, str]] = {
    "a user": (USERS, in_place(lose_a_user), USER_COUNT.name),
    "the totals": (USAGE, raised_by(1), COUNT),
}


@pytest.mark.parametrize("name", OPEN)
@pytest.mark.slow
def test_unreconciled_day_has_its_differences(
    home: Home, spring: Simulator, logged: Logged, capsys: Capture, name: str
) -> None:
    """It is fetched once more; ledger, log, manifest and `status` show the differences."""
    endpoint, effect, metric = OPEN[name]
    spring.add_fault(Fault(effect, endpoint, DAY if endpoint == USERS else None))
    with pytest.raises(NotReconciled):
        fetch(home, SOUND, DAY)
    assert spring.count(USERS, DAY) == 2
    left = left_by(home)
    row, users = left.days[DAY]
    assert row.users == len(users)
    (difference,) = (each for each in row.unreconciled if each.metric == metric)
    assert difference.users != difference.tenant
    entry = manifest(left)[f"{DAY}"]
    assert entry["status"] == "complete"
    assert msgspec.convert(entry["unreconciled"], list[Difference]) == row.unreconciled
    differences = "; ".join(map(str, row.unreconciled))
    assert f"{DAY} does not add up: {differences}; stored as it is" in logged(logging.WARNING)
    assert sum(f"{DAY}: " in line and "once more" in line for line in logged(logging.INFO)) == 1
    assert left.files.keys() == {*files_of(SOUND, DAY), MANIFEST, AGGREGATED, REPORT, NOTES}
    for as_json in (False, True):
        capsys.readouterr()
        settings = settings_of(home)
        print_status(settings, NOON, as_json=as_json, max_age=None, check=False)
        out = capsys.readouterr().out
        assert all(each.metric in out and f"{each.tenant}" in out for each in row.unreconciled)
    (source,) = json.loads(out)["sources"]
    assert f"{DAY}" in [each["day"] for each in source["unreconciled"]]


@pytest.mark.parametrize("name", OPEN)
@pytest.mark.slow
def test_day_that_reconciles_on_retry_has_no_warning(
    home: Home, spring: Simulator, undisturbed: Left, logged: Logged, name: str
) -> None:
    """The source may still have been counting; the totals are fetched again too."""
    endpoint, effect, _ = OPEN[name]
    days = {USERS: {DAY}}.get(endpoint, {SOUND, DAY})
    spring.add_fault(Fault(effect, endpoint, DAY if endpoint == USERS else None, times=1))
    fetch(home, SOUND, DAY)
    assert_whole(left_by(home), undisturbed)
    assert asked(spring) == {USAGE: 1 + len(days), DAU: 1 + len(days), USERS: 2 + len(days)}
    assert logged(logging.WARNING) == []
    assert sum("once more" in line for line in logged(logging.INFO)) == len(days)


@pytest.mark.slow
def test_day_that_breaks_on_retry_is_not_stored(
    home: Home, spring: Simulator, undisturbed: Left
) -> None:
    """The first answer was not right, and there is no valid second one."""
    spring.add_fault(Fault(in_place(add_to_count), USERS, DAY, times=1))
    spring.add_fault(Fault(null_body(), USERS, DAY, after=1))
    assert type(failure(lambda: fetch(home, SOUND, DAY))) is DaysMissing
    assert_only_the_sound_day(left_by(home), undisturbed)
