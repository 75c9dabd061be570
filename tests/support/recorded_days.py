"""Days with records in GitHub's format, as a source fetched them from GitHub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from conftest import Home
from dashboard_scraper.github.counters import Counter
from dashboard_scraper.model.columns import sum_of
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.sources.registry import COPILOT
from dashboard_scraper.store import store_at

SOURCE = COPILOT
LAST = datetime.now(UTC).date() - timedelta(3)
MONTH = Window(LAST - timedelta(27), LAST)
FETCHED = datetime.now(UTC) - timedelta(hours=1)
ENTERPRISE = {"enterprise_id": "9"}
ORGANIZATION = {**ENTERPRISE, "organization_id": "815"}
COUNTERS = {counter.value: number for number, counter in enumerate(Counter)}
BREAKDOWNS: dict[str, Any] = {
    f"totals_by_{name}": []
    for name in ("ide", "feature", "language_feature", "language_model", "model_feature")
}

Json = dict[str, Any]

_VERSION = {"sampled_at": "2026-11-20T12:00:00.000Z"}
_SIX = dict.fromkeys(list(COUNTERS)[1:], 3)
_CLI = {
    "session_count": 2,
    "request_count": 9,
    "prompt_count": 3,
    "token_usage": {
        "prompt_tokens_sum": 5100,
        "output_tokens_sum": 900,
        "avg_tokens_per_request": 666.7,
    },
}
CUSTOMISED = ("skill", "custom_agent", "mcp", "slash_cmd", "plugin")
_OF_BOTH: Json = {
    **COUNTERS,
    "totals_by_feature": [{"feature": "code_completion", **COUNTERS}],
    "totals_by_language_feature": [{"language": "c#", "feature": "agent_edit", **_SIX}],
    "totals_by_language_model": [{"language": "go", "model": "gpt-5.4", **_SIX}],
    "totals_by_model_feature": [{"model": "auto", "feature": "chat_inline", **COUNTERS}],
    "totals_by_copilot_app": _CLI,
    "totals_by_3rd_party_agent": [
        {"agent_id": "a-1", "agent_name": "An agent", "user_initiated_interaction_count": 2}
    ],
    "totals_by_vscode_agent": {"session_count": 1, "total_user_messages": 3},
    **{f"totals_by_{name}": [{name: "other", "interaction_count": 4}] for name in CUSTOMISED},
    **{f"distinct_{name}_use_count": 1 for name in CUSTOMISED},
    "etl_id": "etl-7",
    "day_partition": "2026-11-20",
    "entity_id_partition": 9,
}
EVERY_USER_FIELD: Json = {
    **_OF_BOTH,
    "ai_credits_used": 4.50,
    **dict.fromkeys(("used_agent", "used_chat", "used_cli", "used_copilot_app"), True),
    **dict.fromkeys(("used_copilot_coding_agent", "used_copilot_cloud_agent"), False),
    "used_copilot_code_review_active": None,
    "used_copilot_code_review_passive": True,
    "used_vscode_agent": None,
    "totals_by_ide": [
        {
            "ide": "vscode",
            **COUNTERS,
            "last_known_ide_version": {"ide_version": "1.99.0", **_VERSION},
            "last_known_plugin_version": {
                "plugin": "copilot-chat",
                "plugin_version": "0.40.1",
                **_VERSION,
            },
        }
    ],
    "totals_by_cli": {**_CLI, "last_known_cli_version": {"cli_version": "1.0.60", **_VERSION}},
    "ai_adoption_phase": {"phase_number": 2, "phase": "Phase 2", "version": "v1"},
}
"""Every field that GitHub documents of a user's day."""
EVERY_DAY_FIELD: Json = {
    **_OF_BOTH,
    **{f"{each}_active_users": 7 for each in ("daily", "weekly", "monthly")},
    **{f"monthly_active_{each}_users": 5 for each in ("chat", "agent")},
    **{f"daily_active_{each}_users": 2 for each in ("cli", "vscode_agent")},
    "daily_active_copilot_app_users": None,
    **{
        f"{period}_{kind}_copilot_{what}_users": 1
        for period in ("daily", "weekly", "monthly")
        for kind, what in (
            ("active", "cloud_agent"),
            ("active", "code_review"),
            ("passive", "code_review"),
        )
    },
    "totals_by_ide": [{"ide": "intellij", **COUNTERS}],
    "totals_by_cli": _CLI,
    "pull_requests": {
        **{
            f"total_{each}": 6
            for each in (
                *("created", "reviewed", "merged", "suggestions", "applied_suggestions"),
                *("created_by_copilot", "reviewed_by_copilot", "merged_created_by_copilot"),
                *("merged_reviewed_by_copilot", "copilot_suggestions"),
                "copilot_applied_suggestions",
            )
        },
        "median_minutes_to_merge": 61.50,
        "median_minutes_to_merge_copilot_authored": None,
        "median_minutes_to_merge_copilot_reviewed": 12,
        "copilot_suggestions_by_comment_type": [
            {
                "comment_type": "bug",
                "total_copilot_suggestions": 3,
                "total_copilot_applied_suggestions": 1,
            }
        ],
    },
    "totals_by_ai_adoption_phase": [
        {
            "phase": "No Cohort",
            "phase_number": 0,
            "total_engaged_users": 3,
            "users_in_phase_28d": 9,
            "total_pull_requests_merged": 1,
            **{
                f"avg_{each}": 1.25
                for each in (
                    *("user_initiated_interactions", "code_generation_activities"),
                    *("code_acceptance_activities", "loc_added", "loc_deleted"),
                    *("pull_requests_created", "pull_requests_merged", "pull_requests_reviewed"),
                    *("pull_requests_median_minutes_to_merge", "pull_requests_review_cycles"),
                    "pull_requests_minutes_to_review",
                )
            },
        }
    ],
}
"""Every field that GitHub documents of the day of an enterprise or organization."""


def user_record(login: str, number: int, day: date = LAST, **fields: Any) -> Json:
    """The fields that every record has, and these fields."""
    return {
        "user_id": number,
        "user_login": login,
        "day": f"{day}",
        **ENTERPRISE,
        **COUNTERS,
        "used_agent": False,
        "used_chat": True,
        **BREAKDOWNS,
        **fields,
    }


def day_record(day: date = LAST, **fields: Any) -> Json:
    active = dict.fromkeys(
        (f"{each}_active_users" for each in ("daily", "weekly", "monthly")), day.day
    )
    return {"day": f"{day}", **ENTERPRISE, **active, **COUNTERS, **BREAKDOWNS, **fields}


def text_of(record: Json | str) -> str:
    return record if isinstance(record, str) else msgspec.json.encode(record).decode()


def put_records(
    home: Home,
    days: Mapping[date, Iterable[Json | str]],
    wholes: Mapping[date, Json | str] | None = None,
    *,
    store_url: str = "",
) -> None:
    """Store the records of users, and those of the whole, which are made up if not given."""
    home.data.mkdir(exist_ok=True)
    url = home.settings.setdefault("STORE_URL", store_url or f"sqlite:///{home.data / 'usage.db'}")
    home.settings["METRICS_SOURCE"] = SOURCE
    store = store_at(url)
    with store.locked(), store.opened():
        for day, records in days.items():
            texts = [*map(text_of, records)]
            logins = [msgspec.json.decode(text)["user_login"].lower() for text in texts]
            figures = msgspec.structs.replace(sum_of(()), active_days=1)
            users = [
                UserUsage(login, figures, record=text)
                for login, text in sorted(zip(logins, texts, strict=True))
            ]
            whole = text_of((wholes or {}).get(day, day_record(day)))
            store.put(SOURCE, DayUsage(day, users, {}, whole), FETCHED)
