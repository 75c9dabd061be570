"""JSON objects, one per line: read as they arrive, so that memory does not grow with the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from dashboard_scraper.decoding import UNDECODABLE
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.sources.rest.bodies import Incomplete

LONGEST_LINE = 1 << 22
_BOM = b"\xef\xbb\xbf"


def lines_of(endpoint: str, pieces: Iterable[bytes | bytearray]) -> Iterator[bytes]:
    """Each line that is not blank, without white space around it and without a byte order mark.

    Incomplete if the last line is cut off; ContractBroken for a line that is too long.
    """
    rest = bytearray()
    first = True
    for piece in pieces:
        rest += piece
        if first and len(rest) >= len(_BOM):
            first = False
            if rest.startswith(_BOM):
                del rest[: len(_BOM)]
        *whole, last = rest.split(b"\n")
        for line in whole:
            if stripped := bytes(line.strip()):
                yield stripped
        rest = last
        if len(rest) > LONGEST_LINE:
            raise ContractBroken(f"{endpoint}: a line is longer than {LONGEST_LINE >> 20} MiB")
    if stripped := bytes(rest.strip()):
        _refuse_cut(stripped)
        yield stripped


def _refuse_cut(line: bytes) -> None:
    """A report may end without a line break, but not within an object."""
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except UNDECODABLE as error:
        if "truncated" in str(error):
            raise Incomplete("the report was cut short, within its last line") from error
