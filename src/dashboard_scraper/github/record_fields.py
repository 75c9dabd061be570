"""The fields of GitHub's records that are shown with pseudonyms.

They are counts, and words chosen by GitHub or editors. All other fields are left out: names that
people or companies chose (of skills, custom agents, MCP servers, commands and plugins), times at
which somebody's editor was seen, GitHub's own bookkeeping, and fields that GitHub has added since
this list was written.
"""

from __future__ import annotations

from dashboard_scraper.github.counters import Counter

_OF_REPORT = "day enterprise_id organization_id"

_FLAGS = """
    used_agent used_chat used_cli used_copilot_app used_vscode_agent
    used_copilot_coding_agent used_copilot_cloud_agent
    used_copilot_code_review_active used_copilot_code_review_passive
"""

_BREAKDOWNS = """
    totals_by_ide totals_by_feature totals_by_language_feature totals_by_language_model
    totals_by_model_feature totals_by_cli totals_by_copilot_app totals_by_3rd_party_agent
    totals_by_vscode_agent totals_by_ai_adoption_phase
    ide feature language model agent_id agent_name
    last_known_ide_version ide_version
    last_known_plugin_version plugin plugin_version
    last_known_cli_version cli_version
    session_count request_count prompt_count total_user_messages
    token_usage prompt_tokens_sum output_tokens_sum avg_tokens_per_request
    distinct_skill_use_count distinct_custom_agent_use_count distinct_mcp_use_count
    distinct_slash_cmd_use_count distinct_plugin_use_count
    ai_adoption_phase phase phase_number version
"""

_OF_EVERYBODY = """
    daily_active_users weekly_active_users monthly_active_users
    monthly_active_chat_users monthly_active_agent_users
    daily_active_cli_users weekly_active_cli_users monthly_active_cli_users
    daily_active_copilot_app_users daily_active_vscode_agent_users
    daily_active_copilot_cloud_agent_users weekly_active_copilot_cloud_agent_users
    monthly_active_copilot_cloud_agent_users
    daily_active_copilot_code_review_users weekly_active_copilot_code_review_users
    monthly_active_copilot_code_review_users daily_passive_copilot_code_review_users
    weekly_passive_copilot_code_review_users monthly_passive_copilot_code_review_users
    total_engaged_users users_in_phase_28d
    avg_user_initiated_interactions avg_code_generation_activities avg_code_acceptance_activities
    avg_loc_added avg_loc_deleted avg_pull_requests_created avg_pull_requests_merged
    avg_pull_requests_reviewed avg_pull_requests_median_minutes_to_merge
    avg_pull_requests_minutes_to_review avg_pull_requests_review_cycles total_pull_requests_merged
    pull_requests total_created total_reviewed total_merged median_minutes_to_merge
    total_suggestions total_applied_suggestions total_created_by_copilot total_reviewed_by_copilot
    total_merged_created_by_copilot total_merged_reviewed_by_copilot
    median_minutes_to_merge_copilot_authored median_minutes_to_merge_copilot_reviewed
    total_copilot_suggestions total_copilot_applied_suggestions
    copilot_suggestions_by_comment_type comment_type
"""

SHOWN_OF_PEOPLE = frozenset(
    (
        *(counter.value for counter in Counter),
        "ai_credits_used",
        *f"{_OF_REPORT} {_FLAGS} {_BREAKDOWNS} {_OF_EVERYBODY}".split(),
    )
)
"""The names of the fields, at any depth of a record."""
