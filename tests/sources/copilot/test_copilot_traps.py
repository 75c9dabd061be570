"""Everything in GitHub's reports that could be mistaken for something else is told apart."""

from __future__ import annotations

import itertools
import logging
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest

from conftest import Home, yesterday
from copilot_runs import (
    DAY,
    FILE,
    MONTH_FILE,
    OWN,
    OWN_FILE,
    RECENT,
    SEATS,
    TODAY,
    USERS,
    Effect,
    Records,
    by_login,
    downloads,
    fault,
    of_first,
    of_records,
    opened,
    truth,
)
from dashboard_scraper.clock import utc_now
from dashboard_scraper.errors import (
    ContractBroken,
    NotPublished,
    ScraperError,
    SignInRequired,
    SourceUnavailable,
    UsageError,
)
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.simulator import (
    Request,
    Simulator,
    add_beside,
    cut_body,
    page,
    raw_body,
    redirect,
    rename_key,
    set_value,
    status,
)
from dashboard_scraper.simulator.copilot import Tally
from dashboard_scraper.simulator.copilot_api import ENTERPRISE, NDJSON, NoReport
from dashboard_scraper.simulator.exchange import Answer
from dashboard_scraper.sources.copilot.ndjson import lines_of
from effects import of_bytes

FACES: tuple[NoReport, ...] = ("204", "[]", "string", "404")
NOTHING = raw_body(b'{"download_links":[]}')


def fetched(home: Home, day: Any = DAY) -> DayUsage:
    with opened(home) as source:
        return source.fetch_day(day)


def refused(home: Home, kind: type[ScraperError], *words: str, day: Any = DAY) -> str:
    with pytest.raises(kind) as raised:
        fetched(home, day)
    assert type(raised.value) is kind or kind is SourceUnavailable
    for word in words:
        assert word in str(raised.value)
    return str(raised.value)


def seen(github: Simulator, usage: DayUsage) -> bool:
    return {user.user for user in usage.users} == {*by_login(truth(github).usage(usage.day))}


@pytest.mark.parametrize("face", FACES)
def test_recent_day_without_report_is_not_ready(
    home: Home, github: Simulator, face: NoReport
) -> None:
    github.copilot.behaviour.no_report[ENTERPRISE] = face
    github.copilot.behaviour.late.add(RECENT)
    refused(home, NotPublished, f"{RECENT}", day=RECENT)


@pytest.mark.parametrize("face", FACES[:3])
def test_final_day_without_report_is_quiet(home: Home, github: Simulator, face: NoReport) -> None:
    github.copilot.behaviour.no_report[ENTERPRISE] = face
    github.copilot.behaviour.late.add(DAY)
    usage = fetched(home)
    assert usage.users == []
    assert usage.totals
    assert set(usage.totals.values()) == {0}


def test_404_is_never_a_quiet_day(home: Home, github: Simulator) -> None:
    github.copilot.behaviour.no_report[ENTERPRISE] = "404"
    github.copilot.behaviour.late.add(DAY)
    refused(home, ContractBroken, "HTTP 404", "not taken for a day without activity")


def test_404_for_everything_needs_other_rights(home: Home, github: Simulator) -> None:
    for endpoint in (USERS, OWN, "latest"):
        fault(github, endpoint, status(404))
    refused(home, SignInRequired, "manage_billing:copilot", "Copilot usage metrics")


@pytest.mark.parametrize(
    ("day", "error"), [(RECENT, NotPublished), (DAY, ContractBroken)], ids=["recent", "final"]
)
def test_users_missing_beside_own_report_is_no_quiet_day(
    home: Home, github: Simulator, day: Any, error: type[ScraperError]
) -> None:
    fault(github, USERS, NOTHING)
    refused(home, error, USERS, OWN, day=day)


def test_empty_files_beside_active_users_are_refused(home: Home, github: Simulator) -> None:
    fault(github, FILE, raw_body(b"", NDJSON))
    refused(home, ContractBroken, "has none")


def test_empty_part_is_no_missing_part(home: Home, github: Simulator) -> None:
    github.copilot.behaviour.shards = 60
    assert seen(github, fetched(home))


def test_missing_own_report_waits_and_then_is_unreconciled(home: Home, github: Simulator) -> None:
    fault(github, OWN, NOTHING)
    refused(home, NotPublished, OWN, day=RECENT)
    usage = fetched(home)
    assert usage.totals is None
    assert seen(github, usage)


def test_day_before_githubs_history_is_refused(home: Home, github: Simulator) -> None:
    with opened(home) as source, pytest.raises(UsageError, match="of a year"):
        source.prepare([DAY.replace(year=2024)], [], compared=True)
    assert github.count() == 0


def test_missing_part_fails_the_day(home: Home, github: Simulator) -> None:
    fault(github, FILE, status(500), asks=lambda request: request.query["part"] == "1")
    refused(home, SourceUnavailable, "HTTP 500")


def again(records: Records) -> Records:
    return [*records, records[0]]


def other_login(records: Records) -> Records:
    return [*records, {**records[0], "user_login": "another"}]


def other_account(records: Records) -> Records:
    login = records[0]["user_login"].upper()
    return [*records, {**records[0], "user_id": 7, "user_login": login}]


@pytest.mark.parametrize("change", [again, other_login, other_account])
def test_user_in_two_records_of_a_day_is_refused(
    home: Home, github: Simulator, change: Callable[[Records], Records]
) -> None:
    fault(github, FILE, of_records(change), times=1)
    refused(home, ContractBroken, USERS, "came twice")


def test_expired_link_is_renewed_once(home: Home, github: Simulator) -> None:
    def expire(answer: Answer, _request: Request) -> Answer:
        github.copilot.expire_links()
        return answer

    fault(github, USERS, expire, times=1)
    assert seen(github, fetched(home))
    assert 403 in {request.status for request in downloads(github)}
    fault(github, USERS, expire)
    refused(home, SourceUnavailable, "expired")


@pytest.mark.parametrize(
    "link",
    ["http://reports.example.com/x", "ftp://localhost/x", "https://a:b@reports.example.com/x", "x"],
)
def test_unsafe_links_are_not_followed(home: Home, github: Simulator, link: str) -> None:
    fault(
        github,
        USERS,
        of_bytes(lambda _: msgspec.json.encode({"download_links": [link], "report_day": f"{DAY}"})),
    )
    refused(home, ContractBroken, USERS, "download link")


def link_twice(body: bytes) -> bytes:
    answer = msgspec.json.decode(body)
    return msgspec.json.encode({**answer, "download_links": answer["download_links"] * 2})


def links_twice(body: bytes) -> bytes:
    """Decoders use the last list, which says that there is no report."""
    return body[:-1] + b',"download_links":[]}'


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (of_bytes(links_twice), "'download_links' is repeated"),
        (of_bytes(link_twice), "a link occurs twice"),
        (add_beside("report_day", value="2026-11-19"), "report_day is 2026-11-19"),
        (add_beside("partial", value=True), "partial"),
        (add_beside("next", value="https://example.com"), "next"),
        (raw_body(b'{"report_day":"2026-11-20"}'), "download_links"),
        (raw_body(b"null"), "null"),
        (raw_body(b'{"message":"later"}'), "download_links"),
    ],
    ids=[
        "links twice",
        "link twice",
        "other day",
        "partial",
        "pages",
        "no links",
        "null",
        "message",
    ],
)
def test_odd_envelope_is_refused(home: Home, github: Simulator, effect: Effect, words: str) -> None:
    fault(github, USERS, effect)
    refused(home, ContractBroken, USERS, words)


ADDED = "loc_added_sum"
PROMPTS = b"user_initiated_interaction_count"


def renamed(records: Records) -> Records:
    records[0]["loc_added"] = records[0].pop(ADDED)
    return records


def renamed_in_feature(records: Records) -> Records:
    row = next(r for record in records for r in record["totals_by_feature"])
    row["lines"] = row.pop(ADDED)
    return records


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (of_records(renamed), ADDED),
        (of_records(renamed_in_feature), ADDED),
        (of_first(loc_added_sum=-1), ADDED),
        (of_first(loc_added_sum="7"), ADDED),
        (of_first(loc_added_sum=10**15), ADDED),
        (of_first(user_login=""), "user_login"),
        (of_first(user_login=None), "user_login"),
        (of_first(user_id="7"), "user_id"),
        (of_first(totals_by_feature=None), "totals_by_feature"),
        (of_first(used_agent=None), "used_agent"),
        (of_first(ai_credits_used=-0.5), "ai_credits_used"),
        (of_first(day="2026-11-19"), "2026-11-19"),
        (of_first(date="2026-11-19"), "2026-11-19"),
        (of_first(partial=True), "partial"),
        (of_first(enterprise_id="9"), "tenants"),
        (
            of_bytes(lambda body: body.replace(b'"user_id"', b'"day":"2026-11-20","user_id"', 1)),
            "day",
        ),
        (
            of_bytes(lambda body: body.replace(b'{"feature"', b'{"novel":1e400,"feature"', 1)),
            "totals_by_feature: Number out of range",
        ),
        (
            of_bytes(lambda body: body.replace(b'"user_id"', b'"%b":1,"user_id"' % PROMPTS, 1)),
            f"'{PROMPTS.decode()}' is repeated",
        ),
        (
            of_bytes(
                lambda body: body.replace(b'"loc_added_sum":', b'"loc_added_sum":NaN,"x":', 1)
            ),
            ADDED,
        ),
        (of_bytes(lambda body: body.replace(b"}\n{", b"}{", 1) + body), USERS),
        (of_bytes(lambda body: b"[" + body + b"]"), USERS),
        (of_bytes(lambda body: body.replace(b"\n", b"x\n", 1)), USERS),
        (of_bytes(lambda body: body[5:]), USERS),
        (of_bytes(lambda body: body.replace(b"a", b"\xff", 1)), USERS),
    ],
)
def test_odd_record_is_refused(home: Home, github: Simulator, effect: Effect, words: str) -> None:
    github.copilot.behaviour.shards = 1
    fault(github, FILE, effect)
    refused(home, ContractBroken, USERS, words)


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (of_first(daily_active_users=None), "daily_active_users"),
        (of_first(loc_added_sum=1.5), ADDED),
        (of_first(day="2026-11-19"), "2026-11-19"),
        (of_bytes(lambda body: b"[" + body.strip() + b"]"), OWN),
    ],
)
def test_odd_own_report_is_refused(
    home: Home, github: Simulator, effect: Effect, words: str
) -> None:
    fault(github, OWN_FILE, effect)
    refused(home, ContractBroken, OWN, words)


@pytest.mark.parametrize(
    "change",
    [
        lambda body: b"\xef\xbb\xbf" + body,
        lambda body: body.replace(b"\n", b"\n\n \n"),
        lambda body: body.replace(b"\n", b"\r\n"),
        lambda body: body.rstrip(b"\n"),
    ],
    ids=["byte order mark", "blank lines", "carriage returns", "no last break"],
)
def test_other_line_ends_are_read(
    home: Home, github: Simulator, change: Callable[[bytes], bytes]
) -> None:
    fault(github, FILE, of_bytes(change))
    assert seen(github, fetched(home))


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_cut_file_is_fetched_again(home: Home, github: Simulator, framing: Any) -> None:
    fault(github, FILE, cut_body(framing), times=1)
    usage = fetched(home)
    assert seen(github, usage)
    assert usage.differences == []


def test_unframed_empty_file_is_fetched_again(home: Home, github: Simulator) -> None:
    def vanish(answer: Answer, request: Request) -> Answer:
        return replace(cut_body("close")(answer, request), body=b"")

    fault(github, FILE, vanish, times=1)
    assert seen(github, fetched(home))


def test_unknown_field_stays_in_the_record(
    home: Home, github: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    fault(github, FILE, of_first(used_telepathy={"thoughts": 1.50}))
    with caplog.at_level(logging.WARNING):
        usage = fetched(home)
    kept = [user for user in usage.users if '"thoughts":1.5' in (user.record or "")]
    assert len(kept) == 2  # one in each part
    assert caplog.text.count("used_telepathy") == 1


@pytest.mark.parametrize("file", [FILE, OWN_FILE])
def test_unknown_field_that_no_reader_could_read_is_left_out(
    home: Home, github: Simulator, caplog: pytest.LogCaptureFixture, file: str
) -> None:
    """JSON's grammar allows a number out of range, but few decoders accept one."""
    huge = of_bytes(lambda body: body.replace(b'"day"', b'"novel":1e400,"day"', 1))
    fault(github, file, huge)
    usage = fetched(home)
    assert seen(github, usage)
    assert "left out: novel" in caplog.text
    assert not any(
        "1e400" in (text or "") for text in (usage.record, *(user.record for user in usage.users))
    )


@pytest.mark.parametrize("file", [FILE, OWN_FILE])
def test_page_in_place_of_a_file_is_named(home: Home, github: Simulator, file: str) -> None:
    fault(github, file, page("Web filter"))
    refused(home, SourceUnavailable, "(HTTP 200 from localhost, a page titled 'Web filter');")


def test_redirected_file_is_not_followed(home: Home, github: Simulator) -> None:
    fault(github, FILE, redirect("https://example.com/other"))
    refused(home, ContractBroken, USERS, "HTTP 302")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda b: setattr(b, "scopes", ("repo",)), "its scopes are: repo"),
        (lambda b: setattr(b, "policy_enabled", False), "policy"),
        (lambda b: setattr(b, "sso_authorised", False), "single sign-on"),
    ],
    ids=["scope", "policy", "single sign-on"],
)
def test_missing_right_is_named(
    home: Home, github: Simulator, spoil: Callable[[object], None], words: str
) -> None:
    spoil(github.copilot.behaviour)
    assert github.copilot.token not in refused(home, SignInRequired, words)


def test_wrong_token_and_tenant_need_signing_in(home: Home, github: Simulator) -> None:
    home.settings["COPILOT_ENTERPRISE"] = "nobody"
    refused(home, SignInRequired, "enterprise nobody", "the name is wrong")
    home.settings["COPILOT_TOKEN"] = "ghp_expired"
    refused(home, SignInRequired, "wrong, expired or revoked")
    del home.settings["COPILOT_TOKEN"]
    refused(home, SignInRequired, "COPILOT_TOKEN_FILE")
    assert {request.status for request in github.requests} == {404, 401}


def test_run_with_a_wrong_token_ends_with_3(home: Home, github: Simulator) -> None:
    home.settings["COPILOT_TOKEN"] = f"{github.copilot.token}x"
    day = yesterday() - timedelta(9)  # reports are kept for a year
    result = home.run(f"{day}", f"{day}", "--daily")
    assert result.code == 3
    assert github.copilot.token not in result.err


def test_rate_limit_is_no_missing_right(home: Home, github: Simulator) -> None:
    fault(github, USERS, status(403, "0"), times=1)
    assert seen(github, fetched(home))


@pytest.mark.parametrize("code", [403, 429])
def test_nothing_is_sent_before_the_limit_is_reset(
    home: Home, github: Simulator, code: int
) -> None:
    home.settings["RETRY_BUDGET_SECONDS"] = "9"
    refusal = status(code)

    def spent(answer: Answer, request: Request) -> Answer:
        reset = f"{int(utc_now().timestamp()) + 1800}"
        headers = ("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", reset)
        return refusal(answer, request).with_headers(*headers)

    fault(github, USERS, spent)
    refused(home, SourceUnavailable, f"HTTP {code}", "RETRY_BUDGET_SECONDS=9 is spent")
    assert github.count(USERS) == 1


@pytest.mark.parametrize("effect", [of_first(day=None), cut_body()], ids=["malformed", "cut"])
def test_broken_month_is_fetched_day_by_day(home: Home, github: Simulator, effect: Effect) -> None:
    home.settings["MAX_RETRIES"] = "0"
    fault(github, MONTH_FILE, effect)
    days = [DAY, RECENT]
    with opened(home) as source:
        source.prepare(days, [DAY] * 8, compared=True)
        assert seen(github, source.fetch_day(DAY))
    assert github.count(USERS) == 1


def test_difference_is_fetched_alone_the_second_time(home: Home, github: Simulator) -> None:
    with opened(home) as source:
        source.prepare([DAY], [DAY] * 8, compared=True)
        source.fetch_day(DAY)
        assert github.count(USERS) == 0
        github.copilot.behaviour.drifts[DAY] = Tally(added=1)
        assert source.fetch_day(DAY).differences
    assert github.count(USERS) == 1


def empty_pages_without_end(answer: Answer, request: Request) -> Answer:
    """Every page links to another one, and those after the first are empty."""
    if request.query["page"] != "1":
        answer = replace(answer, body=b'{"total_seats":4,"seats":[]}')
    return answer.with_headers(("Link", '<https://api.example.com/?page=2>; rel="next"'))


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (add_beside("total_seats", value=99), "total_seats is 99"),
        (set_value("created_at", "yesterday"), "created_at"),
        (set_value("created_at", "2025-10-10T09:00:00"), "created_at"),
        (set_value("assignee", {"id": 7}), "login"),
        (set_value("assignee", None), "no seat has an assignee"),
        (set_value("plan_type", "business\0"), "plan_type"),
        (rename_key("last_activity_at", "last_used_at"), "last_activity_at; has it been renamed"),
        (set_value("last_activity_at", f"{TODAY + timedelta(2)}T12:00:00Z"), "in the future"),
        (empty_pages_without_end, "page 2 is empty"),
    ],
)
def test_odd_seats_are_refused(home: Home, github: Simulator, effect: Effect, words: str) -> None:
    fault(github, SEATS, effect)
    with opened(home) as source, pytest.raises(ContractBroken, match=words):
        source.fetch_seats()


def test_seats_that_change_between_pages_are_refused(home: Home, github: Simulator) -> None:
    """The first person left meanwhile, so the first seat of the second page moved up, unread."""
    seats = [
        {"created_at": "2025-10-10T09:00:00Z", "assignee": {"login": f"user-{n}", "id": n}}
        for n in range(1, 121)
    ]

    def shifting(answer: Answer, request: Request) -> Answer:
        later = request.query["page"] == "2"
        found = seats[101:] if later else seats[:100]
        return replace(
            answer,
            body=msgspec.json.encode({"total_seats": 119 if later else 120, "seats": found}),
        )

    fault(github, SEATS, shifting)
    with opened(home) as source, pytest.raises(ContractBroken, match="changed while they were"):
        source.fetch_seats()


def test_seat_is_assigned_on_the_utc_day(home: Home, github: Simulator) -> None:
    fault(github, SEATS, set_value("created_at", "2025-10-10T20:00:00-06:00"))
    with opened(home) as source:
        seats = source.fetch_seats() or []
    assert {seat.assigned_on for seat in seats} == {date(2025, 10, 11)}


def test_memory_does_not_grow_with_a_file() -> None:
    size, piece = 0, (b'{"a":"' + b"x" * 5_000 + b'"}\n') * 13
    tracemalloc.start()
    for line in lines_of(
        USERS, itertools.chain.from_iterable(itertools.repeat((piece[:-3], piece[-3:]), 500))
    ):
        size += len(line)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 30_000_000
    assert peak < 2_000_000


def test_line_without_an_end_is_refused() -> None:
    with pytest.raises(ContractBroken, match="longer than 4 MiB"):
        list(lines_of(USERS, [b"x" * (1 << 20)] * 6))
