"""How requests leave this machine: through which proxy, and with which trusted certificates."""

from __future__ import annotations

import os
import ssl
import urllib.request
from collections.abc import Mapping

import msgspec
from requests.utils import should_bypass_proxies

from dashboard_scraper.errors import UsageError
from dashboard_scraper.settings.library_settings import CA_FILES, NO_PROXY, PROXIES, Libraries
from dashboard_scraper.sources.rest.trust import trusting


class Route(msgspec.Struct, frozen=True):
    """`proxies` by scheme, as requests expects them; `ca` is a file or folder of certificates."""

    proxies: Mapping[str, str]
    ca: str | None


def route_to(url: str, libraries: Libraries) -> Route:
    """The route set by the environment, else by `.env`, else by the operating system.

    UsageError if the certificates cannot be read.
    """
    if libraries.direct:
        return Route({}, None)
    of_environment = urllib.request.getproxies_environment()
    given = {**_proxies_in(libraries), **of_environment} or urllib.request.getproxies()
    # An empty text, not None: for None the library would read the environment's NO_PROXY.
    bypassed = should_bypass_proxies(url, no_proxy=given.get("no", ""))
    proxies = {} if bypassed else {s: p for s, p in given.items() if s in ("http", "https", "all")}
    return Route(proxies, _ca(libraries))


def _proxies_in(libraries: Libraries) -> dict[str, str]:
    return {
        name.removesuffix("_PROXY").lower(): libraries.from_file[name]
        for name in (*PROXIES, NO_PROXY)
        if name in libraries.from_file
    }


def _ca(libraries: Libraries) -> str | None:
    for name in CA_FILES:
        if place := os.environ.get(name) or libraries.from_file.get(name):
            _check_certificates(name, place)
            return place
    return None


def _check_certificates(name: str, place: str) -> None:
    try:
        trusting(place)
    except ssl.SSLError as error:
        raise UsageError(f"{name}: {place} has no readable certificate") from error
    except OSError as error:
        raise UsageError(f"{name}: {place} cannot be read: {error.strerror or error}") from error
