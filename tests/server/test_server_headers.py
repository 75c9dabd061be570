"""Headers of answers that GitHub's clients read, and the traffic they save: 304 and gzip."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator

import pytest
import requests

from conftest import Home
from filled_store import SOURCE, put, user
from github_requests import ENTERPRISE, LAST, path_of
from serving import SECONDS, Served, serving

SEATS = "/enterprises/acme/copilot/billing/seats"
USERS = path_of(ENTERPRISE, "users-1-day")
NEW, OLD = "2026-03-10", "2022-11-28"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One day of 30 people."""
    home = Home(tmp_path_factory.mktemp("headers"), {"METRICS_SOURCE": SOURCE})
    people = [user(f"user{number:02}@example.com", chat_messages=1) for number in range(30)]
    put(f"sqlite:///{home.data / 'usage.db'}", {LAST: people})
    with serving(home) as server:
        yield server


@pytest.mark.parametrize("path", [SEATS, USERS, f"/api/v3{SEATS}", "/user", "/users/nobody"])
def test_answers_have_headers_of_github(served: Served, path: str) -> None:
    before = int(time.time())
    headers = served.get(path).headers
    assert headers["X-GitHub-Media-Type"] == "github.v3; format=json"
    assert headers["X-GitHub-Api-Version-Selected"] == OLD
    assert headers["X-RateLimit-Resource"] == "core"
    names = ("Limit", "Remaining", "Used", "Reset")
    limit, remaining, used, reset = (int(headers[f"X-RateLimit-{name}"]) for name in names)
    assert (limit, remaining, used) == (15000, 15000, 0)
    assert before <= reset <= time.time() + 3600


def test_requested_version_is_selected(served: Served) -> None:
    for version in (OLD, NEW):
        headers = served.get(SEATS, **{"X-GitHub-Api-Version": version}).headers
        assert headers["X-GitHub-Api-Version-Selected"] == version


def test_request_id_is_in_log(served: Served) -> None:
    answers = [served.get(SEATS), served.get("/nothing"), requests.get(served.address, timeout=300)]
    ids = [answer.headers["X-GitHub-Request-Id"] for answer in answers]
    assert len(set(ids)) == 3
    assert f"GET {SEATS}: 200 ({ids[0]})" in served.log
    assert f"GET /nothing: 404 ({ids[1]})" in served.log


def test_known_answer_is_304(served: Served) -> None:
    whole = served.get(SEATS)
    tag = whole.headers["ETag"]
    for sent in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
        again = served.get(SEATS, **{"If-None-Match": sent})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == tag
        assert "Content-Type" not in again.headers
    for sent in ('"other"', "W/", tag[:-2]):
        assert served.get(SEATS, **{"If-None-Match": sent}).status_code == 200
    assert served.get(f"{SEATS}?page=2", **{"If-None-Match": tag}).status_code == 200


def test_new_figures_are_never_304(served: Served) -> None:
    tag = served.get(SEATS).headers["ETag"]
    url = f"sqlite:///{served.home.data / 'usage.db'}"
    put(url, {LAST: [user("ada@example.com", chat_messages=1)]})
    answer = served.get(SEATS, **{"If-None-Match": tag})
    assert [seat["assignee"]["login"] for seat in answer.json()["seats"]] == ["ada@example.com"]


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [("gzip", True), ("br, GZIP;q=0.5", True), ("*", True), ("gzip;q=0", False), ("br", False)],
)
def test_answers_and_reports_are_compressed(
    served: Served, accepted: str, *, compressed: bool
) -> None:
    people = [user(f"user{number:02}@example.com", chat_messages=1) for number in range(30)]
    put(f"sqlite:///{served.home.data / 'usage.db'}", {LAST: people})
    link = served.link(USERS).removeprefix(served.address)
    for path in (SEATS, link):
        plain = requests.get(
            served.address + path,
            headers={"Authorization": f"Bearer {served.token}", "Accept-Encoding": "identity"},
            timeout=SECONDS,
        )
        assert "Content-Encoding" not in plain.headers
        head = served.get(path, "HEAD", **{"Accept-Encoding": accepted})
        headers = {"Authorization": f"Bearer {served.token}", "Accept-Encoding": accepted}
        with requests.get(
            served.address + path, headers=headers, timeout=SECONDS, stream=True
        ) as answer:
            body = answer.raw.read(decode_content=False)
        assert ("Content-Encoding" in answer.headers) is compressed
        assert ("Content-Encoding" in head.headers) is compressed
        assert "Accept-Encoding" in answer.headers["Vary"]
        assert (gzip.decompress(body) if compressed else body) == plain.content
        assert not compressed or len(body) < len(plain.content) / 5


def test_avatar_is_same_picture_for_all_and_public(served: Served) -> None:
    seats = served.json(SEATS)["seats"]
    pictures = {
        requests.get(seat["assignee"]["avatar_url"], timeout=SECONDS).content for seat in seats
    }
    assert len(pictures) == 1
    assert pictures.pop().startswith(b"<svg")
