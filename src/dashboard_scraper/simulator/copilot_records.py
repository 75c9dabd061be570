"""GitHub's records, made from the truth: of a user and day, of a whole day, of a seat."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

from dashboard_scraper.simulator.assistants import COPILOT, Colleague
from dashboard_scraper.simulator.copilot import Copilot, Feature, Tally, Usage, add

Json = dict[str, Any]

COUNTERS = (
    "user_initiated_interaction_count",
    "code_generation_activity_count",
    "code_acceptance_activity_count",
    "loc_suggested_to_add_sum",
    "loc_suggested_to_delete_sum",
    "loc_added_sum",
    "loc_deleted_sum",
)
_IDES = ("vscode", "vscode", "intellij", "visualstudio", "neovim")
_LANGUAGES = ("python", "typescript", "go", "c#", "unknown")
_MODELS = ("gpt-5.4", "claude-sonnet-4.6", "auto")
_REVIEW = (None, True, False)
_PHASES = ("No Cohort", "Phase 1", "Phase 2", "Phase 3")
_CUSTOMISED = ("skill", "custom_agent", "mcp", "slash_cmd", "plugin")
_REVIEWS_SINCE = date(2026, 4, 6)
_CLI_SINCE = date(2026, 4, 2)
_PHASES_SINCE = date(2026, 5, 29)
_CUSTOMISED_SINCE = date(2026, 9, 17)


def user_record(usage: Usage, ids: Json) -> Json:
    """The record of one user and day; `ids` identify the enterprise or organization."""
    draws, features = usage.draws, usage.features
    record: Json = {
        "user_id": usage.colleague.account,
        "user_login": usage.colleague.login,
        "day": usage.day.isoformat(),
        **ids,
        **_seven(usage.total),
    }
    if usage.credits is not None:
        record["ai_credits_used"] = usage.credits / 100
    record["used_agent"] = Feature.AGENT in features
    record["used_chat"] = any(name.startswith("chat_") for name in features)
    if usage.day >= _CLI_SINCE:
        record["used_cli"] = Feature.CLI in features
        record["used_copilot_coding_agent"] = draws[14] % 8 == 0
        record["used_copilot_cloud_agent"] = draws[14] % 8 == 0
    if usage.day >= _REVIEWS_SINCE:
        record["used_copilot_code_review_active"] = _REVIEW[draws[15] % 3]
        record["used_copilot_code_review_passive"] = _REVIEW[draws[14] % 3]
    record |= _breakdowns([usage], versions=True)
    if usage.day >= _PHASES_SINCE:
        phase = draws[3] % 4
        record["ai_adoption_phase"] = {
            "phase_number": phase,
            "phase": _PHASES[phase],
            "version": "v1",
        }
    if usage.day >= _CUSTOMISED_SINCE:
        record |= _customised(draws)
    return record


def day_record(copilot: Copilot, day: date, ids: Json, drift: Tally) -> Json:
    """The record of the whole enterprise or organization for a day; `drift` is added to the sums of
    the users.
    """
    users = copilot.usage(day)
    weekly, monthly = (copilot.active_in(day, days) for days in (7, 28))
    record: Json = {
        "day": day.isoformat(),
        **ids,
        "daily_active_users": _people(usage for usage in users if usage.in_editor),
        "weekly_active_users": _people(usage for usage in weekly if usage.in_editor),
        "monthly_active_users": _people(usage for usage in monthly if usage.in_editor),
        "monthly_active_chat_users": _people(u for u in monthly if Feature.ASK in u.features),
        "monthly_active_agent_users": _people(u for u in monthly if Feature.AGENT in u.features),
        **_seven(add([drift, *(usage.total for usage in users)])),
        **_breakdowns(users, versions=False),
        "pull_requests": {"total_created": len(users), "total_merged": len(users) // 2},
    }
    if by_cli := [usage for usage in users if Feature.CLI in usage.features]:
        record["daily_active_cli_users"] = _people(by_cli)
    return record


def seat_record(copilot: Copilot, colleague: Colleague, organization: str, plan: str) -> Json:
    """A seat that an organization assigned."""
    last = _last_active(copilot, colleague)
    return {
        "created_at": f"{colleague.joined(COPILOT)}T09:00:00Z",
        "updated_at": f"{colleague.joined(COPILOT)}T09:00:00Z",
        "pending_cancellation_date": None,
        "last_activity_at": f"{last}T15:30:00Z" if last else None,
        "last_activity_editor": "vscode/1.99.0/copilot/1.300.0" if last else None,
        "last_authenticated_at": f"{last}T08:00:00Z" if last else None,
        "plan_type": plan,
        "assignee": {"login": colleague.login, "id": colleague.account, "type": "User"},
        "organization": {"login": organization, "id": 7},
        "assigning_team": None,
    }


def _last_active(copilot: Copilot, colleague: Colleague) -> date | None:
    """The last day of activity in the weeks before today, if there is any."""
    today = copilot.organization.today.toordinal()
    days = (date.fromordinal(today - back) for back in range(1, 60))
    draws = copilot.assistants.draws
    return next((day for day in days if draws(COPILOT, colleague, day) is not None), None)


def _people(usages: Iterable[Usage]) -> int:
    return len({usage.colleague.index for usage in usages})


def _seven(tally: Tally) -> Json:
    return dict(zip(COUNTERS, tally, strict=True))


def _six(tally: Tally) -> Json:
    """All counters except interactions, which GitHub does not have by language."""
    return dict(zip(COUNTERS[1:], tally[1:], strict=True))


def _breakdowns(usages: list[Usage], *, versions: bool) -> Json:
    """The arrays of a record, and the objects about the command line and the app."""
    cells = [
        (usage, name, tally) for usage in usages for name, tally in sorted(usage.features.items())
    ]
    in_ide = [cell for cell in cells if cell[1] not in (Feature.CLI, Feature.APP)]
    with_model = [cell for cell in cells if cell[1] != Feature.COMPLETION]
    found: Json = {
        "totals_by_ide": [
            {"ide": ide, **_seven(tally), **(_versions(ide, usages[0]) if versions else {})}
            for (ide,), tally in _grouped(in_ide, lambda usage, _name: (_ide(usage),))
        ],
        "totals_by_feature": [
            {"feature": feature, **_seven(tally)}
            for (feature,), tally in _grouped(cells, lambda _usage, name: (name,))
        ],
        "totals_by_language_feature": [
            {"language": language, "feature": feature, **_six(tally)}
            for (language, feature), tally in _grouped(cells, lambda u, name: (_language(u), name))
        ],
        "totals_by_language_model": [
            {"language": language, "model": model, **_six(tally)}
            for (language, model), tally in _grouped(
                with_model, lambda usage, _name: (_language(usage), _model(usage))
            )
        ],
        "totals_by_model_feature": [
            {"model": model, "feature": feature, **_seven(tally)}
            for (model, feature), tally in _grouped(
                with_model, lambda usage, name: (_model(usage), name)
            )
        ],
    }
    if by_cli := [tally for _, name, tally in cells if name == Feature.CLI]:
        found["totals_by_cli"] = _cli(add(by_cli), usages[0].day if versions else None)
    if by_app := [tally for _, name, tally in cells if name == Feature.APP]:
        found["totals_by_copilot_app"] = _cli(add(by_app), None)
    return found


_Cells = list[tuple[Usage, str, Tally]]


def _grouped(
    cells: _Cells, key: Callable[[Usage, str], tuple[str, ...]]
) -> list[tuple[tuple[str, ...], Tally]]:
    groups: dict[tuple[str, ...], list[Tally]] = {}
    for usage, name, tally in cells:
        groups.setdefault(key(usage, name), []).append(tally)
    return [(group, add(tallies)) for group, tallies in groups.items()]


def _ide(usage: Usage) -> str:
    return _IDES[usage.colleague.index % len(_IDES)]


def _language(usage: Usage) -> str:
    return _LANGUAGES[usage.draws[4] % len(_LANGUAGES)]


def _model(usage: Usage) -> str:
    return _MODELS[usage.draws[5] % len(_MODELS)]


def _versions(ide: str, usage: Usage) -> Json:
    if ide != "vscode":
        return {}
    sampled = f"{usage.day}T12:00:00.000Z"
    return {
        "last_known_ide_version": {"ide_version": "1.99.0", "sampled_at": sampled},
        "last_known_plugin_version": {
            "plugin": "copilot-chat",
            "plugin_version": "0.40.1",
            "sampled_at": sampled,
        },
    }


def _cli(tally: Tally, day: date | None) -> Json:
    """`totals_by_cli`; only a user's record has the version."""
    requests = tally.interactions * 3
    tokens_in, tokens_out = requests * 900, requests * 120
    found: Json = {
        "session_count": max(1, tally.interactions // 2),
        "request_count": requests,
        "prompt_count": tally.interactions,
        "token_usage": {
            "prompt_tokens_sum": tokens_in,
            "output_tokens_sum": tokens_out,
            "avg_tokens_per_request": (tokens_in + tokens_out) / requests if requests else None,
        },
    }
    if day is not None:
        found["last_known_cli_version"] = {
            "cli_version": "1.0.60",
            "sampled_at": f"{day}T12:00:00.000Z",
        }
    return found


def _customised(draws: tuple[int, ...]) -> Json:
    found: Json = {"used_copilot_app": draws[13] % 6 == 0, "used_vscode_agent": None}
    if draws[14] % 3 == 0:
        found["used_vscode_agent"] = True
        found["totals_by_vscode_agent"] = {"session_count": 1, "total_user_messages": 3}
    if draws[15] % 5 == 0:
        found["totals_by_3rd_party_agent"] = [
            {
                "agent_id": "agent-1",
                "agent_name": "A made-up agent",
                "user_initiated_interaction_count": 2,
            }
        ]
    for name in _CUSTOMISED:
        used = draws[16] % 4
        found[f"totals_by_{name}"] = [{name: "other", "interaction_count": used}] if used else []
        found[f"distinct_{name}_use_count"] = 1 if used else 0
    return found
