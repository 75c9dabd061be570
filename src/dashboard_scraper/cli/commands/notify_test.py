"""`notify-test`: send a test message, and a ping."""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING

from dashboard_scraper.cli.options import settings_of

if TYPE_CHECKING:
    from dashboard_scraper.cli.arguments import Parser
    from dashboard_scraper.settings.config import Settings

logger = logging.getLogger(__name__)


def configure(parser: Parser) -> None:
    """The command has no options of its own."""


def run(args: argparse.Namespace) -> None:
    """Send both; NotNotified if one of them was not accepted."""
    send_test(settings_of(args))


def send_test(settings: Settings) -> None:
    """Send both; UsageError if neither is set, NotNotified if one was not accepted."""
    from dashboard_scraper.cli.notifying import channels_of, heartbeat_of
    from dashboard_scraper.errors import NotNotified, ScraperError, UsageError
    from dashboard_scraper.notify.messages import test_message
    from dashboard_scraper.notify.sending import send

    heartbeat, channels = heartbeat_of(settings), channels_of(settings)
    if heartbeat is None and not channels:
        raise UsageError("neither NOTIFY_URLS nor HEARTBEAT_URL is set; set one of them")
    failures = []
    for outcome in send(test_message(), channels, settings.libraries):
        if outcome.failure:
            failures.append(f"{outcome.channel}: {outcome.failure}")
        else:
            logger.info("%s accepted the message", outcome.channel)
    if heartbeat:
        try:
            heartbeat.ping()
            logger.info("HEARTBEAT_URL accepted the ping")
        except ScraperError as error:
            failures.append(f"HEARTBEAT_URL: {error}")
    if failures:
        raise NotNotified("; ".join(failures))
