{#- The users' rows of a day are as many as its totals say, as many of them active, and add up to them. A
    sum is unknown where a summand is, and on a day without users what the source never knows. Where users
    were removed, what is left may be known. -#}
with sums as (
    select
        source,
        day,
        count(*) as users,
        sum(case when is_active then 1 else 0 end) as active_users
        {%- for name in dashboard_scraper.counts() %},
        case when count({{ name }}) = count(*) then sum({{ name }}) end as {{ name }}
        {%- endfor %}
    from {{ ref('stg_dashboard_scraper__user_days') }}
    group by source, day
),

totals as (
    select * from {{ ref('stg_dashboard_scraper__daily_totals') }}
)

select
    coalesce(totals.source, sums.source) as source,
    coalesce(totals.day, sums.day) as day,
    totals.users as users_in_totals,
    sums.users as users_with_rows
from totals
full join sums on sums.source = totals.source and sums.day = totals.day
where totals.day is null
    or totals.users <> coalesce(sums.users, 0)
    or totals.active_users <> coalesce(sums.active_users, 0)
    {%- for name in dashboard_scraper.counts() %}
    or (sums.day is null and totals.{{ name }} <> 0)
    or (
        sums.day is not null
        and sums.{{ name }} is distinct from totals.{{ name }}
        and not (totals.forgotten > 0 and totals.{{ name }} is null)
    )
    {%- endfor %}
