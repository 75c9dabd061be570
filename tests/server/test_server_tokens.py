"""`serve` with several tokens: what each may read, and adding and revoking them while it runs."""

from __future__ import annotations

import json
import signal
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

from conftest import Home
from crash_child import until
from dashboard_scraper.errors import UsageError
from dashboard_scraper.server.scopes import Scope
from dashboard_scraper.server.token_files import TokenFiles
from dashboard_scraper.server.tokens import add_token, hash_of, read_tokens
from filled_store import SOURCE, put, user
from github_requests import LAST, USERS, error_of, with_a_day
from serving import SECONDS, Served, serving

SEATS = "/enterprises/acme/copilot/billing/seats"
NOW = datetime.now(UTC).replace(microsecond=0)
MANY = 8000


def add(home: Home, name: str, *scopes: Scope) -> str:
    """Add a token with the command line."""
    words = [word for scope in scopes for word in ("--scope", scope.value)]
    result = home.run("tokens", "add", name, *words)
    assert result.code == 0, result.err
    assert result.out.strip() not in result.err
    return result.out.strip()


def file_of(home: Home) -> Path:
    return home.path / "secrets" / "serve-tokens.json"


def status(served: Served, token: str, path: str = SEATS) -> int:
    return served.get(path, Authorization=f"Bearer {token}").status_code


@pytest.fixture(scope="module")
def home_of_all(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A store with one day that is too large for the buffers of a connection."""
    home = Home(tmp_path_factory.mktemp("tokens"), {"METRICS_SOURCE": SOURCE})
    people = [user(f"user{n}@example.com", chat_messages=n + 1) for n in range(MANY)]
    put(f"sqlite:///{home.data / 'usage.db'}", {LAST: people})
    return home


@pytest.fixture(scope="module")
def tokens(home_of_all: Home) -> dict[Scope, str]:
    """For each scope, a token with only this scope."""
    return {scope: add(home_of_all, scope.value, scope) for scope in Scope}


@pytest.fixture(scope="module")
def served(home_of_all: Home, tokens: dict[Scope, str]) -> Iterator[Served]:
    assert tokens
    with serving(home_of_all) as server:
        yield server


# What each may read

NEEDED = {
    "/": Scope.PAGE,
    "/metrics": Scope.METRICS,
    SEATS: Scope.REPORTS,
    USERS: Scope.REPORTS,
    "/user": Scope.REPORTS,
    "/rate_limit": Scope.REPORTS,
}


@pytest.mark.parametrize("path", NEEDED)
@pytest.mark.slow
def test_token_reads_its_scope_only(served: Served, tokens: dict[Scope, str], path: str) -> None:
    for scope, token in tokens.items():
        answer = served.get(path, Authorization=f"Bearer {token}")
        if scope is NEEDED[path]:
            assert answer.status_code == 200
            continue
        assert f"lacks the scope {NEEDED[path].value}" in error_of(answer, 403)
        assert answer.headers["X-OAuth-Scopes"] == scope.value
        assert answer.headers["X-Accepted-OAuth-Scopes"] == NEEDED[path].value
        assert "@example.com" not in answer.text


def test_unknown_path_is_404_for_every_token(served: Served, tokens: dict[Scope, str]) -> None:
    assert {status(served, token, "/nothing") for token in tokens.values()} == {404}
    assert status(served, "x" * 43, "/nothing") == 401


@pytest.mark.slow
def test_password_of_browser_is_a_page_token(served: Served, tokens: dict[Scope, str]) -> None:
    for scope, expected in ((Scope.PAGE, 200), (Scope.REPORTS, 403)):
        answer = requests.get(served.address, auth=("ada", tokens[scope]), timeout=SECONDS)
        assert answer.status_code == expected


def test_tokens_file_needs_no_other_token(served: Served) -> None:
    assert served.shown == [served.address]
    assert not (served.home.path / "secrets" / "serve-token").exists()


@pytest.mark.slow
def test_token_for_everything_is_valid_beside_others(home: Home) -> None:
    home.settings["METRICS_SOURCE"] = SOURCE
    with_a_day(home.path)
    (home.path / "secrets").mkdir(mode=0o700)
    (home.path / "secrets" / "serve-token").write_text("0123456789-of-my-own\n")
    (home.path / "secrets" / "serve-token").chmod(0o600)
    other = add(home, "seats-only", Scope.REPORTS)
    with serving(home) as server:
        assert {server.get(path).status_code for path in NEEDED} == {200}
        assert status(server, other) == 200
        assert status(server, other, "/") == 403
    listed = home.run("tokens").out.splitlines()
    assert [line.split()[:2] for line in listed] == [
        ["SERVE_TOKEN_FILE", "reports,page,metrics"],
        ["seats-only", "reports"],
    ]


# Coming and going


@pytest.mark.slow
def test_revoked_token_ends_but_its_running_download_does_not(served: Served) -> None:
    token = add(served.home, "passing", Scope.REPORTS)
    served.process.kill(signal.SIGHUP)
    until(lambda: status(served, token) == 200, SECONDS)
    answer = served.get(USERS, Authorization=f"Bearer {token}")
    (link,) = answer.json()["download_links"]
    with served.slow_reader(link) as reader:
        assert served.home.run("tokens", "revoke", "passing").out == "passing revoked\n"
        served.process.kill(signal.SIGHUP)
        until(lambda: status(served, token) == 401, SECONDS)
        assert "not valid" in error_of(requests.get(link, timeout=SECONDS), 403)
        assert reader.all().count(b"\n") == MANY


@pytest.mark.slow
def test_changed_file_is_noticed_and_other_links_stay(
    served: Served, tokens: dict[Scope, str]
) -> None:
    answer = served.get(USERS, Authorization=f"Bearer {tokens[Scope.REPORTS]}")
    (link,) = answer.json()["download_links"]
    token = add(served.home, "unannounced", Scope.REPORTS)
    until(lambda: status(served, token) == 200, SECONDS)
    assert requests.head(link, timeout=SECONDS).status_code == 200


@pytest.mark.slow
def test_signal_right_after_the_address_reads_again(home: Home) -> None:
    home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
    with serving(home) as server:
        server.process.kill(signal.SIGHUP)
        until(lambda: "read the tokens again" in server.log or "terminated" in server.log, SECONDS)
        assert "terminated" not in server.log
        assert server.get("/healthz").status_code == 200


@pytest.mark.slow
def test_change_of_a_file_that_is_read_once_is_reported(home: Home) -> None:
    """Otherwise answers with earlier logins and teams would look current."""
    home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
    home.settings["IDENTITY_FILE"] = "people.csv"
    (home.path / "people.csv").write_text("email,login,id\nada@example.com,ada,1\n")
    with serving(home) as server:
        (home.path / "people.csv").unlink()
        server.process.kill(signal.SIGHUP)
        until(lambda: "IDENTITY_FILE has changed: serve goes on with what" in server.log, SECONDS)
        assert server.get("/healthz").status_code == 200


@pytest.mark.parametrize("damage", ["half", "gone", "readable"])
@pytest.mark.slow
def test_damaged_file_leaves_earlier_tokens(
    served: Served, tokens: dict[Scope, str], damage: str
) -> None:
    file = file_of(served.home)
    whole, errors = file.read_bytes(), served.log.count(" ERROR ")
    if damage == "half":
        file.write_bytes(whole[: len(whole) // 2])
    elif damage == "gone":
        file.unlink()
    else:
        file.chmod(0o644)
    served.process.kill(signal.SIGHUP)
    until(lambda: served.log.count(" ERROR ") > errors, SECONDS)
    assert "the tokens could not be read again, and what was read before stays" in served.log
    assert status(served, tokens[Scope.REPORTS]) == 200
    assert status(served, "x" * 43) == 401
    file.write_bytes(whole)
    file.chmod(0o600)
    later = add(served.home, f"after-{damage}", Scope.PAGE)
    until(lambda: status(served, later, "/") == 200, SECONDS)


def stored(**changed: object) -> dict[str, object]:
    """A token as stored in the file."""
    return {
        "name": "a",
        "scopes": ["reports"],
        "sha256": hash_of("x" * 43),
        "created": "2026-11-01T00:00:00Z",
        "expires": None,
        **changed,
    }


DAMAGED = {
    "text": b"{",
    "another shape": b"[]",
    "no token": b'{"tokens": []}',
    "unknown scope": [stored(scopes=["everything"])],
    "no scope": [stored(scopes=[])],
    "no hash": [stored(sha256="x" * 43)],
    "name in capitals": [stored(name="SERVE_TOKEN_FILE")],
    "misspelled field": [stored(expiry="2026-12-01T00:00:00Z")],
    "no time zone": [stored(expires="2026-12-01T00:00:00")],
    "one name twice": [stored(), stored(sha256=hash_of("y" * 43))],
    "one token twice": [stored(), stored(name="b")],
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_file_is_refused_at_start(tmp_path: Path, damage: str) -> None:
    content = DAMAGED[damage]
    file = tmp_path / "tokens.json"
    file.write_bytes(
        content if isinstance(content, bytes) else json.dumps({"tokens": content}).encode()
    )
    file.chmod(0o600)
    with pytest.raises(UsageError, match=r"tokens\.json"):
        TokenFiles(tmp_path / "none", file).at_start("127.0.0.1")
    assert not (tmp_path / "none").exists()


def test_start_with_damaged_file_is_wrong_usage(home: Home) -> None:
    add(home, "a", Scope.REPORTS)
    file_of(home).write_bytes(b"{")
    result = home.run("serve", "--port", "0")
    assert (result.code, result.out) == (2, "")
    assert "is damaged" in result.err


def test_revoking_the_last_token_lets_nobody_in(tmp_path: Path) -> None:
    """It is an error at a start, and a running server then answers nobody."""
    file = tmp_path / "tokens.json"
    add_token(file, "last", [Scope.PAGE], NOW, None)
    files = TokenFiles(tmp_path / "none", file)
    assert len(files.at_start("127.0.0.1")[0].tokens) == 1
    file.write_bytes(b'{"tokens": []}')
    assert files.again().tokens == ()


@pytest.mark.slow
def test_expired_token_and_its_links_are_refused(home: Home) -> None:
    with_a_day(home.path)
    home.settings["METRICS_SOURCE"] = SOURCE
    token = add(home, "short", Scope.REPORTS)
    with serving(home) as server:
        answer = server.get(USERS, Authorization=f"Bearer {token}")
        (link,) = answer.json()["download_links"]
        content = json.loads(file_of(home).read_bytes())
        content["tokens"][0]["expires"] = f"{NOW - timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"
        file_of(home).write_text(json.dumps(content))
        server.process.kill(signal.SIGHUP)
        until(lambda: status(server, token) == 401, SECONDS)
        assert "expired" in error_of(server.get(SEATS, Authorization=f"Bearer {token}"), 401)
        assert requests.get(link, timeout=SECONDS).status_code == 403
    assert "expired" in home.run("tokens", "list").out


# The command


def test_only_the_hash_of_a_token_is_stored(home: Home) -> None:
    token = add(home, "grafana", Scope.METRICS, Scope.REPORTS)
    file = file_of(home)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert token.encode() not in file.read_bytes()
    (found,) = read_tokens(file)
    assert (found.sha256, found.scopes) == (hash_of(token), (Scope.REPORTS, Scope.METRICS))
    assert len(token) >= 43


def test_tokens_are_listed_without_hashes(home: Home) -> None:
    assert "there is no token" in home.run("tokens").out
    token = add(home, "grafana", Scope.METRICS)
    assert home.run("tokens", "add", "devlake", "--scope=reports", "--expires=90d").code == 0
    text, data = home.run("tokens", "list").out, home.run("tokens", "list", "--json").out
    first, second = json.loads(data)["tokens"]
    assert (first["name"], first["scopes"], first["expires"]) == ("grafana", ["metrics"], None)
    lives = datetime.fromisoformat(second["expires"]) - datetime.fromisoformat(second["created"])
    assert lives == timedelta(90)
    assert "valid until it is revoked" in text.splitlines()[0]
    assert "expires 2" in text.splitlines()[1]
    assert not any(secret in text + data for secret in (token, hash_of(token)))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["add"], "name the token"),
        (["add", "x"], "--scope"),
        (["add", "x", "--scope", "everything"], "everything"),
        (["add", "Ada L", "--scope", "page"], "is not a name"),
        (["add", "there", "--scope", "page"], "there is a token there already"),
        (["add", "x", "--scope", "page", "--expires", "0d"], "never be valid"),
        (["add", "x", "--scope", "page", "--expires", "soon"], "not a duration"),
        (["revoke", "nobody"], "has no token nobody"),
    ],
)
def test_wrong_words_change_no_token(home: Home, words: list[str], reason: str) -> None:
    add(home, "there", Scope.PAGE)
    before = file_of(home).read_bytes()
    result = home.run("tokens", *words)
    assert (result.code, result.out) == (2, "")
    assert reason in result.err
    assert file_of(home).read_bytes() == before


def test_tokens_added_at_once_are_all_stored(tmp_path: Path) -> None:
    file, names = tmp_path / "tokens.json", {f"tool-{number}" for number in range(8)}
    adding = [
        threading.Thread(target=add_token, args=(file, name, [Scope.PAGE], NOW, None))
        for name in names
    ]
    for each in adding:
        each.start()
    for each in adding:
        each.join()
    assert {token.name for token in read_tokens(file)} == names
