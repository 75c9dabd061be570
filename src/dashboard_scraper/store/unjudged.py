"""Days whose figures no run has compared with other days yet: they are marked as suspicious.

A run judges them when all are fetched. If it is killed before that, or its session ends, the next
run of their window judges them. Only the mark tells it to: settled days are not fetched again.
"""

from __future__ import annotations

import msgspec

from dashboard_scraper.store.rows import LedgerDay

NOT_JUDGED = "the run ended before it could be compared with the other days"


def is_unjudged(row: LedgerDay) -> bool:
    """Whether no run has judged the day's figures."""
    return row.suspicious == NOT_JUDGED


def unmarked(row: LedgerDay) -> LedgerDay:
    """The day without the mark that it is not judged yet."""
    return msgspec.structs.replace(row, suspicious=None) if is_unjudged(row) else row
