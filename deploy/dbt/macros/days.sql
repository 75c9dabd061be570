{#- Midnight in UTC at the beginning of a day, whatever the session's time zone. -#}
{% macro midnight(day) -%}
cast(cast({{ day }} as varchar) || ' 00:00:00+00' as timestamp with time zone)
{%- endmacro %}

{#- The days after its end on which the figures of a source's day are expected. -#}
{% macro lag_of(source) -%}
{%- set lags = dashboard_scraper.lag_days() -%}
{%- do lags.update(var('lag_days')) -%}
case {{ source }}
    {%- for name, days in lags.items() %} when '{{ name }}' then {{ days | int }}{% endfor %} else 0 end
{%- endmacro %}

{#- A condition that leaves out the sources that nobody fetches any more. -#}
{% macro is_fetched(source) -%}
{%- if var('ended_sources') -%}
{{ source }} not in ({% for name in var('ended_sources') %}'{{ name }}'{% if not loop.last %}, {% endif %}{% endfor %})
{%- else -%}
1 = 1
{%- endif -%}
{%- endmacro %}
