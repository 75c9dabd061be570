{#- The rows of a day with costs add up to its totals, exactly. Neither has those of removed users. -#}
with sums as (
    select
        source,
        day,
        count(distinct currency) as currencies,
        max(currency) as currency
        {%- for name in dashboard_scraper.cost_metrics() %},
        case when count({{ name }}) = count(*) then sum({{ name }}) end as {{ name }}
        {%- endfor %}
    from {{ ref('stg_dashboard_scraper__cost_days') }}
    group by source, day
)

select
    coalesce(totals.source, sums.source) as source,
    coalesce(totals.day, sums.day) as day
from {{ ref('stg_dashboard_scraper__cost_totals') }} as totals
full join sums on sums.source = totals.source and sums.day = totals.day
where totals.day is null
    or sums.currencies > 1
    or sums.currency <> totals.currency
    {%- for name in dashboard_scraper.cost_metrics() %}
    or (sums.day is not null and sums.{{ name }} is distinct from totals.{{ name }})
    or (sums.day is null and totals.{{ name }} <> 0)
    {%- endfor %}
