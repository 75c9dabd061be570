"""Downloads that are read from the store while they are sent."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Message, Send

from dashboard_scraper.errors import ScraperError
from dashboard_scraper.server.answers import Chunks

logger = logging.getLogger(__name__)

_SECONDS_TO_READ_A_CHUNK = 60


class Streamed(StreamingResponse):
    """A report in chunks. A client that reads nothing for a minute is disconnected: during a
    download, the store must keep the snapshot with which the download began.
    """

    def __init__(self, first: bytes, chunks: Chunks, kind: str) -> None:
        self._chunks = _in_threads(first, chunks)
        super().__init__(self._chunks, media_type=kind)

    async def stream_response(self, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            with anyio.fail_after(_SECONDS_TO_READ_A_CHUNK):
                await send(message)

        try:
            async with contextlib.aclosing(self._chunks):
                await super().stream_response(send_in_time)
        except (ScraperError, TimeoutError) as error:
            # Without the final chunk, the connection is cut, so that the client sees that it is
            # incomplete.
            reason = f"{error}" or "the client stopped reading"
            logger.error("a download was cut off: %s", reason)  # noqa: TRY400


async def _in_threads(first: bytes, chunks: Chunks) -> AsyncGenerator[bytes, None]:
    try:
        chunk = first
        while chunk:
            yield chunk
            chunk = await run_in_threadpool(next, chunks, b"")
    finally:
        with anyio.CancelScope(shield=True):
            await run_in_threadpool(chunks.close)
