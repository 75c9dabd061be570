select
    calendar.source,
    calendar.day,
    calendar.state,
    calendar.is_stored,
    totals.is_unreconciled,
    totals.is_suspicious,
    totals.is_held,
    totals.is_in_doubt,
    totals.users,
    totals.active_users,
    {%- for name in dashboard_scraper.counts() %}
    totals.{{ name }},
    {%- endfor %}
    totals.fetched_at
from {{ ref('usage_calendar') }} as calendar
left join {{ ref('stg_dashboard_scraper__daily_totals') }} as totals
    on totals.source = calendar.source and totals.day = calendar.day
