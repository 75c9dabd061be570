{#- People are what all sources have in common, so they alone are counted across sources. -#}
with calendar as (
    select
        day,
        count(*) as sources,
        sum(case when is_stored then 1 else 0 end) as sources_stored,
        sum(case when is_in_doubt then 1 else 0 end) as sources_in_doubt
    from {{ ref('usage_calendar') }}
    group by day
),

accounts as (
    select source, day, person
    from {{ ref('stg_dashboard_scraper__user_days') }}
    group by source, day, person
    having max(case when is_active then 1 else 0 end) = 1
        and min(case when service_account then 1 else 0 end) = 0
),

people as (
    select distinct day, person from accounts
),

of_day as (
    select day, count(*) as people from people group by day
),

of_28_days as (
    select calendar.day, count(distinct people.person) as people
    from calendar
    inner join people on people.day between calendar.day - 27 and calendar.day
    group by calendar.day
),

complete as (
    select
        calendar.*,
        sum(case when sources = sources_stored then 1 else 0 end) over last_28 as days_complete_28
    from calendar
    window last_28 as (order by day range between interval '27 days' preceding and current row)
)

select
    complete.day,
    cast(complete.sources as bigint) as sources,
    cast(complete.sources_stored as bigint) as sources_stored,
    cast(complete.sources_in_doubt as bigint) as sources_in_doubt,
    case when complete.sources = complete.sources_stored then coalesce(of_day.people, 0) end as active_people,
    case when complete.days_complete_28 = 28 then coalesce(of_28_days.people, 0) end as active_people_28,
    cast(complete.days_complete_28 as bigint) as days_complete_28
from complete
left join of_day on of_day.day = complete.day
left join of_28_days on of_28_days.day = complete.day
