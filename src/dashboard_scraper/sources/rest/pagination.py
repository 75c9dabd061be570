"""Reading an answer that may come in pages: a small state machine, strict about every step.

Known shapes: a bare array; an object with the records under the endpoint's own key, `items`, `data`
or `results`, and beside the records a `next` URL (absolute or relative) or `pagination` with
`next_cursor` and `has_more`. Everything else is an error: a renamed key must not look like an empty
day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from requests.utils import parse_header_links

from dashboard_scraper.decoding import UNDECODABLE, decodable, decoding, with_spelled_numbers
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.listing import listed
from dashboard_scraper.sources.rest.repeated_keys import refuse_repeated_keys
from dashboard_scraper.sources.rest.urls import absolute, origin_of, redact, with_params

GENERAL_LIST_KEYS = ("items", "data", "results")
MAX_PAGES = 10_000
MAX_RECORDS = 500_000
"""The most distinct records in one answer, over all its pages; as users, they need 500 MB."""
_HEAD = 1 << 10  # bytes in which a JSON text must begin, after any white space
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


# `parse_page` reads these itself; the envelope skips them.
UNDERSTOOD = ("next", "pagination.has_more", "pagination.next_cursor")
# Bytes of an answer above which its fields are counted before decoding: a text of only short keys
# would become a dictionary of a gigabyte.
_LONG = 1 << 24
_MOST_FIELDS = 10_000
_PIECE = 1 << 20


class Page(msgspec.Struct, frozen=True):
    """The records of one page, as the JSON text of an array, and the key under which they were.

    `fields` are the other fields of the answer; `text` is its whole text. `commas` is the number of
    commas in the records; it is higher if a key of the answer itself is repeated.
    """

    records: msgspec.Raw
    key: str | None
    next_url: str | None
    next_cursor: str | None
    fields: Mapping[str, msgspec.Raw] = {}
    text: bytes | bytearray = b""
    commas: int = 0

    def refuse_repeated_keys(self, endpoint: str, keys: int) -> None:
        """Raise ContractBroken if a key is repeated; `keys` is the number of keys in the decoded
        records, less one for each object within a record.
        """
        if self.commas != max(0, keys - 1):
            refuse_repeated_keys(endpoint, self.text)


def parse_page(endpoint: str, own_key: str, body: bytes | bytearray) -> Page:
    """Split an answer into records and other fields; ContractBroken for any unknown shape."""
    if body[:_HEAD].lstrip()[:1] == b"[":
        if b"NaN" in body:
            body = with_spelled_numbers(bytes(body))
        records = _array(endpoint, own_key, msgspec.Raw(body))
        return Page(records, None, None, None, {}, body, body.count(b","))
    if len(body) > _LONG:
        _refuse_many_fields(endpoint, (own_key, *GENERAL_LIST_KEYS), body)
    fields = parse_object(endpoint, body)
    keys = [key for key in (own_key, *GENERAL_LIST_KEYS) if key in fields]
    if own_key in keys:
        keys = [own_key]
    if len(keys) != 1:
        raise ContractBroken(
            f"{endpoint}: found {'no' if not keys else 'more than one'} list of records under"
            f" {own_key}, {', '.join(GENERAL_LIST_KEYS)}; {keys_text(fields)}"
        )
    records = _array(endpoint, keys[0], fields.pop(keys[0]))
    commas = commas_beside(endpoint, body, fields)
    next_url = _next_url(endpoint, fields)
    next_cursor = _next_cursor(endpoint, fields) if next_url is None else None
    return Page(records, keys[0], next_url, next_cursor, fields, body, commas)


def keys_text(fields: Iterable[str]) -> str:
    """What an answer has instead of its records, for messages."""
    return f"the answer has the keys {listed([*map(repr, sorted(fields))]) or 'none'}"


def commas_beside(endpoint: str, body: bytes | bytearray, fields: Mapping[str, msgspec.Raw]) -> int:
    """The number of commas in the one field of an answer that is not among `fields`.

    ContractBroken if a key is repeated within one of the `fields`.
    """
    commas = body.count(b",") - len(fields)
    for raw in map(bytes, fields.values()):
        if raw[:1] in (b"{", b"["):
            refuse_repeated_keys(endpoint, raw)
        commas -= raw.count(b",")
    return commas


def _refuse_many_fields(endpoint: str, lists: tuple[str, ...], body: bytes | bytearray) -> None:
    fields = [(key, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for key in lists]
    with decoding(f"{endpoint}: the answer is not a JSON object"):
        found = msgspec.json.decode(body, type=msgspec.defstruct("Lists", fields))
    raws = [raw for raw in msgspec.structs.astuple(found) if raw is not msgspec.UNSET]
    if body.count(b",") - sum(map(_commas_in, raws)) > _MOST_FIELDS:
        raise ContractBroken(
            f"{endpoint}: the answer has more than {_MOST_FIELDS:,} fields beside its records"
        )


def _commas_in(raw: msgspec.Raw) -> int:
    """Count piece by piece: a copy of a long list would need as much memory as the answer."""
    view = memoryview(raw)
    return sum(bytes(view[at : at + _PIECE]).count(b",") for at in range(0, len(view), _PIECE))


def parse_object(endpoint: str, body: bytes | bytearray | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The top level of an answer that must be a JSON object."""
    try:
        return _OBJECT.decode(body)
    except UNDECODABLE:
        body = with_spelled_numbers(bytes(body))
    with decoding(f"{endpoint}: the answer is not a JSON object"):
        return _OBJECT.decode(body)


def _array(endpoint: str, key: str, raw: msgspec.Raw) -> msgspec.Raw:
    if bytes(memoryview(raw)[:_HEAD]).lstrip()[:1] != b"[":
        raise ContractBroken(f"{endpoint}: {key} is not a list")
    return raw


def decode_field(endpoint: str, name: str, raw: msgspec.Raw, kind: Any) -> Any:
    """Decode one field of an answer as the type `kind`."""
    with decoding(f"{endpoint}: {name}"):
        return msgspec.json.decode(raw, type=kind)


def has_next_link(headers: Mapping[str, str]) -> bool:
    """Whether a Link header leads to more pages, in any spelling (RFC 8288, 3.3)."""
    for link in parse_header_links(headers.get("Link", "")):
        relations = next((text for name, text in link.items() if name.lower() == "rel"), "")
        if "next" in relations.lower().split():
            return True
    return False


def _next_url(endpoint: str, fields: dict[str, msgspec.Raw]) -> str | None:
    if "next" not in fields:
        return None
    url: str | None = decode_field(endpoint, "next", fields["next"], str | None)
    return url or None


@decodable
class _Cursor(msgspec.Struct):
    has_more: bool | None = None
    next_cursor: str | None = None


def _next_cursor(endpoint: str, fields: dict[str, msgspec.Raw]) -> str | None:
    if "pagination" not in fields:
        return None
    raw = fields["pagination"]
    cursor: _Cursor | None = decode_field(endpoint, "pagination", raw, _Cursor | None)
    if cursor is None or cursor.has_more is False:
        return None
    if cursor.has_more and not cursor.next_cursor:
        raise ContractBroken(f"{endpoint}: pagination.has_more is true, but next_cursor is missing")
    return cursor.next_cursor or None


def refuse_too_many(endpoint: str, records: int) -> None:
    """Raise ContractBroken for more records than any tenant has users."""
    if records > MAX_RECORDS:
        raise ContractBroken(f"{endpoint}: more than {MAX_RECORDS:,} records")


class Paginator:
    """Follows the pages of one endpoint; refuses to go in circles, or to another origin."""

    def __init__(self, endpoint: str, first_url: str) -> None:
        self._endpoint = endpoint
        self._first_url = first_url
        self._origin = origin_of(first_url)
        self._urls = {first_url}
        self._contents: set[bytes] = set()

    def after(self, url: str, page: Page) -> str | None:
        """The URL that follows `page`, the answer to `url`; None after the last page.

        Raises ContractBroken for another origin, for a repeated page or URL, and for more pages
        than any tenant has. All earlier pages are compared, since a cursor can alternate.
        """
        following = self._following(url, page)
        if following or self._contents:
            self._refuse_repeated(bytes(page.records))
        if following is None:
            return None
        if following in self._urls:
            raise ContractBroken(f"{self._endpoint}: the pages go in a circle")
        self._urls.add(following)
        if len(self._urls) > MAX_PAGES:
            raise ContractBroken(f"{self._endpoint}: more than {MAX_PAGES} pages")
        return following

    def _following(self, url: str, page: Page) -> str | None:
        if page.next_url is not None:
            return self._checked(absolute(url, page.next_url))
        if page.next_cursor is not None:
            return with_params(self._first_url, {"cursor": page.next_cursor})
        return None

    def _refuse_repeated(self, records: bytes) -> None:
        content = hashlib.blake2b(records, digest_size=16).digest()
        if content in self._contents and records != b"[]":
            raise ContractBroken(f"{self._endpoint}: a page came a second time")
        self._contents.add(content)

    def _checked(self, url: str) -> str:
        # URL parsers disagree about the host if there is a backslash, a user or white space: the
        # check could see our host although the connection goes to another one, with the session.
        odd = "\\" in url or "@" in url or not url.isprintable() or " " in url
        if odd or origin_of(url) != self._origin:
            raise ContractBroken(
                f"{self._endpoint}: next leads to another origin, {redact(url)}; nothing was sent"
            )
        return url
