"""Claude Code's report where it differs from the documentation: refused by field, or logged."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from claude_code_runs import DAY, ENDPOINT, KEY, by_actor, fetched, ledger, opened, true_figures
from conftest import Home
from dashboard_scraper.errors import ContractBroken, ScraperError, SignInRequired, UsageError
from dashboard_scraper.model.dates import Window
from dashboard_scraper.report.options import REPORT
from dashboard_scraper.simulator import (
    Fault,
    Simulator,
    add_beside,
    remove_field,
    rename_key,
    repeat_key,
    set_value,
    status,
)
from dashboard_scraper.simulator.claude_code_faults import (
    actor_twice,
    by_subscription,
    dated,
    empty_later_pages,
    in_currency,
    nobody,
    plain_dates,
    repeat_first_page,
    same_cursor,
)
from dashboard_scraper.simulator.faults import Effect, edited
from dashboard_scraper.sources.rest.auth import NotAllowed
from dashboard_scraper.store import Status, store_at
from effects import put
from report_reading import read_report
from stored_days import settings_of, sql

NEXT = DAY + timedelta(1)
CORE, LINES = "core_metrics", "lines_of_code"
ACTOR, MODELS = "actor", "model_breakdown"
EMAIL, NAME = "email_address", "api_key_name"
KEY_FILE = f"{KEY}_FILE"


def at(*path: str | int, value: object) -> Effect:
    """Another value in the first record."""
    return put("data", 0, *path, value=value)


REFUSED: dict[str, tuple[Effect, str]] = {
    "renamed list": (rename_key("data", "records"), "data is missing"),
    "renamed count": (rename_key("num_sessions", "sessions"), "num_sessions.*core_metrics"),
    "renamed tool": (rename_key("write_tool", "create_tool"), "write_tool.*tool_actions"),
    "renamed tokens": (rename_key("cache_creation", "cache_write"), "cache_creation.*tokens"),
    "renamed cost": (rename_key("amount", "cents"), "amount.*estimated_cost"),
    "missing models": (remove_field(MODELS), MODELS),
    "missing cursor": (rename_key("next_page", "next_cursor"), "next_page is missing"),
    "negative count": (at(CORE, LINES, "added", value=-1), "added"),
    "fractional count": (at(CORE, "num_sessions", value=1.5), "num_sessions"),
    "count without end": (at(CORE, "num_sessions", value=10**13), "num_sessions"),
    "null count": (at(CORE, "commits_by_claude_code", value=None), "commits_by_claude_code"),
    "negative tokens": (at(MODELS, 0, "tokens", "input", value=-1), r"tokens.input: '-1'"),
    "null tokens": (at(MODELS, 0, "tokens", "output", value=None), "tokens.output is null"),
    "negative cost": (at(MODELS, 0, "estimated_cost", "amount", value=-1), "amount is -1"),
    "cost as words": (at(MODELS, 0, "estimated_cost", "amount", value="1 USD"), "amount.*1 USD"),
    "cost in yen": (in_currency("JPY", 0), r"data\[0\].*currency is 'JPY'"),
    "model twice": (
        edited(lambda body, _: body["data"][0][MODELS].append(body["data"][0][MODELS][0]) or body),
        "model: .* came twice",
    ),
    "another day": (dated(DAY - timedelta(1)), rf"data\[0\].date is {DAY - timedelta(1)}"),
    "another zone": (dated(f"{DAY}T00:00:00-05:00"), "date is .*midnight in UTC"),
    "a time of day": (dated(f"{DAY}T07:00:00Z"), "date is .*midnight in UTC"),
    "unknown actor": (at(ACTOR, "type", value="service_actor"), "actor.type is 'service_actor'"),
    "nameless actor": (at(ACTOR, value={"type": "user_actor"}), "must have email_address"),
    "actor of both types": (at(ACTOR, NAME, value="ci"), "has email_address, api_key_name"),
    "blank name": (at(ACTOR, EMAIL, value=" "), "actor.email_address"),
    "actor twice": (actor_twice(), r"data\[\d+\]: .* came twice with terminal_type"),
    "other organization": (put("data", 1, "organization_id", value="x"), r"\[1\].organization_id"),
    "customer of no kind": (at("customer_type", value="a b"), "customer_type"),
    "more without a cursor": (put("has_more", value=True), "has_more is true, but next_page"),
    "cursor without more": (put("next_page", value="x"), "has_more is false, but next_page"),
    "repeated key": (repeat_key("num_sessions", 1), "num_sessions' is repeated"),
    "partial answer": (add_beside("partial", value=True), "partial"),
    "unknown field beside": (add_beside("note", value="sampled"), "note is an unknown field"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_undocumented_answer_is_refused(home: Home, claude: Simulator, name: str) -> None:
    effect, where = REFUSED[name]
    claude.add_fault(Fault(effect, ENDPOINT, DAY))
    with opened(home) as source, pytest.raises(ContractBroken, match=f"^{ENDPOINT}: .*{where}"):
        source.fetch_day(DAY)


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (repeat_first_page(), "came twice with terminal_type"),
        (same_cursor(), "in a circle"),
        (empty_later_pages(), "data is empty, but the page before"),
    ],
)
def test_wrong_page_is_refused(home: Home, claude: Simulator, effect: Effect, words: str) -> None:
    claude.claude_code.most = 3
    claude.add_fault(Fault(effect, ENDPOINT, DAY))
    with opened(home) as source, pytest.raises(ContractBroken, match=f"^{ENDPOINT}: .*{words}"):
        source.fetch_day(DAY)


@pytest.mark.slow
def test_refused_day_leaves_nothing_and_the_others(home: Home, claude: Simulator) -> None:
    claude.add_fault(Fault(rename_key("num_sessions", "sessions"), ENDPOINT, DAY))
    fetched(home, DAY, NEXT, code=6)
    assert [*ledger(home)] == [NEXT]
    assert sql(settings_of(home).store_url, "SELECT DISTINCT day FROM cost_day") == [(f"{NEXT}",)]


def test_plain_date_is_the_same_day(home: Home, claude: Simulator) -> None:
    claude.add_fault(Fault(plain_dates(), ENDPOINT, DAY))
    with opened(home) as source:
        assert [user.user for user in source.fetch_day(DAY).users] == [*true_figures(claude)]


@pytest.mark.slow
def test_report_without_anybody_says_whom_it_leaves_out(home: Home, claude: Simulator) -> None:
    """The day is empty, which is no error; a report with only people who pay by use says so too."""
    claude.add_fault(Fault(nobody(), ENDPOINT, DAY))
    result = fetched(home, DAY, NEXT)
    assert f"{DAY}: the report has no record of anybody; it leaves out people who" in result.err
    assert f"{NEXT}: everybody in the report pays by use; it leaves out people" in result.err
    page = (home.data / f"daily_exports_{DAY}_to_{NEXT}" / "report.html").read_text()
    assert "The source leaves out people who sign in with a Claude subscription" in page
    assert [ledger(home)[day].status for day in (DAY, NEXT)] == [Status.EMPTY, Status.COMPLETE]


def test_people_with_a_subscription_are_counted_apart(home: Home, claude: Simulator) -> None:
    claude.add_fault(Fault(by_subscription("team", first=1), ENDPOINT, DAY))
    result = home.run(f"{DAY}", f"{DAY}")
    assert (result.code, "leaves out" in result.err) == (0, False)
    header = result.paths[0].read_text(encoding="utf-8-sig").splitlines()[0]
    assert header.split(",")[-3:] == [
        "sessions.customer_type.api",
        "sessions.customer_type.subscription",
        "sessions.subscription_type.team",
    ]


@pytest.mark.slow
def test_two_currencies_of_a_day_are_not_added_up(home: Home, claude: Simulator) -> None:
    """The usage is stored, but the costs are not; those of the next day are."""
    claude.add_fault(Fault(in_currency("EUR", 1), ENDPOINT, DAY))
    claude.add_fault(Fault(in_currency("EUR"), ENDPOINT, NEXT))
    result = fetched(home, DAY, NEXT, code=5)
    found = f"costs of {DAY} could not be fetched: {ENDPOINT}: data["
    assert found in result.err
    assert "estimated_cost.currency is " in result.err.partition(found)[2]
    assert {*ledger(home)} == {DAY, NEXT}
    query = "SELECT DISTINCT day, currency FROM cost_day"
    assert sql(settings_of(home).store_url, query) == [(f"{NEXT}", "EUR")]


def test_code_without_any_model_has_no_costs(home: Home, claude: Simulator) -> None:
    """The day would look free; its usage is right."""
    claude.add_fault(Fault(set_value(MODELS, []), ENDPOINT, DAY))
    with opened(home) as source:
        assert source.fetch_day(DAY).users
        with pytest.raises(ContractBroken, match=f"model_breakdown is empty.*{DAY}"):
            source.costs.fetch_costs(Window(DAY, DAY))


@pytest.mark.slow
def test_days_in_two_currencies_are_exported(home: Home, claude: Simulator) -> None:
    """No sum includes both, and nothing else is lost: the page says why it has no costs."""
    claude.add_fault(Fault(in_currency("EUR"), ENDPOINT, DAY))
    fetched(home, DAY, NEXT)
    folder = home.data / f"daily_exports_{DAY}_to_{NEXT}"
    assert (folder / f"claude_code_costs_{NEXT}.csv").exists()
    report = read_report(folder / REPORT)
    assert "in EUR and USD, which are not added up" in report.words
    assert "cost-estimated" not in report.numbers
    assert home.run("report", f"{NEXT}", f"{NEXT}").code == 0
    alone = read_report(home.data / REPORT)
    assert alone.number("cost-estimated").endswith(" USD")
    assert "against" not in alone.numbers["cost-estimated"]
    assert "costs in EUR and USD" in alone.words  # the reason for the missing forecast


@pytest.mark.slow
def test_key_named_as_a_person_stays_a_key(home: Home, claude: Simulator) -> None:
    person = next(name for name in by_actor(claude) if "@" in name)
    claude.add_fault(Fault(rename_keys_to(person), ENDPOINT, DAY))
    fetched(home)
    path = home.data / f"daily_exports_{DAY}_to_{DAY}" / f"claude_code_metrics_{DAY}.csv"
    rows = [line.split(",") for line in path.read_text(encoding="utf-8-sig").splitlines()]
    named = {row[0]: row for row in rows if person in row[0]}
    assert set(named) == {person, f"API key {person}"}
    service = rows[0].index("Service Account")
    assert [named[name][service] for name in sorted(named)] == ["true", "false"]


def rename_keys_to(name: str) -> Effect:
    """The first API key has this name."""

    def edit(body: dict[str, list[dict[str, dict[str, str]]]], _request: object) -> object:
        keys = [each[ACTOR] for each in body["data"] if NAME in each[ACTOR]]
        first = keys[0][NAME]
        for key in keys:
            if key[NAME] == first:
                key[NAME] = name
        return body

    return edited(edit)


@pytest.mark.slow
def test_new_fields_of_a_single_record_are_stored(home: Home, claude: Simulator) -> None:
    """For an actor with several records they are left out, as their sum has no known meaning."""

    def edit(body: dict[str, list[dict[str, dict[str, object]]]], _request: object) -> object:
        for record in body["data"]:
            record[CORE]["reverts"] = 4
            record["tool_actions"]["delete_tool"] = {"accepted": 1, "rejected": 0}
        return body

    claude.add_fault(Fault(edited(edit), ENDPOINT, DAY))
    result = fetched(home)
    assert "of users with several records a day, left out: core_metrics.reverts" in result.err
    path = home.data / f"daily_exports_{DAY}_to_{DAY}" / f"claude_code_metrics_{DAY}.csv"
    header, *rows = [line.split(",") for line in path.read_text("utf-8-sig").splitlines()]
    place = header.index("core_metrics.reverts")
    known = {row[0]: row[place] for row in rows}
    assert known == {
        name: "4" if len(found) == 1 else "" for name, found in by_actor(claude).items()
    }
    accepted = header.index("Accepted Edits")
    assert {row[0]: int(row[accepted]) for row in rows} == {
        name: figures["Accepted Edits"] for name, figures in true_figures(claude).items()
    }


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (401, SignInRequired, r"^the key was refused \(HTTP 401\); create an Admin key"),
        (403, SignInRequired, r"it takes an Admin key \(HTTP 403\): no; as an administrator"),
        (400, UsageError, rf"starting_at={DAY}&limit=\d+ was refused \(HTTP 400\): no"),
        (404, ContractBroken, "check CLAUDE_CODE_API_BASE_URL"),
    ],
)
def test_refusal_says_what_to_do(
    home: Home, claude: Simulator, code: int, error: type[ScraperError], words: str
) -> None:
    claude.add_fault(Fault(status(code, message="no"), ENDPOINT))
    with opened(home) as source, pytest.raises(error, match=words):
        source.fetch_day(DAY)


def test_refused_cursor_is_not_taken_for_a_wrong_setting(home: Home, claude: Simulator) -> None:
    claude.add_fault(Fault(add_beside("has_more", value=True), ENDPOINT))
    claude.add_fault(Fault(add_beside("next_page", value="expired"), ENDPOINT))
    with (
        opened(home) as source,
        pytest.raises(ContractBroken, match="cursor of a page was refused"),
    ):
        source.fetch_day(DAY)


def test_key_that_the_server_repeats_is_not_shown(home: Home, claude: Simulator) -> None:
    claude.add_fault(Fault(status(403, message=f"no {home.settings[KEY]}"), ENDPOINT))
    with opened(home) as source, pytest.raises(SignInRequired, match="no REDACTED") as caught:
        source.fetch_day(DAY)
    assert home.settings[KEY] not in str(caught.value)


def test_wrong_key_ends_with_exit_code_3(home: Home, claude: Simulator) -> None:
    home.settings[KEY] = "sk-ant-admin01-other"
    result = home.run(f"{DAY}", f"{DAY}")
    assert (result.code, home.settings[KEY] in result.err) == (3, False)
    assert [request.status for request in claude.requests] == [401]


def test_no_other_request_gets_the_key(home: Home, claude: Simulator) -> None:
    with opened(home) as source, pytest.raises(NotAllowed, match="is not among"):
        source._http.get(f"{claude.url}/v1/organizations/users")
    assert claude.requests == []


def test_missing_key_says_how_to_get_one(home: Home, claude: Simulator) -> None:
    del home.settings[KEY]
    result = home.run(f"{DAY}", f"{DAY}")
    assert (result.code, "put it in CLAUDE_CODE_API_KEY" in result.err) == (3, True)
    assert claude.requests == []


@pytest.mark.usefixtures("claude")
def test_key_is_read_from_a_private_file(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "claude-key"
    path.write_text(f"{home.settings.pop(KEY)}\n")
    home.settings[KEY_FILE] = str(path)
    path.chmod(0o644)
    result = home.run(f"{DAY}", f"{DAY}")
    assert (result.code, "chmod 600" in result.err) == (2, True)
    path.chmod(0o600)
    assert home.run(f"{DAY}", f"{DAY}").code == 0
    home.settings[KEY] = "x"
    with pytest.raises(UsageError, match="set one of them"):
        settings_of(home)


def test_too_many_requests_are_waited_out(home: Home, claude: Simulator) -> None:
    claude.add_fault(Fault(status(429, "0"), ENDPOINT, times=1))
    with opened(home) as source:
        source.fetch_day(DAY)
    assert claude.count(ENDPOINT, DAY) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("claude")
def test_pace_holds_from_one_run_to_the_next(home: Home) -> None:
    home.settings |= {"CLAUDE_CODE_REQUESTS_PER_MINUTE": "0.001", "CLAUDE_CODE_BURST": "2"}
    fetched(home)
    with store_at(settings_of(home).store_url).reading() as reader:
        saved = json.loads(reader.note("pace:claude_code") or "")
    assert 0.9 < saved["tokens"] < 1.1
