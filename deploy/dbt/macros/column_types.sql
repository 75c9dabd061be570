{#- A row for each of the columns that the relation has not, or as another type than `wanted`, a list
    of names and types. -#}
{% macro columns_of_another_type(relation, wanted) %}
{%- set found = {} %}
{%- if execute %}
    {%- for column in adapter.get_columns_in_relation(relation) %}
        {%- do found.update({column.name: column.dtype | lower}) %}
    {%- endfor %}
{%- endif %}
{%- set wrong = [] %}
{%- for name, type in wanted %}
    {%- set accepted = dashboard_scraper.names_of_type(type) %}
    {%- if execute and found.get(name) not in accepted %}
        {%- do wrong.append([name, found.get(name, 'missing'), type]) %}
    {%- endif %}
{%- endfor %}
{%- for name, there, type in wrong %}
select '{{ name }}' as name, '{{ there }}' as found, '{{ type }}' as wanted
{% if not loop.last %}union all{% endif %}
{%- else %}
select 1 as nothing_wrong where 1 = 0
{%- endfor %}
{% endmacro %}

{#- What databases call a type of the catalogue. -#}
{% macro names_of_type(type) %}
{%- set others = {
    'text': ['text', 'varchar', 'character varying'],
    'double precision': ['double precision', 'double'],
    'numeric(38,18)': ['numeric', 'numeric(38,18)', 'decimal(38,18)'],
} %}
{{ return(others.get(type, [type])) }}
{% endmacro %}
