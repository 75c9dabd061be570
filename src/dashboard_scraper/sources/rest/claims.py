"""What a field beside the records claims about an answer, recognized by its name.

One table serves all sources and every level of an envelope. Case, underscores and hyphens are
ignored. Sources add such fields without notice, so the table has more names than sources use now.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.sources.rest.shown import shown_name, shown_value


class Claim(Enum):
    """What a field claims; the text says when that contradicts the records or the request."""

    PARTIAL = "the answer is partial: unless false"
    COMPLETE = "the answer is complete: unless true"
    STATUS = "how the request went: unless it is a word for success"
    ERROR = "what went wrong: unless empty"
    MORE = "where more records are: unless empty, or the way of paging that the source documents"
    TOTAL = "the number of all records: unless that many came on all pages"
    COUNT = "the number of records on this page: unless this page, or all pages, had that many"
    PAGE = "the number of this page: unless it is this one, counted from 0 or 1"
    PAGES = "the number of pages: unless that many came"
    OFFSET = "the number of records on earlier pages: unless that many came"
    START = "the first day: unless it was requested"
    END = "the last day: unless it was requested"
    DAY = "the only day: unless that day alone was requested"
    DAYS = "the number of days: unless that many were requested"
    WINDOW = "the days, as an object or a text: unless they were requested"
    TIME_ZONE = "whose midnight ends a day: unless UTC's"
    GENERATED = "when it was generated: if that was before the end of the requested days"
    RECORDS = "a second list of records: always"
    NESTED = "nothing itself: it is an envelope within the envelope"
    IRRELEVANT = "nothing about the records: never"


_NAMES: dict[Claim, str] = {
    Claim.PARTIAL: "partial is_partial partial_data partial_result partial_results truncated"
    " is_truncated incomplete is_incomplete sampled is_sampled",
    Claim.COMPLETE: "complete is_complete ok success succeeded",
    Claim.STATUS: "status",
    Claim.ERROR: "error errors error_message error_code warning warnings failure failures"
    " exception exceptions",
    Claim.TOTAL: "total total_count total_records total_results total_items total_users"
    " total_elements",
    Claim.COUNT: "count record_count result_count item_count returned_count",
    Claim.PAGE: "page page_number page_index current_page",
    Claim.PAGES: "pages page_count total_pages",
    Claim.OFFSET: "offset",
    Claim.START: "start start_date start_day start_time from effective_start_date"
    " effective_start period_start window_start range_start",
    Claim.END: "end end_date end_day end_time to effective_end_date effective_end period_end"
    " window_end range_end",
    Claim.DAY: "date day report_date report_day effective_date effective_day usage_date"
    " activity_date",
    Claim.DAYS: "days total_days day_count",
    Claim.WINDOW: "window period range date_range time_range interval",
    Claim.TIME_ZONE: "timezone tz utc_offset timezone_offset tz_offset",
    Claim.GENERATED: "generated_at generated created_at made_at computed_at timestamp updated_at"
    " last_updated last_updated_at as_of",
    Claim.RECORDS: "items data results records users user_feature_stats",
    Claim.NESTED: "metadata meta pagination paging page_info links",
    # Which request this was, who answered in which version, the maximum page size, and the URL of
    # this answer itself: no figure depends on these.
    Claim.IRRELEVANT: "request_id trace_id correlation_id version api_version schema_version"
    " page_size per_page self",
}


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


_CLAIMS = {_plain(name): claim for claim, names in _NAMES.items() for name in names.split()}
# Anything with such a name may lead to more pages: if it were ignored, the first page could pass
# for all of them.
_MORE = re.compile(r"next|cursor|has_?more|page_?token|continuation", re.IGNORECASE)


@functools.lru_cache(maxsize=1000)
def claim_of(name: str) -> Claim | None:
    """What a field with this name claims; None for an unknown name."""
    return Claim.MORE if _MORE.search(name) else _CLAIMS.get(_plain(name))


def claims_in(record: Mapping[str, object]) -> Iterator[tuple[str, Any, Claim]]:
    """Each field with a known name, its claim and its value."""
    for name, value in record.items():
        claim = claim_of(name)
        if claim is not None:
            yield name, value, claim


def contradicted(where: str, path: str, value: object, why: str) -> ContractBroken:
    """The error for a field whose claim is not true."""
    return ContractBroken(f"{where}: {shown_name(path)} is {shown_value(value)}, but {why}")
