"""The server's certificate, which may be renewed while the server runs."""

from __future__ import annotations

import ssl
from pathlib import Path

from dashboard_scraper.errors import UsageError
from dashboard_scraper.secret_files import read_private


class Certificate:
    """Files of a certificate and its key, loaded for TLS 1.2 and newer."""

    def __init__(self, certificate: Path, key: Path, *, allow_readable: bool = False) -> None:
        """UsageError if they are invalid or do not match, or if others can read the key."""
        self.paths = certificate, key
        self._allow_readable = allow_readable
        self.context = self._newest = self._loaded()
        self.context.sni_callback = self._choose

    def reload(self) -> None:
        """Use what the files contain now for new connections. UsageError as at the start; then what
        was loaded before stays in use.
        """
        # A new context: a certificate without its key would break the one in use.
        self._newest = self._loaded()

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _of: ssl.SSLContext) -> None:
        """Called at every handshake, also without a server name."""
        if self._newest is not self.context:
            connection.context = self._newest

    def _loaded(self) -> ssl.SSLContext:
        certificate, key = self.paths
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        files = f"SERVE_TLS_CERT_FILE={certificate}, SERVE_TLS_KEY_FILE={key}"
        try:
            read_private(key, allow_readable=self._allow_readable)
            # Without a password callback, OpenSSL asks on the terminal for an encrypted key's
            # password.
            context.load_cert_chain(certificate, key, password=lambda: b"")
        except FileNotFoundError:
            raise UsageError(f"{files}: one of them does not exist") from None
        except OSError as error:  # ssl.SSLError is an OSError
            raise UsageError(
                f"{files}: these are not a certificate and its key, in PEM and not encrypted:"
                f" {error.strerror or error}"
            ) from None
        return context
