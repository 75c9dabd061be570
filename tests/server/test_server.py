"""The server's contract: how each of GitHub's endpoints answers, over real sockets."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
import requests

from conftest import Home
from dashboard_scraper.github.kinds import GithubOptions, Scope, Subject
from dashboard_scraper.model.dates import end_of_day
from dashboard_scraper.model.doubts import DoubtKind
from dashboard_scraper.model.figures import NOTHING_KNOWN
from dashboard_scraper.model.usage import UserUsage
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.identity import read_identities
from dashboard_scraper.server.access import LINK_SECONDS, Access, Credentials
from dashboard_scraper.sources.registry import CLAUDE_CODE
from filled_store import SOURCE, put, report_of
from github_requests import (
    ENTERPRISE,
    LAST,
    MONTH,
    NAMES,
    OF_A_DAY,
    OF_A_MONTH,
    ORGANIZATION,
    REPORTS,
    TODAY,
    error_of,
    figures_of_metrics,
    path_of,
    some_day,
)
from github_schemas import user_records, whole_record
from serving import SECONDS, Served, serving

LACKING = "latest_reports_missing_days"
OLD = MONTH.start - timedelta(5)
IDENTITIES = "email,login,id,team\nada@example.com,ada-l,11,core\nbob@example.com,bob-m,12,\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """28 days, with an empty day and a gap before them, and today, which has not ended."""
    home = Home(tmp_path_factory.mktemp("served"), {"METRICS_SOURCE": SOURCE})
    url = f"sqlite:///{home.data / 'usage.db'}"
    days = {day: some_day(number) for number, day in enumerate(MONTH.days())}
    put(url, days | {OLD: [], TODAY: some_day(1)})
    (home.path / "people.csv").write_text(IDENTITIES)
    home.settings |= {
        "STORE_URL": url,
        "ORGANIZATION_ID": "77",
        "IDENTITY_FILE": "people.csv",
        "ENTERPRISE_SLUGS": "acme",
        "ORGANIZATION_SLUGS": "other,acme",
    }
    with serving(home) as server:
        yield server


@pytest.mark.parametrize(("of", "name"), [*OF_A_DAY, *OF_A_MONTH])
@pytest.mark.slow
def test_report_is_envelope_with_absolute_link(served: Served, of: str, name: str) -> None:
    answer = served.get(path_of(of, name))
    body = answer.json()
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    if "28" in name:
        days = {"report_start_day": f"{MONTH.start}", "report_end_day": f"{MONTH.end}"}
    else:
        days = {"report_day": f"{LAST}"}
    (link,) = body.pop("download_links")
    assert body == days
    assert link.startswith(f"{served.address}/downloads/")


@pytest.mark.slow
def test_source_without_figures_is_no_report(home: Home) -> None:
    """404, as at GitHub if there is none, and one line in the log; `/metrics` has every source."""
    url = home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
    put(url, {LAST: some_day(1)})
    put(url, {LAST: [UserUsage("ada@example.com", NOTHING_KNOWN)]}, CLAUDE_CODE)
    home.settings |= {"SOURCES": f"{CLAUDE_CODE},{SOURCE}", "ORGANIZATION_ID": "77"}
    with serving(home) as server:
        for of, name in (OF_A_DAY[0], OF_A_DAY[-1], OF_A_MONTH[1]):
            message = error_of(server.get(path_of(of, name)), 404)
            assert "GitHub's reports need figures that Claude Code does not have" in message
        metrics = server.get("/metrics").text
        assert server.json("/enterprises/acme/copilot/billing/seats")["total_seats"] == 1
    assert server.log.count("not served: GitHub's reports") == 1
    for name, sources in {"people": [SOURCE, CLAUDE_CODE], LACKING: [SOURCE]}.items():
        found = re.findall(rf'^dashboard_scraper_{name}{{source="(\w+)"}}', metrics, re.MULTILINE)
        assert found == sources


@pytest.mark.parametrize(("of", "name"), [*OF_A_DAY, *OF_A_MONTH])
@pytest.mark.slow
def test_link_needs_no_token(served: Served, of: str, name: str) -> None:
    subject = next(
        (s for s in (Subject.TEAMS, Subject.USERS) if name.startswith(s.value)), Subject.WHOLE
    )
    identities = read_identities(served.home.path / "people.csv")
    options = GithubOptions("283613", "77")
    window = MONTH if "28" in name else LAST
    scope = Scope.ENTERPRISE if of == ENTERPRISE else Scope.ORGANIZATION
    audience = Audience(identities=identities)
    url = served.home.settings["STORE_URL"]
    expected = report_of(url, subject, window, options, scope, audience)
    assert served.report(path_of(of, name)) == expected
    assert expected


def test_records_use_identities(served: Served) -> None:
    records = user_records(served.report(path_of(ENTERPRISE, "users-1-day")))
    logins = [record["user_login"] for record in records]
    assert logins == ["ada-l", "bob-m", "cyd@example.com", "triage-bot"]
    assert [record["user_id"] for record in records][:2] == [11, 12]


def test_empty_day_is_an_empty_report(served: Served) -> None:
    assert served.report(path_of(ENTERPRISE, "users-1-day", OLD)) == b""
    whole = whole_record(served.report(path_of(ENTERPRISE, "enterprise-1-day", OLD)))
    given_values = [value for name, value in whole.items() if name not in ("day", "enterprise_id")]
    assert [value for value in given_values if value not in (0, [])] == []
    assert {"daily_active_users", "user_initiated_interaction_count"} < whole.keys()


@pytest.mark.parametrize(("of", "name"), OF_A_DAY)
def test_missing_day_is_404(served: Served, of: str, name: str) -> None:
    missing = OLD + timedelta(1)
    assert f"{missing}" in error_of(served.get(path_of(of, name, missing)), 404)


@pytest.mark.parametrize(
    "day", ["", "yesterday", "2026-13-01", "20261103", "2026-11-3", "२०२६-११-०३"]
)
def test_invalid_day_is_400(served: Served, day: str) -> None:
    assert "day" in error_of(served.get(path_of(ENTERPRISE, "users-1-day", day)), 400)


def test_missing_day_parameter_is_400(served: Served) -> None:
    assert "day" in error_of(served.get(REPORTS.format(ENTERPRISE, "users-1-day")), 400)


@pytest.mark.parametrize(("slug", "status"), [("acme", 200), ("ACME", 200), ("nobody", 404)])
def test_unknown_slug_is_404(served: Served, slug: str, status: int) -> None:
    for path in (
        f"/enterprises/{slug}/copilot/metrics/reports/users-28-day/latest",
        f"/enterprises/{slug}/copilot/metrics/reports/users-1-day?day={LAST}",
        f"/orgs/{slug}/copilot/billing/seats",
    ):
        assert served.get(path).status_code == status


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "token", "Token", "tOKEN"])
@pytest.mark.parametrize("version", ["2022-11-28", "2026-03-10"])
def test_both_schemes_and_versions_are_accepted(served: Served, scheme: str, version: str) -> None:
    headers = {"Authorization": f"{scheme} {served.token}", "X-GitHub-Api-Version": version}
    assert served.get(path_of(ENTERPRISE, "users-28-day"), **headers).status_code == 200


def test_unknown_api_version_is_400(served: Served) -> None:
    answer = served.get(
        path_of(ENTERPRISE, "users-28-day"), **{"X-GitHub-Api-Version": "2020-01-01"}
    )
    assert "2026-03-10" in error_of(answer, 400)


@pytest.mark.parametrize("path", [path_of(*each) for each in [*OF_A_DAY, *OF_A_MONTH]])
@pytest.mark.parametrize("sent", ["Bearer wrong", "Basic {}", "{}", "Bearer {}x", "Bearer  ", ""])
def test_wrong_token_is_401(served: Served, path: str, sent: str) -> None:
    answer = served.get(path, Authorization=sent.format(served.token))
    assert error_of(answer, 401) == "Bad credentials"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_missing_authorization_is_401(served: Served) -> None:
    for path in (
        path_of(ENTERPRISE, "users-28-day"),
        "/orgs/acme/copilot/billing/seats",
        "/",
        "/x",
    ):
        answer = requests.get(served.address + path, timeout=SECONDS)
        assert error_of(answer, 401) == "Requires authentication"


@pytest.mark.parametrize(
    "path", ["/report.html", "/nothing", "/enterprises/acme", "/downloads/enterprise"]
)
def test_unknown_paths_are_404(served: Served, path: str) -> None:
    assert error_of(served.get(path), 404) == "Not Found"


def test_wrong_method_is_404_like_github(served: Served) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        error_of(served.get(path_of(ENTERPRISE, "users-28-day"), method), 404)


def lasting(answer: requests.Response) -> dict[str, str]:
    """The headers that are the same in every answer. A signed link changes the ETag, and the limit
    is reset at the end of each hour.
    """
    passing = {"date", "link", "x-github-request-id", "etag", "x-ratelimit-reset"}
    return {name: value for name, value in answer.headers.items() if name.lower() not in passing}


@pytest.mark.slow
def test_head_has_headers_of_get(served: Served) -> None:
    link = served.link(path_of(ENTERPRISE, "users-28-day")).removeprefix(served.address)
    paths = [path_of(*each) for each in [*OF_A_DAY, *OF_A_MONTH]]
    others = ["/user/orgs", "/orgs/acme/copilot/billing", "/healthz", "/metrics", link]
    seats = [f"/{of}/acme/copilot/billing/seats" for of in (ENTERPRISE, ORGANIZATION)]
    for path in [*paths, *seats, *others]:
        head, get = served.get(path, "HEAD"), served.get(path)
        assert (head.status_code, head.content) == (200, b""), path
        assert lasting(head) == lasting(get)


def test_head_of_refused_request_has_its_status(served: Served) -> None:
    missing = path_of(ENTERPRISE, "users-1-day", OLD + timedelta(1))
    for status, path, headers in (
        (400, path_of(ENTERPRISE, "users-1-day", "x"), {}),
        (401, path_of(ENTERPRISE, "users-28-day"), {"Authorization": "Bearer x"}),
        (403, "/downloads/enterprise/x?expires=1&signature=a", {}),
        (404, missing, {}),
        (404, "/nothing", {}),
    ):
        head, get = served.get(path, "HEAD", **headers), served.get(path, **headers)
        assert (head.status_code, head.content) == (status, b"")
        assert head.headers["Content-Length"] == str(len(get.content))


def test_link_expires_after_an_hour(served: Served) -> None:
    credentials = Credentials.of_token(served.token, "any")
    access = Access(credentials)
    before = int(time.time())
    link = served.link(path_of(ENTERPRISE, "users-28-day"))
    path, _, query = link.partition("?")
    expires = int(dict(part.split("=") for part in query.split("&"))["expires"])
    assert before <= expires - LINK_SECONDS <= time.time()
    for seconds, status in ((-1, 403), (60, 200)):
        at = int(time.time()) + seconds
        signature = access.sign(path.removeprefix(served.address), at, credentials.tokens[0])
        answer = requests.get(f"{path}?expires={at}&signature={signature}", timeout=SECONDS)
        assert answer.status_code == status
        if status == 403:
            assert "expired" in error_of(answer, 403)


@pytest.mark.parametrize("of", [ENTERPRISE, ORGANIZATION])
def test_seats_are_paged(served: Served, of: str) -> None:
    path = f"/{of}/acme/copilot/billing/seats"
    whole = served.json(path)
    assert (whole["total_seats"], len(whole["seats"])) == (4, 4)
    first = whole["seats"][0]
    assert (first["assignee"]["login"], first["assignee"]["id"]) == ("ada-l", 11)
    assert first["created_at"] == f"{MONTH.start}T00:00:00Z"
    assert first["last_activity_at"] == f"{TODAY}T00:00:00Z"
    got, url = [], f"{path}?per_page=3"
    while url:
        answer = served.get(url.removeprefix(served.address))
        assert answer.json()["total_seats"] == 4
        got += answer.json()["seats"]
        url = answer.links.get("next", {}).get("url", "")
    assert got == whole["seats"]
    assert served.json(f"{path}?page=9")["seats"] == []
    for wrong in ("page=0", "per_page=x", "page=-1", "per_page=99999999999"):
        error_of(served.get(f"{path}?{wrong}"), 400)


def test_seat_pages_link_to_each_other_like_github(served: Served) -> None:
    path = f"{served.address}/enterprises/acme/copilot/billing/seats"
    pages = {1: {"next": 2, "last": 4}, 2: {"prev": 1, "next": 3, "first": 1, "last": 4}}
    pages[4] = {"prev": 3, "first": 1}
    for page, others in pages.items():
        answer = requests.get(
            f"{path}?page={page}&per_page=1",
            headers={"Authorization": f"Bearer {served.token}"},
            timeout=SECONDS,
        )
        given_values = {name: link["url"] for name, link in answer.links.items()}
        assert given_values == {name: f"{path}?page={n}&per_page=1" for name, n in others.items()}


def test_single_seat_page_has_no_link_like_github(served: Served) -> None:
    assert "Link" not in served.get("/enterprises/acme/copilot/billing/seats").headers


@pytest.mark.slow
def test_tools_can_test_their_connection(served: Served) -> None:
    assert [each["login"] for each in served.json("/user/orgs")] == ["other", "acme"]
    assert served.json("/orgs/acme/copilot/billing")["seat_breakdown"] == {
        "total": 4,
        "added_this_cycle": 4,
        "active_this_cycle": 4,
        "inactive_this_cycle": 0,
        "pending_cancellation": 0,
        "pending_invitation": 0,
    }
    assert served.get("/orgs/nobody/copilot/billing").status_code == 404


@pytest.mark.slow
def test_metrics_describe_store_and_no_person(served: Served) -> None:
    assert figures_of_metrics(served) == {
        "newest_complete_day_end_timestamp_seconds": end_of_day(LAST).timestamp(),
        "missing_days": 4 + 1,
        **{f"{kind.word}_days": 0 for kind in DoubtKind},
        "rows": 29 * len(NAMES),
        "people": len(NAMES),
        "latest_reports_missing_days": 0,
    }
    text = served.get("/metrics").text
    assert f'source="{SOURCE}"' in text
    assert not any(name in text for name in (*NAMES, "ada-l"))
