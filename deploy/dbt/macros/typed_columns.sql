{#- The columns of one of the store's views, each as its type in the catalogue. -#}
{% macro typed_columns(view) -%}
{%- for name, type in dashboard_scraper.columns_of(view) %}
    cast({{ name }} as {{ type }}) as {{ name }}
    {%- if not loop.last %},{% endif %}
{%- endfor %}
{%- endmacro %}
