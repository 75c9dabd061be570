"""Runs the server until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Sequence

import uvicorn
from starlette.applications import Starlette

from dashboard_scraper.cli.memory import prepare_for_many_records
from dashboard_scraper.cli.output import print_lines
from dashboard_scraper.cli.wiring import audience_of, github_options, report_options, settling_of
from dashboard_scraper.clock import utc_now
from dashboard_scraper.errors import Stopped, Terminated, UsageError
from dashboard_scraper.github.kinds import Scope
from dashboard_scraper.github.views import GithubViews
from dashboard_scraper.hosts import is_loopback
from dashboard_scraper.log_repeats import count_repeats
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.report.view import ReportView
from dashboard_scraper.server.access import Access
from dashboard_scraper.server.app import ServerOptions, make_app
from dashboard_scraper.server.connections import (
    LARGEST_HEAD,
    LimitedListener,
    Limits,
    ServingLoop,
    TimedProtocol,
)
from dashboard_scraper.server.reloading import SECONDS_BETWEEN_LOOKS, ReadOnce, Reloaded
from dashboard_scraper.server.requests import Hosts
from dashboard_scraper.server.tls import Certificate
from dashboard_scraper.server.token_files import TokenFiles
from dashboard_scraper.settings.config import Settings
from dashboard_scraper.store import Store, Waiting, store_at
from dashboard_scraper.store.cache import StoreCache
from dashboard_scraper.store.patience import Patience

logger = logging.getLogger(__name__)

_SECONDS_TO_END = 5


def serve(settings: Settings, host: str, port: int, *, insecure: bool = False) -> None:
    """Serve GitHub's endpoints and the report from the store.

    UsageError if it cannot listen on the address, or if the address lets other machines in without
    TLS and without `insecure`.
    """
    readable = settings.allow_readable_secrets
    certificate = _certificate(settings)
    if certificate and insecure:
        raise UsageError("--insecure is for serving without TLS, but SERVE_TLS_CERT_FILE is set")
    if not (certificate or insecure or is_loopback(host)):
        raise UsageError(
            f"--host {host} lets other machines in without TLS, so that others could read token and"
            " figures on the network: set SERVE_TLS_CERT_FILE and SERVE_TLS_KEY_FILE, or use"
            " --insecure behind a proxy with TLS"
        )
    prepare_for_many_records()
    # No retries: if the store's server is down, a reader gets an error at once, and can retry.
    store = store_at(settings.store_url, waiting=Waiting(Patience(budget=0)))
    files = TokenFiles(
        settings.serve_token_file, settings.serve_tokens_file, allow_readable=readable
    )
    # This comes first, as it reads settings and their files: a token that was made is printed only
    # once.
    make = _app_maker(settings, store, host)
    with contextlib.closing(store), _listening(host, port) as listener:
        credentials, made = files.at_start(host)
        if made:
            # Only to stdout, never to the log, and only once.
            print_lines([f"token: {made}"])
            logger.info("the token is stored in %s", settings.serve_token_file)
        access = Access(credentials)
        reloaded = [Reloaded("the tokens", files.paths, lambda: access.replace(files.again()))]
        if certificate:
            reloaded.append(Reloaded("the certificate", certificate.paths, certificate.reload))
        reloaded += _read_once(settings)
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if certificate else "http"
        address = f"{scheme}://{shown}:{listener.getsockname()[1]}"
        context = certificate.context if certificate else None
        _answer(make(access), listener, context, reloaded, address)


def _read_once(settings: Settings) -> list[ReadOnce]:
    """The files of the settings that say who people are and how outputs show them."""
    names = ("identity_file", "roster_file", "pseudonym_key_file")
    paths = ((name, getattr(settings, name)) for name in names)
    return [ReadOnce(name.upper(), path) for name, path in paths if path]


def app_of(settings: Settings, store: Store, access: Access, host: str) -> Starlette:
    """The ASGI application over a store, for a server that listens on `host`."""
    return _app_maker(settings, store, host)(access)


def _app_maker(settings: Settings, store: Store, host: str) -> Callable[[Access], Starlette]:
    """Makes the application once it is known who may access it; UsageError for a wrong setting."""
    cache, audience = StoreCache(store), audience_of(settings)
    views, *others = (_views(cache, settings, name, audience) for name in settings.covered)
    report = ReportView(cache, settings.covered, audience, report_options(settings), utc_now)
    options = ServerOptions(
        {
            Scope.ENTERPRISE: settings.enterprise_slugs,
            Scope.ORGANIZATION: settings.organization_slugs,
        },
        settings.serve_public_url,
        None if settings.serve_public_url else Hosts(host, settings.serve_hosts),
        others,
        settings.serve_requests_per_minute,
        settings.serve_log_addresses,
    )
    return lambda access: make_app(views, report, access, options)


def _certificate(settings: Settings) -> Certificate | None:
    files = settings.serve_tls_cert_file, settings.serve_tls_key_file
    if files[0] is None or files[1] is None:
        return None
    return Certificate(files[0], files[1], allow_readable=settings.allow_readable_secrets)


def _views(cache: StoreCache, settings: Settings, source: str, audience: Audience) -> GithubViews:
    return GithubViews(
        cache,
        source,
        audience.of(source),
        github_options(settings),
        settling_of(settings),
        utc_now,
        settings.reconcile_tolerance,
    )


def _answer(
    app: Starlette,
    listener: socket.socket,
    context: ssl.SSLContext | None,
    reloaded: Sequence[Reloaded],
    address: str,
) -> None:
    repeated = count_repeats()

    async def every_second() -> None:
        repeated.flush()
        for each in reloaded:
            each.look()

    config = uvicorn.Config(
        app,
        http=TimedProtocol,
        ws="none",
        h11_max_incomplete_event_size=LARGEST_HEAD,
        log_config=None,
        access_log=False,  # it would contain the signatures of links
        server_header=False,
        timeout_graceful_shutdown=_SECONDS_TO_END,
        callback_notify=every_second,
        timeout_notify=SECONDS_BETWEEN_LOOKS,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_no_cancellation)
    try:
        with asyncio.Runner(loop_factory=lambda: ServingLoop(context)) as runner:
            runner.run(_run(uvicorn.Server(config), listener, reloaded, address))
    except Terminated as signalled:
        logger.info("stopped")
        raise Stopped(signalled.code) from None
    finally:
        repeated.flush(everything=True)


async def _run(
    server: uvicorn.Server, listener: socket.socket, reloaded: Sequence[Reloaded], address: str
) -> None:
    """Print the address and serve, and reload the files on SIGHUP; on a terminal, SIGHUP ends the
    program.
    """

    def read_again() -> None:
        for each in reloaded:
            each.read()

    if hasattr(signal, "SIGHUP") and not (sys.stdin and sys.stdin.isatty()):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, read_again)
    # Not before: a SIGHUP sent as soon as the server prints its address would end it.
    print_lines([address])
    await server.serve(sockets=[listener])


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
