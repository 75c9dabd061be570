"""Runs the server until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl

import uvicorn
from starlette.applications import Starlette

from dashboard_scraper.cli.memory import prepare_for_many_records
from dashboard_scraper.cli.output import print_lines
from dashboard_scraper.cli.wiring import audience_of, github_options, report_options, settling_of
from dashboard_scraper.clock import utc_now
from dashboard_scraper.errors import UsageError
from dashboard_scraper.github.reports import Scope
from dashboard_scraper.github.views import GithubViews
from dashboard_scraper.hosts import is_loopback
from dashboard_scraper.log_repeats import count_repeats
from dashboard_scraper.report.view import ReportView
from dashboard_scraper.server.access import Access, read_or_make_token, tls_context
from dashboard_scraper.server.app import ServerOptions, make_app
from dashboard_scraper.server.connections import (
    LARGEST_HEAD,
    LimitedListener,
    Limits,
    ServingLoop,
    TimedProtocol,
)
from dashboard_scraper.server.requests import Hosts
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.store import Waiting, store_at
from dashboard_scraper.store.cache import StoreCache
from dashboard_scraper.store.patience import Patience

logger = logging.getLogger(__name__)

_SECONDS_TO_END = 5


def serve(settings: Settings, host: str, port: int, *, insecure: bool = False) -> None:
    """Serve GitHub's endpoints and the report from the store.

    UsageError if the address cannot be listened on, and if it lets other machines in without TLS
    and not `insecure`.
    """
    readable = settings.allow_readable_secrets
    context = tls_context(
        settings.serve_tls_cert_file, settings.serve_tls_key_file, allow_readable=readable
    )
    if context and insecure:
        raise UsageError("--insecure is for serving without TLS, but SERVE_TLS_CERT_FILE is set")
    if not (context or insecure or is_loopback(host)):
        raise UsageError(
            f"--host {host} lets other machines in without TLS, so that others could read token and"
            " figures on the network: set SERVE_TLS_CERT_FILE and SERVE_TLS_KEY_FILE, or use"
            " --insecure behind a proxy with TLS"
        )
    prepare_for_many_records()
    # No retries: a reader gets an error at once when the store's server is down, and can retry.
    store = store_at(settings.store_url, waiting=Waiting(Patience(budget=0)))
    cache, source, audience = StoreCache(store), settings.source, audience_of(settings)
    views = GithubViews(
        cache,
        source,
        audience,
        github_options(settings),
        settling_of(settings),
        utc_now,
        settings.reconcile_tolerance,
    )
    report = ReportView(cache, source, audience, report_options(settings), utc_now)
    options = ServerOptions(
        {
            Scope.ENTERPRISE: settings.enterprise_slugs,
            Scope.ORGANIZATION: settings.organization_slugs,
        },
        settings.serve_public_url,
        None if settings.serve_public_url else Hosts(host, settings.serve_hosts),
    )
    with contextlib.closing(store), _listening(host, port) as listener:
        token, made = read_or_make_token(settings.serve_token_file, host, allow_readable=readable)
        if made:
            # Only to stdout, never to the log, and only once.
            print_lines([f"token: {token}"])
            logger.info("the token is stored in %s", settings.serve_token_file)
        shown = f"[{host}]" if ":" in host else host
        print_lines([f"{'https' if context else 'http'}://{shown}:{listener.getsockname()[1]}"])
        _answer(make_app(views, report, Access(token), options), listener, context)


def _answer(app: Starlette, listener: socket.socket, context: ssl.SSLContext | None) -> None:
    repeated = count_repeats()

    async def log_repeats() -> None:
        repeated.flush()

    config = uvicorn.Config(
        app,
        http=TimedProtocol,
        ws="none",
        h11_max_incomplete_event_size=LARGEST_HEAD,
        log_config=None,
        access_log=False,  # it would contain the signatures of links
        server_header=False,
        timeout_graceful_shutdown=_SECONDS_TO_END,
        callback_notify=log_repeats,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_no_cancellation)
    try:
        with asyncio.Runner(loop_factory=lambda: ServingLoop(context)) as runner:
            runner.run(uvicorn.Server(config).serve(sockets=[listener]))
    finally:
        repeated.flush(everything=True)


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """Downloads cut off at shutdown are not errors; uvicorn would log a traceback for each."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, asyncio.CancelledError)


def _listening(host: str, port: int) -> LimitedListener:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        plain = socket.create_server((host, port), family=family)
        return LimitedListener(plain, Limits.of_this_process())
    except OSError as error:
        raise UsageError(
            f"--host {host} --port {port}: cannot listen there: {error.strerror or error}"
        ) from error
