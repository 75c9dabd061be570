{#- A figure that the source does not know is NULL for everybody, and never 0. -#}
{%- for source, names in dashboard_scraper.unknown_counts().items() %}
select source, day, user_login
from {{ ref('stg_dashboard_scraper__user_days') }}
where source = '{{ source }}'
    and coalesce({{ names | join(', ') }}) is not null
{% if not loop.last %}union all{% endif %}
{%- endfor %}
