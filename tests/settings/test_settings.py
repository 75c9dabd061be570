"""Settings: the documented defaults, where values come from, and the effect of mistakes in them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from conftest import Home
from dashboard_scraper.errors import UsageError
from dashboard_scraper.settings.config import Settings, load_settings, setting_names
from dashboard_scraper.settings.errors import allowed
from dashboard_scraper.settings.library_settings import LIBRARY_SETTINGS, Libraries
from dashboard_scraper.simulator import Simulator
from dashboard_scraper.sources.dashboard.settings import Endpoint
from tree import ROOT

pytestmark = pytest.mark.usefixtures("no_settings_of_this_machine")

# As documented; the last two are not in the table that users first saw.
DEFAULTS = {
    "COOKIE_FILE": "secrets/cookies.json",
    "BROWSER_PATH": "",
    "AUTO_RENEW": "false",
    "SIGN_IN_TIMEOUT_SECONDS": "600",
    "COOKIE_STORE": "file",
    "METRICS_API_BASE_URL": "https://app.augmentcode.com/",
    "USER_FEATURE_STATS_ENDPOINT": "/api/user-feature-stats",
    "TENANT_FEATURE_STATS_ENDPOINT": "/api/tenant-feature-stats",
    "TENANT_MAU_ENDPOINT": "/api/tenant-monthly-active-users",
    "SCRAPE_ENDPOINTS": "all",
    "METRICS_SOURCE": "auto",
    "SOURCES": "",
    "AUGMENT_API_TOKEN": "",
    "AUGMENT_API_TOKEN_FILE": "",
    "ANALYTICS_API_BASE_URL": "https://api.augmentcode.com",
    "ANALYTICS_REQUESTS_PER_MINUTE": "10",
    "ANALYTICS_BURST": "20",
    "ANALYTICS_READY_HOUR": "2",
    "CLAUDE_CODE_API_KEY": "",
    "CLAUDE_CODE_API_KEY_FILE": "",
    "CLAUDE_CODE_API_BASE_URL": "https://api.anthropic.com",
    "CLAUDE_CODE_REQUESTS_PER_MINUTE": "30",
    "CLAUDE_CODE_BURST": "10",
    "CURSOR_API_KEY": "",
    "CURSOR_API_KEY_FILE": "",
    "CURSOR_API_BASE_URL": "https://api.cursor.com",
    "CURSOR_REQUESTS_PER_MINUTE": "20",
    "CURSOR_EVENTS_PER_MINUTE": "60",
    "CURSOR_READY_HOUR": "2",
    "COPILOT_ENTERPRISE": "",
    "COPILOT_ORGANIZATION": "",
    "COPILOT_TOKEN": "",
    "COPILOT_TOKEN_FILE": "",
    "COPILOT_APP_ID": "",
    "COPILOT_APP_KEY_FILE": "",
    "COPILOT_APP_INSTALLATION": "",
    "COPILOT_API_BASE_URL": "https://api.github.com",
    "COPILOT_REQUESTS_PER_MINUTE": "75",
    "COPILOT_BURST": "60",
    "COPILOT_READY_DAYS": "2",
    "INCLUDE_SERVICE_ACCOUNTS": "true",
    "FETCH_EDITOR_LANGUAGE": "auto",
    "FETCH_CREDITS": "false",
    "FETCH_COST": "auto",
    "COST_REQUESTS_PER_MINUTE": "30",
    "COST_BURST": "10",
    "LOOKBACK_DAYS": "30",
    "EXPORT_DIR": "data",
    "OUTPUT_MODE": "600",
    "RETENTION_EXPORTS": "",
    "EXPORT_PROCESSES": "2",
    "STORE_URL": "sqlite:///data/usage.db",
    "STORE_LEASE_SECONDS": "30",
    "SETTLE_DAYS": "3",
    "COST_SETTLE_DAYS": "7",
    "RECHECK_DAYS": "1",
    "REVISION_LIMIT": "20",
    "REVISION_CONFIRMATIONS": "2",
    "RECONCILE": "fail",
    "RECONCILE_TOLERANCE": "",
    "PSEUDONYM_KEY_FILE": "",
    "ALLOW_READABLE_SECRETS": "false",
    "SCHEDULE": "5 3 * * *",
    "SCHEDULE_TIME_ZONE": "UTC",
    "KEEP_ALIVE_MINUTES": "20",
    "HEARTBEAT_FILE": "data/watch.json",
    "LOG_LEVEL": "INFO",
    "LOG_FORMAT": "auto",
    "ENTERPRISE_ID": "283613",
    "FOCUS_BILLING_ACCOUNT_ID": "",
    "ORGANIZATION_ID": "",
    "IDENTITY_FILE": "",
    "ROSTER_FILE": "",
    "MIN_GROUP_SIZE": "5",
    "GITHUB_REPORTS_MERGE_IDES": "true",
    "GITHUB_REPORTS_USERS_28_DAY": "false",
    "GITHUB_REPORTS_CREDITS": "false",
    "REPORT_USERS": "true",
    "SEAT_PRICES": "",
    "ENTERPRISE_SLUGS": "",
    "ORGANIZATION_SLUGS": "",
    "SERVE_TOKEN_FILE": "secrets/serve-token",
    "SERVE_TOKENS_FILE": "secrets/serve-tokens.json",
    "SERVE_REQUESTS_PER_MINUTE": "",
    "SERVE_LOG_ADDRESSES": "false",
    "SERVE_PUBLIC_URL": "",
    "SERVE_HOSTS": "",
    "SERVE_TLS_CERT_FILE": "",
    "SERVE_TLS_KEY_FILE": "",
    "NOTIFY_URLS": "",
    "NOTIFY_URLS_FILE": "",
    "NOTIFY_REVISION_PERCENT": "10",
    "NOTIFY_REMINDER_DAYS": "7",
    "HEARTBEAT_URL": "",
    "HEARTBEAT_URL_FILE": "",
    "REQUEST_TIMEOUT_SECONDS": "30",
    "MAX_RETRIES": "3",
    "RETRY_BACKOFF_SECONDS": "0.5",
    "MAX_CONCURRENCY": "24",
    "RETRY_BUDGET_SECONDS": "180",
}
OTHERS = {
    "COOKIE_FILE": "other/cookies.json",
    "BROWSER_PATH": "programs/chromium",
    "AUTO_RENEW": "true",
    "SIGN_IN_TIMEOUT_SECONDS": "60",
    "COOKIE_STORE": "keyring",
    "METRICS_API_BASE_URL": "https://app.example.com/base",
    "USER_FEATURE_STATS_ENDPOINT": "/v2/users",
    "TENANT_FEATURE_STATS_ENDPOINT": "/v2/tenant",
    "TENANT_MAU_ENDPOINT": "/v2/mau",
    "SCRAPE_ENDPOINTS": "tenant-feature-stats",
    "METRICS_SOURCE": "analytics",
    "SOURCES": "analytics",
    "AUGMENT_API_TOKEN": "",
    "AUGMENT_API_TOKEN_FILE": "secrets/token",
    "ANALYTICS_API_BASE_URL": "https://api.example.com/base",
    "ANALYTICS_REQUESTS_PER_MINUTE": "0.5",
    "ANALYTICS_BURST": "1",
    "ANALYTICS_READY_HOUR": "0",
    "CLAUDE_CODE_API_KEY": "",
    "CLAUDE_CODE_API_KEY_FILE": "secrets/claude-key",
    "CLAUDE_CODE_API_BASE_URL": "https://claude.example.com",
    "CLAUDE_CODE_REQUESTS_PER_MINUTE": "5",
    "CLAUDE_CODE_BURST": "3",
    "CURSOR_API_KEY": "",
    "CURSOR_API_KEY_FILE": "secrets/cursor-key",
    "CURSOR_API_BASE_URL": "https://cursor.example.com",
    "CURSOR_REQUESTS_PER_MINUTE": "10",
    "CURSOR_EVENTS_PER_MINUTE": "30",
    "CURSOR_READY_HOUR": "5",
    "COPILOT_ENTERPRISE": "acme",
    "COPILOT_ORGANIZATION": "",
    "COPILOT_TOKEN": "",
    "COPILOT_TOKEN_FILE": "secrets/github",
    "COPILOT_APP_ID": "",
    "COPILOT_APP_KEY_FILE": "",
    "COPILOT_APP_INSTALLATION": "",
    "COPILOT_API_BASE_URL": "https://api.acme.ghe.com",
    "COPILOT_REQUESTS_PER_MINUTE": "30.5",
    "COPILOT_BURST": "5",
    "COPILOT_READY_DAYS": "3",
    "INCLUDE_SERVICE_ACCOUNTS": "false",
    "FETCH_EDITOR_LANGUAGE": "true",
    "FETCH_CREDITS": "true",
    "FETCH_COST": "true",
    "COST_REQUESTS_PER_MINUTE": "60",
    "COST_BURST": "2",
    "LOOKBACK_DAYS": "7",
    "EXPORT_DIR": "other",
    "OUTPUT_MODE": "640",
    "RETENTION_EXPORTS": "30",
    "EXPORT_PROCESSES": "4",
    "STORE_URL": "postgresql://ada:secret@db.example.com/usage",
    "STORE_LEASE_SECONDS": "12.5",
    "SETTLE_DAYS": "5",
    "COST_SETTLE_DAYS": "10",
    "RECHECK_DAYS": "4",
    "REVISION_LIMIT": "7.5",
    "REVISION_CONFIRMATIONS": "3",
    "RECONCILE": "warn",
    "RECONCILE_TOLERANCE": "total_messages=0.5,user_count=2",
    "PSEUDONYM_KEY_FILE": "",
    "ALLOW_READABLE_SECRETS": "true",
    "SCHEDULE": "30 2 * * 1-5",
    "SCHEDULE_TIME_ZONE": "Europe/Berlin",
    "KEEP_ALIVE_MINUTES": "15",
    "HEARTBEAT_FILE": "other/watch.json",
    "LOG_LEVEL": "DEBUG",
    "LOG_FORMAT": "text",
    "ENTERPRISE_ID": "another",
    "FOCUS_BILLING_ACCOUNT_ID": "contract-7",
    "ORGANIZATION_ID": "77",
    "IDENTITY_FILE": "people.csv",
    "ROSTER_FILE": "roster.csv",
    "MIN_GROUP_SIZE": "8",
    "GITHUB_REPORTS_MERGE_IDES": "false",
    "GITHUB_REPORTS_USERS_28_DAY": "true",
    "GITHUB_REPORTS_CREDITS": "true",
    "REPORT_USERS": "false",
    "SEAT_PRICES": "analytics:19.50 EUR,dashboard:40",
    "ENTERPRISE_SLUGS": "acme,other",
    "ORGANIZATION_SLUGS": "acme-org",
    "SERVE_TOKEN_FILE": "secrets/another",
    "SERVE_TOKENS_FILE": "secrets/others.json",
    "SERVE_REQUESTS_PER_MINUTE": "600",
    "SERVE_LOG_ADDRESSES": "true",
    "SERVE_PUBLIC_URL": "https://copilot.example.com/base",
    "SERVE_HOSTS": "usage,copilot.example.com",
    "SERVE_TLS_CERT_FILE": "tls/certificate.pem",
    "SERVE_TLS_KEY_FILE": "tls/key.pem",
    "NOTIFY_URLS": "",
    "NOTIFY_URLS_FILE": "secrets/notify-urls",
    "NOTIFY_REVISION_PERCENT": "5",
    "NOTIFY_REMINDER_DAYS": "0",
    "HEARTBEAT_URL": "",
    "HEARTBEAT_URL_FILE": "secrets/heartbeat-url",
    "REQUEST_TIMEOUT_SECONDS": "1.5",
    "MAX_RETRIES": "0",
    "RETRY_BACKOFF_SECONDS": "0",
    "MAX_CONCURRENCY": "1",
    "RETRY_BUDGET_SECONDS": "9",
}
EXAMPLE = ROOT / ".env.example"
CONFIGURATION = EXAMPLE.parent / "docs" / "configuration.md"


def written(settings: Settings, home: Path) -> dict[str, str]:
    """Each setting as written in `.env`."""
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
    (home / ".env").chmod(0o600)


def lines(values: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())


def test_every_default_is_the_documented_one(tmp_path: Path) -> None:
    assert written(load_settings(tmp_path), tmp_path) == DEFAULTS


def test_environment_overrides_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env(tmp_path, lines(OTHERS))
    assert written(load_settings(tmp_path), tmp_path) == OTHERS
    others = {  # empty would be the same as none
        "SOURCES": "dashboard",
        "BROWSER_PATH": "another/browser",
        "AUGMENT_API_TOKEN_FILE": "another/token",
        "CLAUDE_CODE_API_KEY_FILE": "another/key",
        "CURSOR_API_KEY_FILE": "another/cursor-key",
        "COPILOT_ENTERPRISE": "another",
        "COPILOT_TOKEN_FILE": "another/github",
        "FOCUS_BILLING_ACCOUNT_ID": "contract-8",
        "ORGANIZATION_ID": "78",
        "RETENTION_EXPORTS": "31",
        "RECONCILE_TOLERANCE": "user_count=1",
        "SEAT_PRICES": "dashboard:7",
        "IDENTITY_FILE": "others.csv",
        "ROSTER_FILE": "another.csv",
        "ENTERPRISE_SLUGS": "another",
        "ORGANIZATION_SLUGS": "another-org",
        "SERVE_PUBLIC_URL": "https://other.example.com",
        "SERVE_HOSTS": "another",
        "SERVE_REQUESTS_PER_MINUTE": "7",
        "SERVE_TLS_CERT_FILE": "another/certificate.pem",
        "SERVE_TLS_KEY_FILE": "another/key.pem",
        "NOTIFY_URLS_FILE": "another/notify-urls",
        "HEARTBEAT_URL_FILE": "another/heartbeat-url",
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
        'ENTERPRISE_ID="zoë"\nLOOKBACK_DAYS="7"'.encode(),
    ],
    ids=["byte order mark", "Windows", "quotes and comments", "no line end"],
)
def test_env_file_is_read_as_editors_write_it(text: bytes, tmp_path: Path) -> None:
    env(tmp_path, text)
    assert load_settings(tmp_path).lookback_days == 7


def test_env_file_must_be_utf8(home: Home, sim: Simulator) -> None:
    env(home.path, b"ENTERPRISE_ID=\xff\xfe\n")
    result = home.run()
    assert (result.code, sim.requests) == (2, [])
    assert str(home.path / ".env") in result.err
    assert "Traceback" not in result.err


def test_misspelled_name_in_env_file_is_an_error(home: Home, sim: Simulator) -> None:
    env(home.path, "\ufefflog_level=info\nMAX_RETRYS=9\nscrape_endpoint=foo\nPATH_OF_MINE=x\n")
    result = home.run()
    assert (result.code, sim.count(), home.files()) == (2, 0, set())
    (error,) = result.err.splitlines()
    assert "line 2: MAX_RETRYS is not a setting; did you mean MAX_RETRIES?" in error
    assert "line 3: scrape_endpoint is not a setting; did you mean SCRAPE_ENDPOINTS?" in error
    assert "line 4: PATH_OF_MINE is not a setting" in error


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("STORE_UR", "STORE_URL"),
        ("STORE_ULR", "STORE_URL"),
        ("STOREURL", "STORE_URL"),
        ("store_uri", "STORE_URL"),
        ("PSEUDONYM_KEYFILE", "PSEUDONYM_KEY_FILE"),
        ("PSEUDONIM_KEY_FILES", "PSEUDONYM_KEY_FILE"),
        ("PSEUDONYM_KEY", "PSEUDONYM_KEY_FILE"),
        ("REPORT_USER", "REPORT_USERS"),
    ],
)
def test_misspelled_guarded_setting_is_an_error(
    name: str, setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "secret")
    with pytest.raises(UsageError, match=f"{name} is in the environment.*{setting}") as caught:
        load_settings(tmp_path)
    assert "secret" not in str(caught.value)
    monkeypatch.setenv(setting, OTHERS[setting] or "secrets/key")
    assert [name in remark for remark in load_settings(tmp_path).remarks][:1] == [True]


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("METRIC_SOURCE", "METRICS_SOURCE"),
        ("SETTLEDAYS", "SETTLE_DAYS"),
        ("ORGANISATION_ID", "ORGANIZATION_ID"),
        ("AUGMENT_API_TOKNE", "AUGMENT_API_TOKEN"),
    ],
)
def test_similar_setting_name_is_a_warning(
    name: str, setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "secret")
    (remark,) = load_settings(tmp_path).remarks
    assert name in remark
    assert setting in remark
    assert "secret" not in remark


# From shells, desktops, CI systems, Docker, Kubernetes (with a service named store), and libraries.
ORDINARY = """
_ BASH_ENV CI COLORTERM COLUMNS DISPLAY EDITOR HISTFILE HOME HOSTNAME HOSTTYPE IFS LANG LANGUAGE
LC_ALL LINES LOGNAME LS_COLORS MAIL MAILTO MANPATH OLDPWD PAGER PATH PPID PS1 PWD SHELL SHLVL TERM
TEMP TMP TMPDIR TZ UID USER USERNAME VISUAL XDG_CONFIG_HOME XDG_DATA_DIRS XDG_RUNTIME_DIR
SSH_AUTH_SOCK SSH_CLIENT SSH_CONNECTION SSH_TTY SUDO_COMMAND SUDO_GID SUDO_UID SUDO_USER
DBUS_SESSION_BUS_ADDRESS INVOCATION_ID JOURNAL_STREAM MAINPID NOTIFY_SOCKET CREDENTIALS_DIRECTORY
STATE_DIRECTORY CACHE_DIRECTORY LOGS_DIRECTORY CONFIGURATION_DIRECTORY RUNTIME_DIRECTORY
GITHUB_ACTION GITHUB_ACTIONS GITHUB_ACTOR GITHUB_API_URL GITHUB_BASE_REF GITHUB_ENV GITHUB_JOB
GITHUB_REPOSITORY GITHUB_RUN_ID GITHUB_SERVER_URL GITHUB_SHA GITHUB_TOKEN GITHUB_WORKSPACE RUNNER_OS
RUNNER_TEMP RUNNER_TOOL_CACHE ACTIONS_CACHE_URL ACTIONS_RUNTIME_URL ACTIONS_RUNTIME_TOKEN
CI_API_V4_URL CI_COMMIT_REF_NAME CI_COMMIT_SHA CI_JOB_ID CI_JOB_TOKEN CI_PIPELINE_ID CI_PROJECT_DIR
CI_PROJECT_URL CI_REGISTRY CI_REGISTRY_USER CI_SERVER_URL GITLAB_CI GITLAB_USER_EMAIL BUILD_ID
BUILD_NUMBER BUILD_URL EXECUTOR_NUMBER JENKINS_HOME JENKINS_URL JOB_NAME JOB_URL NODE_NAME
NODE_LABELS WORKSPACE STAGE_NAME CIRCLE_BRANCH CIRCLE_BUILD_URL TRAVIS_BUILD_DIR BUILDKITE TF_BUILD
DOCKER_CERT_PATH DOCKER_CONFIG DOCKER_HOST DOCKER_TLS_VERIFY COMPOSE_FILE COMPOSE_PROJECT_NAME
KUBECONFIG KUBERNETES_PORT KUBERNETES_PORT_443_TCP KUBERNETES_PORT_443_TCP_ADDR
KUBERNETES_PORT_443_TCP_PORT KUBERNETES_PORT_443_TCP_PROTO KUBERNETES_SERVICE_HOST
KUBERNETES_SERVICE_PORT KUBERNETES_SERVICE_PORT_HTTPS POD_IP POD_NAME POD_NAMESPACE STORE_PORT
STORE_PORT_80_TCP STORE_PORT_80_TCP_ADDR STORE_SERVICE_HOST STORE_SERVICE_PORT STORE STORE_DIR
STORE_ID STORE_KEY STORE_NAME STORE_PATH STORAGE_URL SITE_URL BASE_URL API_URL DB_URL DATABASE_URL
REDIS_URL BROKER_URL SERVER_URL PUBLIC_URL STATE_URL CORE_URL SENTRY_DSN SERVER_NAME LOG_DIR
LOG_FILE LOG_FORMAT LOGLEVEL LOGS_DIR EXPORT_PATH IMPORT_DIR REPORT_DIR REPORT_URL OUTPUT_DIR
DATA_DIR CONFIG_FILE COOKIE_JAR CACHE_FILE KEY_FILE CERT_FILE TOKEN TOKEN_FILE API_TOKEN API_KEY
USER_ID USERS REPORTS TIMEOUT RETRIES MAX_RETRY MAX_WORKERS MAX_THREADS CONCURRENCY WEB_CONCURRENCY
HTTP_PROXY HTTPS_PROXY FTP_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy ftp_proxy no_proxy
REQUESTS_CA_BUNDLE CURL_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR NODE_EXTRA_CA_CERTS NETRC OPENSSL_CONF
AWS_ACCESS_KEY_ID AWS_CA_BUNDLE AWS_DEFAULT_REGION AWS_ENDPOINT_URL AWS_PROFILE AWS_REGION
AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AZURE_TENANT_ID GOOGLE_APPLICATION_CREDENTIALS PGDATABASE
PGHOST PGPASSFILE PGPASSWORD PGPORT PGSSLMODE PGSSLROOTCERT PGUSER MYSQL_PASSWORD CONDA_DEFAULT_ENV
CONDA_PREFIX PIP_CACHE_DIR PIP_INDEX_URL PYENV_ROOT PYTHONDONTWRITEBYTECODE PYTHONHASHSEED
PYTHONHOME PYTHONPATH PYTHONUNBUFFERED PYTHONWARNINGS VIRTUAL_ENV UV_CACHE_DIR TOX_ENV_NAME
PYTEST_CURRENT_TEST TEST_POSTGRES_URL NODE_ENV NVM_DIR GOPATH JAVA_HOME CARGO_HOME SYSTEMROOT
APPDATA COMSPEC PROGRAMFILES USERPROFILE WINDIR PROCESSOR_ARCHITECTURE
"""


def test_ordinary_environment_is_accepted_silently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in set(ORDINARY.split()) - set(setting_names()):
        monkeypatch.setenv(name, "x")
    assert load_settings(tmp_path).remarks == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("SETTLE_DAYS=abc", "SETTLE_DAYS=abc: write a whole number from 0 to 90"),
        ("settle_days=91", "SETTLE_DAYS=91: write a whole number from 0 to 90"),
        ("MAX_RETRIES=1.5", "MAX_RETRIES=1.5: write a whole number from 0 to 20"),
        ("FETCH_CREDITS=maybe", "FETCH_CREDITS=maybe: write true or false"),
        ("METRICS_SOURCE=api", "METRICS_SOURCE=api: write auto, "),
        (
            "ANALYTICS_REQUESTS_PER_MINUTE=0",
            "ANALYTICS_REQUESTS_PER_MINUTE=0: write a number above 0 up to 60000",
        ),
        ("RETRY_BACKOFF_SECONDS=nan", "RETRY_BACKOFF_SECONDS=nan: write a number from 0 to 3600"),
        ("SCHEDULE=5 3 * *", "SCHEDULE=5 3 * *: write five fields"),
        ("SCHEDULE=5 25 * * *", "SCHEDULE=5 25 * * *: bad hour; write cron syntax"),
        ("SCHEDULE_TIME_ZONE=Mars/Base", "SCHEDULE_TIME_ZONE=Mars/Base: not a time zone"),
        ("LOG_LEVEL=LOUD", "LOG_LEVEL=LOUD: write one of DEBUG, INFO, WARNING, ERROR"),
        (f"LOOKBACK_DAYS={'9' * 500}", f"LOOKBACK_DAYS={'9' * 60}...: write a whole number"),
    ],
)
def test_wrong_value_names_setting_place_and_limits(
    line: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env(tmp_path, f"\n{line}\n")
    with pytest.raises(UsageError) as in_file:
        load_settings(tmp_path)
    assert message in str(in_file.value)
    assert str(in_file.value).endswith(f"({tmp_path / '.env'}, line 2)")
    name, _, value = line.partition("=")
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as in_environment:
        load_settings(tmp_path)
    assert message in str(in_environment.value)
    assert str(in_environment.value).endswith("(in the environment)")


def test_setting_errors_have_own_words(tmp_path: Path) -> None:
    """Each setting that can be wrong has its own message, or that of its kind and bounds."""
    wrong = dict.fromkeys(Settings.model_fields, "://no value")
    with pytest.raises(UsageError) as caught:
        load_settings(tmp_path, **wrong)
    problems = str(caught.value).removeprefix("wrong setting: ").split("; ")
    assert len(problems) > 20
    assert [p for p in problems if "nput should" in p or "validation" in p] == []


def test_optional_setting_names_its_limits() -> None:
    class Some(BaseModel):
        days: int | None = Field(None, ge=1)
        mode: Literal["a", "b"] | None = None

    phrases = [allowed(field) for field in Some.model_fields.values()]
    assert phrases == ["a whole number from 1", "a or b"]


def test_empty_privacy_setting_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example, a variable of Compose or systemd that resolves to nothing."""
    monkeypatch.setenv("PSEUDONYM_KEY_FILE", "")
    (remark,) = load_settings(tmp_path).remarks
    assert "PSEUDONYM_KEY_FILE is empty" in remark
    env(tmp_path, "PSEUDONYM_KEY_FILE=secrets/key\n")
    settings = load_settings(tmp_path)
    assert (settings.remarks, settings.pseudonym_key_file) == ((), tmp_path / "secrets/key")


@pytest.mark.parametrize(
    ("lines", "warned"),
    [
        ("METRICS_API_BASE_URL=http://app.example.com/", "METRICS_API_BASE_URL"),
        ("METRICS_API_BASE_URL=http://127.0.0.1:8000/", None),
        ("METRICS_API_BASE_URL=http://[::1]:8000/", None),
        ("METRICS_API_BASE_URL=http://localhost/", None),
        ("METRICS_API_BASE_URL=https://app.example.com/", None),
        ("ANALYTICS_API_BASE_URL=http://api.example.com", "ANALYTICS_API_BASE_URL"),
    ],
)
def test_cleartext_credentials_are_warned_about(
    lines: str, warned: str | None, tmp_path: Path
) -> None:
    env(tmp_path, f"{lines}\n")
    remarks = load_settings(tmp_path).remarks
    assert [warned in remark for remark in remarks if warned] == ([True] if warned else [])
    assert bool(remarks) == bool(warned)


def test_what_looks_wrong_is_logged(home: Home, sim: Simulator) -> None:
    home.settings |= {"METRIC_SOURCE": "dashboard", "SCRAPE_ENDPOINTS": "tenant-feature-stats"}
    result = home.run("10-22-2025")
    assert (result.code, sim.count()) == (0, 1)
    assert "WARNING" in result.err
    assert "did you mean METRICS_SOURCE?" in result.err


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
    beside = "tenant" if selected - {USERS} else "period"  # one of the names has the day
    expected.add(f"metrics_20251022_{beside}.csv")
    assert home.files() == expected


@pytest.mark.parametrize("text", ["foo", "users", "user-feature-stats;tenant-feature-stats", ","])
def test_unknown_endpoint_is_refused_with_list(text: str, tmp_path: Path) -> None:
    env(tmp_path, f"SCRAPE_ENDPOINTS={text}\n")
    with pytest.raises(UsageError, match="tenant-monthly-active-users"):
        load_settings(tmp_path)


@pytest.mark.parametrize("base", ["https://app.example.com", "https://app.example.com/sub/"])
@pytest.mark.parametrize("path", ["api/x", "/api/x", "//api/x"])
def test_url_has_one_slash_before_path(base: str, path: str, tmp_path: Path) -> None:
    env(tmp_path, f"METRICS_API_BASE_URL={base}\nUSER_FEATURE_STATS_ENDPOINT={path}\n")
    assert load_settings(tmp_path).url_of(USERS) == f"{base.rstrip('/')}/api/x"


def test_relative_paths_are_below_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    env(tmp_path, "COOKIE_FILE=~/cookies.json\nEXPORT_DIR=/srv/exports\n")
    settings = load_settings(tmp_path)
    assert settings.cookie_file == Path("/home/ada/cookies.json")
    assert settings.export_dir == Path("/srv/exports")


def test_example_file_lists_every_default(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    found = re.findall(r"^(?:# ?)?([A-Z0-9_]+)=(.*)$", text, re.MULTILINE)
    env(tmp_path, lines(dict(found)))
    assert load_settings(tmp_path).libraries == Libraries()
    found = [(name, value) for name, value in found if name not in LIBRARY_SETTINGS]
    assert sorted(name for name, _ in found) == sorted(DEFAULTS)
    env(tmp_path, lines(dict(found)))
    assert written(load_settings(tmp_path), tmp_path) == DEFAULTS


def test_documented_tables_list_every_default(tmp_path: Path) -> None:
    """Writing each default into `.env` leaves the settings at their defaults."""
    page = CONFIGURATION.read_text(encoding="utf-8")
    table = dict(
        re.findall(r"^\| `([A-Z0-9_]+)` \| (?:`([^`]*)`|none) \| \S.* \|$", page, re.MULTILINE)
    )
    assert sorted(table) == sorted(setting_names())
    assert table == DEFAULTS
    env(tmp_path, lines(table))
    assert written(load_settings(tmp_path), tmp_path) == DEFAULTS


def test_a_key_for_pseudonyms_is_read_below_home(tmp_path: Path) -> None:
    env(tmp_path, "PSEUDONYM_KEY_FILE=secrets/key\n")
    assert load_settings(tmp_path).pseudonym_key_file == tmp_path / "secrets/key"


@pytest.mark.parametrize("text", ["acme, Acme-Labs", "acme,,ACME-LABS,"])
def test_names_are_comma_separated_case_insensitive(text: str, tmp_path: Path) -> None:
    env(tmp_path, f"ENTERPRISE_SLUGS={text}\n")
    assert load_settings(tmp_path).enterprise_slugs == ("acme", "acme-labs")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("pilot:19", "'pilot' is not a source; write some of "),
        ("analytics:19,analytics:20", "analytics appears twice"),
        ("analytics", "has no monthly price; write it as analytics:19"),
        ("analytics:-1", "has no monthly price"),
        ("analytics:19 euros", "has no monthly price"),
        ("analytics:1e3", "has no monthly price"),
    ],
)
def test_wrong_seat_price_is_refused(value: str, message: str, tmp_path: Path) -> None:
    env(tmp_path, f"SEAT_PRICES={value}\n")
    with pytest.raises(UsageError, match="SEAT_PRICES") as refused:
        load_settings(tmp_path)
    assert message in str(refused.value)


@pytest.mark.slow
def test_plugins_of_other_packages_see_no_setting(home: Home, tmp_path: Path) -> None:
    """A plugin for pydantic, which packages may install, would be passed every value."""
    site, loaded = tmp_path / "site", tmp_path / "loaded"
    (site / "spy-1.dist-info").mkdir(parents=True)
    (site / "spy-1.dist-info" / "METADATA").write_text("Name: spy\nVersion: 1\n")
    (site / "spy-1.dist-info" / "entry_points.txt").write_text("[pydantic]\nspy = spy:plugin\n")
    (site / "spy.py").write_text(f"open({str(loaded)!r}, 'w')\n")
    environment = {**home.environment(), "PYTHONPATH": str(site)}
    ended = subprocess.run(
        home.command("status"), env=environment, capture_output=True, check=False
    )
    assert b"no day has been fetched yet" in ended.stdout, ended.stderr
    assert not loaded.exists()
