{#- What is stored is in the marts, once, and what is not stored has no figure there. -#}
select usage_by_day.source, usage_by_day.day
from {{ ref('usage_by_day') }} as usage_by_day
full join {{ ref('stg_dashboard_scraper__daily_totals') }} as totals
    on totals.source = usage_by_day.source and totals.day = usage_by_day.day
where usage_by_day.day is null
    or (totals.day is null and usage_by_day.active_users is not null)
    or (totals.day is not null and usage_by_day.active_users is null)
union all
select costs_by_day.source, costs_by_day.day
from {{ ref('costs_by_day') }} as costs_by_day
full join {{ ref('stg_dashboard_scraper__cost_totals') }} as totals
    on totals.source = costs_by_day.source and totals.day = costs_by_day.day
where costs_by_day.day is null
    or (totals.day is null and costs_by_day.currency is not null)
