{#- Days that the program itself has marked: a remark, since the figures say so beside them. -#}
{{ config(severity='warn') }}

select source, day, unreconciled, suspicious, held
from {{ ref('stg_dashboard_scraper__daily_totals') }}
where is_in_doubt
