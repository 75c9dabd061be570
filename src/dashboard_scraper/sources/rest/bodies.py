"""A whole body, or the reason why it is none: how a body can be incomplete, and what notices it.

    nothing at all                         noticed here: no answer of a source is empty
    ended before its Content-Length        the library below
    ended within a chunk, or before the
    last one, of size 0                    the library below
    ended without a length (HTTP/1.0),
    or passed on cut, with a length that
    is right for what was left             here: the JSON text does not end
    ended within its compression, also
    within the checksum at its end         here: a decompressor knows whether it saw the end
    damaged on the way                     here, by the checksum of gzip and of zlib; without
                                           compression nothing tells it but the JSON text itself

All of these may pass by themselves. Bytes after the end of a compressed body are taken for damage.
A body that is too long, or that a small one unpacks to, is refused as soon as that is seen. What
follows a whole JSON text is for the reader of the text; a byte order mark before it is not
part of it. Raw deflate has no checksum. A body cut exactly where a whole JSON text ends has lost
nothing.
"""

from __future__ import annotations

import contextlib
import zlib
from typing import Protocol

import msgspec
import urllib3.exceptions

from dashboard_scraper.decoding import UNDECODABLE

# After decompression. 150,000 users in one answer have 128 MB; nobody has seen more than 10,000.
MAX_BODY = 1 << 27
_CHUNK = 1 << 16
_STEP = 1 << 20  # what is unpacked before it is looked at
# Figures become at most some 60 times as long, a bomb 1000 times; nothing short is one.
_MOST_TIMES = 250
_SHORT = 1 << 23
_MOST_MEMBERS = 1000  # of gzip; real bodies have one, and empty ones would never end
_BOM = b"\xef\xbb\xbf"
ACCEPTED_ENCODINGS = "gzip, deflate"
_PLAIN = ("", "identity")
_GZIP = ("gzip", "x-gzip")
_DEFLATE = "deflate"
_GZIP_FRAME = 16 + zlib.MAX_WBITS


class Incomplete(Exception):
    """The body is not whole, or damaged; another attempt may have it whole."""


class Unreadable(Exception):
    """The body is of a kind that no second attempt makes readable."""


class Stream(Protocol):
    """What a body is read from, as urllib3's responses are."""

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """The bytes of one read from the socket, as they came; none at the end."""
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
        raise Incomplete("the body was cut short, within its compression")
    if body.startswith(_BOM):
        del body[: len(_BOM)]
    _refuse_cut(body)
    return body


def read_excerpt(stream: Stream, encoding: str, limit: int) -> bytearray:
    """The beginning of a body that is only shown to people; what is wrong with it ends it."""
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
    """Decompresses gzip, of one member or several, and deflate, with zlib's frame or bare."""

    def __init__(self, encoding: str) -> None:
        self._gzip = encoding in _GZIP
        self._begin = b""
        self._zlib = zlib.decompressobj(_GZIP_FRAME) if self._gzip else None
        self._begun = False
        self._packed = 0
        self._members = 1

    @property
    def cut(self) -> bool:
        """Whether it has begun, but its own mark of the end, after any checksum, has not come."""
        return self._begun and (self._zlib is None or not self._zlib.eof)

    def add(self, data: bytes, into: bytearray, limit: int) -> None:
        """Append what the data hold, but stop soon after the limit."""
        self._begun = True
        self._packed += len(data)
        if self._zlib is None:
            data = self._begin = self._begin + data
            if len(data) < 2:
                return
            self._zlib = zlib.decompressobj(_frame_of(data))
        if self._packed > limit:
            raise Unreadable(f"the body is longer than {limit >> 20} MiB as it was sent")
        more = False  # of what was read already
        while len(into) <= limit and (data or (more and not self._zlib.eof)):
            if self._zlib.eof:
                self._next_member()
            most = min(_STEP, limit + 1 - len(into))
            try:
                piece = self._zlib.decompress(data, most)
            except zlib.error as error:
                raise Incomplete("its compression is damaged") from error
            into += piece
            if len(into) > max(_SHORT, _MOST_TIMES * self._packed):
                raise Unreadable(f"the body becomes more than {_MOST_TIMES} times as long")
            data, more = self._zlib.unconsumed_tail or self._zlib.unused_data, len(piece) == most

    def _next_member(self) -> None:
        if not self._gzip:
            raise Incomplete("its compression is damaged: bytes follow its end")
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise Unreadable(f"its compression has more than {_MOST_MEMBERS:,} members")
        self._zlib = zlib.decompressobj(_GZIP_FRAME)


def _frame_of(data: bytes) -> int:
    """Of `deflate`, which is to mean zlib's format (RFC 9110, 8.4.1.2), but some send it bare."""
    has_frame = data[0] & 0x0F == zlib.DEFLATED and (data[0] << 8 | data[1]) % 31 == 0
    return zlib.MAX_WBITS if has_frame else -zlib.MAX_WBITS


def _inflater(encoding: str) -> _Inflater | None:
    if encoding in _PLAIN:
        return None
    if encoding in _GZIP or encoding == _DEFLATE:
        return _Inflater(encoding)
    raise Unreadable("it has a Content-Encoding that was not asked for")
