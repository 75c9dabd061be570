select {{ dashboard_scraper.typed_columns('cost_days') }}
from {{ source('dashboard_scraper', 'cost_days') }}
