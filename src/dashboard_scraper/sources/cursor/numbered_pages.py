"""Answers in pages numbered from 1: what each page claims must be true of all of them."""

from __future__ import annotations

import hashlib

import msgspec

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.sources.rest.pagination import MAX_PAGES


class Claims(msgspec.Struct, frozen=True):
    """What one page claims. Not every endpoint sends its number and size, or its neighbours."""

    pages: int
    total: int
    number: int | None = None
    size: int | None = None
    has_next: bool | None = None
    has_previous: bool | None = None


class NumberedPages:
    """Checks the pages of one answer, in order; errors call the total `total_field`.

    A server may send smaller pages than requested; then all of them have that size.
    """

    def __init__(self, endpoint: str, asked_size: int, total_field: str) -> None:
        self._endpoint = endpoint
        self._asked_size = asked_size
        self._total_field = total_field
        self._first: Claims | None = None
        self._contents: set[bytes] = set()
        self.number = 1
        """The number of the page to request."""

    @property
    def total(self) -> int | None:
        """The number of records on all pages, as these claim; None before the first page."""
        return self._first.total if self._first else None

    def add(self, claims: Claims, records: msgspec.Raw) -> bool:
        """Check the page that was requested, with its list of records as JSON; returns whether
        another one follows.
        """
        first = self._first = self._first or claims
        if (claims.pages, claims.total) != (first.pages, first.total):
            raise self._error(
                f"page {self.number} says {claims.pages} pages and {self._total_field}"
                f" {claims.total}, the first one {first.pages} and {first.total}: the data changed"
                " while it was read"
            )
        self._check_size(claims, first)
        if claims.number not in (None, self.number):
            raise self._error(f"page {self.number} was requested, and page {claims.number} came")
        follows = self.number < first.pages
        if claims.has_next not in (None, follows) or claims.has_previous not in (
            None,
            self.number > 1,
        ):
            raise self._error(
                f"page {self.number} of {first.pages} says hasNextPage {claims.has_next} and"
                f" hasPreviousPage {claims.has_previous}"
            )
        self._refuse_repeated(bytes(records))
        self.number += 1
        if self.number > MAX_PAGES:
            raise self._error(f"more than {MAX_PAGES:,} pages")
        return follows

    def check(self, came: int) -> None:
        """ContractBroken unless as many came on all pages as these claim; call it at the end."""
        if came != self.total:
            raise self._error(
                f"{self._total_field} is {self.total}, but {came} came on {self.number - 1} pages"
            )

    def _check_size(self, claims: Claims, first: Claims) -> None:
        size = claims.size
        if size is None:
            return
        if not 1 <= size <= self._asked_size or size != first.size:
            raise self._error(f"pageSize is {size}, and {self._asked_size} was requested")
        if max(1, claims.pages) != max(1, -(-claims.total // size)):
            raise self._error(
                f"{claims.pages} pages of {size} do not have {self._total_field} {claims.total}"
            )

    def _refuse_repeated(self, records: bytes) -> None:
        content = hashlib.blake2b(records, digest_size=16).digest()
        if content in self._contents and records != b"[]":
            raise self._error(f"page {self.number} is one that came before")
        self._contents.add(content)

    def _error(self, what: str) -> ContractBroken:
        return ContractBroken(f"{self._endpoint}: {what}")
