{#- None of these columns is NULL in any row. -#}
{% test never_null(model, columns) %}
select {{ columns | join(', ') }}
from {{ model }}
where {% for name in columns %}{{ name }} is null{% if not loop.last %} or {% endif %}{% endfor %}
{% endtest %}
