"""What kind of name a name without `@` is, which depends on the source."""

from __future__ import annotations

from enum import Enum


class NameKind(Enum):
    """What a source's names without `@` stand for."""

    SERVICE_ACCOUNT = "service account"
    LOGIN = "login"  # at GitHub, case-insensitive
    ID = "id"  # of a person, in that source only
