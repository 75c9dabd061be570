with typed as (
    select {{ dashboard_scraper.typed_columns('cost_totals') }}
    from {{ source('dashboard_scraper', 'cost_totals') }}
)

select
    *,
    unreconciled is not null as is_unreconciled
from typed
