"""Authentication: a token for everything, and signed links that work without one for an hour."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import logging
import secrets
import ssl
from pathlib import Path

from dashboard_scraper.errors import UsageError
from dashboard_scraper.hosts import is_loopback
from dashboard_scraper.secret_files import read_private, write_private

logger = logging.getLogger(__name__)

_SHORTEST_TOKEN = 20
_SCHEMES = ("bearer", "token", "basic")
LINK_SECONDS = 3600
"""As long as GitHub's own links are valid."""


class Access:
    """Checks tokens and signatures in constant time."""

    def __init__(self, token: str) -> None:
        self._token = hashlib.sha256(token.encode()).digest()
        # Derived from the token, so that a new token invalidates earlier links.
        self._key = hmac.digest(token.encode(), b"download links", "sha256")

    def allows(self, authorization: str) -> bool:
        """Whether it is `Bearer TOKEN`, `token TOKEN`, or Basic with the token as password."""
        scheme, _, sent = authorization.partition(" ")
        if scheme.lower() == "basic":
            sent = _password_of(sent)
        digest = hashlib.sha256(sent.strip().encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(digest, self._token) and scheme.lower() in _SCHEMES

    def sign(self, path: str, expires: int) -> str:
        """A signature that lets anybody read `path` until `expires`, in seconds since 1970."""
        return hmac.new(self._key, f"{expires} {path}".encode(), hashlib.sha256).hexdigest()

    def is_signed(self, path: str, expires: str, signature: str) -> bool:
        """Whether the signature is valid for this path and exactly this spelling of the number."""
        if not (expires.isascii() and expires.isdigit()) or str(int(expires[:20])) != expires:
            return False
        right = self.sign(path, int(expires)).encode()
        return hmac.compare_digest(signature.encode("utf-8", "surrogateescape"), right)


def _password_of(credentials: str) -> str:
    """The password in Basic credentials (RFC 7617); empty if they are malformed."""
    with contextlib.suppress(ValueError):
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    return ""


def read_or_make_token(path: Path, host: str, *, allow_readable: bool = False) -> tuple[str, bool]:
    """The token, and whether it was created just now.

    UsageError if others can read the file or it has no valid token, and if a first start would let
    other machines in: nobody has the token yet.
    """
    try:
        token = read_private(path, allow_readable=allow_readable).decode("ascii").strip()
    except FileNotFoundError:
        if not is_loopback(host):
            raise UsageError(
                f"--host {host} lets other machines in, but there is no token in {path} yet; start"
                " once without --host, which creates one, or write one there"
            ) from None
        token = secrets.token_urlsafe(32)
        write_private(path, token.encode() + b"\n", "SERVE_TOKEN_FILE")
        return token, True
    except UnicodeDecodeError:
        raise UsageError(f"SERVE_TOKEN_FILE: {path} has no token") from None
    if len(token) < _SHORTEST_TOKEN or not token.isprintable() or " " in token:
        raise UsageError(
            f"SERVE_TOKEN_FILE: {path} has no token of at least {_SHORTEST_TOKEN} characters;"
            " remove it, and the next start creates one"
        )
    return token, False


def tls_context(
    certificate: Path | None, key: Path | None, *, allow_readable: bool = False
) -> ssl.SSLContext | None:
    """TLS 1.2 or newer with these files; None without.

    UsageError if they are invalid or do not match, or if others can read the key.
    """
    if certificate is None or key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    files = f"SERVE_TLS_CERT_FILE={certificate}, SERVE_TLS_KEY_FILE={key}"
    try:
        read_private(key, allow_readable=allow_readable)
        # Without a password callback, OpenSSL asks on the terminal for an encrypted key's password.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except FileNotFoundError:
        raise UsageError(f"{files}: one of them does not exist") from None
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(
            f"{files}: these are not a certificate and its key, in PEM and not encrypted:"
            f" {error.strerror or error}"
        ) from None
    return context
