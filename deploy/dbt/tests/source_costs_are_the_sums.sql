{#- Where the source sums the day's costs up itself and they differ from its rows, the day is marked. -#}
select *
from {{ ref('stg_dashboard_scraper__cost_totals') }}
where unreconciled is null
    and forgotten = 0
    and (
        {%- for name in dashboard_scraper.cost_metrics() %}
        {{ name }} <> source_{{ name }} {%- if not loop.last %} or{% endif %}
        {%- endfor %}
    )
