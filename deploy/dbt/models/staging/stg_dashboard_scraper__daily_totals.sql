with typed as (
    select {{ dashboard_scraper.typed_columns('daily_totals') }}
    from {{ source('dashboard_scraper', 'daily_totals') }}
)

select
    *,
    unreconciled is not null as is_unreconciled,
    suspicious is not null as is_suspicious,
    held is not null as is_held,
    coalesce(unreconciled, suspicious, held) is not null as is_in_doubt
from typed
