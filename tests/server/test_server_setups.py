"""`serve` with other settings, other stores, and over a store that changes meanwhile."""

from __future__ import annotations

import functools
import itertools
import json
import stat
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import requests

from conftest import Home, Start, today, yesterday
from dashboard_scraper.github.kinds import Subject
from dashboard_scraper.model.dates import end_of_day, iso_utc
from dashboard_scraper.model.seats import Seat, merged
from dashboard_scraper.model.usage import DayUsage, EditorLanguageUsage, UserUsage
from dashboard_scraper.sources.registry import COPILOT, CURSOR
from dashboard_scraper.store import DetailStatus, store_at
from filled_store import FETCHED, SOURCE, figures_of, put, report_of, user
from github_answers import assert_described
from github_requests import (
    ENTERPRISE,
    LAST,
    MONTH,
    NAMES,
    OF_A_DAY,
    OF_A_MONTH,
    ORGANIZATION,
    SEAT,
    TODAY,
    error_of,
    figures_of_metrics,
    path_of,
    some_day,
)
from github_schemas import user_records, whole_record
from serving import SECONDS, Served, serving
from several_sources import FETCHED as SEATS_FETCHED
from several_sources import put_seats
from stored_days import sql

SEATS = "/enterprises/acme/copilot/billing/seats"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A store with one day, and only the source in the settings; tests may store other days."""
    home = Home(tmp_path_factory.mktemp("plain"), {"METRICS_SOURCE": SOURCE})
    home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
    put(home.settings["STORE_URL"], {LAST: some_day(1)})
    with serving(home) as server:
        yield server


@pytest.mark.slow
def test_month_lacks_missing_days_and_says_so(home: Home) -> None:
    home.settings |= {"METRICS_SOURCE": SOURCE, "ORGANIZATION_ID": "77"}
    gap = [LAST - timedelta(9), LAST - timedelta(10)]
    stored = [day for day in MONTH.days() if day not in gap]
    put(f"sqlite:///{home.data / 'usage.db'}", {day: some_day(1) for day in stored})
    with serving(home) as server:
        for of, name in OF_A_MONTH:
            answer = server.get(path_of(of, name))
            download = requests.get(answer.json()["download_links"][0], timeout=SECONDS)
            for each in (answer, download):
                assert each.headers["X-Usage-Missing-Days"] == f"{gap[1]} to {gap[0]}"
            if "users" in name:
                days = {record["day"] for record in user_records(download.content)}
            else:
                days = {total["day"] for total in whole_record(download.content)["day_totals"]}
            assert sorted(days) == [f"{day}" for day in stored]
        for path in (SEATS, f"/orgs/acme/members/{NAMES[0]}/copilot", "/orgs/acme/copilot/billing"):
            lacking = server.get(path).headers["X-Usage-Missing-Days"]
            assert lacking == f"{gap[1]} to {gap[0]}"
        assert server.log.count("is served without days") == 1
        assert figures_of_metrics(server)["latest_reports_missing_days"] == 2
        for name in ("users-1-day", "enterprise-1-day"):
            day = path_of(ENTERPRISE, name)
            for each in (server.get(day), requests.get(server.link(day), timeout=SECONDS)):
                assert "X-Usage-Missing-Days" not in each.headers
                assert each.headers["X-Usage-Earlier-Missing-Days"] == f"{gap[1]} to {gap[0]}"


def test_metrics_of_several_sources_are_of_each(home: Home) -> None:
    """Each source has its own people; what was looked up for one is not used for another."""
    home.settings |= {"METRICS_SOURCE": "all", "SOURCES": f"{CURSOR},{COPILOT}"}
    url = f"sqlite:///{home.data / 'usage.db'}"
    put(url, {day: some_day(1) for day in (LAST, LAST - timedelta(1))}, CURSOR)
    put(url, {LAST - timedelta(2): [user("ada-m", chat_messages=1)]}, COPILOT)
    with serving(home) as server:
        metrics = server.get("/metrics").text
        organization = server.json("/orgs/acme")
    for name, count in {CURSOR: len(NAMES), COPILOT: 1}.items():
        assert f'dashboard_scraper_people{{source="{name}"}} {count}.0\n' in metrics
    assert organization["updated_at"] == iso_utc(end_of_day(LAST))


@pytest.mark.slow
def test_report_on_many_users_has_several_links(home: Home) -> None:
    """One link for each 10,000 user-days or fewer, in whole days."""
    home.settings["METRICS_SOURCE"] = SOURCE
    people = [user(f"user{number}@example.com", chat_messages=1) for number in range(4000)]
    days = {LAST - timedelta(back): people for back in range(3)}
    put(f"sqlite:///{home.data / 'usage.db'}", days)
    with serving(home) as server:
        links = server.json(path_of(ENTERPRISE, "users-28-day"))["download_links"]
        parts = [requests.get(link, timeout=SECONDS) for link in links]
        assert [part.content.count(b"\n") for part in parts] == [8000, 4000]
        whole = report_of(f"sqlite:///{home.data / 'usage.db'}", Subject.USERS, MONTH)
        assert b"".join(part.content for part in parts) == whole
        assert "X-Usage-Missing-Days" in parts[0].headers
        assert "X-Usage-Missing-Days" not in parts[1].headers
        assert len(server.json(path_of(ENTERPRISE, "users-1-day"))["download_links"]) == 1
        other = links[1].replace(f"{LAST}_{LAST}.", f"{LAST - timedelta(1)}_{LAST}.")
        assert requests.get(other, timeout=SECONDS).status_code == 403


@pytest.mark.parametrize(
    ("setting", "default"), [("true", ["unknown"]), ("false", ["intellij", "vscode"])]
)
@pytest.mark.slow
def test_path_says_whether_editors_are_merged(home: Home, setting: str, default: list[str]) -> None:
    home.settings |= {"METRICS_SOURCE": SOURCE, "GITHUB_REPORTS_MERGE_IDES": setting}
    url = f"sqlite:///{home.data / 'usage.db'}"
    put(url, {LAST: [user("ada@example.com", chat_messages=5)]})
    store = store_at(url)
    with store.locked(), store.opened():
        rows = [
            EditorLanguageUsage("ada@example.com", editor, "Go", figures_of(chat_messages=count))
            for editor, count in (("VSCode", 3), ("JetBrains", 2))
        ]
        store.put_editor_languages(SOURCE, LAST, rows, DetailStatus.COMPLETE, FETCHED)
    apart = ["intellij", "vscode"]
    expected = {"": default, "/editors/merged": ["unknown"], "/editors/apart": apart}
    with serving(home) as server:
        for root, ides in expected.items():
            for below in (root, f"{root}/api/v3"):
                for name in ("enterprise-1-day", "enterprise-28-day"):
                    whole = whole_record(server.report(below + path_of(ENTERPRISE, name)))
                    (day,) = whole.get("day_totals", [whole])
                    assert [row["ide"] for row in day["totals_by_ide"]] == ides
                for name in ("users-1-day", "users-28-day"):
                    (record,) = user_records(server.report(below + path_of(ENTERPRISE, name)))
                    assert [row["ide"] for row in record["totals_by_ide"]] == apart
        seats = server.json("/editors/apart/api/v3/orgs/acme/members/ada@example.com/copilot")
        url = seats["assignee"]["url"]
        assert url == f"{server.address}/editors/apart/api/v3/users/ada%40example.com"
        assert server.json(url.removeprefix(server.address))["login"] == "ada@example.com"
        for path in ("/api/v3/", "/editors/apart/", "/editors/both/user", "/api/v3/api/v3/user"):
            assert server.get(path).status_code == 404


def test_new_installation_has_report_of_its_days(home: Home) -> None:
    home.settings["METRICS_SOURCE"] = SOURCE
    put(f"sqlite:///{home.data / 'usage.db'}", {LAST: some_day(1), TODAY: some_day(2)})
    with serving(home) as server:
        records = user_records(server.report(path_of(ENTERPRISE, "users-28-day")))
        assert {record["day"] for record in records} == {f"{LAST}"}
        assert {record["report_start_day"] for record in records} == {f"{MONTH.start}"}
        whole = whole_record(server.report(path_of(ENTERPRISE, "enterprise-28-day")))
        assert [total["monthly_active_users"] for total in whole["day_totals"]] == [len(NAMES)]
        assert figures_of_metrics(server)["latest_reports_missing_days"] == 27


@pytest.mark.slow
def test_unconfigured_organizations_and_teams_are_404(plain: Served) -> None:
    for of, name in (*OF_A_DAY, *OF_A_MONTH):
        if of == ORGANIZATION:
            assert "ORGANIZATION_ID" in error_of(plain.get(path_of(of, name)), 404)
    assert "IDENTITY_FILE" in error_of(plain.get(path_of(ENTERPRISE, "user-teams-1-day")), 404)


@pytest.mark.slow
def test_any_slug_is_answered_without_setting(plain: Served) -> None:
    path = f"/enterprises/whatever/copilot/metrics/reports/users-1-day?day={LAST}"
    assert plain.get(path).status_code == 200


@pytest.mark.slow
def test_account_with_a_slash_in_its_name_is_found(plain: Served) -> None:
    put(plain.home.settings["STORE_URL"], {LAST - timedelta(6): [user("ci/deploy")]})
    for of in (ORGANIZATION, ENTERPRISE):
        found = plain.json(f"/{of}/acme/members/ci%2Fdeploy/copilot")
        seat = found["seats"][0] if of == ENTERPRISE else found
        url = seat["assignee"]["url"].removeprefix(plain.address)
        assert plain.json(url)["login"] == "ci/deploy"


@pytest.mark.slow
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
        seats = SEATS
        following = server.get(f"{seats}?per_page=1").links["next"]["url"]
        assert following == f"https://copilot.example.com/x{seats}?page=2&per_page=1"


@pytest.mark.slow
def test_page_has_50_seats_by_default_and_100_at_most(home: Home) -> None:
    home.settings["METRICS_SOURCE"] = SOURCE
    people = [user(f"user{number:03}@example.com", chat_messages=1) for number in range(120)]
    people += [user("idle@example.com")]
    put(f"sqlite:///{home.data / 'usage.db'}", {LAST: people, LAST - timedelta(1): people[:1]})
    path = SEATS
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


def test_people_who_stopped_have_inactive_seats(home: Home) -> None:
    """Even for a source that reports only active people: the store knows who was there before."""
    home.settings |= {"METRICS_SOURCE": SOURCE, "INCLUDE_SERVICE_ACCOUNTS": "false"}
    home.settings["IDENTITY_FILE"] = "people.csv"
    (home.path / "people.csv").write_text(
        "email,login,id\nada@old.example.com,ada,1\nada@example.com,ada,1\nnew@example.com,new,2\n"
    )
    old, early = MONTH.start - timedelta(1), MONTH.start - timedelta(300)
    days = {
        early: [user("ada@old.example.com", chat_messages=1), user("bot", chat_messages=1)],
        old: [user("bob@example.com", chat_messages=1), user("cyd@example.com")],
        LAST: [user("ada@example.com", chat_messages=1), user("bob@example.com")],
    }
    put(f"sqlite:///{home.data / 'usage.db'}", days)
    with serving(home) as server:
        seats = server.json(SEATS)["seats"]
        assert [
            (
                seat["assignee"]["login"],
                seat["created_at"][:10],
                (seat["last_activity_at"] or "")[:10],
            )
            for seat in seats
        ] == [
            ("ada", f"{early}", f"{LAST}"),
            ("bob@example.com", f"{old}", f"{old}"),
            ("cyd@example.com", f"{old}", ""),
        ]
        breakdown = server.json("/orgs/acme/copilot/billing")["seat_breakdown"]
        assert breakdown["active_this_cycle"] == 1
        assert breakdown["inactive_this_cycle"] == 2
        assert breakdown["added_this_cycle"] == 0
        assert server.json("/orgs/acme/members/CYD@example.com/copilot") == seats[2]
        assert server.get("/orgs/acme/members/new/copilot").status_code == 404


def test_reported_seat_was_used_when_its_days_say_so(home: Home) -> None:
    """Cursor reports neither when a seat was assigned nor when it was last used."""
    home.settings["METRICS_SOURCE"] = CURSOR
    url = f"sqlite:///{home.data / 'usage.db'}"
    early = MONTH.start - timedelta(40)
    ada, cyd = (user(name, chat_messages=1) for name in ("ada@example.com", "cyd@example.com"))
    put(url, {early: [ada, cyd], LAST: [ada]}, CURSOR)
    known = Seat("cyd@example.com", assigned_on=MONTH.start, last_active=end_of_day(LAST))
    put_seats(url, {CURSOR: [Seat("ADA@example.com"), Seat("idle@example.com"), known]})
    with serving(home) as server:
        seats = server.json(SEATS)["seats"]
        breakdown = server.json("/orgs/acme/copilot/billing")["seat_breakdown"]
    names = ("created_at", "last_activity_at")
    assert {seat["assignee"]["login"]: [seat[name] for name in names] for seat in seats} == {
        "ada@example.com": [f"{early}T00:00:00Z", f"{LAST}T00:00:00Z"],
        "cyd@example.com": [f"{MONTH.start}T00:00:00Z", iso_utc(end_of_day(LAST))],
        "idle@example.com": [iso_utc(SEATS_FETCHED), None],
    }
    assert (breakdown["active_this_cycle"], breakdown["inactive_this_cycle"]) == (2, 1)


@pytest.mark.slow
def test_plan_of_a_seat_is_one_of_githubs(home: Home) -> None:
    """Strict clients cannot read any seat if one has another value."""
    home.settings["METRICS_SOURCE"] = SOURCE
    plans: dict[str, list[str | None]] = {
        "enterprise": ["business", "enterprise", "business"],
        "unknown": ["pro", None],
    }
    seats = [
        functools.reduce(merged, [Seat(f"{name}@example.com", plan) for plan in held])
        for name, held in plans.items()
    ]
    assert [seat.plan for seat in seats] == ["business, enterprise", "pro"]
    url = f"sqlite:///{home.data / 'usage.db'}"
    put(url, {LAST: some_day(1)})
    put_seats(url, {SOURCE: [*seats, Seat("business@example.com", "business")]})
    with serving(home) as server:
        answer = server.json("/orgs/acme/copilot/billing/seats")
    assert_described("/orgs/{org}/copilot/billing/seats", answer)
    for seat in answer["seats"]:
        assert seat["assignee"]["login"] == f"{seat['plan_type']}@example.com"


@pytest.mark.slow
def test_reports_and_seats_have_pseudonyms(home: Home) -> None:
    key = home.path / "secrets" / "key"
    key.parent.mkdir()
    key.write_text("k" * 40)
    key.chmod(0o600)
    home.settings |= {"METRICS_SOURCE": SOURCE, "PSEUDONYM_KEY_FILE": "secrets/key"}
    home.settings["IDENTITY_FILE"] = "people.csv"
    (home.path / "people.csv").write_text(f"email,login,id,team\n{NAMES[0]},ada-l,11,core\n")
    put(f"sqlite:///{home.data / 'usage.db'}", {LAST: some_day(1)})
    with serving(home) as server:
        teams = server.get(path_of(ENTERPRISE, "user-teams-1-day"))
        assert "with pseudonyms, no team is shown" in error_of(teams, 404)
        text = server.report(path_of(ENTERPRISE, "users-1-day")).decode()
        text += json.dumps(server.json(SEATS))
        assert text.count('"user-') == 2 * len(NAMES)
        assert not any(name in text for name in NAMES)


@pytest.mark.slow
def test_missing_store_is_404_and_token_is_created_once(home: Home) -> None:
    """The first start prints the token; the next start does not."""
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


@pytest.mark.slow
def test_store_that_has_gone_is_an_error_until_it_is_back(home: Home) -> None:
    """For example, if a disk is not mounted: nothing claims that its days were never fetched."""
    home.settings["METRICS_SOURCE"] = SOURCE
    file = home.data / "usage.db"
    put(f"sqlite:///{file}", {LAST: some_day(1)})
    paths = ("/healthz", "/metrics", path_of(ENTERPRISE, "users-1-day"), "/")
    with serving(home) as server:
        link = server.link(path_of(ENTERPRISE, "users-1-day"))
        away = file.rename(home.path / "away.db")
        for path in (*paths, link.removeprefix(server.address)):
            error_of(server.get(path), 500)
        assert f"{file} has gone" in server.log
        away.rename(file)
        assert [server.get(path).status_code for path in paths] == [200] * len(paths)


@pytest.mark.slow
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
        assert server.json(SEATS)["total_seats"] == len(NAMES)


@pytest.mark.slow
def test_downloads_equal_exported_files(home: Home, start: Start) -> None:
    address = start().organization.people[0].name
    (home.path / "people.csv").write_text(f"email,login,id,team\n{address},first,5,core\n")
    home.settings |= {"ORGANIZATION_ID": "77", "IDENTITY_FILE": "people.csv"}
    home.settings["GITHUB_REPORTS_USERS_28_DAY"] = "true"
    began = int(time.time())
    assert home.run("--last-28-days").code == 0
    folder = home.daily_folder / "github_reports"
    last, old = yesterday(), today() - timedelta(9)
    (other,) = home.run("export", f"{old}", f"{last}").paths
    found = set()
    with serving(home) as server:
        for of, name in [*OF_A_DAY, *OF_A_MONTH]:
            prefix = "organization-" if of == ORGANIZATION and not name.startswith("org") else ""
            for place, day in ((folder, last), (other / "github_reports", old)):
                if "28" in name and place is not folder:
                    continue
                (file,) = place.glob(f"{prefix}{name}{'' if '28' in name else f'_{day}'}.*json")
                assert server.report(path_of(of, name, day)) == file.read_bytes(), file
                found.add(file)
        assert {file for file in found if file.parent == folder} == set(folder.iterdir())
        figures = figures_of_metrics(server)
        assert began <= figures["last_success_timestamp_seconds"] <= time.time()
        newest = figures["newest_complete_day_end_timestamp_seconds"]
        assert newest == end_of_day(yesterday()).timestamp()
        assert figures["missing_days"] == 0
        assert "@" not in server.get("/metrics").text


MANY = [f"user{number}@example.com" for number in range(5000)]
ACTIVE = figures_of(chat_messages=1, completions_count=1)
THEIRS = [UserUsage(name, ACTIVE) for name in MANY]


@pytest.fixture
def changing(home: Home, store_url: str) -> Iterator[Served]:
    """As `plain`, on each kind of database in turn."""
    home.settings["METRICS_SOURCE"] = SOURCE
    put(store_url, {LAST: some_day(1)})
    with serving(home) as server:
        yield server


def is_being_read(store_url: str) -> bool:
    """Whether somebody still reads a state of the store that is no longer the newest."""
    if store_url.startswith("sqlite"):
        _, in_log, moved = sql(store_url, "PRAGMA wal_checkpoint(PASSIVE)")[0]
        return bool(moved < in_log)
    # Not by `state`: the session is idle between two parts of a download, and active during one.
    return bool(
        sql(
            store_url,
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend'"
            " AND xact_start IS NOT NULL AND pid <> pg_backend_pid()",
        )
    )


@pytest.mark.slow
def test_running_job_does_not_block_readers(changing: Served, store_url: str) -> None:
    with store_at(store_url).locked():
        records = user_records(changing.report(path_of(ENTERPRISE, "users-1-day")))
        assert len(records) == len(NAMES)
        assert changing.json(SEATS)["total_seats"] == 4


@pytest.mark.slow
def test_replaced_day_is_served_from_one_version(changing: Served, store_url: str) -> None:
    """It is replaced by a run that holds the store's lock all the time."""
    store = store_at(store_url)
    days = [
        DayUsage(LAST, [user(name, chat_messages=count) for name in sorted(MANY[:300])])
        for count in (1, 2)
    ]
    ended = threading.Event()

    def replace() -> None:
        for day in itertools.cycle(days):
            if ended.is_set():
                break
            store.put(SOURCE, day, FETCHED)

    with store.locked(), store.opened():
        versions = []
        for day in days:
            store.put(SOURCE, day, FETCHED)
            versions.append(report_of(store_url, Subject.USERS, LAST))
        writer = threading.Thread(target=replace)
        writer.start()
        try:
            seen, reads, ends = set[bytes](), 0, time.monotonic() + 60
            while reads < 20 or (len(seen) < 2 and time.monotonic() < ends):
                report = changing.report(path_of(ENTERPRISE, "users-1-day"))
                assert report in versions
                seen.add(report)
                reads += 1
        finally:
            ended.set()
            writer.join()
    assert len(seen) == 2


@pytest.mark.slow
def test_slow_reader_gets_its_snapshot(changing: Served, store_url: str) -> None:
    """The last of 28 days is replaced while the first ones are being sent."""
    put(store_url, dict.fromkeys(MONTH.days(), THEIRS[:200]))
    expected = report_of(store_url, Subject.USERS, MONTH)
    assert len(expected) > 6_000_000
    with changing.slow_reader(changing.link(path_of(ENTERPRISE, "users-28-day"))) as reader:
        # If the write waited for the reader, the server would cut the download off.
        put(store_url, {LAST: [user("ada@example.com", chat_messages=5)]})
        assert is_being_read(store_url)
        (record,) = user_records(changing.report(path_of(ENTERPRISE, "users-1-day")))
        assert record["user_initiated_interaction_count"] == 5
        assert reader.all() == expected
    assert eventually(lambda: not is_being_read(store_url))


@pytest.mark.slow
def test_person_can_be_forgotten_during_download(changing: Served, store_url: str) -> None:
    put(store_url, {LAST: THEIRS})
    link = changing.link(path_of(ENTERPRISE, "users-1-day"))
    with changing.slow_reader(link) as reader:
        assert changing.home.run("forget", MANY[0]).code == 0
        assert is_being_read(store_url)
        assert MANY[0].encode() not in requests.get(link, timeout=SECONDS).content
        assert reader.all().count(b"\n") == len(MANY)


@pytest.mark.slow
def test_aborted_download_releases_the_store(changing: Served, store_url: str) -> None:
    put(store_url, {LAST: THEIRS})
    with changing.slow_reader(changing.link(path_of(ENTERPRISE, "users-1-day"))):
        put(store_url, {LAST: []})
        assert is_being_read(store_url)
    assert eventually(lambda: not is_being_read(store_url))
    assert "Traceback" not in changing.log


def eventually(is_so: Callable[[], bool]) -> bool:
    ends = time.monotonic() + 60
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


@pytest.mark.slow
def test_damaged_day_is_500_and_logged(plain: Served) -> None:
    url, day = plain.home.settings["STORE_URL"], LAST - timedelta(4)
    put(url, {day: some_day(1)})
    sql(url, f"UPDATE user_day SET chat_messages = 99 WHERE day = '{day}'")
    link = plain.link(path_of(ENTERPRISE, "users-1-day", day))
    error_of(requests.get(link, timeout=SECONDS), 500)
    assert f"the rows of {day} do not match the ledger" in plain.log
    assert " ERROR dashboard_scraper.server.app" in plain.log
    assert "Traceback" not in plain.log


@pytest.mark.slow
def test_aborted_report_looks_incomplete(home: Home) -> None:
    """The last of 28 days is damaged: by then, the others are being sent."""
    home.settings["METRICS_SOURCE"] = SOURCE
    url = f"sqlite:///{home.data / 'usage.db'}"
    days = {day: some_day(1) for day in MONTH.days()}
    put(url, days | {MONTH.start: THEIRS[:300]})
    sql(url, f"UPDATE user_day SET chat_messages = 99 WHERE day = '{LAST}'")
    with serving(home) as server:
        link = server.link(path_of(ENTERPRISE, "users-28-day"))
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            requests.get(link, timeout=SECONDS)
        assert server.get("/healthz").status_code == 200
        (line,) = [each for each in server.log.splitlines() if "do not match the ledger" in each]
        assert " ERROR dashboard_scraper.server.streams" in line
        assert f"the rows of {LAST} do not match the ledger" in line
        assert "Traceback" not in server.log


@pytest.mark.slow
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
