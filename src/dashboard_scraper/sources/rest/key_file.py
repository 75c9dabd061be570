"""A source's secret, read from a setting or from a file that only its owner can read."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
from pydantic import SecretStr

from dashboard_scraper.errors import SignInRequired, UsageError
from dashboard_scraper.secret_files import read_private

# Wider than RFC 6750's b68token: it is meant to catch line breaks, spaces and wrong files.
_KEY = re.compile(r"[\x21-\x7e]+")

Unpack = Callable[[str, Path, bytes], str]
"""Finds the secret in a JSON file: gets the setting that names the file, its path and its text."""


class KeyWords(msgspec.Struct, frozen=True):
    """How errors name a secret: `what` it is, such as a token, and what `service` it is for.

    `setting` is the setting with the secret itself; the same name with `_FILE` is the setting with
    a file.
    """

    setting: str
    what: str
    service: str
    how_to_get_one: str

    @property
    def file_setting(self) -> str:
        """The setting that names a file with the secret."""
        return f"{self.setting}_FILE"


def read_key(
    words: KeyWords,
    text: SecretStr | None,
    file: Path | None,
    *,
    allow_readable: bool,
    unpack: Unpack | None = None,
) -> str:
    """The secret in `text`, or else in `file`, which contains nothing else, or JSON if there is
    `unpack`. SignInRequired if neither is set, UsageError if the secret is malformed or if other
    users can read its file.
    """
    name = words.setting
    if text is not None:
        key = text.get_secret_value().strip()
        if key.startswith("{"):  # without blanks it would pass for a key
            advice = f"; put it in a file, and name that in {words.file_setting}" if unpack else ""
            raise UsageError(f"{name}: this is JSON{advice or f', and not a {words.what}'}")
    elif file is not None:
        name = words.file_setting
        key = _read_file(words, file, allow_readable, unpack)
    else:
        raise SignInRequired(
            f"there is no {words.what} for {words.service}; {words.how_to_get_one}"
        )
    if not _KEY.fullmatch(key):
        raise UsageError(
            f"{name}: this is not a {words.what}: it is empty, or has other characters than visible"
            " ASCII"
        )
    return key


def _read_file(words: KeyWords, path: Path, allow_readable: bool, unpack: Unpack | None) -> str:
    name = words.file_setting
    try:
        data = read_private(path, allow_readable=allow_readable)
    except FileNotFoundError:
        raise SignInRequired(f"{name}: {path} does not exist; {words.how_to_get_one}") from None
    data = data.removeprefix(codecs.BOM_UTF8).strip()
    if data.startswith(b"{"):
        if unpack is not None:
            return unpack(name, path, data).strip()
        raise UsageError(f"{name}: {path} contains JSON; put the {words.what} alone in the file")
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise UsageError(f"{name}: {path} does not contain a {words.what}") from None
