{#- Every day of every source, whether it is stored or not: from the source's first day to the newest
    day of any source that is still fetched. -#}
with recursive stored as (
    select source, day, status, is_in_doubt
    from {{ ref('stg_dashboard_scraper__daily_totals') }}
),

newest_of_all as (
    select max(day) as newest from stored
),

ranges as (
    select
        stored.source,
        min(stored.day) as first_day,
        max(stored.day) as newest_day,
        case when {{ dashboard_scraper.is_fetched('stored.source') }} then max(newest_of_all.newest) else max(stored.day) end as last_day
    from stored
    cross join newest_of_all
    group by stored.source
),

calendar as (
    select source, first_day as day, newest_day, last_day from ranges
    union all
    select source, day + 1, newest_day, last_day from calendar where day < last_day
)

select
    calendar.source,
    calendar.day,
    case
        when stored.status is not null then stored.status
        when calendar.day > calendar.newest_day then 'awaited'
        else 'missing'
    end as state,
    stored.day is not null as is_stored,
    stored.is_in_doubt
from calendar
left join stored on stored.source = calendar.source and stored.day = calendar.day
