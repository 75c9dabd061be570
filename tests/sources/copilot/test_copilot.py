"""GitHub Copilot as a source: every figure compared with the truth, and the cost of a run."""

from __future__ import annotations

import csv
import io
import tempfile
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import msgspec
import pyarrow.parquet
import pytest

from conftest import Home, today
from copilot_runs import (
    DAY,
    FILE,
    NOON,
    OWN,
    OWN_FILE,
    RECENT,
    TODAY,
    USERS,
    Effect,
    by_login,
    downloads,
    fault,
    of_first,
    opened,
    read_from,
    true_figures,
    true_totals,
    truth,
)
from dashboard_scraper.cli.fetching import fetch_daily
from dashboard_scraper.errors import (
    ContractBroken,
    NotReconciled,
    OutputFailed,
    ScraperError,
    SourceUnavailable,
)
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.metrics import BY_NAME, METRICS, Figures
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.simulator import Organization, Simulator, cut_body, status
from dashboard_scraper.simulator.assistants import COPILOT
from dashboard_scraper.simulator.copilot import CREDITS_SINCE, Tally
from dashboard_scraper.simulator.copilot_api import ORGANIZATION
from dashboard_scraper.simulator.copilot_records import user_record
from dashboard_scraper.sources.copilot import report_calls
from dashboard_scraper.sources.copilot.fields import CLI_MESSAGES
from dashboard_scraper.sources.copilot.info import INFO
from dashboard_scraper.store import store_at
from effects import of_bytes
from stored_days import settings_of

MONTH = Window(RECENT - timedelta(27), RECENT)
OUTPUTS = "code_generation_activity_count"
IDS = {"enterprise_id": "4711"}


def test_every_figure_of_a_user_is_true(home: Home, github: Simulator) -> None:
    with opened(home) as source:
        usage = source.fetch_day(DAY)
    expected = by_login(truth(github).usage(DAY))
    assert [user.user for user in usage.users] == sorted(expected)
    for user in usage.users:
        figures = true_figures(expected[user.user])
        assert {name: user.figures[BY_NAME[name]] for name in figures} == figures
        unknown = {m.name for m in METRICS if user.figures[m] is None} - {"acceptance_rate"}
        assert unknown == {m.name for m in METRICS} - {*figures, "acceptance_rate"}
    assert usage.totals == true_totals(truth(github).total(DAY))
    assert usage.differences == []


@pytest.mark.usefixtures("github")
def test_metrics_of_the_csv_are_those_that_github_knows(home: Home) -> None:
    with opened(home) as source:
        users = source.fetch_day(DAY).users
    known = {m for m in METRICS if any(user.figures[m] is not None for user in users)}
    assert known == set(INFO.metrics)


def test_record_is_kept_whole(home: Home, github: Simulator) -> None:
    with opened(home) as source:
        usage = source.fetch_day(DAY)
    expected = by_login(truth(github).usage(DAY))
    for user in usage.users:
        assert msgspec.json.decode(user.record or "") == user_record(expected[user.user], IDS)
    assert msgspec.json.decode(usage.record or "")["day"] == f"{DAY}"


def test_credits_are_those_of_the_records(home: Home, github: Simulator) -> None:
    before = CREDITS_SINCE - timedelta(1)
    with opened(home) as source:
        found = source.fetch_credits(Window(DAY, DAY))
        assert source.fetch_credits(Window(before, before)) == []
    expected = {login: usage.credits for login, usage in by_login(truth(github).usage(DAY)).items()}
    assert {usage.user: round(usage.credits * 100) for usage in found} == expected


def test_absent_credits_are_not_zero(home: Home, github: Simulator) -> None:
    fault(github, FILE, of_first(ai_credits_used=None), times=1)
    with opened(home) as source:
        users = source.fetch_day(DAY).users
        found = source.fetch_credits(Window(DAY, DAY))
    assert len(found) == len(users) - 1


@pytest.mark.slow
def test_first_run_fetches_users_of_a_month_in_one_call(home: Home, github: Simulator) -> None:
    fetch_daily(settings_of(home), None, clock=lambda: NOON)
    quiet = [day for day in MONTH.days() if not truth(github).usage(day)]
    assert 0 < len(quiet) < 12
    assert github.count(USERS) == len(quiet)
    assert github.count("latest") == 1
    with store_at(settings_of(home).store_url).reading() as reader:
        for day, row in reader.ledger("copilot", MONTH).items():
            expected = by_login(truth(github).usage(day))
            users = {user.user: user for user in reader.day(row).users}
            assert users.keys() == expected.keys()
            for login, user in users.items():
                figures = true_figures(expected[login])
                assert {name: user.figures[BY_NAME[name]] for name in figures} == figures
            texts = reader.records("copilot", day)
            records = {login: msgspec.json.decode(text) for login, text in texts.items() if login}
            assert records == {login: user_record(u, IDS) for login, u in expected.items()}
    files_have_the_truth(home, github)
    second_night(home, github)


def files_have_the_truth(home: Home, github: Simulator) -> None:
    """Every figure of a day, in the CSV and in Parquet."""
    expected = {
        login: true_figures(usage) for login, usage in by_login(truth(github).usage(DAY)).items()
    }
    names = [*next(iter(expected.values()))]
    rows = {row["User"].lower(): row for row in csv_of(home, DAY)}
    cells = {login: {n: int(row[BY_NAME[n].title]) for n in names} for login, row in rows.items()}
    assert cells == expected
    result = home.run("export", f"{DAY}", f"{DAY}", "--format", "parquet")
    assert result.code == 0, result.err
    (path,) = home.data.glob(f"parquet/day={DAY}/*.parquet")
    table = pyarrow.parquet.read_table(path).to_pylist()
    assert {row["user_login"]: {n: row[n] for n in names} for row in table} == expected


def csv_of(home: Home, day: date) -> list[dict[str, str]]:
    (path,) = home.data.glob(f"daily_exports_*/github_copilot_metrics_{day}.csv")
    return [*csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig")))]


def second_night(home: Home, github: Simulator) -> None:
    """Fetch new, unsettled and rechecked days, and compare the others with one call."""
    github.speak_for(Organization(users=9, today=TODAY + timedelta(1)))
    github.requests.clear()
    fetch_daily(settings_of(home), None, clock=lambda: NOON + timedelta(1))
    asked = {request.day for request in github.requests if request.endpoint == USERS}
    assert {RECENT, RECENT + timedelta(1)} <= asked
    assert len(asked) <= 3
    assert github.count(OWN) == github.count(USERS)
    assert github.count("latest") == 1


def test_period_of_a_day_outside_of_the_month_comes_alone(home: Home, github: Simulator) -> None:
    old = DAY - timedelta(60)
    with opened(home) as source:
        source.prepare([old], [old], compared=True)
        assert source.fetch_day(old).users
    assert github.count(USERS, old) == 1
    assert github.count("latest") == 0


def test_period_has_the_prompts_of_the_command_line(home: Home, github: Simulator) -> None:
    week = Window(DAY - timedelta(4), DAY)
    prompts: Counter[str] = Counter()
    for day in week.days():
        for login, usage in by_login(truth(github).usage(day)).items():
            prompts[login] += usage.features.get("copilot_cli", Tally()).interactions
    with opened(home) as source:
        users = {user.user: user.extra for user in source.fetch_users(week)}
    assert users == {login: {CLI_MESSAGES: count} for login, count in prompts.items()}
    assert any(prompts.values())


def test_organization_has_the_same_users(home: Home, github: Simulator) -> None:
    del home.settings["COPILOT_ENTERPRISE"]
    home.settings["COPILOT_ORGANIZATION"] = ORGANIZATION
    with opened(home) as source:
        usage = source.fetch_day(DAY)
    assert {user.user for user in usage.users} == {*by_login(truth(github).usage(DAY))}
    assert github.count("organization-1-day") == 1
    assert "organization_id" in msgspec.json.decode(usage.users[0].record or "")


@pytest.mark.slow
def test_no_token_goes_to_the_other_host(home: Home, github: Simulator) -> None:
    with opened(home) as source:
        source.prepare([*MONTH.days(), DAY], [*MONTH.days()], compared=True)
        source.fetch_day(DAY)
    assert len(downloads(github)) >= 3
    assert all(request.authorization is None for request in downloads(github))
    assert github.copilot.behaviour.leaks == []


def test_leaked_token_is_noticed(home: Home, github: Simulator) -> None:
    """This shows that the test above would fail."""
    import requests  # noqa: PLC0415

    with opened(home) as source:
        source.fetch_day(DAY)
    path = downloads(github)[0]
    url = f"{github.url.replace('127.0.0.1', 'localhost')}{path.path}"
    headers = {"Authorization": "Bearer secret"}
    assert requests.get(url, params=path.query, headers=headers, timeout=300).status_code == 400
    assert len(github.copilot.behaviour.leaks) == 1


def test_user_seen_by_the_server_alone_is_active(home: Home, github: Simulator) -> None:
    day, seen = next(
        (day, usage)
        for day in MONTH.days()
        for usage in truth(github).usage(day)
        if not usage.features
    )
    with opened(home) as source:
        users = {user.user: user for user in source.fetch_day(day).active}
    figures = users[seen.colleague.login.lower()].figures
    assert figures.active_days == 1
    assert figures.total_messages == figures.chat_messages == 0


def test_features_behind_others_are_unknown(home: Home, github: Simulator) -> None:
    counters = dict.fromkeys(_COUNTERS, 0)
    row = {**counters, "feature": "others"}
    fault(github, FILE, of_first(totals_by_feature=[row], **counters))
    with opened(home) as source:
        users = source.fetch_day(DAY).users
    figures = [user.figures for user in users if user.figures.chat_messages is None]
    assert len(figures) == 2  # one in each part
    assert figures[0].completions_count is None
    assert figures[0].total_messages == 0


def _one_record(github: Simulator, *features: str) -> None:
    """The first user has one output of each of these features, and nothing else."""
    nothing = dict.fromkeys(_COUNTERS, 0)
    rows = [{**nothing, OUTPUTS: 1, "feature": feature} for feature in features]
    own = {**nothing, OUTPUTS: len({*features})}
    github.copilot.behaviour.shards = 1
    fault(github, FILE, of_first(user_login="ada", totals_by_feature=rows, **own))


def test_feature_with_a_repeated_row_is_unknown(home: Home, github: Simulator) -> None:
    _one_record(github, "code_completion", "code_completion", "agent_edit")
    with opened(home) as source:
        users = {user.user: user.figures for user in source.fetch_day(DAY).users}
    assert users["ada"].completions_count is None
    assert users["ada"].ide_agent_lines_of_code == 0
    assert users["ada"].generations == 2


def test_unknown_feature_is_reported(
    home: Home, github: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be a renamed known feature, which would then look unused."""
    _one_record(github, "chat_panel_ask", "copilot_app", "others")
    with opened(home) as source:
        source.fetch_day(DAY)
    assert "users and days: totals_by_feature.chat_panel_ask (1)" in caplog.text


_COUNTERS = (
    "user_initiated_interaction_count",
    OUTPUTS,
    "code_acceptance_activity_count",
    "loc_suggested_to_add_sum",
    "loc_suggested_to_delete_sum",
    "loc_added_sum",
    "loc_deleted_sum",
)


@pytest.mark.slow
def test_day_that_does_not_add_up_is_marked(home: Home, github: Simulator) -> None:
    github.copilot.behaviour.drifts[DAY] = Tally(interactions=7)
    with pytest.raises(NotReconciled):
        fetch_daily(settings_of(home), Window(DAY, DAY), clock=lambda: NOON)
    assert github.count(USERS, DAY) == 2  # it was fetched once more
    with store_at(settings_of(home).store_url).reading() as reader:
        row = reader.ledger("copilot")[DAY]
    whole = truth(github).total(DAY).interactions
    assert [(each.metric, each.users, each.tenant) for each in row.unreconciled] == [
        ("total_messages", whole, whole + 7)
    ]


def test_fewer_users_than_are_active_do_not_add_up(home: Home, github: Simulator) -> None:
    """A file that is cut between two lines is well-formed, and may lose nothing that is summed."""
    users = len(truth(github).usage(DAY))
    fault(github, OWN_FILE, of_first(daily_active_users=users + 1))
    with pytest.raises(NotReconciled):
        fetch_daily(settings_of(home), Window(DAY, DAY), clock=lambda: NOON)
    with store_at(settings_of(home).store_url).reading() as reader:
        row = reader.ledger("copilot")[DAY]
    assert [(each.metric, each.users, each.tenant) for each in row.unreconciled] == [
        ("user_count", users, users + 1)
    ]
    with opened(home) as source:  # the month has the same sums: the day was not revised
        source.prepare([DAY], [], compared=True)
        assert source.changed_days({DAY: row.totals or {}}) == []


@pytest.mark.slow
def test_revised_day_is_found_by_the_month(home: Home, github: Simulator) -> None:
    days = [DAY - timedelta(1), DAY]
    with opened(home) as source:
        stored = {day: source.fetch_day(day).totals or {} for day in days}
    github.revise(DAY)
    with opened(home) as source:
        source.prepare(days, [], compared=True)
        assert source.changed_days(stored) == [DAY]
        source.fetch_day(DAY)  # its own report is newer than the month's
        assert source.changed_days(stored) == []


@pytest.mark.parametrize(
    ("effect", "error"),
    [
        (of_bytes(lambda body: body.replace(b'"day"', b'"x"')), ContractBroken),
        (cut_body(), SourceUnavailable),
    ],
    ids=["malformed", "cut"],
)
def test_broken_month_of_the_tenant_loses_no_day(
    home: Home, github: Simulator, effect: Effect, error: type[ScraperError]
) -> None:
    """It is fetched only to compare stored days; it is an error that they were not compared."""
    home.settings["MAX_RETRIES"] = "0"

    def fetch(first: date) -> None:
        fetch_daily(settings_of(home), Window(first, DAY), clock=lambda: NOON)

    fetch(DAY)
    fault(github, "enterprise-28-day.ndjson", effect)
    first = DAY - timedelta(1)
    with pytest.raises(error, match=r"^the stored days could not be compared with .*day"):
        fetch(first)
    with store_at(settings_of(home).store_url).reading() as reader:
        assert reader.ledger("copilot").keys() == {first, DAY}


@pytest.mark.parametrize("what", ["the days of a month", "a large part"])
def test_temporary_files_without_room_are_explained(
    home: Home, github: Simulator, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """They are not mistaken for a wrong setting of the connection."""
    monkeypatch.setattr(tempfile, "tempdir", f"{home.path / 'gone'}")
    if what == "a large part":
        monkeypatch.setattr(report_calls, "_IN_MEMORY", 1)
    days = [DAY - timedelta(back) for back in range(10)]
    why = r"^a temporary file in .*gone could not be written"
    with opened(home) as source, pytest.raises(OutputFailed, match=why):
        source.prepare(days, days, compared=False)
    assert len(downloads(github)) == 1


def test_missing_month_of_the_tenant_is_warned_of(
    home: Home, github: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Without it, nothing shows whether a stored day was revised."""
    fault(github, "latest", status(204))
    with opened(home) as source:
        source.prepare([DAY], [], compared=True)
        assert source.changed_days({DAY: {}}) == []
    assert "the stored days were not compared" in caplog.text


@pytest.mark.slow
def test_seats_have_each_user_once(home: Home) -> None:
    organization = Organization(users=450, today=TODAY)
    with Simulator(organization, rate_limit=False) as simulator:
        read_from(home, simulator)
        with opened(home) as source:
            seats = source.fetch_seats() or []
        members = truth(simulator).assistants.members(COPILOT)
        holders = {each.login.lower(): each for each in members if each.has(COPILOT, TODAY)}
        assert simulator.count("seats") == 2
    assert len(holders) > 100
    assert {seat.user for seat in seats} == holders.keys()
    for seat in seats:
        assert seat.assigned_on == holders[seat.user].joined(COPILOT)
    assert {seat.plan for seat in seats} == {"business", "business, enterprise"}


@pytest.mark.slow
def test_pace_stays_below_githubs_limits(home: Home) -> None:
    scale = 600
    organization = Organization(users=0, today=TODAY)
    with Simulator(organization, clock_scale=scale) as simulator:
        read_from(home, simulator)
        home.settings["COPILOT_REQUESTS_PER_MINUTE"] = f"{75 * scale}"
        home.settings["COPILOT_BURST"] = "60"
        with opened(home) as source:
            for day in Window(DAY - timedelta(55), DAY).days():
                source.fetch_day(day)
        api = [request for request in simulator.requests if request not in downloads(simulator)]
        assert len(api) > 100
        assert {request.status for request in api} == {200}


def test_own_file_alone_is_one_object(home: Home, github: Simulator) -> None:
    with opened(home) as source:
        source.fetch_day(DAY)
    assert github.count(OWN_FILE) == 1


@pytest.mark.parametrize(("days", "code"), [(3, 0), (5, 8)])
def test_days_that_are_not_ready_are_not_stale(home: Home, days: int, code: int) -> None:
    """The limit is 36 hours, and the two days after which GitHub has a report."""
    home.settings["METRICS_SOURCE"] = "copilot"
    day = today() - timedelta(days)
    store = store_at(settings_of(home).store_url)
    with store.locked(), store.opened():
        users = [UserUsage("ada-l", Figures(active_days=1))]
        store.put("copilot", DayUsage(day, users), datetime.now(UTC))
    assert home.run("status", "--max-age", "36h").code == code
    (copilot,) = msgspec.json.decode(home.run("status", "--json").out)["sources"]
    yesterday, expected = (f"{today() - timedelta(back)}" for back in (1, 4))
    assert yesterday not in copilot["missing"]
    assert (expected in copilot["missing"]) is (days > 4)
