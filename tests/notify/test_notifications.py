"""Messages and pings of runs, over real sockets: once, about what matters, and without secrets."""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

import toy_source
from conftest import Home, Start, today, twelve_users, yesterday
from crash_child import Forks, until
from dashboard_scraper.model.dates import is_weekend
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.secret_files import write_private
from dashboard_scraper.simulator import Fault, Simulator, hang, status
from dashboard_scraper.sources.registry import ANALYTICS, SOURCES
from dashboard_scraper.sources.rest.token_expiry import expiry_of
from dashboard_scraper.store import Notice, RunCounts, store_at
from databases import on_sqlite
from notification_sinks import HttpSink, SmtpSink, http_sink, smtp_sink
from stored_days import answer_with_nobody

TOKEN = "t0ken-0f-the-webhook"
PING = "2f1c-the-uuid-of-the-check"
# A Wednesday: at a weekend, maybe none of twelve people works.
SETTLED = next(day for n in range(10, 17) if (day := today() - timedelta(n)).weekday() == 2)
DAY = f"{yesterday() - timedelta(1)}"
BACKFILL = ("backfill", DAY, DAY)
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("csv_alone")]


@pytest.fixture
def sink() -> Iterator[HttpSink]:
    with http_sink() as started:
        yield started


@pytest.fixture
def mail() -> Iterator[SmtpSink]:
    with smtp_sink() as started:
        yield started


@pytest.fixture
def api(home: Home, start_api: Start, sink: HttpSink) -> Simulator:
    home.settings |= {
        "NOTIFY_URLS": webhook(sink),
        "HEARTBEAT_URL": f"{sink.url}/{PING}",
        "FETCH_EDITOR_LANGUAGE": "false",
    }
    return start_api(twelve_users())


def webhook(sink: HttpSink) -> str:
    return f"json://bot:{TOKEN}@127.0.0.1:{sink.port}/{TOKEN}"


def pings(*words: str) -> list[str]:
    return [f"/{PING}/{word}".rstrip("/") for word in words]


def secrets_of(home: Home, api: Simulator) -> set[str]:
    """Everything that must not be in a message."""
    with store_at(home.settings["STORE_URL"]).reading() as reader:
        names = set(reader.names())
    assert any("@" in name for name in names)
    return {TOKEN, PING, api.token, "wrong-token", str(home.path), *names}


def count_back(day: date) -> Iterator[date]:
    while True:
        yield day
        day -= timedelta(1)


def store_without_busiest(store_url: str) -> None:
    """Store the settled day as if, until yesterday, the source had left out its busiest user."""
    store = store_at(store_url)
    with store.locked(), store.opened():
        with store.reading() as reader:
            usage = reader.day(reader.ledger(ANALYTICS)[SETTLED])
        by_messages = sorted(usage.users, key=lambda user: user.figures.total_messages or 0)
        users = sorted(by_messages[:-1], key=lambda user: user.user)
        fetched_at = datetime.now(UTC) - timedelta(2)
        store.put(ANALYTICS, DayUsage(SETTLED, users, usage.totals), fetched_at)


def test_failure_is_told_once_and_then_recovery(
    home: Home, api: Simulator, sink: HttpSink, store_url: str
) -> None:
    home.settings["AUGMENT_API_TOKEN"] = "wrong-token"
    assert [home.run(*BACKFILL).code for _ in range(2)] == [3, 3]
    (message,) = sink.take()
    assert message["title"] == (
        "dashboard-scraper: analytics: the run failed (exit code 3), and 1 more"
    )
    assert message["message"].splitlines() == [
        "analytics: the run failed (exit code 3)",
        "The session, token or key is missing, has expired, or may not read the figures.",
        "What to do: Sign in again, or replace the token or key; then run it again.",
        "",
        "analytics: 1 day is missing",
        f"Not in the store: {DAY}.",
        f"What to do: Run it again, or `backfill {DAY} {DAY}`; `status` lists every day.",
    ]
    text = home.run("status").out
    assert "last message: 20" in text
    assert "  analytics: the run failed (exit code 3), since 20" in text
    home.settings["AUGMENT_API_TOKEN"] = api.token
    assert [home.run(*BACKFILL).code for _ in range(2)] == [0, 0]
    (message,) = sink.take()
    assert message["title"] == "dashboard-scraper: analytics: all is well again"
    assert message["type"] == "success"
    assert "- over: the run failed (exit code 3), since 20" in message["message"]
    assert json.loads(home.run("status", "--json").out)["notices"]["open"] == []
    assert ", over: analytics: " in home.run("status").out
    assert sink.paths == pings(*["start", "3"] * 2, *["start", ""] * 2)
    assert store_url


@on_sqlite
def test_dead_session_is_reported_before_a_run_fails(
    home: Home, sim: Simulator, sink: HttpSink, store_url: str
) -> None:
    """It is reported once: not by the next `keep-alive`, nor by the run that then fails."""
    assert store_url
    home.settings |= {"NOTIFY_URLS": webhook(sink), "MAX_RETRIES": "0"}
    home.settings["HEARTBEAT_URL"] = f"{sink.url}/{PING}"
    run = ("--daily", DAY, DAY)
    assert home.run(*run).code == 0
    with_session = home.cookie_file.read_bytes()
    home.cookie_file.unlink()
    assert [home.run("keep-alive").code for _ in range(2)] == [3, 3]
    (message,) = sink.take()
    assert message["title"] == (
        "dashboard-scraper: dashboard: the session is over, and the next run will fail"
    )
    assert home.run(*run).code == 3
    write_private(home.cookie_file, with_session, "COOKIE_FILE")
    sim.add_fault(Fault(status(503)))
    assert home.run("keep-alive").code == 4
    assert sink.take() == []
    sim.clear_faults()
    assert home.run("keep-alive").code == 0
    (message,) = sink.take()
    assert message["title"] == "dashboard-scraper: dashboard: all is well again"
    assert sink.paths == pings("start", "", "start", "3")  # only from the runs


@on_sqlite
def test_occasion_of_a_newer_version_is_left_alone(
    home: Home, sim: Simulator, sink: HttpSink, store_url: str
) -> None:
    home.settings["NOTIFY_URLS"] = webhook(sink)
    store = store_at(store_url)
    notice = Notice("dashboard", "of-a-newer-version", datetime.now(UTC), "something")
    with store.locked(), store.opened():
        store.put_notices([notice])
    assert home.run("--daily", DAY, DAY).code == 0
    assert sim.requests
    with store.reading() as reader:
        assert reader.notices() == [notice]


@on_sqlite
def test_session_that_died_between_runs_is_expected_to(
    home: Home, sim: Simulator, sink: HttpSink, store_url: str
) -> None:
    """It worked the night before last, had expired last night, and somebody has signed in since."""
    assert sim
    home.settings |= {"NOTIFY_URLS": webhook(sink)}
    store = store_at(store_url)
    with store.locked(), store.opened():
        for nights, code in ((2, 0), (1, 3)):
            at = datetime.now(UTC) - timedelta(nights)
            number = store.start_run("dashboard", "daily", at, "0.1.0")
            store.end_run(number, at, code, RunCounts(0, 0, 0, 0))
    assert home.run("keep-alive").code == 0  # somebody who calls it may do so often enough
    assert sink.take() == []
    assert home.run("--daily", DAY, DAY).code == 0
    (message,) = sink.take()
    assert message["title"] == (
        "dashboard-scraper: dashboard: the session will have expired before the next run"
    )
    assert home.run("--daily", DAY, DAY).code == 0  # soon enough for the session
    (message,) = sink.take()
    assert message["title"] == "dashboard-scraper: dashboard: all is well again"


@on_sqlite
def test_weekday_without_anybody_is_reported_as_a_doubt(
    home: Home, sim: Simulator, sink: HttpSink, store_url: str
) -> None:
    assert store_url
    home.settings |= {"NOTIFY_URLS": webhook(sink)}
    quiet = next(day for day in count_back(yesterday()) if not is_weekend(day))
    answer_with_nobody(sim, quiet)
    home.run("--last-28-days")
    (message,) = sink.take()
    doubt = message["message"].partition("dashboard: nobody was active, which may be a fault\n")[2]
    assert "This may be true" in doubt
    assert f"- {quiet:%A} {quiet}: nobody, on the same weekday before " in doubt


@on_sqlite
def test_no_message_has_a_secret_or_an_address(
    home: Home, api: Simulator, sink: HttpSink, mail: SmtpSink, store_url: str
) -> None:
    """Neither a message on a revision nor one on a failure, as a webhook or as an e-mail."""
    home.settings |= {
        "NOTIFY_URLS": f"{webhook(sink)},mailto://127.0.0.1:{mail.port}"
        f"/?to=ops@example.com&from=bot@example.com&mode=insecure&smtp=127.0.0.1&x={TOKEN}",
        "NOTIFY_REVISION_PERCENT": "0.001",
        "REVISION_LIMIT": "100",
        "RECHECK_DAYS": "2",
        "LOG_LEVEL": "DEBUG",
    }
    daily = ("--daily", f"{SETTLED - timedelta(1)}", f"{SETTLED}")
    logs = [home.run(*daily)]
    store_without_busiest(store_url)
    logs += [home.run(*daily), home.run(*daily)]
    home.settings["AUGMENT_API_TOKEN"] = "wrong-token"
    logs.append(home.run(*daily))
    assert [result.code for result in logs] == [0, 0, 0, 3]
    subjects = [
        "dashboard-scraper: analytics: 1 day is revised",
        "dashboard-scraper: analytics: the run failed (exit code 3)",
    ]
    assert sink.subjects == subjects
    assert [each["Subject"] for each in mail.mails] == subjects
    bodies = [message["message"] for message in sink.messages]
    assert f"- {SETTLED}: " in bodies[0]
    contents = [each.get_body(("plain",)) for each in mail.mails]
    texts = [content.get_content().strip() for content in contents if content]
    assert [text.splitlines() for text in texts] == [body.strip().splitlines() for body in bodies]
    sent = [f"{message}" for message in sink.messages]
    sent += [each.as_string().replace("=\n", "") for each in mail.mails]
    assert [word for word in secrets_of(home, api) for text in sent if word in text] == []
    logged = "".join(result.err for result in logs)
    assert [word for word in (TOKEN, PING, "ops@example.com") if word in logged] == []
    assert store_url


@on_sqlite
def test_failing_sink_changes_nothing_and_is_tried_again(
    home: Home, api: Simulator, sink: HttpSink, store_url: str
) -> None:
    home.settings["AUGMENT_API_TOKEN"] = "wrong-token"
    home.settings["NOTIFY_URLS"] += f" json://bot:{TOKEN}@127.0.0.1:1/{TOKEN}"
    sink.status = 503
    result = home.run(*BACKFILL)
    assert result.code == 3
    assert "no message was sent to NOTIFY_URLS: URL 1 (json://): HTTP 503" in result.err
    assert "URL 2 (json://): it could not be reached, or closed the connection" in result.err
    assert "the heartbeat was not sent: 127.0.0.1: HTTP 503; gave up after 3 attempts" in result.err
    assert [word for word in (TOKEN, PING, "apprise") if word in result.err] == []
    assert "no message could be sent" in home.run("status").out
    sink.take()
    sink.status = 200
    assert [home.run(*BACKFILL).code for _ in range(2)] == [3, 3]
    assert len(sink.take()) == 1
    assert api.requests
    assert store_url


@on_sqlite
def test_message_is_sent_while_the_store_is_locked(
    home: Home, api: Simulator, sink: HttpSink, store_url: str
) -> None:
    assert home.run(*BACKFILL).code == 0
    with store_at(store_url).locked():
        results = [home.run(*BACKFILL) for _ in range(2)]
    assert [result.code for result in results] == [7, 7]
    assert "the sent message could not be recorded, and may be sent again" in results[0].err
    assert sink.subjects == ["dashboard-scraper: analytics: the run failed (exit code 7)"] * 2
    assert api.requests


def test_two_sources_are_one_message_and_one_end(
    home: Home, api: Simulator, sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SOURCES, toy_source.NAME, toy_source.__name__)
    home.settings |= {"SOURCES": f"{ANALYTICS},{toy_source.NAME}"}
    home.settings["AUGMENT_API_TOKEN"] = "wrong-token"
    assert home.run(*BACKFILL).code == 3
    assert (len(sink.messages), sink.paths) == (1, pings("start", "3"))
    assert "toy" not in sink.messages[0]["message"]
    assert api.requests


@pytest.mark.parametrize("words", [["--offline", "--last-28-days"], ["export", DAY, DAY]])
def test_run_without_a_network_notifies_nobody(
    words: list[str], home: Home, api: Simulator, sink: HttpSink
) -> None:
    assert home.run(*words).code != 0  # nothing is stored
    assert (sink.messages, sink.paths, api.requests) == ([], [], [])


@pytest.mark.parametrize(
    ("moment", "number", "code"),
    [
        ("at its start", signal.SIGTERM, 143),
        ("in a request", signal.SIGTERM, 143),
        ("in a request", signal.SIGHUP, 129),
    ],
)
def test_terminated_run_pings_its_exit_code(
    home: Home,
    api: Simulator,
    sink: HttpSink,
    forks: Forks,
    moment: str,
    number: signal.Signals,
    code: int,
) -> None:
    """At any moment after the ping at the start, even while that is answered; without a message."""
    api.add_fault(Fault(hang(600)))
    begun = sink.paths if moment == "at its start" else api.requests
    run = forks.start(home, *BACKFILL)
    until(lambda: bool(begun))
    run.kill(number)
    assert run.wait().code == code
    assert (sink.paths, sink.messages) == (pings("start", f"{code}"), [])


def test_notify_test_tries_every_url(home: Home, api: Simulator, sink: HttpSink) -> None:
    result = home.run("notify-test")
    assert result.code == 0, result.err
    assert "URL 1 (json://) accepted the message" in result.err
    assert (sink.subjects, sink.paths) == (["dashboard-scraper: test message"], pings(""))
    sink.status = 404
    result = home.run("notify-test")
    assert result.code == 1
    assert "NOTIFY_URLS: URL 1 (json://): HTTP 404; HEARTBEAT_URL: HTTP 404 from 127" in result.err
    for name in ("NOTIFY_URLS", "HEARTBEAT_URL"):
        del home.settings[name]
    assert home.run("notify-test").code == 2
    assert api.requests == []


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_webhook_that_leads_elsewhere_has_not_accepted(
    home: Home, api: Simulator, sink: HttpSink, code: int
) -> None:
    """A page for signing in answers, too, but nobody has read the message."""
    del home.settings["HEARTBEAT_URL"]
    sink.status, sink.location = code, "/sign-in"
    result = home.run("notify-test")
    assert result.code == 1
    assert f"NOTIFY_URLS: URL 1 (json://): HTTP {code}" in result.err
    assert (len(sink.messages), sink.paths, api.requests) == (1, [], [])


@pytest.mark.parametrize("url", ["slak://{token}/x", "mailto://", "{token}"])
def test_url_that_apprise_does_not_know_fails_the_run_at_its_end(
    url: str, home: Home, api: Simulator, sink: HttpSink
) -> None:
    """Not earlier: if a file that the URL needs is gone, days not fetched might be lost."""
    wrong = url.format(token=TOKEN)
    home.settings["NOTIFY_URLS"] += f"\n{wrong}"
    result = home.run(*BACKFILL)
    assert (result.code, sink.paths) == (2, pings("start", "2"))
    assert api.requests
    assert home.run("watch").code == 2
    scheme, colon, _ = wrong.partition(":")
    shown = f"{scheme}://)" if colon else "without a scheme"
    assert f"NOTIFY_URLS: URL 2 ({shown}" in result.err
    assert TOKEN not in result.err


def test_urls_may_be_in_a_private_file(home: Home, api: Simulator, sink: HttpSink) -> None:
    for name in ("NOTIFY_URLS", "HEARTBEAT_URL"):
        file = home.path / "secrets" / name
        file.parent.mkdir(mode=0o700, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(f"\n{home.settings.pop(name)}\n")
        home.settings[f"{name}_FILE"] = f"{file}"
    assert home.run("notify-test").code == 0
    assert (len(sink.messages), sink.paths) == (1, pings(""))
    file.chmod(0o644)
    result = home.run("notify-test")
    assert (result.code, len(sink.messages)) == (2, 1)
    home.settings["NOTIFY_URLS"] = webhook(sink)
    assert "NOTIFY_URLS and NOTIFY_URLS_FILE: set one of them" in home.run("notify-test").err
    assert api.requests == []


def test_heartbeat_url_must_be_http(home: Home, api: Simulator, sink: HttpSink) -> None:
    """A notification reports it, and the run fetches all the same."""
    home.settings["HEARTBEAT_URL"] = f"ftp://{PING}"
    result = home.run(*BACKFILL)
    assert result.code == 2
    assert "HEARTBEAT_URL: write it with https://" in result.err
    assert PING not in result.err
    assert api.requests
    assert sink.subjects == ["dashboard-scraper: all sources: the run failed (exit code 2)"]


def test_expiry_is_that_of_a_json_web_token() -> None:
    moment = datetime(2027, 1, 1, tzinfo=UTC)
    claims = {"sub": "bot", "exp": int(moment.timestamp())}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    assert expiry_of(f"e30.{payload}.c2ln") == moment
    for other in ("", "a.b.c", "opaque-token", "e30.e30.e30", "e30.!!.x", "e30.W10.x"):
        assert expiry_of(other) is None
