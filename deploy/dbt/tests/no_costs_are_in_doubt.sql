{#- Days whose costs do not add up to the source's own figures, and days without costs in between. -#}
{{ config(severity='warn') }}

select source, day, is_stored
from {{ ref('costs_by_day') }} as costs_by_day
where is_unreconciled or (
    not is_stored
    and day < (
        select max(newest.day)
        from {{ ref('stg_dashboard_scraper__cost_totals') }} as newest
        where newest.source = costs_by_day.source
    )
)
