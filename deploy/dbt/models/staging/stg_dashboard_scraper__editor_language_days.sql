select {{ dashboard_scraper.typed_columns('editor_language_days') }}
from {{ source('dashboard_scraper', 'editor_language_days') }}
