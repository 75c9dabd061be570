with people as (
    select source, day, person
    from {{ ref('stg_dashboard_scraper__user_days') }}
    group by source, day, person
    having max(case when is_active then 1 else 0 end) = 1
        and min(case when service_account then 1 else 0 end) = 0
),

of_day as (
    select source, day, count(*) as people
    from people
    group by source, day
),

of_28_days as (
    select calendar.source, calendar.day, count(distinct people.person) as people
    from {{ ref('usage_calendar') }} as calendar
    inner join people
        on people.source = calendar.source
        and people.day between calendar.day - 27 and calendar.day
    group by calendar.source, calendar.day
),

stored_days as (
    select
        source,
        day,
        state,
        is_stored,
        is_in_doubt,
        sum(case when is_stored then 1 else 0 end) over last_28 as days_stored_28,
        sum(case when is_in_doubt then 1 else 0 end) over last_28 as days_in_doubt_28
    from {{ ref('usage_calendar') }}
    window last_28 as (partition by source order by day range between interval '27 days' preceding and current row)
)

select
    stored_days.source,
    stored_days.day,
    stored_days.state,
    stored_days.is_in_doubt,
    case when stored_days.is_stored then coalesce(of_day.people, 0) end as active_people,
    case
        when stored_days.days_stored_28 = 28 then coalesce(of_28_days.people, 0)
    end as active_people_28,
    cast(stored_days.days_stored_28 as bigint) as days_stored_28,
    cast(stored_days.days_in_doubt_28 as bigint) as days_in_doubt_28
from stored_days
left join of_day
    on of_day.source = stored_days.source and of_day.day = stored_days.day
left join of_28_days
    on of_28_days.source = stored_days.source and of_28_days.day = stored_days.day
