{{ config(enabled=var('store') != 'lake') }}

select {{ dashboard_scraper.typed_columns('runs') }}
from {{ source('dashboard_scraper', 'runs') }}
