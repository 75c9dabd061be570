{#- Generated from the tables and the metric catalogue by `make docs`; do not edit. -#}

{#- Figures that add up over users and days. -#}
{% macro counts() %}
{{ return(["completions_count", "completions_accepted", "chat_messages", "ide_agent_messages", "remote_agent_messages", "cli_agent_interactive_messages", "cli_agent_non_interactive_messages", "total_tool_calls", "total_modified_lines_of_code", "completions_lines_of_code", "instruction_lines_of_code", "ide_agent_lines_of_code", "remote_agent_lines_of_code", "cli_agent_lines_of_code", "total_messages", "completions_suggested_lines_of_code", "cli_agent_interactive_lines_of_code", "cli_agent_non_interactive_lines_of_code", "lines_deleted", "suggested_lines_of_code", "suggested_lines_to_delete", "generations", "acceptances", "sessions", "commits", "pull_requests", "edits_accepted", "edits_rejected"]) }}
{% endmacro %}

{#- Figures that say whether somebody was active. -#}
{% macro required() %}
{{ return(["completions_count", "completions_accepted", "chat_messages", "ide_agent_messages", "remote_agent_messages", "cli_agent_interactive_messages", "cli_agent_non_interactive_messages", "total_modified_lines_of_code", "completions_lines_of_code", "ide_agent_lines_of_code", "remote_agent_lines_of_code", "cli_agent_lines_of_code"]) }}
{% endmacro %}

{#- Figures that a source may sum up itself. -#}
{% macro counts_with_totals() %}
{{ return(["completions_count", "completions_accepted", "chat_messages", "ide_agent_messages", "remote_agent_messages", "cli_agent_interactive_messages", "cli_agent_non_interactive_messages", "total_tool_calls", "total_modified_lines_of_code", "completions_lines_of_code", "ide_agent_lines_of_code", "remote_agent_lines_of_code", "total_messages", "completions_suggested_lines_of_code", "cli_agent_interactive_lines_of_code", "cli_agent_non_interactive_lines_of_code", "lines_deleted", "suggested_lines_of_code", "suggested_lines_to_delete", "generations", "acceptances"]) }}
{% endmacro %}

{#- Tokens and amounts. -#}
{% macro cost_metrics() %}
{{ return(["input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "base", "billed", "estimated", "credits"]) }}
{% endmacro %}

{#- Money and credits, which are exact. -#}
{% macro amounts() %}
{{ return(["base", "billed", "estimated", "credits"]) }}
{% endmacro %}

{#- The type of an amount. -#}
{% macro amount_type() %}
{{ return("numeric(38,18)") }}
{% endmacro %}

{#- Figures that a source does not know. -#}
{% macro unknown_counts() %}
{{ return({"dashboard": ["total_messages", "completions_suggested_lines_of_code", "cli_agent_interactive_lines_of_code", "cli_agent_non_interactive_lines_of_code", "lines_deleted", "suggested_lines_of_code", "suggested_lines_to_delete", "generations", "acceptances", "sessions", "commits", "pull_requests", "edits_accepted", "edits_rejected"], "analytics": ["instruction_lines_of_code", "lines_deleted", "suggested_lines_of_code", "suggested_lines_to_delete", "generations", "acceptances", "sessions", "commits", "pull_requests", "edits_accepted", "edits_rejected"], "claude_code": ["completions_count", "completions_accepted", "chat_messages", "ide_agent_messages", "remote_agent_messages", "cli_agent_interactive_messages", "cli_agent_non_interactive_messages", "total_tool_calls", "completions_lines_of_code", "instruction_lines_of_code", "ide_agent_lines_of_code", "remote_agent_lines_of_code", "total_messages", "completions_suggested_lines_of_code", "cli_agent_interactive_lines_of_code", "cli_agent_non_interactive_lines_of_code", "suggested_lines_of_code", "suggested_lines_to_delete", "generations", "acceptances"], "cursor": ["remote_agent_messages", "cli_agent_interactive_messages", "cli_agent_non_interactive_messages", "total_tool_calls", "completions_lines_of_code", "instruction_lines_of_code", "ide_agent_lines_of_code", "remote_agent_lines_of_code", "cli_agent_lines_of_code", "total_messages", "completions_suggested_lines_of_code", "cli_agent_interactive_lines_of_code", "cli_agent_non_interactive_lines_of_code", "suggested_lines_of_code", "suggested_lines_to_delete", "generations", "acceptances", "sessions", "commits", "pull_requests", "edits_accepted", "edits_rejected"], "copilot": ["remote_agent_messages", "cli_agent_interactive_messages", "cli_agent_non_interactive_messages", "total_tool_calls", "instruction_lines_of_code", "remote_agent_lines_of_code", "cli_agent_interactive_lines_of_code", "cli_agent_non_interactive_lines_of_code", "sessions", "commits", "pull_requests", "edits_accepted", "edits_rejected"]}) }}
{% endmacro %}

{#- Days after a day's end on which a source has its figures. -#}
{% macro lag_days() %}
{{ return({"copilot": 2}) }}
{% endmacro %}

{#- Names and types of the columns of a view. -#}
{% macro columns_of(view) %}
{{ return({"user_days": [["source", "text"],
    ["day", "date"],
    ["user_login", "text"],
    ["first_seen", "timestamp with time zone"],
    ["last_seen", "timestamp with time zone"],
    ["active_days", "bigint"],
    ["completions_count", "bigint"],
    ["completions_accepted", "bigint"],
    ["acceptance_rate", "double precision"],
    ["chat_messages", "bigint"],
    ["ide_agent_messages", "bigint"],
    ["remote_agent_messages", "bigint"],
    ["cli_agent_interactive_messages", "bigint"],
    ["cli_agent_non_interactive_messages", "bigint"],
    ["total_tool_calls", "bigint"],
    ["total_modified_lines_of_code", "bigint"],
    ["completions_lines_of_code", "bigint"],
    ["instruction_lines_of_code", "bigint"],
    ["ide_agent_lines_of_code", "bigint"],
    ["remote_agent_lines_of_code", "bigint"],
    ["cli_agent_lines_of_code", "bigint"],
    ["total_messages", "bigint"],
    ["completions_suggested_lines_of_code", "bigint"],
    ["cli_agent_interactive_lines_of_code", "bigint"],
    ["cli_agent_non_interactive_lines_of_code", "bigint"],
    ["lines_deleted", "bigint"],
    ["suggested_lines_of_code", "bigint"],
    ["suggested_lines_to_delete", "bigint"],
    ["generations", "bigint"],
    ["acceptances", "bigint"],
    ["sessions", "bigint"],
    ["commits", "bigint"],
    ["pull_requests", "bigint"],
    ["edits_accepted", "bigint"],
    ["edits_rejected", "bigint"],
    ["extra", "text"],
    ["service_account", "boolean"],
    ["person", "text"]],
    "daily_totals": [["source", "text"],
    ["day", "date"],
    ["status", "text"],
    ["fetched_at", "timestamp with time zone"],
    ["users", "bigint"],
    ["active_users", "bigint"],
    ["completions_count", "bigint"],
    ["completions_accepted", "bigint"],
    ["chat_messages", "bigint"],
    ["ide_agent_messages", "bigint"],
    ["remote_agent_messages", "bigint"],
    ["cli_agent_interactive_messages", "bigint"],
    ["cli_agent_non_interactive_messages", "bigint"],
    ["total_tool_calls", "bigint"],
    ["total_modified_lines_of_code", "bigint"],
    ["completions_lines_of_code", "bigint"],
    ["instruction_lines_of_code", "bigint"],
    ["ide_agent_lines_of_code", "bigint"],
    ["remote_agent_lines_of_code", "bigint"],
    ["cli_agent_lines_of_code", "bigint"],
    ["total_messages", "bigint"],
    ["completions_suggested_lines_of_code", "bigint"],
    ["cli_agent_interactive_lines_of_code", "bigint"],
    ["cli_agent_non_interactive_lines_of_code", "bigint"],
    ["lines_deleted", "bigint"],
    ["suggested_lines_of_code", "bigint"],
    ["suggested_lines_to_delete", "bigint"],
    ["generations", "bigint"],
    ["acceptances", "bigint"],
    ["sessions", "bigint"],
    ["commits", "bigint"],
    ["pull_requests", "bigint"],
    ["edits_accepted", "bigint"],
    ["edits_rejected", "bigint"],
    ["tenant_completions_count", "bigint"],
    ["tenant_completions_accepted", "bigint"],
    ["tenant_chat_messages", "bigint"],
    ["tenant_ide_agent_messages", "bigint"],
    ["tenant_remote_agent_messages", "bigint"],
    ["tenant_cli_agent_interactive_messages", "bigint"],
    ["tenant_cli_agent_non_interactive_messages", "bigint"],
    ["tenant_total_tool_calls", "bigint"],
    ["tenant_total_modified_lines_of_code", "bigint"],
    ["tenant_completions_lines_of_code", "bigint"],
    ["tenant_ide_agent_lines_of_code", "bigint"],
    ["tenant_remote_agent_lines_of_code", "bigint"],
    ["tenant_total_messages", "bigint"],
    ["tenant_completions_suggested_lines_of_code", "bigint"],
    ["tenant_cli_agent_interactive_lines_of_code", "bigint"],
    ["tenant_cli_agent_non_interactive_lines_of_code", "bigint"],
    ["tenant_lines_deleted", "bigint"],
    ["tenant_suggested_lines_of_code", "bigint"],
    ["tenant_suggested_lines_to_delete", "bigint"],
    ["tenant_generations", "bigint"],
    ["tenant_acceptances", "bigint"],
    ["tenant_user_count", "bigint"],
    ["unreconciled", "text"],
    ["forgotten", "bigint"],
    ["editor_language", "text"],
    ["credits", "text"],
    ["editor_language_at", "timestamp with time zone"],
    ["credits_at", "timestamp with time zone"],
    ["version", "bigint"],
    ["accepted_at", "timestamp with time zone"],
    ["digest", "text"],
    ["repeats", "bigint"],
    ["suspicious", "text"],
    ["held", "text"]],
    "editor_language_days": [["source", "text"],
    ["day", "date"],
    ["user_login", "text"],
    ["editor", "text"],
    ["language", "text"],
    ["completions_count", "bigint"],
    ["completions_accepted", "bigint"],
    ["chat_messages", "bigint"],
    ["ide_agent_messages", "bigint"],
    ["remote_agent_messages", "bigint"],
    ["cli_agent_interactive_messages", "bigint"],
    ["cli_agent_non_interactive_messages", "bigint"],
    ["total_tool_calls", "bigint"],
    ["total_modified_lines_of_code", "bigint"],
    ["completions_lines_of_code", "bigint"],
    ["ide_agent_lines_of_code", "bigint"],
    ["remote_agent_lines_of_code", "bigint"],
    ["total_messages", "bigint"],
    ["completions_suggested_lines_of_code", "bigint"],
    ["cli_agent_interactive_lines_of_code", "bigint"],
    ["cli_agent_non_interactive_lines_of_code", "bigint"],
    ["person", "text"]],
    "cost_days": [["source", "text"],
    ["day", "date"],
    ["user_login", "text"],
    ["resource_type", "text"],
    ["resource", "text"],
    ["account", "text"],
    ["currency", "text"],
    ["input_tokens", "bigint"],
    ["output_tokens", "bigint"],
    ["cache_read_tokens", "bigint"],
    ["cache_write_tokens", "bigint"],
    ["base", "numeric(38,18)"],
    ["billed", "numeric(38,18)"],
    ["estimated", "numeric(38,18)"],
    ["credits", "numeric(38,18)"],
    ["person", "text"]],
    "cost_totals": [["source", "text"],
    ["day", "date"],
    ["fetched_at", "timestamp with time zone"],
    ["currency", "text"],
    ["input_tokens", "bigint"],
    ["output_tokens", "bigint"],
    ["cache_read_tokens", "bigint"],
    ["cache_write_tokens", "bigint"],
    ["base", "numeric(38,18)"],
    ["billed", "numeric(38,18)"],
    ["estimated", "numeric(38,18)"],
    ["credits", "numeric(38,18)"],
    ["source_input_tokens", "bigint"],
    ["source_output_tokens", "bigint"],
    ["source_cache_read_tokens", "bigint"],
    ["source_cache_write_tokens", "bigint"],
    ["source_base", "numeric(38,18)"],
    ["source_billed", "numeric(38,18)"],
    ["source_estimated", "numeric(38,18)"],
    ["source_credits", "numeric(38,18)"],
    ["unreconciled", "text"],
    ["forgotten", "bigint"],
    ["accepted_at", "timestamp with time zone"],
    ["version", "bigint"]],
    "runs": [["number", "bigint"],
    ["source", "text"],
    ["command", "text"],
    ["started_at", "timestamp with time zone"],
    ["ended_at", "timestamp with time zone"],
    ["exit_code", "bigint"],
    ["days_fetched", "bigint"],
    ["days_revised", "bigint"],
    ["days_failed", "bigint"],
    ["requests", "bigint"],
    ["version", "text"]],
    "seats": [["source", "text"],
    ["user_login", "text"],
    ["plan", "text"],
    ["assigned_on", "date"],
    ["last_active", "timestamp with time zone"],
    ["ends_on", "date"],
    ["first_fetched_at", "timestamp with time zone"],
    ["fetched_at", "timestamp with time zone"],
    ["current", "boolean"],
    ["person", "text"]]}[view]) }}
{% endmacro %}
