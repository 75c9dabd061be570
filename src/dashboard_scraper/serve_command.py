"""`serve`: listen, say where, and answer until told to end."""

from __future__ import annotations

import asyncio
import logging
import socket

import uvicorn

from dashboard_scraper.config import Settings
from dashboard_scraper.errors import UsageError
from dashboard_scraper.github_reports import Scope
from dashboard_scraper.github_views import GithubViews
from dashboard_scraper.report.view import ReportView
from dashboard_scraper.running import (
    github_options,
    prepare_for_many_records,
    report_options,
    tell,
    utc_now,
)
from dashboard_scraper.server import ServerOptions, make_app
from dashboard_scraper.server_access import Access, read_or_make_token
from dashboard_scraper.store import store_at

logger = logging.getLogger(__name__)

_SECONDS_TO_END = 5


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve GitHub's endpoints and the page from the store.

    UsageError where the address cannot be had.
    """
    prepare_for_many_records()
    store, source = store_at(settings.store_url, settings.file_mode), settings.source
    github = github_options(settings)
    views = GithubViews(store, source, github, settings.settle_days, utc_now)
    report = ReportView(store, source, report_options(settings, github), utc_now)
    options = ServerOptions(
        {
            Scope.ENTERPRISE: settings.enterprise_slugs,
            Scope.ORGANIZATION: settings.organization_slugs,
        },
        settings.serve_public_url,
    )
    with _listening(host, port) as listener:
        token, made = read_or_make_token(settings.serve_token_file, host)
        if made:
            # To stdout, which is no log, and only once.
            tell([f"token: {token}"])
            logger.info("the token is kept in %s", settings.serve_token_file)
        shown = f"[{host}]" if ":" in host else host
        tell([f"http://{shown}:{listener.getsockname()[1]}"])
        config = uvicorn.Config(
            make_app(views, report, Access(token), options),
            log_config=None,
            access_log=False,  # it has the signatures of links
            server_header=False,
            timeout_graceful_shutdown=_SECONDS_TO_END,
        )
        logging.getLogger("uvicorn.error").addFilter(_is_no_cancellation)
        uvicorn.Server(config).run(sockets=[listener])


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """Downloads that are cut off at the end are no errors; their traces say nothing."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, asyncio.CancelledError)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UsageError(
            f"--host {host} --port {port}: nothing can listen there: {error.strerror or error}"
        ) from error
