"""The server's contract: what each of GitHub's endpoints answers, over real sockets."""

from __future__ import annotations

import json
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from conftest import Home, Start, today, yesterday
from dashboard_scraper.github.reports import GithubOptions, Scope, Subject
from dashboard_scraper.model.dates import DAYS, Window, end_of_day
from dashboard_scraper.model.doubts import DoubtKind
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.people.identity import read_identities
from dashboard_scraper.server.access import LINK_SECONDS, Access
from dashboard_scraper.store import store_at
from filled_store import FETCHED, SOURCE, put, report_of, user
from github_schemas import user_records, whole_record
from serving import SECONDS, Served, serving
from stored_days import sql

TODAY = datetime.now(UTC).date()
LAST = TODAY - timedelta(2)
MONTH = Window(LAST - timedelta(DAYS - 1), LAST)
OLD = MONTH.start - timedelta(5)
NAMES = ["ada@example.com", "bob@example.com", "cyd@example.com", "triage-bot"]
IDENTITIES = "email,login,id,team\nada@example.com,ada-l,11,core\nbob@example.com,bob-m,12,\n"
REPORTS = "/{}/acme/copilot/metrics/reports/{}"
SEAT = {
    "assignee",
    "assigning_team",
    "created_at",
    "last_activity_at",
    "last_activity_editor",
    "last_authenticated_at",
    "pending_cancellation_date",
    "plan_type",
    "updated_at",
}
"""GitHub's fields of a seat, but for `organization`, which not every answer has."""
ENTERPRISE, ORGANIZATION = "enterprises", "orgs"
WHOLE = {ENTERPRISE: "enterprise", ORGANIZATION: "organization"}
OF_A_DAY = [
    (of, name.format(WHOLE[of]))
    for of in WHOLE
    for name in ("{}-1-day", "users-1-day", "user-teams-1-day")
]
OF_A_MONTH = [
    (of, name.format(WHOLE[of])) for of in WHOLE for name in ("{}-28-day", "users-28-day")
]


def path_of(of: str, name: str, day: date | str | None = LAST) -> str:
    path = REPORTS.format(of, name)
    return f"{path}/latest" if "28" in name else f"{path}?day={day}"


def some_day(number: int) -> list[Any]:
    """Everybody did something on every day, but for the old one without anybody."""
    return [
        user(name, chat_messages=number + i, completions_count=1) for i, name in enumerate(NAMES)
    ]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """28 days, an empty one and a gap before them, and today, which is not over."""
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


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A store with one day, and no settings but the source; tests may store other days."""
    home = Home(tmp_path_factory.mktemp("plain"), {"METRICS_SOURCE": SOURCE})
    home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
    put(home.settings["STORE_URL"], {LAST: some_day(1)})
    with serving(home) as server:
        yield server


def error_of(answer: requests.Response, status: int) -> str:
    """The message of an error in GitHub's form."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body.keys() == {"message", "documentation_url", "status"}
    assert body["status"] == str(status)
    assert answer.headers["Content-Type"].startswith("application/json")
    return str(body["message"])


@pytest.mark.parametrize(("of", "name"), [*OF_A_DAY, *OF_A_MONTH])
def test_report_is_envelope_with_absolute_link(served: Served, of: str, name: str) -> None:
    answer = served.get(path_of(of, name))
    body = answer.json()
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    if "28" in name:
        days = {"report_start_day": f"{MONTH.start}", "report_end_day": f"{MONTH.end}"}
    else:
        days = {"report_day": f"{LAST}"}
    (link,) = body.pop("download_links")
    assert body == days
    assert link.startswith(f"{served.address}/downloads/")


@pytest.mark.parametrize(("of", "name"), [*OF_A_DAY, *OF_A_MONTH])
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
    told = [value for name, value in whole.items() if name not in ("day", "enterprise_id")]
    assert [value for value in told if value not in (0, [])] == []
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


def test_month_with_missing_day_is_404(home: Home) -> None:
    home.settings |= {"METRICS_SOURCE": SOURCE, "ORGANIZATION_ID": "77"}
    missing = LAST - timedelta(9)
    put(f"sqlite:///{home.data / 'usage.db'}", {d: [] for d in MONTH.days() if d != missing})
    with serving(home) as server:
        for of, name in OF_A_MONTH:
            message = error_of(server.get(path_of(of, name)), 404)
            assert re.findall(r"\d{4}-\d{2}-\d{2}", message) == [f"{missing}"]
        # Seats are of whom there is, whatever the days.
        assert server.json("/enterprises/acme/copilot/billing/seats")["total_seats"] == 0


def test_unconfigured_organizations_and_teams_are_404(plain: Served) -> None:
    for of, name in (*OF_A_DAY, *OF_A_MONTH):
        if of == ORGANIZATION:
            assert "ORGANIZATION_ID" in error_of(plain.get(path_of(of, name)), 404)
    assert "IDENTITY_FILE" in error_of(plain.get(path_of(ENTERPRISE, "user-teams-1-day")), 404)


@pytest.mark.parametrize(("slug", "status"), [("acme", 200), ("ACME", 200), ("nobody", 404)])
def test_unknown_slug_is_404(served: Served, slug: str, status: int) -> None:
    for path in (
        f"/enterprises/{slug}/copilot/metrics/reports/users-28-day/latest",
        f"/enterprises/{slug}/copilot/metrics/reports/users-1-day?day={LAST}",
        f"/orgs/{slug}/copilot/billing/seats",
    ):
        assert served.get(path).status_code == status


def test_any_slug_is_answered_without_setting(plain: Served) -> None:
    path = f"/enterprises/whatever/copilot/metrics/reports/users-1-day?day={LAST}"
    assert plain.get(path).status_code == 200


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


def test_head_has_headers_of_get(served: Served) -> None:
    link = served.link(path_of(ENTERPRISE, "users-28-day")).removeprefix(served.address)
    paths = [path_of(*each) for each in [*OF_A_DAY, *OF_A_MONTH]]
    others = ["/user/orgs", "/orgs/acme/copilot/billing", "/healthz", "/metrics", link]
    seats = [f"/{of}/acme/copilot/billing/seats" for of in WHOLE]
    for path in [*paths, *seats, *others]:
        head, get = served.get(path, "HEAD"), served.get(path)
        assert (head.status_code, head.content) == (200, b""), path
        assert {n: v for n, v in head.headers.items() if n.lower() not in ("date", "link")} == {
            n: v for n, v in get.headers.items() if n.lower() not in ("date", "link")
        }


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
    access = Access(served.token)
    link = served.link(path_of(ENTERPRISE, "users-28-day"))
    path, _, query = link.partition("?")
    expires = int(dict(part.split("=") for part in query.split("&"))["expires"])
    assert LINK_SECONDS - 60 < expires - time.time() <= LINK_SECONDS
    for seconds, status in ((-1, 403), (60, 200)):
        at = int(time.time()) + seconds
        signature = access.sign(path.removeprefix(served.address), at)
        answer = requests.get(f"{path}?expires={at}&signature={signature}", timeout=SECONDS)
        assert answer.status_code == status
        if status == 403:
            assert "expired" in error_of(answer, 403)


def test_links_use_public_url(home: Home) -> None:
    home.settings |= {
        "METRICS_SOURCE": SOURCE,
        "SERVE_PUBLIC_URL": "https://copilot.example.com/x/",
    }
    put(f"sqlite:///{home.data / 'usage.db'}", {LAST: some_day(1)})
    with serving(home) as server:
        report = server.get(path_of(ENTERPRISE, "users-1-day"), Host="x.example")
        (link,) = report.json()["download_links"]
        assert link.startswith("https://copilot.example.com/x/downloads/")
        local = server.address + link.removeprefix("https://copilot.example.com/x")
        assert requests.get(local, timeout=SECONDS).status_code == 200
        seats = "/enterprises/acme/copilot/billing/seats"
        following = server.get(f"{seats}?per_page=1").links["next"]["url"]
        assert following == f"https://copilot.example.com/x{seats}?page=2&per_page=1"


@pytest.mark.parametrize("of", [ENTERPRISE, ORGANIZATION])
def test_seats_are_paged(served: Served, of: str) -> None:
    path = f"/{of}/acme/copilot/billing/seats"
    whole = served.json(path)
    assert (whole["total_seats"], len(whole["seats"])) == (4, 4)
    first = whole["seats"][0]
    assert first["assignee"] == {"login": "ada-l", "id": 11, "type": "User"}
    assert first["created_at"] == f"{MONTH.start}T00:00:00Z"
    assert first["last_activity_at"] == f"{LAST}T00:00:00Z"
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
        told = {name: link["url"] for name, link in answer.links.items()}
        assert told == {name: f"{path}?page={n}&per_page=1" for name, n in others.items()}


def test_single_seat_page_has_no_link_like_github(served: Served) -> None:
    assert "Link" not in served.get("/enterprises/acme/copilot/billing/seats").headers


def test_page_has_50_seats_by_default_and_100_at_most(home: Home) -> None:
    home.settings["METRICS_SOURCE"] = SOURCE
    people = [user(f"user{number:03}@example.com", chat_messages=1) for number in range(120)]
    people += [user("idle@example.com")]
    put(f"sqlite:///{home.data / 'usage.db'}", {LAST: people, LAST - timedelta(1): people[:1]})
    path = "/enterprises/acme/copilot/billing/seats"
    with serving(home) as server:
        assert len(server.json(path)["seats"]) == 50
        whole = server.json(f"{path}?per_page=500")
        assert (whole["total_seats"], len(whole["seats"])) == (121, 100)
        idle, first = whole["seats"][:2]
        assert idle["assignee"]["login"] == "idle@example.com"
        assert (idle["created_at"], idle["last_activity_at"]) == (f"{LAST}T00:00:00Z", None)
        assert first["created_at"] == f"{LAST - timedelta(1)}T00:00:00Z"
        assert first["last_activity_at"] == f"{LAST}T00:00:00Z"
        assert idle.keys() == first.keys() == SEAT


def test_tools_can_test_their_connection(served: Served) -> None:
    assert [each["login"] for each in served.json("/user/orgs")] == ["other", "acme"]
    billing = served.json("/orgs/acme/copilot/billing")
    assert billing["seat_breakdown"] == {"total": 4, "active_this_cycle": 4}
    assert (billing["plan_type"], billing["total_seats"]) == ("unknown", 4)
    assert served.get("/orgs/nobody/copilot/billing").status_code == 404


def figures_of_metrics(served: Served) -> dict[str, float]:
    """By name without the prefix; of one source."""
    answer = requests.get(f"{served.address}/metrics", timeout=SECONDS)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    parsed = text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]
    samples = [sample for family in parsed for sample in family.samples]
    assert len({sample.labels["source"] for sample in samples}) == 1
    assert len({sample.name for sample in samples}) == len(samples)
    return {each.name.removeprefix("dashboard_scraper_"): each.value for each in samples}


def test_metrics_describe_store_and_no_person(served: Served) -> None:
    assert figures_of_metrics(served) == {
        "newest_complete_day_end_timestamp_seconds": end_of_day(LAST).timestamp(),
        "missing_days": 4 + 1,
        **{f"{kind.word}_days": 0 for kind in DoubtKind},
        "rows": 29 * len(NAMES),
        "people": len(NAMES),
    }
    text = served.get("/metrics").text
    assert f'source="{SOURCE}"' in text
    assert not any(name in text for name in (*NAMES, "ada-l"))


def test_reports_and_seats_have_pseudonyms(home: Home) -> None:
    key = home.path / "secrets" / "key"
    key.parent.mkdir()
    key.write_text("k" * 40)
    key.chmod(0o600)
    home.settings |= {"METRICS_SOURCE": SOURCE, "PSEUDONYM_KEY_FILE": "secrets/key"}
    put(f"sqlite:///{home.data / 'usage.db'}", {LAST: some_day(1)})
    with serving(home) as server:
        text = server.report(path_of(ENTERPRISE, "users-1-day")).decode()
        text += json.dumps(server.json("/enterprises/acme/copilot/billing/seats"))
        assert text.count('"user-') == 2 * len(NAMES)
        assert not any(name in text for name in NAMES)


def test_missing_store_is_404_and_token_is_created_once(home: Home) -> None:
    """A first start: its token is printed, and not by the next one."""
    with serving(home) as first:
        file = home.path / "secrets" / "serve-token"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert len(first.token) >= 40
        assert first.shown == [f"token: {first.token}", first.address]
        for path in (path_of(ENTERPRISE, "users-28-day"), path_of(ENTERPRISE, "users-1-day")):
            assert "fetched yet" in error_of(first.get(path), 404)
        assert "fetched yet" in error_of(first.get("/enterprises/a/copilot/billing/seats"), 404)
        assert first.json("/healthz") == {"status": "ok"}
        assert first.get("/metrics").status_code == 200
        assert first.token not in first.log
    with serving(home) as second:
        assert second.token == first.token
        assert second.shown == [second.address]
        assert second.token not in second.log


def test_own_token_is_never_printed(home: Home) -> None:
    (home.path / "mine").write_text("0123456789-of-my-own\n")
    (home.path / "mine").chmod(0o600)
    home.settings["SERVE_TOKEN_FILE"] = "mine"
    with serving(home) as server:
        assert server.get("/user/orgs").status_code == 200
        assert server.shown == [server.address]
        assert "0123456789-of-my-own" not in server.log
    assert not (home.path / "secrets").exists()


def test_postgresql_store_is_served(home: Home, postgres_store_url: str) -> None:
    home.settings |= {"METRICS_SOURCE": SOURCE, "STORE_URL": postgres_store_url}
    put(postgres_store_url, {day: some_day(1) for day in MONTH.days()})
    with serving(home) as server:
        for name, subject in (
            ("users-28-day", Subject.USERS),
            ("enterprise-28-day", Subject.WHOLE),
        ):
            expected = report_of(postgres_store_url, subject, MONTH)
            assert server.report(path_of(ENTERPRISE, name)) == expected
        assert server.json("/enterprises/acme/copilot/billing/seats")["total_seats"] == len(NAMES)


# What a run left


def test_downloads_equal_exported_files(home: Home, start: Start) -> None:
    address = start().organization.people[0].name
    (home.path / "people.csv").write_text(f"email,login,id,team\n{address},first,5,core\n")
    home.settings |= {"ORGANIZATION_ID": "77", "IDENTITY_FILE": "people.csv"}
    assert home.run("--last-28-days").code == 0
    folder = home.daily_folder / "github_reports"
    last, old = yesterday(), today() - timedelta(9)
    (other,) = home.run("export", f"{old}", f"{last}").paths
    found = set()
    with serving(home) as server:
        for of, name in [*OF_A_DAY, *OF_A_MONTH]:
            prefix = "organization-" if of == ORGANIZATION and not name.startswith("org") else ""
            for kept, day in ((folder, last), (other / "github_reports", old)):
                if "28" in name and kept is not folder:
                    continue
                (file,) = kept.glob(f"{prefix}{name}{'' if '28' in name else f'_{day}'}.*json")
                assert server.report(path_of(of, name, day)) == file.read_bytes(), file
                found.add(file)
        assert {file for file in found if file.parent == folder} == set(folder.iterdir())
        figures = figures_of_metrics(server)
        assert 0 <= time.time() - figures["last_success_timestamp_seconds"] < 60
        newest = figures["newest_complete_day_end_timestamp_seconds"]
        assert newest == end_of_day(yesterday()).timestamp()
        assert figures["missing_days"] == 0
        assert "@" not in server.get("/metrics").text


# Against a store that changes

MANY = [f"user{number}@example.com" for number in range(5000)]
THEIRS = [user(name, chat_messages=1, completions_count=1) for name in MANY]


@pytest.fixture
def changing(home: Home, store_url: str) -> Iterator[Served]:
    """As `plain`, on each kind of database in turn."""
    home.settings["METRICS_SOURCE"] = SOURCE
    put(store_url, {LAST: some_day(1)})
    with serving(home) as server:
        yield server


def is_being_read(store_url: str) -> bool:
    """Whether somebody has not ended to read a state of the store that is no longer the newest."""
    if store_url.startswith("sqlite"):
        _, in_log, moved = sql(store_url, "PRAGMA wal_checkpoint(PASSIVE)")[0]
        return bool(moved < in_log)
    state = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
    return bool(sql(store_url, f"{state} AND state = 'idle in transaction'"))


def test_running_job_does_not_block_readers(changing: Served, store_url: str) -> None:
    with store_at(store_url).locked():
        records = user_records(changing.report(path_of(ENTERPRISE, "users-1-day")))
        assert len(records) == len(NAMES)
        assert changing.json("/enterprises/acme/copilot/billing/seats")["total_seats"] == 4


def test_replaced_day_is_served_from_one_version(changing: Served, store_url: str) -> None:
    """By a run that holds the store's lock all the time."""
    store = store_at(store_url)
    days = [
        DayUsage(LAST, [user(name, chat_messages=count) for name in sorted(MANY[:300])])
        for count in (1, 2)
    ]
    ended = threading.Event()

    def replace() -> None:
        try:
            for count in range(20):
                store.put(SOURCE, days[count % 2], FETCHED)
        finally:
            ended.set()

    with store.locked(), store.opened():
        versions = []
        for day in days:
            store.put(SOURCE, day, FETCHED)
            versions.append(report_of(store_url, Subject.USERS, LAST))
        writer = threading.Thread(target=replace)
        writer.start()
        seen = set()
        while not ended.is_set():
            report = changing.report(path_of(ENTERPRISE, "users-1-day"))
            assert report in versions
            seen.add(report)
        writer.join()
    assert len(seen) == 2


def test_slow_reader_gets_its_snapshot(changing: Served, store_url: str) -> None:
    """Of 28 days the last is replaced while the first ones are on their way."""
    put(store_url, dict.fromkeys(MONTH.days(), THEIRS[:200]))
    expected = report_of(store_url, Subject.USERS, MONTH)
    assert len(expected) > 6_000_000
    with changing.slow_reader(changing.link(path_of(ENTERPRISE, "users-28-day"))) as reader:
        before = time.monotonic()
        put(store_url, {LAST: [user("ada@example.com", chat_messages=5)]})
        assert time.monotonic() - before < 2
        assert is_being_read(store_url)
        (record,) = user_records(changing.report(path_of(ENTERPRISE, "users-1-day")))
        assert record["user_initiated_interaction_count"] == 5
        assert reader.all() == expected
    assert eventually(lambda: not is_being_read(store_url))


def test_person_can_be_forgotten_during_download(changing: Served, store_url: str) -> None:
    put(store_url, {LAST: THEIRS})
    link = changing.link(path_of(ENTERPRISE, "users-1-day"))
    with changing.slow_reader(link) as reader:
        assert changing.home.run("forget", MANY[0]).code == 0
        assert is_being_read(store_url)
        assert MANY[0].encode() not in requests.get(link, timeout=SECONDS).content
        assert reader.all().count(b"\n") == len(MANY)


def test_aborted_download_releases_the_store(changing: Served, store_url: str) -> None:
    put(store_url, {LAST: THEIRS})
    with changing.slow_reader(changing.link(path_of(ENTERPRISE, "users-1-day"))):
        put(store_url, {LAST: []})
        assert is_being_read(store_url)
    assert eventually(lambda: not is_being_read(store_url))
    assert "Traceback" not in changing.log


def eventually(is_so: Callable[[], bool]) -> bool:
    ends = time.monotonic() + 10
    while not is_so():
        if time.monotonic() > ends:
            return False
        time.sleep(0.05)
    return True


def test_day_removed_after_its_link_is_404(plain: Served) -> None:
    url, day = plain.home.settings["STORE_URL"], LAST - timedelta(3)
    put(url, {day: some_day(1)})
    links = [plain.link(path_of(ENTERPRISE, name, day)) for _, name in OF_A_DAY[:2]]
    sql(url, f"DELETE FROM day_ledger WHERE day = '{day}'")
    for link in links:
        assert f"{day}" in error_of(requests.get(link, timeout=SECONDS), 404)


def test_damaged_day_is_500_and_logged(plain: Served) -> None:
    url, day = plain.home.settings["STORE_URL"], LAST - timedelta(4)
    put(url, {day: some_day(1)})
    sql(url, f"UPDATE user_day SET chat_messages = 99 WHERE day = '{day}'")
    link = plain.link(path_of(ENTERPRISE, "users-1-day", day))
    error_of(requests.get(link, timeout=SECONDS), 500)
    assert f"the rows of {day} do not match the ledger" in plain.log
    assert " ERROR dashboard_scraper.server.app" in plain.log
    assert "Traceback" not in plain.log


def test_aborted_report_looks_incomplete(served: Served, tmp_path: Path) -> None:
    """The last of 28 days is damaged: the others are on their way by then."""
    source = Path(served.home.settings["STORE_URL"].removeprefix("sqlite:///"))
    home = Home(tmp_path, {"METRICS_SOURCE": SOURCE})
    home.data.mkdir()
    (home.data / "usage.db").write_bytes(source.read_bytes())
    url = f"sqlite:///{home.data / 'usage.db'}"
    put(url, {MONTH.start: [user(f"u{n}@example.com", chat_messages=1) for n in range(300)]})
    sql(url, f"UPDATE user_day SET chat_messages = 99 WHERE day = '{LAST}'")
    with serving(home) as server:
        link = server.link(path_of(ENTERPRISE, "users-28-day"))
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            requests.get(link, timeout=SECONDS)
        assert server.get("/healthz").status_code == 200
        (line,) = [each for each in server.log.splitlines() if "do not match the ledger" in each]
        assert " ERROR dashboard_scraper.server.app" in line
        assert f"the rows of {LAST} do not match the ledger" in line
        assert "Traceback" not in server.log


def test_twenty_readers_at_once_get_everything(plain: Served) -> None:
    url, day = plain.home.settings["STORE_URL"], LAST - timedelta(5)
    put(url, {day: [user(f"u{n}@example.com", chat_messages=n) for n in range(2000)]})
    expected = report_of(url, Subject.USERS, day)
    link = plain.link(path_of(ENTERPRISE, "users-1-day", day))
    got: list[bytes] = []
    readers = [
        threading.Thread(target=lambda: got.append(requests.get(link, timeout=SECONDS).content))
        for _ in range(20)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert got == [expected] * 20
