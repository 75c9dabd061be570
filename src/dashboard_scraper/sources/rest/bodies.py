"""Reading the body of a response whole, or saying why it is incomplete: what detects which fault.

    empty                                  here: no answer of a source is empty
    ends before its Content-Length         urllib3
    ends within a chunk, or before the
    last chunk, of size 0                  urllib3
    cut where no length was sent
    (HTTP/1.0), or cut by a proxy that
    corrected the length                   here: the JSON text does not end
    cut within the compressed data or
    the checksum at their end              here: the decompressor has not seen the end
    damaged in transit                     here: the checksum of gzip and zlib; without compression
                                           (and for raw deflate) only the JSON text can show it

All of these are temporary faults, so they are retried; so are bytes after the end of compressed
data. A body that is too long, packed or unpacked, is refused as soon as that is known. Text after
the end of the JSON text is left to the decoder; a byte order mark before it is removed. A body that
is cut exactly at the end of a complete JSON text has lost nothing.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from typing import Protocol

import msgspec
import urllib3.exceptions

from dashboard_scraper.decoding import UNDECODABLE

# After decompression. 150,000 users in one answer need 128 MB; the most ever seen were 10,000.
MAX_BODY = 1 << 27
LONGEST_STREAM = 1 << 32  # before decompression, of a body that is read piece by piece
_CHUNK = 1 << 16
_STEP = 1 << 20  # bytes to decompress before the size is checked again
# Decompression makes usage figures at most 60 times as long, a decompression bomb 1,000 times. A
# body below _SHORT is harmless whatever its ratio is.
_MAX_RATIO = 250
_SHORT = 1 << 23
# Members of gzip; real bodies have one. Empty members add no output, so no size would stop them.
_MAX_MEMBERS = 1000
_BOM = b"\xef\xbb\xbf"
ACCEPTED_ENCODINGS = "gzip, deflate"
_PLAIN = ("", "identity")
_GZIP = ("gzip", "x-gzip")
_DEFLATE = "deflate"
_GZIP_FRAME = 16 + zlib.MAX_WBITS


class Incomplete(Exception):
    """The body is incomplete or damaged; a retry may help."""


class Unreadable(Exception):
    """The body cannot be used, and a retry would not change that."""


class Stream(Protocol):
    """A source of a body: a response of urllib3."""

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """The bytes of one read from the socket, unchanged; empty at the end."""
        ...


def read_whole(stream: Stream, encoding: str, limit: int) -> bytearray:
    """The body, decompressed; raises Incomplete or Unreadable."""
    body = bytearray()
    inflater = _inflater(encoding)
    while data := stream.read1(_CHUNK, decode_content=False):
        if inflater is None:
            body += data
        else:
            inflater.add(data, body, limit)
        _check_size(body, limit)
    if inflater is not None and inflater.cut:
        raise Incomplete("the body was cut short, within the compressed data")
    if body.startswith(_BOM):
        del body[: len(_BOM)]
    _refuse_cut(body)
    return body


def read_pieces(stream: Stream, encoding: str) -> Iterator[bytes | bytearray]:
    """The body, decompressed piece by piece, however long it is; raises Incomplete or Unreadable.

    If nothing marks the end of a body, it is left to the caller, who knows the format, to find that
    it is cut.
    """
    inflater = _inflater(encoding)
    while data := stream.read1(_CHUNK, decode_content=False):
        if inflater is None:
            yield data
            continue
        piece = bytearray()
        inflater.add(data, piece, LONGEST_STREAM)
        yield piece
    if inflater is not None and inflater.cut:
        raise Incomplete("the body was cut short, within the compressed data")


def read_excerpt(stream: Stream, encoding: str, limit: int) -> bytearray:
    """The beginning of a body that is only shown to people; it ends at any fault."""
    body = bytearray()
    with contextlib.suppress(Incomplete, Unreadable, urllib3.exceptions.HTTPError):
        inflater = _inflater(encoding)
        while len(body) < limit and (data := stream.read1(_CHUNK, decode_content=False)):
            if inflater is None:
                body += data
            else:
                inflater.add(data, body, limit)
    return body[:limit]


def _refuse_cut(body: bytearray) -> None:
    if not body or body.isspace():
        raise Incomplete("the body was empty")
    if body[:1].isspace() or body.startswith((b"{", b"[")):
        try:
            msgspec.json.decode(body, type=msgspec.Raw)
        except UNDECODABLE as error:
            if "truncated" in str(error):
                raise Incomplete("the body was cut short") from error


def _check_size(body: bytearray, limit: int) -> None:
    if len(body) > limit:
        raise Unreadable(f"the body is longer than {limit >> 20} MiB")


class _Inflater:
    """Decompresses gzip, with one member or several, and deflate, with or without zlib's frame."""

    def __init__(self, encoding: str) -> None:
        self._gzip = encoding in _GZIP
        self._begin = b""
        self._zlib = zlib.decompressobj(_GZIP_FRAME) if self._gzip else None
        self._begun = False
        self._packed = 0
        self._members = 1

    @property
    def cut(self) -> bool:
        """Whether data came, but not the end that the format marks after any checksum."""
        return self._begun and (self._zlib is None or not self._zlib.eof)

    def add(self, data: bytes, into: bytearray, limit: int) -> None:
        """Decompress the data and append them, but stop soon after the limit."""
        self._begun = True
        self._packed += len(data)
        if self._zlib is None:
            data = self._begin = self._begin + data
            if len(data) < 2:
                return
            self._zlib = zlib.decompressobj(_frame_of(data))
        if self._packed > limit:
            raise Unreadable(f"the body is longer than {limit >> 20} MiB before decompression")
        more = False  # whether zlib holds output from data that it was given before
        while len(into) <= limit and (data or (more and not self._zlib.eof)):
            if self._zlib.eof:
                self._next_member()
            most = min(_STEP, limit + 1 - len(into))
            try:
                piece = self._zlib.decompress(data, most)
            except zlib.error as error:
                raise Incomplete("the compressed body is damaged") from error
            into += piece
            if len(into) > max(_SHORT, _MAX_RATIO * self._packed):
                raise Unreadable(f"decompressing makes the body over {_MAX_RATIO} times longer")
            data, more = self._zlib.unconsumed_tail or self._zlib.unused_data, len(piece) == most

    def _next_member(self) -> None:
        if not self._gzip:
            raise Incomplete("the compressed body is damaged: bytes follow its end")
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise Unreadable(f"the compressed body has more than {_MAX_MEMBERS:,} members")
        self._zlib = zlib.decompressobj(_GZIP_FRAME)


def _frame_of(data: bytes) -> int:
    """zlib's frame, which `deflate` means (RFC 9110, 8.4.1.2), or none: some servers omit it."""
    has_frame = data[0] & 0x0F == zlib.DEFLATED and (data[0] << 8 | data[1]) % 31 == 0
    return zlib.MAX_WBITS if has_frame else -zlib.MAX_WBITS


def _inflater(encoding: str) -> _Inflater | None:
    if encoding in _PLAIN:
        return None
    if encoding in _GZIP or encoding == _DEFLATE:
        return _Inflater(encoding)
    raise Unreadable("the body has a Content-Encoding that was not requested")
