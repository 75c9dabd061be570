{#- Long ago, of a source without any such day or run: `min` would leave out what is NULL. -#}
{% macro never() -%}
cast('1970-01-01 00:00:00+00' as timestamp with time zone)
{%- endmacro %}

{#- When the newest day of the source that is behind most ended, as `status --max-age` counts: a
    source that is late by its own rules has that much longer, and a day that had not ended when it
    was fetched does not count. One source that stopped must not hide behind the others. -#}
{% macro newest_day_of_each(relation) %}
select min(coalesce(newest, {{ dashboard_scraper.never() }})) from (
    select
        source,
        max(case
            when cast(fetched_at as timestamp with time zone) >= {{ dashboard_scraper.midnight('cast(day as date) + 1') }}
            then {{ dashboard_scraper.midnight('cast(day as date) + 1 + ' ~ dashboard_scraper.lag_of('source')) }}
        end) as newest
    from {{ relation }}
    where {{ dashboard_scraper.is_fetched('source') }}
    group by source
) as sources
{% endmacro %}

{#- When the newest run without an error ended, of the source where that is longest ago. -#}
{% macro newest_run_of_each(relation) %}
select min(coalesce(newest, {{ dashboard_scraper.never() }})) from (
    select
        source,
        max(case when exit_code = 0 then cast(ended_at as timestamp with time zone) end) as newest
    from {{ relation }}
    where {{ dashboard_scraper.is_fetched('source') }}
    group by source
) as sources
{% endmacro %}
