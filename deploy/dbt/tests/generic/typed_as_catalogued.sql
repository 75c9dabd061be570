{#- Each column of a view has its type; above all, money is decimal, and never a binary float. -#}
{% test typed_as_catalogued(model, view) %}
{{ dashboard_scraper.columns_of_another_type(model, dashboard_scraper.columns_of(view)) }}
{% endtest %}

{#- The amounts among a model's columns are decimal. -#}
{% test amounts_are_decimal(model) %}
{%- set amounts = [] %}
{%- for name in dashboard_scraper.amounts() %}{% do amounts.append([name, dashboard_scraper.amount_type()]) %}{% endfor %}
{{ dashboard_scraper.columns_of_another_type(model, amounts) }}
{% endtest %}
