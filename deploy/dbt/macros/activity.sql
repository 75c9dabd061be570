{#- Whether a user was, or may have been, active: as the program itself defines it. A user of whom a
    required figure is unknown counts as active, unless the source says that there was no active day. -#}
{% macro is_active() -%}
(
    coalesce(
        {%- for name in dashboard_scraper.counts() %}
        {{ name }} > 0 {%- if not loop.last %} or{% endif %}
        {%- endfor %},
        false
    )
    or (
        coalesce(active_days, 1) <> 0
        and (
            {%- for name in dashboard_scraper.required() %}
            {{ name }} is null {%- if not loop.last %} or{% endif %}
            {%- endfor %}
        )
    )
)
{%- endmacro %}
