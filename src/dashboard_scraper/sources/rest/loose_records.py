"""Records with unexpected fields or values: decoded without types, within bounds, to judge them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from dashboard_scraper.decoding import UNDECODABLE, decoding
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.sources.rest.unknown_fields import Fate, UnknownFields

MOST_VALUES = 2_000_000
"""The most values in one answer, at any depth. As Python objects they need 500 MB; the users of a
large organization, with 20 fields each, need a tenth of that.
"""
_ANY_RECORDS = msgspec.json.Decoder(list[dict[str, Any]])
_RAW_RECORDS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_ANYTHING = msgspec.json.Decoder()


def loose_records(
    where: str,
    text: msgspec.Raw,
    known: Collection[str],
    derived: Collection[str],
    unknown: UnknownFields,
) -> list[dict[str, Any]]:
    """The records as dictionaries.

    A number that is out of range makes the whole text undecodable, although only its own field is
    wrong. In that case the fields are decoded one by one: an undecodable field becomes text if it
    is `derived`, is left out if it is unknown, and is an error otherwise.
    """
    _refuse_too_many(where, bytes(text))
    try:
        return _ANY_RECORDS.decode(text)
    except UNDECODABLE:
        with decoding(where):
            records = _RAW_RECORDS.decode(text)
    return [
        dict(_fields(f"{where}: record {number}", record, known, derived, unknown))
        for number, record in enumerate(records, start=1)
    ]


def _refuse_too_many(where: str, text: bytes) -> None:
    """Called before decoding: a list of empty objects needs 20 times the memory of its text."""
    if text.count(b",") + text.count(b"{") + text.count(b"[") > MOST_VALUES:
        raise ContractBroken(f"{where}: the answer has more than {MOST_VALUES:,} values")


def _fields(
    where: str,
    record: dict[str, msgspec.Raw],
    known: Collection[str],
    derived: Collection[str],
    unknown: UnknownFields,
) -> Iterator[tuple[str, Any]]:
    for name, raw in record.items():
        try:
            yield name, _ANYTHING.decode(raw)
        except UNDECODABLE as error:
            if name in derived:
                yield name, bytes(raw).decode(errors="replace")
            elif name not in known:
                unknown.note(Fate.UNREADABLE, [name])
            else:
                raise ContractBroken(f"{where}: {name}: {error}") from error
