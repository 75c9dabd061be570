{#- No count is below 0. NULL is unknown, and right where the source does not know the figure. -#}
{% test counts_are_not_negative(model, columns=[], and_counts=true) %}
{%- set names = columns + (dashboard_scraper.counts() if and_counts else []) %}
select *
from {{ model }}
where {% for name in names %}{{ name }} < 0{% if not loop.last %} or {% endif %}{% endfor %}
{% endtest %}
