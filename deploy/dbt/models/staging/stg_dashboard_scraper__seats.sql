{{ config(enabled=var('store') != 'lake') }}

select {{ dashboard_scraper.typed_columns('seats') }}
from {{ source('dashboard_scraper', 'seats') }}
