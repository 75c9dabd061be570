{#- Between a source's first and newest day, every day is stored. -#}
{{ config(severity=var('missing_days')) }}

select source, day
from {{ ref('usage_calendar') }}
where state = 'missing'
