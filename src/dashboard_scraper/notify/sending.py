"""Sends messages through Apprise to the URLs of NOTIFY_URLS, which are secrets: no log has them."""

from __future__ import annotations

import logging
import re
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from dashboard_scraper import __version__
from dashboard_scraper.errors import UsageError
from dashboard_scraper.installation import NAME, how_to_install
from dashboard_scraper.logs import keep_out_of_the_log
from dashboard_scraper.notify.messages import Message
from dashboard_scraper.settings.library_settings import Libraries

if TYPE_CHECKING:
    from apprise import Apprise, AppriseResult

logger = logging.getLogger(__name__)

SECONDS_AT_MOST = 20.0
"""How long all messages together may delay the end of a run: they are sent at the same time."""

_BETWEEN = re.compile(r"[\s,]*\s[\s,]*|,+(?=[A-Za-z][A-Za-z0-9+.-]*://)")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_STATUS = re.compile(r"error=(\d{3})\b")
_NOT_REACHED = "connection error"


class Channel(msgspec.Struct, frozen=True):
    """One URL. Logs name it by its number in NOTIFY_URLS, and by its scheme."""

    number: int
    scheme: str
    service: Apprise

    def __str__(self) -> str:
        return f"NOTIFY_URLS: URL {self.number} ({self.scheme}://)"


class Outcome(msgspec.Struct, frozen=True):
    """Why a channel did not accept a message, in words; None if it did."""

    channel: Channel
    failure: str | None


def channels_of(urls: str) -> list[Channel]:
    """The channels of a list of URLs, separated by blanks or commas. UsageError if Apprise is
    missing, or does not understand a URL.
    """
    try:
        from apprise import Apprise, AppriseAsset  # noqa: PLC0415 - only who is notified needs it
    except ImportError as error:
        raise UsageError(f"NOTIFY_URLS needs Apprise: {how_to_install('notify')}") from error
    keep_out_of_the_log("apprise")  # it logs hosts, users and addresses
    channels = []
    for number, url in enumerate(_BETWEEN.split(urls.strip(" \t\r\n,")), 1):
        scheme = match[1].lower() if (match := _SCHEME.match(url)) else ""
        # We send in our own thread, which ends with the program: it would wait for one of
        # Apprise's.
        asset = AppriseAsset(
            app_id=NAME,
            app_desc=f"{NAME} {__version__}",
            app_url="",
            image_url_mask="",
            image_url_logo="",
            async_mode=False,
            service_timeout=0,
            secure_logging=True,
            # Otherwise the page of a redirect to a sign-in would pass for a message that was
            # accepted.
            http_redirects=False,
        )
        service = Apprise(asset=asset)
        if not scheme or not _added(service, url):
            what = f"{scheme}://" if scheme else "without a scheme such as mailto://"
            raise UsageError(
                f"NOTIFY_URLS: URL {number} ({what}) is not one that Apprise understands; its"
                " documentation says how the URL of each service is written"
            )
        channels.append(Channel(number, scheme, service))
    return channels


def _added(service: Apprise, url: str) -> bool:
    with warnings.catch_warnings():
        # The first URL makes Apprise import every service that it knows, and what these use.
        warnings.simplefilter("ignore", DeprecationWarning)
        return bool(service.add(url))


def send(message: Message, channels: Sequence[Channel], libraries: Libraries) -> list[Outcome]:
    """Send the message to every channel at once; waits SECONDS_AT_MOST."""
    with libraries.of_notifications():
        attempts = [_Attempt(channel, message) for channel in channels]
        deadline = time.monotonic() + SECONDS_AT_MOST
        return [attempt.outcome(deadline) for attempt in attempts]


class _Attempt:
    """Sends in a thread that ends with the program, however long a server takes."""

    def __init__(self, channel: Channel, message: Message) -> None:
        self._channel = channel
        self._message = message
        self._result: AppriseResult | None = None
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        from apprise import NotifyFormat, NotifyType  # noqa: PLC0415 - only who is notified

        kind = NotifyType.WARNING if self._message.is_problem else NotifyType.SUCCESS
        self._result = self._channel.service.notify(
            self._message.body,
            self._message.subject,
            kind,
            body_format=NotifyFormat.TEXT,
            log_level=logging.WARNING,  # what `_reasons` reads
        )

    def outcome(self, deadline: float) -> Outcome:
        """Wait for the thread until the deadline."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._result:
            return Outcome(self._channel, None)
        if self._thread.is_alive():
            return Outcome(self._channel, f"no answer within {SECONDS_AT_MOST:g} s")
        reasons = dict.fromkeys(_reasons(self._result))
        return Outcome(self._channel, " or ".join(reasons) or "not accepted")


def _reasons(result: AppriseResult | None) -> Iterator[str]:
    """The part of Apprise's reasons that is safe to repeat: they quote URLs and addresses."""
    if result is None:
        return
    for service in result:  # a failed one is false
        for entry in service.logs():
            if match := _STATUS.search(entry.message):
                yield f"HTTP {match[1]}"
            elif _NOT_REACHED in entry.message.lower():
                yield "it could not be reached, or closed the connection"


def log_failures(outcomes: Sequence[Outcome]) -> bool:
    """Warn about each channel that failed; returns whether any accepted the message."""
    for outcome in outcomes:
        if outcome.failure:
            logger.warning("no message was sent to %s: %s", outcome.channel, outcome.failure)
    return any(outcome.failure is None for outcome in outcomes)
