with recursive stored as (
    select * from {{ ref('stg_dashboard_scraper__cost_totals') }}
),

newest_of_all as (
    select max(day) as newest from stored
),

ranges as (
    select
        stored.source,
        min(stored.day) as first_day,
        case when {{ dashboard_scraper.is_fetched('stored.source') }} then max(newest_of_all.newest) else max(stored.day) end as last_day
    from stored
    cross join newest_of_all
    group by stored.source
),

calendar as (
    select source, first_day as day, last_day from ranges
    union all
    select source, day + 1, last_day from calendar where day < last_day
)

select
    calendar.source,
    calendar.day,
    stored.day is not null as is_stored,
    stored.is_unreconciled,
    stored.currency,
    {%- for name in dashboard_scraper.cost_metrics() %}
    stored.{{ name }},
    {%- endfor %}
    stored.fetched_at
from calendar
left join stored on stored.source = calendar.source and stored.day = calendar.day
