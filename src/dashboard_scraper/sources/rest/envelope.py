"""Checks what an answer claims about itself beside its records; false claims are refused.

An unknown field may mean that the answer is not what it seems, so it is refused as well, unless it
is null or empty. The known names are in `claims`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec

from dashboard_scraper.decoding import decoding
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.dates import Window
from dashboard_scraper.sources.rest.claimed_days import (
    generated_too_early,
    is_date,
    other_days,
    refuse_other_days,
)
from dashboard_scraper.sources.rest.claims import (
    Claim,
    claim_of,
    claims_in,
    contradicted,
)
from dashboard_scraper.sources.rest.shown import shown_name

LONGEST_FIELD = 1 << 16
"""The most bytes in a field of an envelope; the list of records has no such limit."""
_Raws = Mapping[str, msgspec.Raw]

# The only claims in an object that is itself a record, such as the tenant's figures: there,
# `total_users` or `count` is a figure.
_CLAIMS_IN_FIGURES = (
    Claim.PARTIAL,
    Claim.COMPLETE,
    Claim.ERROR,
    Claim.TIME_ZONE,
    Claim.GENERATED,
)
_ABOUT_DAYS = (Claim.START, Claim.END, Claim.DAY, Claim.DAYS, Claim.WINDOW)
_NUMBERS = (Claim.TOTAL, Claim.COUNT, Claim.PAGE, Claim.PAGES, Claim.OFFSET)
_SUCCESS = ("ok", "success", "succeeded", "complete", "completed", "done", "200")
_UTC = ("utc", "etc/utc", "z", "zulu", "gmt", "etc/gmt", "0", "+00:00", "-00:00", "+0000", "00:00")
_FALSE = (False, 0, "false")


class Envelope:
    """What one answer's pages claim; `asked` are the requested days, `now` the time of asking."""

    def __init__(self, endpoint: str, asked: Window, now: datetime) -> None:
        self.endpoint = endpoint
        self._asked = asked
        self._now = now
        self._pages = 0
        self._records: list[int] = []
        self._totals: list[tuple[Claim, str, int]] = []
        self._counts: dict[str, list[tuple[int, int]]] = {}

    def read(self, fields: _Raws, understood: Collection[str] = ()) -> None:
        """Check the next page's fields other than its records. Those `understood` elsewhere, such
        as `pagination` or `pagination.has_more`, are skipped.
        """
        self._pages += 1
        for name, raw in fields.items():
            self._check_field(name, name, self._decoded(name, raw), understood)

    def read_figures(self, fields: _Raws) -> None:
        """Check an object that is itself the record: there, an unknown field is a figure."""
        known = {name: raw for name, raw in fields.items() if claim_of(name) is not None}
        self._check_figures(
            self.endpoint, "", {name: self._decoded(name, raw) for name, raw in known.items()}
        )

    def _check_figures(self, where: str, prefix: str, figures: Mapping[str, Any]) -> None:
        refuse_other_days(where, figures, self._asked)
        for name, value, claim in claims_in(figures):
            path = f"{prefix}{name}"
            if claim in _CLAIMS_IN_FIGURES:
                self._check_field(path, name, value, ())
            elif claim is Claim.NESTED and isinstance(value, dict):
                self._check_figures(f"{where}: {shown_name(path)}", f"{path}.", value)

    def count(self, records: int) -> None:
        """Add the number of records on the page that was read last."""
        self._records.append(records)

    def check(self, distinct: int) -> None:
        """Compare the claimed numbers with those of all pages; call it after the last one.

        A record that came on two pages because a user joined meanwhile may count once or twice.
        """
        came = (sum(self._records), distinct)
        for claim, path, number in self._totals:
            if claim is Claim.TOTAL and number not in came:
                raise self._contradicted(path, number, f"{came[0]} records came")
            if claim is Claim.PAGES and number != self._pages:
                raise self._contradicted(path, number, f"{self._pages} pages came")
        for path, counts in self._counts.items():
            claimed = [number for _, number in counts]
            here = [self._records[page - 1] for page, _ in counts]
            # A `count` is on every page the page's own, or on every page the whole answer's.
            if claimed not in (here, *([each] * len(claimed) for each in came)):
                wrong = next(n for n, right in zip(claimed, here, strict=True) if n != right)
                raise self._contradicted(path, wrong, f"{came[0]} records came")

    def _decoded(self, path: str, raw: msgspec.Raw) -> Any:
        if len(bytes(raw)) > LONGEST_FIELD:
            raise ContractBroken(
                f"{self.endpoint}: {shown_name(path)} is longer than {LONGEST_FIELD >> 10} KiB"
            )
        with decoding(f"{self.endpoint}: {shown_name(path)}"):
            return msgspec.json.decode(raw)

    def _contradicted(self, path: str, value: object, why: str) -> ContractBroken:
        return contradicted(self.endpoint, path, value, why)

    def _check_field(self, path: str, name: str, value: Any, understood: Collection[str]) -> None:
        claim = claim_of(name)
        if path in understood:
            return
        if claim is Claim.RECORDS:
            raise ContractBroken(f"{self.endpoint}: {shown_name(path)} is a second list of records")
        if value in (None, "", [], {}):
            return
        if isinstance(value, dict) and claim in (Claim.NESTED, Claim.WINDOW) and not is_date(value):
            for inner, each in value.items():
                self._check_field(f"{path}.{inner}", inner, each, understood)
            return
        if claim is Claim.MORE and value not in _FALSE:
            raise ContractBroken(
                f"{self.endpoint}: {shown_name(path)} may lead to more pages, in an unknown way"
            )
        if claim in (None, Claim.NESTED):
            raise ContractBroken(
                f"{self.endpoint}: {shown_name(path)} is an unknown field, and may say that the"
                " answer is not what it seems"
            )
        if why := self._contradiction(claim, path, value):
            raise self._contradicted(path, value, why)

    def _contradiction(self, claim: Claim | None, path: str, value: Any) -> str | None:
        if claim is Claim.PARTIAL:
            return None if value in _FALSE else "a partial answer is not accepted"
        if claim is Claim.COMPLETE:
            return None if value is True else "only a complete answer is accepted"
        if claim is Claim.STATUS:
            return None if str(value).casefold() in _SUCCESS else "only a success is accepted"
        if claim is Claim.ERROR:
            return None if value in _FALSE else "an answer with an error is not accepted"
        if claim is Claim.TIME_ZONE:
            return None if str(value).casefold() in _UTC else "days are UTC days"
        if claim in _ABOUT_DAYS:
            return other_days(claim, value, self._asked)
        if claim is Claim.GENERATED:
            return generated_too_early(value, self._asked, self._now)
        return self._other_number(claim, path, value) if claim in _NUMBERS else None

    def _other_number(self, claim: Claim, path: str, value: Any) -> str | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return "it must be a number"
        if claim is Claim.PAGE and value not in (self._pages - 1, self._pages):
            return f"this is page {self._pages}"
        if claim is Claim.OFFSET and value != sum(self._records):
            return f"{sum(self._records)} records came before"
        if claim is Claim.COUNT:
            self._counts.setdefault(path, []).append((self._pages, value))
        else:
            self._totals.append((claim, path, value))
        return None
