with typed as (
    select {{ dashboard_scraper.typed_columns('user_days') }}
    from {{ source('dashboard_scraper', 'user_days') }}
)

select
    *,
    {{ dashboard_scraper.is_active() }} as is_active
from typed
