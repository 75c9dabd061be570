"""Settings: the documented defaults, where values come from, and what a slip in them does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conftest import Home
from dashboard_scraper.config import Endpoint, Settings, load_settings, setting_names
from dashboard_scraper.errors import UsageError
from dashboard_scraper.simulator import Simulator

# As documented; the last two are not in the table that users first saw.
DEFAULTS = {
    "COOKIE_FILE": "secrets/cookies.json",
    "METRICS_API_BASE_URL": "https://app.augmentcode.com/",
    "USER_FEATURE_STATS_ENDPOINT": "/api/user-feature-stats",
    "TENANT_FEATURE_STATS_ENDPOINT": "/api/tenant-feature-stats",
    "TENANT_MAU_ENDPOINT": "/api/tenant-monthly-active-users",
    "SCRAPE_ENDPOINTS": "all",
    "METRICS_SOURCE": "auto",
    "AUGMENT_API_TOKEN": "",
    "AUGMENT_API_TOKEN_FILE": "",
    "ANALYTICS_API_BASE_URL": "https://api.augmentcode.com",
    "ANALYTICS_REQUESTS_PER_MINUTE": "10",
    "ANALYTICS_BURST": "20",
    "ANALYTICS_READY_HOUR": "2",
    "INCLUDE_SERVICE_ACCOUNTS": "true",
    "FETCH_EDITOR_LANGUAGE": "auto",
    "FETCH_CREDITS": "false",
    "LOOKBACK_DAYS": "30",
    "EXPORT_DIR": "data",
    "OUTPUT_MODE": "600",
    "RETENTION_EXPORTS": "",
    "STORE_URL": "sqlite:///data/usage.db",
    "SETTLE_DAYS": "3",
    "PSEUDONYM_KEY_FILE": "",
    "LOG_LEVEL": "INFO",
    "ENTERPRISE_ID": "283613",
    "ORGANIZATION_ID": "",
    "IDENTITY_FILE": "",
    "GITHUB_REPORTS_MERGE_IDES": "false",
    "GITHUB_REPORTS_CREDITS": "false",
    "REPORT_USERS": "true",
    "ENTERPRISE_SLUGS": "",
    "ORGANIZATION_SLUGS": "",
    "SERVE_TOKEN_FILE": "secrets/serve-token",
    "SERVE_PUBLIC_URL": "",
    "REQUEST_TIMEOUT_SECONDS": "30",
    "MAX_RETRIES": "3",
    "RETRY_BACKOFF_SECONDS": "0.5",
    "MAX_CONCURRENCY": "8",
    "RETRY_BUDGET_SECONDS": "180",
}
OTHERS = {
    "COOKIE_FILE": "other/cookies.json",
    "METRICS_API_BASE_URL": "https://app.example.com/base",
    "USER_FEATURE_STATS_ENDPOINT": "/v2/users",
    "TENANT_FEATURE_STATS_ENDPOINT": "/v2/tenant",
    "TENANT_MAU_ENDPOINT": "/v2/mau",
    "SCRAPE_ENDPOINTS": "tenant-feature-stats",
    "METRICS_SOURCE": "analytics",
    "AUGMENT_API_TOKEN": "",
    "AUGMENT_API_TOKEN_FILE": "secrets/token",
    "ANALYTICS_API_BASE_URL": "https://api.example.com/base",
    "ANALYTICS_REQUESTS_PER_MINUTE": "0.5",
    "ANALYTICS_BURST": "1",
    "ANALYTICS_READY_HOUR": "0",
    "INCLUDE_SERVICE_ACCOUNTS": "false",
    "FETCH_EDITOR_LANGUAGE": "true",
    "FETCH_CREDITS": "true",
    "LOOKBACK_DAYS": "7",
    "EXPORT_DIR": "other",
    "OUTPUT_MODE": "640",
    "RETENTION_EXPORTS": "30",
    "STORE_URL": "postgresql://ada:secret@db.example.com/usage",
    "SETTLE_DAYS": "5",
    "PSEUDONYM_KEY_FILE": "",
    "LOG_LEVEL": "DEBUG",
    "ENTERPRISE_ID": "another",
    "ORGANIZATION_ID": "77",
    "IDENTITY_FILE": "people.csv",
    "GITHUB_REPORTS_MERGE_IDES": "true",
    "GITHUB_REPORTS_CREDITS": "true",
    "REPORT_USERS": "false",
    "ENTERPRISE_SLUGS": "acme,other",
    "ORGANIZATION_SLUGS": "acme-org",
    "SERVE_TOKEN_FILE": "secrets/another",
    "SERVE_PUBLIC_URL": "https://copilot.example.com/base",
    "REQUEST_TIMEOUT_SECONDS": "1.5",
    "MAX_RETRIES": "0",
    "RETRY_BACKOFF_SECONDS": "0",
    "MAX_CONCURRENCY": "1",
    "RETRY_BUDGET_SECONDS": "9",
}
EXAMPLE = Path(__file__).parents[1] / ".env.example"


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)


def written(settings: Settings, home: Path) -> dict[str, str]:
    """Each setting as one would write it in `.env`."""
    found = {}
    for name in setting_names():
        value = getattr(settings, name.lower())
        if isinstance(value, frozenset):
            some = ",".join(sorted(endpoint.value for endpoint in value))
            value = "all" if value == frozenset(Endpoint) else some
        if isinstance(value, tuple):
            value = ",".join(value)
        if isinstance(value, Path):
            value = value.relative_to(home)
        if name == "STORE_URL":
            value = value.replace(f"{home}/", "")
        value = "" if value is None else value
        value = str(value).lower() if isinstance(value, bool) else value
        found[name] = f"{value:g}" if isinstance(value, float) else str(value)
    return found


def env(home: Path, text: str | bytes) -> None:
    (home / ".env").write_bytes(text.encode() if isinstance(text, str) else text)


def lines(values: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())


def test_every_default_is_the_documented_one(tmp_path: Path) -> None:
    assert written(load_settings(tmp_path), tmp_path) == DEFAULTS


def test_every_setting_is_read_from_env_file_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env(tmp_path, lines(OTHERS))
    assert written(load_settings(tmp_path), tmp_path) == OTHERS
    others = {  # empty would be as good as none
        "AUGMENT_API_TOKEN_FILE": "another/token",
        "ORGANIZATION_ID": "78",
        "RETENTION_EXPORTS": "31",
        "IDENTITY_FILE": "others.csv",
        "ENTERPRISE_SLUGS": "another",
        "ORGANIZATION_SLUGS": "another-org",
        "SERVE_PUBLIC_URL": "https://other.example.com",
    }
    defaults = DEFAULTS | others
    for name, value in defaults.items():
        monkeypatch.setenv(name, value)
    assert written(load_settings(tmp_path), tmp_path) == defaults


def test_an_empty_variable_is_as_good_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env(tmp_path, "LOOKBACK_DAYS=7\nENTERPRISE_ID=\n")
    monkeypatch.setenv("LOOKBACK_DAYS", "")
    settings = load_settings(tmp_path)
    assert (settings.lookback_days, settings.enterprise_id) == (7, DEFAULTS["ENTERPRISE_ID"])


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfLOOKBACK_DAYS=7\n",
        b"lookback_days = 7\r\n",
        b"# a comment\n\nexport LOOKBACK_DAYS='7'  # a week\n",
        'OTHER="zoë"\nLOOKBACK_DAYS="7"'.encode(),
    ],
    ids=["byte order mark", "Windows", "quotes and comments", "no line end"],
)
def test_env_file_is_read_as_editors_write_it(text: bytes, tmp_path: Path) -> None:
    env(tmp_path, text)
    assert load_settings(tmp_path).lookback_days == 7


def test_env_file_that_is_no_utf8_is_refused_by_name(home: Home, sim: Simulator) -> None:
    env(home.path, b"ENTERPRISE_ID=\xff\xfe\n")
    result = home.run()
    assert (result.code, sim.requests) == (2, [])
    assert str(home.path / ".env") in result.err
    assert "Traceback" not in result.err


def test_a_misspelt_name_in_env_file_warns_with_the_right_one(home: Home, sim: Simulator) -> None:
    env(home.path, "\ufefflog_level=info\nMAX_RETRYS=9\nscrape_endpoint=foo\nPATH_OF_MINE=x\n")
    result = home.run()
    assert (result.code, sim.count()) == (0, 3)
    warnings = [line for line in result.err.splitlines() if "WARNING" in line]
    assert [line for line in warnings if "MAX_RETRYS" in line and "MAX_RETRIES" in line]
    assert [line for line in warnings if "scrape_endpoint" in line and "SCRAPE_ENDPOINTS" in line]
    assert len(warnings) == 2


USERS, TENANT, MAU = Endpoint.USERS, Endpoint.TENANT, Endpoint.MONTHLY_ACTIVE_USERS


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("all", {USERS, TENANT, MAU}),
        (" ALL ", {USERS, TENANT, MAU}),
        ("user-feature-stats", {USERS}),
        ("USER_FEATURE_STATS", {USERS}),
        ("tenant-feature-stats, tenant-monthly-active-users", {TENANT, MAU}),
        ("Tenant_Monthly_Active_Users,user-feature-stats", {USERS, MAU}),
        ("user-feature-stats,user-feature-stats", {USERS}),
    ],
)
def test_scrape_endpoints_selects_what_it_names(
    text: str, selected: set[Endpoint], home: Home, sim: Simulator
) -> None:
    home.settings["SCRAPE_ENDPOINTS"] = text
    result = home.run("2025-10-22")
    assert result.code == 0, result.err
    assert {request.endpoint for request in sim.requests} == {e.value for e in selected}
    expected = {"metrics_20251022.csv"} if USERS in selected else set()
    expected |= {"metrics_20251022_tenant.csv"} if selected - {USERS} else set()
    assert home.files() == expected


@pytest.mark.parametrize("text", ["foo", "users", "user-feature-stats;tenant-feature-stats", ","])
def test_an_endpoint_that_is_none_is_refused_with_those_that_are(text: str, tmp_path: Path) -> None:
    env(tmp_path, f"SCRAPE_ENDPOINTS={text}\n")
    with pytest.raises(UsageError, match="tenant-monthly-active-users"):
        load_settings(tmp_path)


@pytest.mark.parametrize("base", ["https://app.example.com", "https://app.example.com/sub/"])
@pytest.mark.parametrize("path", ["api/x", "/api/x", "//api/x"])
def test_there_is_one_slash_between_base_and_path(base: str, path: str, tmp_path: Path) -> None:
    env(tmp_path, f"METRICS_API_BASE_URL={base}\nUSER_FEATURE_STATS_ENDPOINT={path}\n")
    assert load_settings(tmp_path).url_of(USERS) == f"{base.rstrip('/')}/api/x"


def test_paths_are_below_home_unless_they_are_absolute_or_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    env(tmp_path, "COOKIE_FILE=~/cookies.json\nEXPORT_DIR=/srv/exports\n")
    settings = load_settings(tmp_path)
    assert settings.cookie_file == Path("/home/ada/cookies.json")
    assert settings.export_dir == Path("/srv/exports")


def test_the_example_file_lists_every_setting_once_with_its_default(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    found = re.findall(r"^(?:# ?)?([A-Z_]+)=(.*)$", text, re.MULTILINE)
    assert sorted(name for name, _ in found) == sorted(DEFAULTS)
    env(tmp_path, lines(dict(found)))
    assert written(load_settings(tmp_path), tmp_path) == DEFAULTS


def test_pseudonyms_and_names_of_people_exclude_each_other(tmp_path: Path) -> None:
    """GitHub's reports would name those whom the other outputs hide."""
    env(tmp_path, "PSEUDONYM_KEY_FILE=secrets/key\nIDENTITY_FILE=people.csv\n")
    with pytest.raises(UsageError, match="IDENTITY_FILE and PSEUDONYM_KEY_FILE"):
        load_settings(tmp_path)


def test_a_key_for_pseudonyms_is_read_below_home(tmp_path: Path) -> None:
    env(tmp_path, "PSEUDONYM_KEY_FILE=secrets/key\n")
    assert load_settings(tmp_path).pseudonym_key_file == tmp_path / "secrets/key"


@pytest.mark.parametrize("text", ["acme, Acme-Labs", "acme,,ACME-LABS,"])
def test_names_stand_with_commas_and_capitals_do_not_matter(text: str, tmp_path: Path) -> None:
    env(tmp_path, f"ENTERPRISE_SLUGS={text}\n")
    assert load_settings(tmp_path).enterprise_slugs == ("acme", "acme-labs")
