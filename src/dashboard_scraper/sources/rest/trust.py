"""Which certificates are trusted: read once, not for each connection, as the libraries do.

Reading the 150 authorities of a system takes longer than a request to a nearby server.
"""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path

from urllib3.util.ssl_ import create_urllib3_context


def trusting(place: str) -> ssl.SSLContext:
    """A context that trusts the certificates in a file, as it is now, or in a folder.

    Raises OSError if there is no such place, and ssl.SSLError for a file without certificates.
    """
    stat = Path(place).stat()
    return _trusting(place, stat.st_mtime_ns, stat.st_size)


@lru_cache(4)
def _trusting(place: str, _changed: int, _size: int) -> ssl.SSLContext:
    context = create_urllib3_context()
    folder = Path(place).is_dir()
    context.load_verify_locations(None if folder else place, place if folder else None)
    return context
