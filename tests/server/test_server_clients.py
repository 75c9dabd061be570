"""GitHub's own clients parse the answers of `serve`, and GitHub's description has every answer."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from githubkit import GitHub, Response, TokenAuthStrategy

import github
from conftest import Home
from dashboard_scraper.model.dates import DAYS
from filled_store import SOURCE, put
from github_answers import assert_described, described_paths
from github_requests import LAST, MONTH, NAMES, error_of, some_day
from serving import Served, serving
from tree import ROOT

IDENTITIES = """email,login,id,team
ada@example.com,ada-l,11,core
ada@example.com,ada-l,11,The Web/Team
bob@example.com,bob-m,12,core
never@example.com,never-seen,13,core
"""
LOGINS = ["ada-l", "bob-m", "cyd@example.com", "triage-bot"]
TEAMS = ["The Web/Team", "core"]
CORE = ["ada-l", "bob-m", "never-seen"]
INTERACTIONS = sum(day + person for day in range(DAYS) for person in range(len(NAMES)))
PARAMETERS = {"team_slug": "core", "enterprise-team": "core", "username": "ada-l"}
ROOTS = ["", "/api/v3"]
MODULES = ROOT / ".venv" / "vendor" / "node_modules"


def has_octokit() -> bool:
    """Whether this machine has Node and the package; CI must have them."""
    there = bool(shutil.which("node") and (MODULES / "@octokit" / "rest").is_dir())
    assert there or "CI" not in os.environ, "CI has to have node, and to run make vendor"
    return there


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """28 days of four people, teams, and an organization."""
    home = Home(tmp_path_factory.mktemp("clients"), {"METRICS_SOURCE": SOURCE})
    put(
        f"sqlite:///{home.data / 'usage.db'}",
        {day: some_day(number) for number, day in enumerate(MONTH.days())},
    )
    (home.path / "people.csv").write_text(IDENTITIES)
    home.settings |= {
        "ORGANIZATION_ID": "77",
        "IDENTITY_FILE": "people.csv",
        "ORGANIZATION_SLUGS": "acme",
    }
    with serving(home) as server:
        yield server


def path_in(described: str) -> str:
    """A described path with names for its parameters, and a day if it needs one."""
    path = re.sub(r"{([a-z_-]+)}", lambda name: PARAMETERS.get(name[1], "acme"), described)
    return f"{path}?day={LAST}" if path.endswith("-1-day") else path


@pytest.fixture
def kit(served: Served) -> Iterator[GitHub[TokenAuthStrategy]]:
    with GitHub(TokenAuthStrategy(served.token), base_url=f"{served.address}/api/v3/") as client:
        yield client


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("path", described_paths())
def test_answer_is_as_described(served: Served, path: str, root: str) -> None:
    assert_described(path, served.json(root + path_in(path)))


@pytest.mark.parametrize("root", ROOTS)
def test_error_is_as_described(served: Served, root: str) -> None:
    for path in ("/orgs/acme/teams/none/members", "/users/nobody", "/orgs/acme/members/x/copilot"):
        answer = served.get(root + path)
        assert_described("error", answer.json())
        assert error_of(answer, 404) == "Not Found"


def parsed(response: Response[Any, Any]) -> Any:
    """The answer in githubkit's models; raises if it does not fit them."""
    return response.parsed_data


def test_githubkit_parses_every_answer(kit: GitHub[TokenAuthStrategy]) -> None:
    rest = kit.rest
    assert parsed(rest.users.get_authenticated()).login == "dashboard-scraper"
    assert [one.login for one in parsed(rest.orgs.list_for_authenticated_user())] == ["acme"]
    assert parsed(rest.orgs.get("acme")).id == 77
    assert parsed(rest.rate_limit.get()).resources.core.remaining > 0
    assert [one.login for one in parsed(rest.orgs.list_members("acme"))] == LOGINS
    assert parsed(rest.users.get_by_username("bob-m")).id == 12
    assert [one.slug for one in parsed(rest.teams.list("acme"))] == TEAMS
    assert parsed(rest.teams.get_by_name("acme", "core")).members_count == len(CORE)
    members = parsed(rest.teams.list_members_in_org("acme", "core"))
    assert [one.login for one in members] == CORE
    copilot = rest.copilot
    billing = parsed(copilot.get_copilot_organization_details("acme")).seat_breakdown
    assert (billing.total, billing.active_this_cycle, billing.inactive_this_cycle) == (4, 4, 0)
    assert [seat.assignee.login for seat in parsed(copilot.list_copilot_seats("acme")).seats] == (
        LOGINS
    )
    assert parsed(copilot.get_copilot_seat_details_for_user("acme", "ada-l")).assignee.id == 11
    for answer in (
        copilot.copilot_enterprise_one_day_usage_metrics("acme", day=LAST),
        copilot.copilot_users_one_day_usage_metrics("acme", day=LAST),
        copilot.copilot_enterprise_user_teams_one_day_report("acme", day=LAST),
        copilot.copilot_organization_one_day_usage_metrics("acme", day=LAST),
        copilot.copilot_organization_users_one_day_usage_metrics("acme", day=LAST),
        copilot.copilot_organization_user_teams_one_day_report("acme", day=LAST),
        copilot.copilot_enterprise_usage_metrics("acme"),
        copilot.copilot_users_usage_metrics("acme"),
        copilot.copilot_organization_usage_metrics("acme"),
        copilot.copilot_organization_users_usage_metrics("acme"),
    ):
        assert len(parsed(answer).download_links) == 1


def test_githubkit_parses_seats_of_enterprise(kit: GitHub[TokenAuthStrategy]) -> None:
    # Thousands of models, which only the process that runs this test needs.
    from githubkit_schemas.latest.models import CopilotSeatDetails  # noqa: PLC0415

    answer = kit.request("GET", "/enterprises/acme/copilot/billing/seats")
    seats = [CopilotSeatDetails.model_validate(seat) for seat in answer.json()["seats"]]
    assert [seat.assignee.login for seat in seats if seat.assignee] == LOGINS


@pytest.mark.parametrize("root", ROOTS)
def test_pygithub_parses_every_answer(served: Served, root: str) -> None:
    auth = github.Auth.Token(served.token)
    with github.Github(
        base_url=served.address + root,
        auth=auth,
        per_page=3,
        retry=None,
        seconds_between_requests=0,
    ) as client:
        assert client.get_user().login == "dashboard-scraper"
        assert [one.login for one in client.get_user().get_orgs()] == ["acme"]
        assert client.get_rate_limit().rate.remaining > 0
        one = client.get_organization("acme")
        assert (one.id, one.created_at.date()) == (77, MONTH.start)
        assert [member.login for member in one.get_members()] == LOGINS
        teams = [*one.get_teams()]
        assert [team.slug for team in teams] == TEAMS
        assert [[member.id for member in team.get_members()] for team in teams] == [
            [11],
            [11, 12, 13],
        ]
        seats = [*one.get_copilot().get_seats()]
        assert [seat.assignee.login for seat in seats] == LOGINS
        assert {seat.last_activity_at.date() for seat in seats} == {LAST}
        assert client.get_user("ada-l").id == 11


@pytest.mark.skipif(not has_octokit(), reason="no node, or make vendor has not been run")
@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.slow
def test_octokit_parses_answers(served: Served, root: str) -> None:
    script = ROOT / "tests" / "support" / "octokit_client.mjs"
    command = ["node", f"{script}", f"{MODULES}", served.address + root, served.token]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert json.loads(done.stdout) == {
        "user": "dashboard-scraper",
        "orgs": ["acme"],
        "active": 4,
        "remaining": 15000,
        "seats": LOGINS,
        "teams": TEAMS,
        "members": ["ada-l"],
        "records": DAYS * len(NAMES),
        "interactions": INTERACTIONS,
    }
