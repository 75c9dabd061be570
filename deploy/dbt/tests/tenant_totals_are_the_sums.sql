{#- Where the source itself sums the tenant up and its figure is not that of the users, the day must be
    marked as unreconciled. Its own figures have everybody: they say nothing of a day from which
    somebody was removed, nor of a lake without service accounts. -#}
{{ config(enabled=var('service_accounts')) }}

select *
from {{ ref('stg_dashboard_scraper__daily_totals') }}
where unreconciled is null
    and forgotten = 0
    and (
        {%- for name in dashboard_scraper.counts_with_totals() %}
        {{ name }} <> tenant_{{ name }} {%- if not loop.last %} or{% endif %}
        {%- endfor %}
    )
